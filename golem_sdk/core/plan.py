"""One fold over an oplog that tells replay what lies ahead, and refuses entries that break the rules.

The same fold serves loading (the plan of what is on disk) and appending (every entry passes it before it
is buffered), so a log that breaks L1, L2, R1 or R2 can neither be written nor silently read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from attrs import evolve, field, frozen

from golem_sdk.core.entries import (
    BeginAtomicRegion,
    BeginRemoteWrite,
    ChangePersistenceLevel,
    Create,
    EndAtomicRegion,
    EndRemoteWrite,
    Entry,
    Error,
    ExportedFunctionCompleted,
    ImportedFunctionInvoked,
    Jump,
    OplogIndex,
    Revert,
    TimerSet,
)
from golem_sdk.core.regions import NO_REGIONS, Regions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["EMPTY_PLAN", "OplogRuleError", "Plan", "Retry", "fold_plan", "plan_after"]


T = TypeVar("T")


class OplogRuleError(ValueError):
    """An entry would break one of the oplog's rules; the message begins with the rule's number."""


@frozen
class Armed:
    """A wait that was armed by entry ``index``, due at ``due`` (nanoseconds since the epoch)."""

    index: OplogIndex
    due: int


@frozen
class Retry:
    """What is known of something that failed and is tried again.

    Attributes:
        index: of the newest note of a failure.
        attempt: how many attempts have failed.
        first_at: when the first of them was noted, nanoseconds since the epoch.
        due: when the next one may begin.
        state: the retry policy's state, encoded.
    """

    index: OplogIndex
    attempt: int
    first_at: int
    due: int
    state: bytes


@frozen
class Ended:
    """What was open until its end, and how often it had failed by then."""

    begin: OplogIndex
    kind: type[Entry]
    retry: Retry | None


@frozen
class Plan:
    """What is known of an oplog without looking into payloads.

    Attributes:
        regions: what replay skips.
        open_begins: visible ``Begin…`` entries and changes of the level without their end, by index.
        ends: of the present invocation, by index: what each ended. A jump that drops an end opens its
            begin again.
        jumps: how often the agent jumped back to a place. Kept when the invocation is over: its replay
            asks again.
        timers: waits that were armed and are not over, by call number.
        call_retries: calls that failed and are to be made again, by call number.
        region_retries: atomic regions that failed and are to run again, by the index of their begin.
    """

    regions: Regions = NO_REGIONS
    open_begins: dict[OplogIndex, type[Entry]] = field(factory=dict)
    ends: dict[OplogIndex, Ended] = field(factory=dict)
    jumps: dict[OplogIndex, int] = field(factory=dict)
    timers: dict[int, Armed] = field(factory=dict)
    call_retries: dict[int, Retry] = field(factory=dict)
    region_retries: dict[OplogIndex, Retry] = field(factory=dict)

    def newest_end(self, kind: type[Entry], last: OplogIndex) -> OplogIndex:
        """The newest entry up to ``last`` that has ended one of this kind in this invocation, 0: none."""
        ends = (at for at, ended in self.ends.items() if ended.kind is kind and at <= last)
        return max(ends, default=0)

    def concerns(self, kind: type[Entry]) -> bool:
        """Whether `plan_after` could give another plan for such an entry: lets the hot path skip it."""
        if kind is ImportedFunctionInvoked:
            return bool(self.timers or self.call_retries)
        return kind in _PLANNED or (
            kind is ExportedFunctionCompleted and bool(self.open_begins or self.ends)
        )


EMPTY_PLAN = Plan()

_PLANNED: frozenset[type[Entry]] = frozenset(
    {
        Create,
        Jump,
        Revert,
        BeginAtomicRegion,
        BeginRemoteWrite,
        EndAtomicRegion,
        EndRemoteWrite,
        ChangePersistenceLevel,
        TimerSet,
        Error,
    }
)
"""Entries that change a plan by themselves."""

_BEGIN_OF: dict[type[Entry], type[Entry]] = {
    EndAtomicRegion: BeginAtomicRegion,
    EndRemoteWrite: BeginRemoteWrite,
    ChangePersistenceLevel: ChangePersistenceLevel,
}


def fold_plan(
    entries: Iterable[tuple[OplogIndex, Entry]], last: OplogIndex = 0, plan: Plan = EMPTY_PLAN
) -> Plan:
    """Fold the entries that follow index ``last`` into a plan. Any split gives the same plan.

    Raises:
        OplogRuleError: an entry breaks L1, L2, R1 or R2.
    """
    for index, entry in entries:
        if index != last + 1:
            raise OplogRuleError(f"L1: entry {index} follows entry {last}")
        plan = plan_after(plan, index, entry)
        last = index
    return plan


def plan_after(plan: Plan, index: OplogIndex, entry: Entry) -> Plan:
    """The plan with one more entry.

    Raises:
        OplogRuleError: the entry breaks L1 (as far as one entry tells), L2, R1 or R2.
    """
    if isinstance(entry, Create) != (index == 1):
        raise OplogRuleError(
            f"L1: {type(entry).__name__} at index {index}; entry 1 is Create, no other is"
        )
    match entry:
        case Jump() | Revert():
            return _with_region(plan, index, entry)
        case BeginAtomicRegion() | BeginRemoteWrite() | ChangePersistenceLevel(begin=0):
            return evolve(plan, open_begins={**plan.open_begins, index: type(entry)})
        case EndAtomicRegion() | EndRemoteWrite() | ChangePersistenceLevel():
            return _without_begin(plan, index, entry)
        case ExportedFunctionCompleted():
            return _after_invocation(plan)
        case TimerSet(call=call, due=due):
            return evolve(plan, timers={**plan.timers, call: Armed(index, due)})
        case Error():
            return _with_failure(plan, index, entry)
        case ImportedFunctionInvoked(call=call) if call in plan.timers or call in plan.call_retries:
            return evolve(
                plan,
                timers=_without(plan.timers, call),
                call_retries=_without(plan.call_retries, call),
            )
    return plan


def _without_begin(
    plan: Plan, index: OplogIndex, entry: EndAtomicRegion | EndRemoteWrite | ChangePersistenceLevel
) -> Plan:
    begin, kind = entry.begin, _BEGIN_OF[type(entry)]
    if plan.open_begins.get(begin) is not kind:
        raise OplogRuleError(
            f"L2: {type(entry).__name__} at {index} names {begin}, no open {kind.__name__}"
        )
    return evolve(
        plan,
        open_begins=_without(plan.open_begins, begin),
        ends={**plan.ends, index: Ended(begin, kind, plan.region_retries.get(begin))},
        region_retries=_without(plan.region_retries, begin),
    )


def _after_invocation(plan: Plan) -> Plan:
    """Every change of the level ends with its invocation, and no jump reaches back before it."""
    if not (plan.ends or plan.open_begins):
        return plan
    begins = {
        at: kind for at, kind in plan.open_begins.items() if kind is not ChangePersistenceLevel
    }
    return evolve(plan, open_begins=begins, ends={})


def _with_failure(plan: Plan, index: OplogIndex, entry: Error) -> Plan:
    if entry.begin:
        retries, key = plan.region_retries, entry.begin
        if plan.open_begins.get(key) is not BeginAtomicRegion:
            raise OplogRuleError(f"L2: Error at {index} names {key}, no open BeginAtomicRegion")
    elif entry.call:
        retries, key = plan.call_retries, entry.call
    else:
        return plan
    first_at = retries[key].first_at if key in retries else entry.timestamp
    noted = {**retries, key: Retry(index, entry.attempt, first_at, entry.due, entry.state)}
    return evolve(plan, region_retries=noted) if entry.begin else evolve(plan, call_retries=noted)


def _with_region(plan: Plan, index: OplogIndex, entry: Jump | Revert) -> Plan:
    end = index if isinstance(entry, Jump) else index - 1
    if entry.region.end != end:
        raise OplogRuleError(
            f"R1: {type(entry).__name__} at {index} must drop up to {end}, not {entry.region}"
        )
    try:
        regions = plan.regions.with_region(entry.region)
    except ValueError as error:
        raise OplogRuleError(f"R1/R2: {type(entry).__name__} at {index}: {error}") from None
    region = entry.region
    jumps = {target: times for target, times in plan.jumps.items() if target not in region}
    if isinstance(entry, Jump):
        target = region.start - 1
        jumps[target] = jumps.get(target, 0) + 1
    dropped = [ended for at, ended in plan.ends.items() if at in region]
    begins = plan.open_begins | {ended.begin: ended.kind for ended in dropped}
    retries = plan.region_retries | {e.begin: e.retry for e in dropped if e.retry is not None}
    return evolve(
        plan,
        regions=regions,
        jumps=jumps,
        open_begins={at: kind for at, kind in begins.items() if at not in region},
        ends={at: ended for at, ended in plan.ends.items() if at not in region},
        timers={call: armed for call, armed in plan.timers.items() if armed.index not in region},
        call_retries={
            c: retry for c, retry in plan.call_retries.items() if retry.index not in region
        },
        # The failures of a region count on over its re-runs, which drop them: that is what they are for.
        region_retries={at: retry for at, retry in retries.items() if at not in region},
    )


def _without(items: Mapping[int, T], key: int) -> dict[int, T]:
    return {k: v for k, v in items.items() if k != key}
