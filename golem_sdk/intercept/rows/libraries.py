"""Generators and clocks of libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from golem_sdk.intercept.interceptor import Interceptor, Replaced, Treatment

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LIBRARIES"]

_IDENTIFIERS = "golem_sdk.intercept.identifiers"


def _identifiers(
    name: str,
    library: str,
    tested: tuple[str, str],
    *,
    adapters: Mapping[str, str],
    names: str,
    limits: str,
) -> Interceptor:
    """A generator of UUIDs; the same names in each of the modules."""
    replaces = tuple(Replaced(module, names, Treatment.READ_LOCAL) for module in adapters)
    return Interceptor(
        name=name,
        library=library,
        tested=tested,
        adapters=adapters,
        replaces=replaces,
        limits=limits,
    )


LIBRARIES = (
    Interceptor(
        name="numpy",
        library="numpy",
        tested=("2", "2"),
        adapters={"numpy.random": "golem_sdk.intercept.numpy:random_patches"},
        replaces=(
            Replaced(
                "numpy.random",
                "beta binomial bytes chisquare choice dirichlet exponential f gamma geometric get_state"
                " gumbel hypergeometric laplace logistic lognormal logseries multinomial"
                " multivariate_normal negative_binomial noncentral_chisquare noncentral_f normal pareto"
                " permutation poisson power rand randint randn random random_integers random_sample"
                " rayleigh set_state shuffle standard_cauchy standard_exponential standard_gamma"
                " standard_normal standard_t triangular uniform vonmises wald weibull zipf"
                " ranf sample seed",
                Treatment.SEEDED,
            ),
        ),
        limits="what is made without a seed (`default_rng()`) takes its entropy from `os.urandom`, which is "
        "recorded; not the shared generator's object, which scikit-learn and SciPy use for "
        "`random_state=None` (give them a seed)",
    ),
    _identifiers(
        "uuid_utils",
        "uuid_utils",
        ("0.10", "0.19"),
        adapters={
            "uuid_utils": f"{_IDENTIFIERS}:uuid_utils_patches",
            "uuid_utils.compat": f"{_IDENTIFIERS}:compat_patches",
        },
        names="uuid1 uuid4 uuid6 uuid7",
        limits="and so identifiers of langchain-core; arguments are not compared",
    ),
    Interceptor(
        name="pydantic_ai",
        library="pydantic-ai-slim",
        tested=("2", "2"),
        adapters={
            "pydantic_ai._agent_graph": f"{_IDENTIFIERS}:graph_patches",
            "pydantic_ai._genai_prices": f"{_IDENTIFIERS}:prices_patches",
            "pydantic_ai._uuid": f"{_IDENTIFIERS}:pydantic_ai_patches",
        },
        replaces=(
            Replaced("pydantic_ai._uuid", "uuid7", Treatment.READ_LOCAL),
            Replaced("pydantic_ai._agent_graph", "build_agent_graph", Treatment.PASSED_ON),
            Replaced("pydantic_ai._genai_prices", "preload_pricing_data", Treatment.PASSED_ON),
        ),
        limits="what a process makes once for all agents is not recorded; models are asked through their "
        "SDKs. A run whose stream a crash has cut after its beginning raises, as after any lost connection",
    ),
    _identifiers(
        "langgraph",
        "langgraph-checkpoint",
        ("4", "4"),
        adapters={"langgraph.checkpoint.base.id": f"{_IDENTIFIERS}:langgraph_patches"},
        names="uuid6",
        limits="identifiers of checkpoints; graphs are run by `ainvoke` and `astream`, and what nodes do is "
        "recorded by the interceptors of the libraries that they use",
    ),
)
