"""Five tests for every case of every interceptor (see `intercept.suite.case`); the net hears of none."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from golem_sdk.intercept import net
from golem_sdk.intercept.interceptor import Treatment
from golem_sdk.intercept.table import TABLE
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from intercept.replaying import only_new_objects
from intercept.suite.case import Case, cases
from intercept.suite.stage import bare, crash, live_and_replayed, patched, run_bare, similar

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = cases()
RECORDED = set(Treatment) - {Treatment.PASSED_ON, Treatment.REFUSED, Treatment.BY_LOOP}


@pytest.fixture(autouse=True)
def _nothing_slips_through() -> Iterator[None]:
    heard: list[tuple[str, str]] = []
    with net.listening(lambda kind, event, details: heard.append((event, details))):
        yield
    assert heard == []


@pytest.fixture(scope="module", autouse=True)
def bare_runs(request: pytest.FixtureRequest) -> None:
    """Each chosen case has run without patches."""
    params = [getattr(item, "callspec", None) for item in request.session.items]
    chosen = {each.params["case"].name for each in params if each and "case" in each.params}
    run_bare(case for case in CASES if case.name in chosen)


each = pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])


@each
def test_live_equals_the_original(case: Case) -> None:
    original, live = bare(case, "body"), live_and_replayed(case, "body").live
    assert original.outcome[0] == "result"
    assert similar(case, live.outcome) == similar(case, original.outcome)
    assert live.writes == original.writes


@each
def test_replay_with_the_outside_gone(case: Case) -> None:
    life = live_and_replayed(case, "body")
    assert life.replayed == life.live.outcome
    assert life.performed == []
    assert not life.changed


@each
@only_new_objects()
def test_a_crash_at_every_index(case: Case) -> None:
    end, calm = crash(case, "body")
    for append in range(1, end.appends + 1):
        for moment in CrashMoment:
            point = CrashPoint(append, moment)
            ended, run = crash(case, "body", [point])
            # A stream may come in fewer pieces than before, and the run end before it comes to the crash.
            assert ended.crashes == 1 or append > ended.appends
            assert similar(case, run.outcome) == similar(case, calm.outcome), point
            repeated, lost = _differences(run.writes, calm.writes)
            assert not lost, point
            assert max(repeated.values(), default=0) <= 1, point
            assert case.local or len(repeated) <= 1, point


@each
def test_an_exception_is_an_outcome(case: Case) -> None:
    original, life = bare(case, "failing"), live_and_replayed(case, "failing")
    assert original.outcome[0] == "error"
    assert similar(case, life.live.outcome) == similar(case, original.outcome)
    assert life.replayed == life.live.outcome
    assert life.performed == []
    assert not life.changed


@each
@pytest.mark.parametrize("part", ["body", "failing"])
def test_outside_agents_it_is_the_original(case: Case, part: str) -> None:
    original, run = bare(case, part), patched(case, part)
    assert similar(case, run.outcome) == similar(case, original.outcome)
    assert run.trace == original.trace


def test_every_interceptor_has_cases() -> None:
    recording = {
        row.name for row in TABLE for each in row.replaces if RECORDED.intersection(each.treatments)
    }
    assert recording - {case.interceptor for case in CASES} == set()
    assert {case.interceptor for case in CASES} <= {row.name for row in TABLE}


def test_cases_have_names_of_their_own() -> None:
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []


def _differences(
    first: list[object], second: list[object]
) -> tuple[Counter[object], Counter[object]]:
    one, other = Counter(first), Counter(second)
    return one - other, other - one
