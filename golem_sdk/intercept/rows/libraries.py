"""Generators and clocks of libraries."""

from __future__ import annotations

from golem_sdk.intercept.interceptor import Interceptor, Replaced, Treatment

__all__ = ["LIBRARIES"]

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
)
