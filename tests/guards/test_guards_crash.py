"""P2 and P3 over programs that nest all guards: crash before, at and after every append, and again."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from golem_sdk.testing.checkers import check_p3_unknown
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import End, Step, drive
from golem_sdk.testing.evidence import broken_oplogs
from golem_sdk.testing.interpreter import WORLD, Program, programs, run_program, run_program_async

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from proof.counting import Proved
    from proof.figures import FigureName

UNLOADING = pytest.mark.parametrize("suspend_after_s", [0.0, 1e9], ids=["unloaded", "kept"])
UNKNOWN = ("error", "UnknownOutcomeError")
FUZZ = settings(deadline=None, suppress_health_check=list(HealthCheck))


def run(
    agent: object, program: Program, points: list[CrashPoint], suspend_after_s: float
) -> tuple[End, Counter[tuple[str, str]]]:
    WORLD.clear()
    end = drive([Step(agent, (program,))], points, suspend_after_s=suspend_after_s)  # type: ignore[arg-type]  # both agents are callable
    return end, WORLD.effects.copy()


def check(
    agent: object,
    program: Program,
    crashes: list[tuple[int, CrashMoment]],
    suspend_after_s: float,
    proved: Proved,
) -> None:
    expected, effects = run(agent, program, [], suspend_after_s)
    # Not drawn from that many: how often an agent is unloaded, and notes it, is not the same every time.
    points = [CrashPoint(1 + at % expected.appends, moment) for at, moment in crashes]
    end, seen = run(agent, program, points, suspend_after_s)
    names, raced = {what for _, what in effects}, set(_raced(program))
    for (_, what), times in seen.items():
        assert what in names | raced, "P3: no other effect"
        assert times == 1 or not what.startswith("once"), "P3: at most once"
    if end.results[0][:2] == UNKNOWN:
        assert expected.results[0][:2] != UNKNOWN, "nothing crashed"
        given, wanted = {"": end.results[0]}, {"": expected.results[0]}
        assert check_p3_unknown(wanted, given, _in_doubt(program)) == []
    else:
        results = _told(end.results, raced)
        assert results == _told(expected.results, raced), "P2: results"
        certain = {effect for effect in effects if effect[1] not in raced}
        assert set(seen) >= certain, "P3: every effect, under its own key"
    assert broken_oplogs(end.oplogs, end.heads) == []
    if end.crashes:
        figure: FigureName = "single crashes" if end.crashes == 1 else "double crashes"
        case = (program, points[: end.crashes])
        proved(figure, case=case, effects=seen.total(), again=seen.total() - len(seen))


def _raced(node: object) -> Iterator[str]:
    """The names in parts that run beside one that raises: how far those get is a race, crash or not."""
    if isinstance(node, list):
        inside = _names if node[:1] == ["gather"] and _raises(node) else _raced
        yield from chain.from_iterable(map(inside, node))


def _names(node: object) -> Iterator[str]:
    if isinstance(node, list):
        yield f"undo {node}"
        yield from chain.from_iterable(map(_names, node))
    else:
        yield str(node)


def _in_doubt(node: object, region: str = "") -> list[str]:
    """What the text of a call holds whose outcome may be unknown: a write, or the region that it is in."""
    if not isinstance(node, list):
        return []
    if node[:1] == ["once"]:
        return [repr(node[1]), *filter(None, [region])]
    if node[:1] in (["atomically"], ["operation"]):
        region = "the region opened at"
    return [*chain.from_iterable(_in_doubt(each, region) for each in node)]


def _raises(node: object) -> bool:
    if not isinstance(node, list) or node[:1] == ["try"]:
        return False
    return node[:1] == ["boom"] or any(map(_raises, node))


def _told(results: object, raced: set[str]) -> object:
    """Results without which of those that raise at the same time was the first."""
    if isinstance(results, list | tuple):
        return [_told(each, raced) for each in results]
    return "boom" if results in raced and str(results).startswith("boom ") else results


CRASHES = st.lists(
    st.tuples(st.integers(0, 999), st.sampled_from(CrashMoment)), min_size=1, max_size=3
)


@UNLOADING
@FUZZ
@given(program=programs(), crashes=CRASHES)
def test_sync_programs(
    program: Program,
    suspend_after_s: float,
    crashes: list[tuple[int, CrashMoment]],
    proved: Proved,
) -> None:
    check(run_program, program, crashes, suspend_after_s, proved)


@UNLOADING
@FUZZ
@given(program=programs(concurrent=True), crashes=CRASHES)
def test_async_programs(
    program: Program,
    suspend_after_s: float,
    crashes: list[tuple[int, CrashMoment]],
    proved: Proved,
) -> None:
    check(run_program_async, program, crashes, suspend_after_s, proved)
