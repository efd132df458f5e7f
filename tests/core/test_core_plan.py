"""The rules of the oplog: L1, L2, R1, R2, and folds in any split (S1)."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from golem_sdk.core.entries import (
    BeginAtomicRegion,
    BeginRemoteWrite,
    EndAtomicRegion,
    EndRemoteWrite,
    Entry,
    Jump,
    OplogRegion,
    Revert,
    Suspend,
)
from golem_sdk.core.plan import EMPTY_PLAN, OplogRuleError, fold_plan, plan_after
from golem_sdk.core.regions import NO_REGIONS, Regions
from golem_sdk.core.status import fold_status
from golem_sdk.testing.histories import CREATE, oplogs

Log = list[tuple[int, Entry]]


@given(oplogs(), st.data())
def test_l1_a_gap_is_refused(log: Log, data: st.DataObject) -> None:
    missing = data.draw(st.integers(0, len(log) - 1))
    rest = log[missing + 1 :]
    if rest:
        with pytest.raises(OplogRuleError, match="L1"):
            fold_plan([*log[:missing], *rest])


@given(oplogs())
def test_l1_create_is_the_first_entry_and_no_other(log: Log) -> None:
    with pytest.raises(OplogRuleError, match="L1"):
        fold_plan([*log, (len(log) + 1, CREATE)])
    with pytest.raises(OplogRuleError, match="L1"):
        fold_plan([(1, Suspend(1, 0))])


@given(oplogs())
def test_l2_an_end_names_an_open_begin_of_its_kind(log: Log) -> None:
    plan, index = fold_plan(log), len(log) + 1
    for begin in range(index + 2):
        kind = plan.open_begins.get(begin)
        for end, of in ((EndAtomicRegion, BeginAtomicRegion), (EndRemoteWrite, BeginRemoteWrite)):
            if kind is of:
                closed = plan_after(plan, index, end(1, begin))
                assert begin not in closed.open_begins
                with pytest.raises(OplogRuleError, match="L2"):
                    plan_after(closed, index + 1, end(1, begin))
            else:
                with pytest.raises(OplogRuleError, match="L2"):
                    plan_after(plan, index, end(1, begin))


@given(oplogs())
def test_l2_begins_that_are_open_are_visible(log: Log) -> None:
    plan = fold_plan(log)
    assert all(plan.regions.is_visible(begin) for begin in plan.open_begins)


@given(oplogs())
def test_r1_regions_are_apart_and_the_entry_before_each_is_visible(log: Log) -> None:
    regions = fold_plan(log).regions
    for left, right in zip(regions.skipped, regions.skipped[1:], strict=False):
        assert left.end < right.start
    assert all(regions.is_visible(region.start - 1) for region in regions.skipped)


@given(oplogs(), st.data())
def test_r2_the_target_of_a_jump_or_revert_is_visible(log: Log, data: st.DataObject) -> None:
    plan, index = fold_plan(log), len(log) + 1
    target = data.draw(st.integers(1, len(log)))
    jump = Jump(1, OplogRegion(target + 1, index))
    if plan.regions.is_visible(target):
        after = plan_after(plan, index, jump).regions
        assert [at for at in range(1, index + 2) if after.is_visible(at)] == [
            *(at for at in range(1, target + 1) if plan.regions.is_visible(at)),
            index + 1,
        ]
    else:
        with pytest.raises(OplogRuleError, match="R"):
            plan_after(plan, index, jump)


@given(oplogs(), st.integers(1, 30), st.integers(1, 30))
def test_r1_a_region_ends_where_it_is_written(log: Log, start: int, end: int) -> None:
    plan, index = fold_plan(log), len(log) + 1
    if end != index:
        with pytest.raises(OplogRuleError, match="R"):
            plan_after(plan, index, Jump(1, OplogRegion(start, end)))
    if end != index - 1:
        with pytest.raises(OplogRuleError, match="R"):
            plan_after(plan, index, Revert(1, OplogRegion(start, end)))


@given(st.lists(st.tuples(st.integers(2, 40), st.integers(2, 40)), max_size=8))
def test_r1_regions_answer_like_a_set_of_skipped_indices(pairs: list[tuple[int, int]]) -> None:
    regions, skipped = NO_REGIONS, set[int]()
    for start, end in pairs:
        wanted = set(range(start, end + 1))
        inside = [r for r in regions.skipped if set(range(r.start, r.end + 1)) & wanted]
        half = [r for r in inside if not (start <= r.start and r.end <= end)]
        if start > end or start - 1 in skipped or half:
            with pytest.raises(ValueError, match=r"region|skipped|overlaps"):
                regions.with_region(OplogRegion(start, end))
            continue
        regions, skipped = regions.with_region(OplogRegion(start, end)), skipped | wanted
    assert [at for at in range(1, 45) if not regions.is_visible(at)] == sorted(skipped)
    runs = [(r.start, r.end) for r in regions.skipped]
    assert runs == sorted(runs)
    assert sum(end - start + 1 for start, end in runs) == len(skipped), "none is in another"


def test_r1_regions_at_each_other_s_edges() -> None:
    apart = NO_REGIONS.with_region(OplogRegion(6, 8))
    assert apart.with_region(OplogRegion(3, 5)).skipped == (OplogRegion(3, 5), OplogRegion(6, 8))
    assert apart.with_region(OplogRegion(6, 8)) == apart
    assert apart.with_region(OplogRegion(2, 8)) == Regions((OplogRegion(2, 8),))
    single = NO_REGIONS.with_region(OplogRegion(6, 6))
    assert single.with_region(OplogRegion(6, 7)) == Regions((OplogRegion(6, 7),))
    for start in (5, 6):
        with pytest.raises(ValueError, match="half overlaps"):
            apart.with_region(OplogRegion(start, 6))


@given(oplogs(), st.data())
def test_s1_folding_in_any_split_gives_the_same(log: Log, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(log)))
    assert fold_plan(log[cut:], cut, fold_plan(log[:cut])) == fold_plan(log)
    assert fold_status(log[cut:], fold_status(log[:cut])) == fold_status(log)


@given(oplogs())
def test_s1_only_entries_that_concern_a_plan_change_it(log: Log) -> None:
    plan = EMPTY_PLAN
    for index, entry in log:
        after = plan_after(plan, index, entry)
        assert plan.concerns(type(entry)) or after == plan
        plan = after
    assert evolve(plan) == plan
