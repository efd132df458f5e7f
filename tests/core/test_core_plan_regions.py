"""What a jump or a revert takes with it, and what it leaves."""

from __future__ import annotations

import pytest

from golem_sdk.core.entries import (
    LATEST_NS,
    BeginAtomicRegion,
    BeginRemoteWrite,
    ChangePersistenceLevel,
    EndAtomicRegion,
    Entry,
    Error,
    ExportedFunctionCompleted,
    ImportedFunctionInvoked,
    Jump,
    NoOp,
    OplogRegion,
    Revert,
    TimerSet,
)
from golem_sdk.core.plan import Armed, Ended, OplogRuleError, Plan, Retry, fold_plan
from golem_sdk.testing.histories import CREATE


def plan_of(*entries: Entry) -> Plan:
    """The plan of an oplog that goes on with these, from index 2."""
    return fold_plan(enumerate([CREATE, *entries], start=1))


def fails(at: int, *, call: int = 0, begin: int = 0, attempt: int = 1) -> Error:
    return Error(at, "E", "", "", begin=begin, call=call, attempt=attempt, due=at + 5, state=b"s")


def test_the_latest_moment_fits_in_eight_bytes() -> None:
    assert (LATEST_NS.bit_length(), (LATEST_NS + 1).bit_length()) == (63, 64)


def test_a_region_holds_its_ends_and_what_is_between() -> None:
    region = OplogRegion(3, 5)
    assert [at for at in range(8) if at in region] == [3, 4, 5]
    assert "4" not in region


@pytest.mark.parametrize("kept", [2, 3, 4, 5])
def test_what_was_noted_in_the_region_is_forgotten(kept: int) -> None:
    entries = [BeginAtomicRegion(0), TimerSet(0, 7, 70), fails(4, call=8), BeginAtomicRegion(0)]
    plan = plan_of(*entries, Jump(0, OplogRegion(kept + 1, 6)))
    assert plan.open_begins == {at: BeginAtomicRegion for at in (2, 5) if at <= kept}
    assert plan.timers == ({7: Armed(3, 70)} if kept >= 3 else {})
    assert plan.call_retries == ({8: Retry(4, 1, 4, 9, b"s")} if kept >= 4 else {})
    assert plan.jumps == {kept: 1}


def test_a_begin_whose_end_is_dropped_is_open_again() -> None:
    entries = [BeginAtomicRegion(0), NoOp(0), fails(4, begin=2), EndAtomicRegion(0, 2)]
    closed = plan_of(*entries)
    assert (closed.open_begins, closed.region_retries) == ({}, {})
    assert closed.ends == {5: Ended(2, BeginAtomicRegion, Retry(4, 1, 4, 9, b"s"))}
    assert closed.newest_end(BeginAtomicRegion, 5) == 5
    assert closed.newest_end(BeginAtomicRegion, 4) == 0
    assert closed.newest_end(BeginRemoteWrite, 5) == 0
    opened = plan_of(*entries, Jump(0, OplogRegion(4, 6)))
    assert (opened.open_begins, opened.ends) == ({2: BeginAtomicRegion}, {})
    assert opened.region_retries == {2: Retry(4, 1, 4, 9, b"s")}, "its failures count on"
    kept = plan_of(*entries, Jump(0, OplogRegion(6, 6)))
    assert (kept.open_begins, kept.ends) == ({}, closed.ends)


def test_failures_of_a_region_go_with_its_begin_only() -> None:
    entries = [BeginAtomicRegion(0), fails(3, begin=2)]
    assert plan_of(*entries, Jump(0, OplogRegion(3, 4))).region_retries == {
        2: Retry(3, 1, 3, 8, b"s")
    }
    assert plan_of(*entries, Jump(0, OplogRegion(2, 4))).region_retries == {}


def test_jumps_to_a_place_are_counted_while_it_is_there() -> None:
    twice = [NoOp(0), NoOp(0), Jump(0, OplogRegion(3, 4)), NoOp(0), Jump(0, OplogRegion(3, 6))]
    assert plan_of(*twice).jumps == {2: 2}
    assert plan_of(*twice, ExportedFunctionCompleted(0, b"", failed=False)).jumps == {2: 2}
    assert plan_of(*twice, Jump(0, OplogRegion(2, 7))).jumps == {1: 1}
    assert plan_of(*twice, Revert(0, OplogRegion(3, 6))).jumps == {2: 2}
    assert plan_of(*twice, Revert(0, OplogRegion(2, 6))).jumps == {}


@pytest.mark.parametrize(
    "entry",
    [Jump(0, OplogRegion(2, 2)), Jump(0, OplogRegion(2, 4)), Revert(0, OplogRegion(2, 3))],
    ids=str,
)
def test_r1_a_region_ends_at_its_entry(entry: Entry) -> None:
    with pytest.raises(OplogRuleError, match="R1"):
        plan_of(NoOp(0), entry)


def test_failures_count_from_the_first() -> None:
    plan = plan_of(fails(2, call=8), fails(3, call=8, attempt=2), fails(4))
    assert plan.call_retries == {8: Retry(3, 2, 2, 8, b"s")}
    done = ImportedFunctionInvoked(5, 8, "f", 1, b"", 0, b"", False, 0, 0)
    assert plan_of(fails(2, call=8), TimerSet(3, 8, 9), done).call_retries == {}
    assert plan_of(TimerSet(2, 8, 9), TimerSet(3, 7, 9), done).timers == {7: Armed(3, 9)}


def test_what_ends_with_an_invocation() -> None:
    over = ExportedFunctionCompleted(0, b"", failed=False)
    level = ChangePersistenceLevel(0, 2, 0)
    plan = plan_of(level, BeginAtomicRegion(0), BeginAtomicRegion(0), EndAtomicRegion(0, 4), over)
    assert (plan.open_begins, plan.ends) == ({3: BeginAtomicRegion}, {})
    assert plan_of(level, ChangePersistenceLevel(0, 0, 2)).open_begins == {}
    assert plan_of(level, over).open_begins == {}
    assert plan_of(BeginAtomicRegion(0), EndAtomicRegion(0, 2), over).ends == {}
    assert plan_of(fails(2, call=8), over).call_retries == {8: Retry(2, 1, 2, 7, b"s")}


def test_which_entries_concern_a_plan() -> None:
    call, over = ImportedFunctionInvoked, ExportedFunctionCompleted
    empty = plan_of()
    assert not empty.concerns(call)
    assert not empty.concerns(over)
    assert not empty.concerns(NoOp)
    assert all(empty.concerns(kind) for kind in (Jump, Revert, TimerSet, Error, BeginAtomicRegion))
    assert plan_of(TimerSet(0, 7, 70)).concerns(call)
    assert plan_of(fails(2, call=8)).concerns(call)
    opened = plan_of(BeginAtomicRegion(0))
    assert (opened.concerns(over), opened.concerns(call)) == (True, False)
    assert not opened.concerns(NoOp)
    assert plan_of(BeginAtomicRegion(0), EndAtomicRegion(0, 2)).concerns(over)


def test_l2_a_failure_names_an_open_region() -> None:
    for entries in ([NoOp(0), fails(3, begin=2)], [BeginRemoteWrite(0, 1, "f", b"", 0, 0, 0)]):
        with pytest.raises(OplogRuleError, match="L2"):
            plan_of(*entries, fails(4, begin=2))
