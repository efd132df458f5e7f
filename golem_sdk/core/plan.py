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
    Create,
    EndAtomicRegion,
    EndRemoteWrite,
    Entry,
    ImportedFunctionInvoked,
    Jump,
    OplogIndex,
    Revert,
    TimerSet,
)
from golem_sdk.core.regions import NO_REGIONS, Regions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["EMPTY_PLAN", "PLANNED", "OplogRuleError", "Plan", "fold_plan", "plan_after"]


T = TypeVar("T")


class OplogRuleError(ValueError):
    """An entry would break one of the oplog's rules; the message begins with the rule's number."""


@frozen
class Plan:
    """What is known of an oplog without looking into payloads.

    Attributes:
        regions: what replay skips.
        open_begins: visible ``Begin…`` entries without their end, by index.
        timers: when armed waits are due (nanoseconds since the epoch), by call number.
    """

    regions: Regions = NO_REGIONS
    open_begins: dict[OplogIndex, type[Entry]] = field(factory=dict)
    timers: dict[int, int] = field(factory=dict)

    def concerns(self, entry: Entry) -> bool:
        """Whether `plan_after` could give another plan: lets the hot path skip it."""
        return bool(self.timers) or type(entry) in PLANNED


EMPTY_PLAN = Plan()

PLANNED: frozenset[type[Entry]] = frozenset(
    {
        Create,
        Jump,
        Revert,
        BeginAtomicRegion,
        BeginRemoteWrite,
        EndAtomicRegion,
        EndRemoteWrite,
        TimerSet,
    }
)
"""Entries that change a plan by themselves."""

_BEGIN_OF: dict[type[Entry], type[Entry]] = {
    EndAtomicRegion: BeginAtomicRegion,
    EndRemoteWrite: BeginRemoteWrite,
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
        case BeginAtomicRegion() | BeginRemoteWrite():
            return evolve(plan, open_begins={**plan.open_begins, index: type(entry)})
        case EndAtomicRegion(begin=begin) | EndRemoteWrite(begin=begin):
            if plan.open_begins.get(begin) is not _BEGIN_OF[type(entry)]:
                raise OplogRuleError(
                    f"L2: {type(entry).__name__} at {index} names {begin}, no open begin of its kind"
                )
            return evolve(plan, open_begins=_without(plan.open_begins, begin))
        case TimerSet(call=call, due=due):
            return evolve(plan, timers={**plan.timers, call: due})
        case ImportedFunctionInvoked(call=call) if call in plan.timers:
            return evolve(plan, timers=_without(plan.timers, call))
    return plan


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
    begins = {at: kind for at, kind in plan.open_begins.items() if at not in entry.region}
    return evolve(plan, regions=regions, open_begins=begins)


def _without(items: Mapping[int, T], key: int) -> dict[int, T]:
    return {k: v for k, v in items.items() if k != key}
