"""What a revert drops, decided from the entries alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golem_sdk.core.entries import (
    BeginAtomicRegion,
    ExportedFunctionCompleted,
    ExportedFunctionInvoked,
    Jump,
    NoOp,
    OplogRegion,
    Revert,
)
from golem_sdk.core.plan import fold_plan, plan_after
from golem_sdk.core.reverting import is_open, revert_to, target_before
from golem_sdk.errors import UsageError
from golem_sdk.testing.histories import CREATE, oplogs

if TYPE_CHECKING:
    from golem_sdk.core.entries import Entry

OWN = "a method that no generated history has"
Oplog = list[tuple[int, "Entry"]]


@given(oplogs(), st.integers(-1, 30))
def test_r1_r2_what_is_accepted_keeps_the_rules(log: Oplog, target: int) -> None:
    plan = fold_plan(log)
    try:
        reversal = revert_to(log, plan, target)
    except UsageError:
        return
    last = len(log)
    reverted = plan_after(plan, last + 1, Revert(0, reversal.region))
    assert reversal.region.start == target + 1
    visible = [(at, e) for at, e in log if reverted.regions.is_visible(at)]
    assert visible == [(at, e) for at, e in log if at <= target and plan.regions.is_visible(at)]
    invoked = [e for _, e in visible if isinstance(e, ExportedFunctionInvoked)]
    ends = sum(isinstance(e, ExportedFunctionCompleted) for _, e in visible)
    assert reversal.completed == ends
    if reversal.resumed is not None:
        assert invoked[-1] is reversal.resumed
    gone = [
        e.idempotency_key
        for at, e in log
        if isinstance(e, ExportedFunctionInvoked) and at > target and plan.regions.is_visible(at)
    ]
    assert list(reversal.dropped) == gone


@given(oplogs(), st.integers(1, 4))
def test_as_many_invocations_are_dropped_as_were_asked_for(log: Oplog, count: int) -> None:
    plan = fold_plan(log)
    begun = [
        at
        for at, entry in log
        if isinstance(entry, ExportedFunctionInvoked) and plan.regions.is_visible(at)
    ]
    if len(begun) < count:
        with pytest.raises(UsageError, match=f"has begun {len(begun)}"):
            target_before(log, plan, count, OWN)
        return
    target = target_before(log, plan, count, OWN)
    assert plan.regions.is_visible(target)
    assert [at for at in begun if at > target] == begun[-count:]


def invoked(key: str, method: str = "go") -> ExportedFunctionInvoked:
    return ExportedFunctionInvoked(0, key, method, b"")


OVER = ExportedFunctionCompleted(0, b"", failed=False)


def test_the_target_lies_before_what_was_dropped_earlier() -> None:
    entries = [
        CREATE,
        invoked("a"),
        OVER,
        NoOp(0),
        NoOp(0),
        Jump(0, OplogRegion(4, 6)),
        invoked("b"),
    ]
    log = list(enumerate(entries, start=1))
    plan = fold_plan(log)
    assert target_before(log, plan, 1, OWN) == 3
    assert target_before(log, plan, 2, OWN) == 1
    reversal = revert_to(log, plan, 3)
    assert (reversal.region, reversal.dropped) == (OplogRegion(4, 7), ("b",))
    assert target_before(log, plan, 1, "other") == 3
    with pytest.raises(UsageError, match="has begun 0"):
        target_before(log, plan, 1, "go")
    with pytest.raises(UsageError, match="a number from 1, not 0"):
        target_before(log, plan, 0, OWN)


def test_something_is_dropped_and_something_kept() -> None:
    log = list(enumerate([CREATE, invoked("a"), OVER, invoked("b")], start=1))
    plan = fold_plan(log)
    for target in (0, 4, 5):
        with pytest.raises(UsageError, match="it must be one of 1 to 3"):
            revert_to(log, plan, target)
    first, third = revert_to(log, plan, 1), revert_to(log, plan, 3)
    assert (first.created, first.region) == (CREATE, OplogRegion(2, 4))
    assert (first.dropped, first.resumed, first.completed) == (("a", "b"), None, 0)
    assert (third.dropped, third.resumed, third.completed) == (("b",), None, 1)
    assert revert_to(log, plan, 2).resumed == invoked("a")


@pytest.mark.parametrize("target", [0, 1, 2])
def test_of_an_agent_that_has_done_nothing_there_is_nothing_to_drop(target: int) -> None:
    log = [(1, CREATE)]
    with pytest.raises(UsageError, match="has none but that of its creation"):
        revert_to(log, fold_plan(log), target)


def test_the_middle_of_a_region_is_no_target() -> None:
    log = list(enumerate([CREATE, invoked("a"), BeginAtomicRegion(0), NoOp(0), NoOp(0)], start=1))
    for target in (3, 4):
        with pytest.raises(UsageError, match="Revert to entry 2 or earlier"):
            revert_to(log, fold_plan(log), target)
    assert [is_open(fold_plan(log[:at])) for at in range(1, 6)] == [False, False, True, True, True]
    assert revert_to(log, fold_plan(log), 2).region == OplogRegion(3, 5)
