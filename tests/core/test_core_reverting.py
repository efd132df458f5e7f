"""What a revert drops, decided from the entries alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golem_sdk.core.entries import (
    ExportedFunctionCompleted,
    ExportedFunctionInvoked,
    Revert,
)
from golem_sdk.core.plan import fold_plan, plan_after
from golem_sdk.core.reverting import revert_to, target_before
from golem_sdk.errors import UsageError
from golem_sdk.testing.histories import oplogs

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
