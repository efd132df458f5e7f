"""Hypothesis profiles and the fuzz knob.

``pytest`` runs a fixed set of examples: the same on every machine and at every run.
``GOLEM_FUZZ=20 pytest`` runs twenty times as many, from a random seed that the header prints;
``GOLEM_SEED=<seed>`` repeats it.
"""

from __future__ import annotations

import contextlib
import os
import random

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = [
    "pytester",  # for tests of our own plugin
    "proof.counting",  # the figures that are published
]

FUZZ_SCALE = int(os.environ.get("GOLEM_FUZZ", "1"))
# Workers of pytest-xdist inherit the environment: all of them draw from the seed that is printed.
_DEFAULT_SEED = str(random.SystemRandom().getrandbits(32)) if FUZZ_SCALE > 1 else "1"
SEED = int(os.environ.setdefault("GOLEM_SEED", _DEFAULT_SEED))

# Other examples would be tried, depending on what ran before in this process: some are drawn from the
# constants in all modules that are loaded by then, of this project or in a directory of a test.
with contextlib.suppress(
    ImportError
):  # an internal module: other releases may have none, or another
    from hypothesis.internal.conjecture import providers

    vars(providers)["is_local_module_file"] = lambda path: False

settings.register_profile(
    "golem",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # on a machine that is held up everything is
    print_blob=True,
    database=None,
)
settings.register_profile(
    "golem-fuzz",
    parent=settings.get_profile("golem"),
    max_examples=settings.get_profile("golem").max_examples * FUZZ_SCALE,
)
settings.load_profile("golem-fuzz" if FUZZ_SCALE > 1 else "golem")


@pytest.hookimpl(tryfirst=True)  # before hypothesis reads its own option
def pytest_configure(config: pytest.Config) -> None:
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(SEED)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long is run without looking at which lines it runs, which would double its time."""
    for item in items:
        if item.get_closest_marker("once") is not None:
            item.add_marker("no_cover")


def pytest_report_header() -> str:
    return f"golem: GOLEM_FUZZ={FUZZ_SCALE} GOLEM_SEED={SEED}"


@pytest.fixture(scope="session")
def fuzz_scale() -> int:
    """How many times more work than usual a fuzz test should do."""
    return FUZZ_SCALE


@pytest.fixture(scope="session")
def fuzz_seed() -> int:
    """Where a fuzz test that does not use hypothesis starts its random numbers."""
    return SEED
