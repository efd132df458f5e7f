"""What a revert drops and what it brings back: decided from the entries alone.

Rules of Golem: the target must be visible to replay and must not lie inside something that is open there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from golem_sdk.core.entries import (
    BeginAtomicRegion,
    BeginRemoteWrite,
    Create,
    Entry,
    ExportedFunctionCompleted,
    ExportedFunctionInvoked,
    OplogIndex,
    OplogRegion,
)
from golem_sdk.core.plan import EMPTY_PLAN, Plan, plan_after
from golem_sdk.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Reversal", "is_open", "revert_to", "target_before"]

_OPEN_KIND: dict[type[Entry], str] = {
    BeginAtomicRegion: "the atomic region",
    BeginRemoteWrite: "the write, made with idempotence_mode(False),",
}


@frozen
class Reversal:
    """What becomes of an agent when everything after entry ``target`` is dropped.

    Attributes:
        region: what is dropped.
        created: the agent's first entry.
        dropped: idempotency keys of the invocations that began after the target: as if never asked for.
        resumed: the invocation in whose middle the target lies; it goes on from there.
        completed: how many invocations were over at the target.
    """

    region: OplogRegion
    created: Create
    dropped: tuple[str, ...]
    resumed: ExportedFunctionInvoked | None
    completed: int


def is_open(plan: Plan) -> bool:
    """Whether the entry at which this was the plan is no target: it lies inside something."""
    return any(kind in _OPEN_KIND for kind in plan.open_begins.values())


def target_before(
    items: Iterable[tuple[OplogIndex, Entry]], plan: Plan, invocations: int, own: str
) -> OplogIndex:
    """The last entry before the newest ``invocations`` invocations.

    Args:
        items: all entries with their indices.
        plan: the plan of all of them.
        invocations: how many to drop, the one under way included.
        own: the method that nobody invokes (the constructor): it does not count.

    Raises:
        UsageError: the agent has not begun so many.
    """
    if invocations < 1:
        raise UsageError(f"invocations is a number from 1, not {invocations}")
    begun = [
        index
        for index, entry in items
        if isinstance(entry, ExportedFunctionInvoked)
        and entry.method != own
        and plan.regions.is_visible(index)
    ]
    if len(begun) < invocations:
        raise UsageError(
            f"cannot drop {invocations} invocations: the agent has begun {len(begun)}. Nothing was changed"
        )
    return _visible_before(plan, begun[-invocations])


def revert_to(
    items: Iterable[tuple[OplogIndex, Entry]], plan: Plan, target: OplogIndex
) -> Reversal:
    """What happens when everything after entry ``target`` is dropped.

    Args:
        items: all entries with their indices.
        plan: the plan of all of them.
        target: the entry that is to be the last one.

    Raises:
        UsageError: there is no such entry, nothing follows it, it was dropped before, or it lies inside
            an atomic region or an announced write.
    """
    last, completed, then = 0, 0, EMPTY_PLAN
    created: Create | None = None
    under_way: ExportedFunctionInvoked | None = None
    dropped: list[str] = []
    for last, entry in items:
        if isinstance(entry, Create):
            created = entry
        if last <= target:
            then = plan_after(then, last, entry)
        if not plan.regions.is_visible(last):
            continue
        if isinstance(entry, ExportedFunctionInvoked):
            if last > target:
                dropped.append(entry.idempotency_key)
            else:
                under_way = entry
        elif isinstance(entry, ExportedFunctionCompleted) and last <= target:
            under_way, completed = None, completed + 1
    _check(plan, then, target, last)
    assert created is not None, "a plan is of an oplog that begins with Create"
    return Reversal(OplogRegion(target + 1, last), created, tuple(dropped), under_way, completed)


def _check(plan: Plan, then: Plan, target: OplogIndex, last: OplogIndex) -> None:
    if last == 1:
        raise UsageError(
            f"cannot revert to entry {target}: the agent has none but that of its creation, which is kept."
            " Nothing was changed"
        )
    if not 1 <= target < last:
        raise UsageError(
            f"cannot revert to entry {target}: it must be one of 1 to {last - 1}, so that something is"
            " dropped and the agent's creation is kept. Nothing was changed"
        )
    if not plan.regions.is_visible(target):
        raise UsageError(
            f"cannot revert to entry {target}: an earlier jump or revert has dropped it. Nothing was changed"
        )
    for begin, kind in then.open_begins.items():
        if kind in _OPEN_KIND:
            raise UsageError(
                f"cannot revert to entry {target}: it lies inside {_OPEN_KIND[kind]} that began at {begin}."
                f" Revert to entry {begin - 1} or earlier, or to one behind its end. Nothing was changed"
            )


def _visible_before(plan: Plan, index: OplogIndex) -> OplogIndex:
    before = index - 1
    while not plan.regions.is_visible(before):
        before -= 1
    return before
