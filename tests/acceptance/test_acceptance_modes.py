"""One suite, many modes: every scenario ends in every mode as it does normally, with the same effects.

Results, state and effects on the outside are compared, and all promises that a run can break are checked
by `golem_sdk.testing.evidence.violations`.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING

import pytest

from acceptance.child import Child
from acceptance.modes import MODES, Run, check_in_effect, in_memory, runs
from acceptance.shapes import SCENARIOS
from golem_sdk.testing.evidence import Evidence, violations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from proof.counting import Proved
    from proof.figures import FigureName

HASH_SEEDS = (11, 4711)


@pytest.fixture(scope="module")
def children() -> Iterator[Callable[[], Sequence[Child]]]:
    """Starts a process for each hash seed, once."""
    with ExitStack() as stack:
        yield cache(lambda: [stack.enter_context(Child(seed)) for seed in HASH_SEEDS])


@cache
def normal(name: str) -> Evidence:
    return in_memory(SCENARIOS[name])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_the_same_in_every_mode(
    name: str,
    mode: str,
    fuzz_scale: int,
    fuzz_seed: int,
    children: Callable[[], Sequence[Child]],
    caplog: pytest.LogCaptureFixture,
    proved: Proved,
) -> None:
    caplog.set_level(logging.CRITICAL)  # crashes are told of in the log
    scenario = SCENARIOS[name]
    seen: list[Run] = []
    for run in runs(name, MODES[mode], fuzz_seed, fuzz_scale, children):
        broken = violations(normal(name), run.evidence, ordered=scenario.ordered)
        assert broken == [], f"crashed at {run.schedule}"
        seen.append(run)
        crashed = tuple(run.schedule[: run.evidence.crashes])  # it may have ended before the others
        if len(crashed) == 1 < len(run.schedule):
            continue  # other modes have that case
        if crashed:
            figure: FigureName = "single crashes" if len(crashed) == 1 else "double crashes"
            effects = len(run.evidence.notes.performances)
            again = effects - len(normal(name).notes.performances)
            proved(figure, case=crashed, effects=effects, again=again)
    check_in_effect(MODES[mode], scenario, seen)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "normal"])
def test_a_mode_that_does_nothing_is_noticed(
    mode: str, fuzz_seed: int, children: Callable[[], Sequence[Child]]
) -> None:
    nothing = list(runs("timers", MODES["normal"], fuzz_seed, 1, children))
    check_in_effect(MODES["normal"], SCENARIOS["timers"], nothing)
    with pytest.raises(AssertionError):
        check_in_effect(MODES[mode], SCENARIOS["timers"], nothing)
