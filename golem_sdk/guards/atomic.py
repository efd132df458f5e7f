"""Atomic regions: effects that are made again together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from golem_sdk.core.entries import OplogIndex
from golem_sdk.durability import Session, current
from golem_sdk.errors import UsageError
from golem_sdk.guards.base import Guard

if TYPE_CHECKING:
    from golem_sdk.core.scopes import Scope

__all__ = ["atomically", "mark_begin_operation", "mark_end_operation"]


@frozen
class _Region:
    begin: OplogIndex
    region: OplogIndex  # the outermost one, maybe itself
    outermost: bool
    outcomes: int


class _Atomically(Guard):
    def _enter(self, session: Session, scope: Scope) -> tuple[Scope, _Region | None]:
        if scope.zone:  # nothing is recorded there that could be kept together
            return scope, None
        operations = session.operations
        inside = operations.is_open(scope.region)  # a task may outlive the block it was made in
        outermost = not inside and not operations.in_manual_region()
        begin = operations.begin_region()
        region = scope.region if inside else begin
        kept = _Region(begin, region, outermost, session.machine.outcomes)
        return evolve(scope, region=region), kept

    def _exit(self, session: Session, kept: _Region | None, error: BaseException | None) -> None:
        if kept is None:
            return
        operations = session.operations
        if isinstance(error, Exception) and kept.outermost:
            operations.retry_region(kept.begin, kept.outcomes, error)
        obstacle = operations.obstacle(kept.begin, kept.region)
        operations.end_region(kept.begin)
        if obstacle and error is None:
            raise UsageError(obstacle)


def atomically() -> Guard:
    """Make the durable calls of a block together: after a crash inside it, all of them are made again.

    An exception that leaves the block after a durable call was made in it runs the whole block again, too,
    as often as the retry policy allows (`retry_policy`); then it leaves the block as an ordinary exception.
    The agent's code is unwound for that and replayed up to the block. Idempotency keys are the same in
    every run. In nested blocks the outermost decides.

    Does not undo anything: what was done in an interrupted run stays done, and is done again under the same
    idempotency keys. For undoing see `saga`, for a database `golem_sdk.transactions`.

    It is the agent that runs again, with all its tasks: what other tasks do while the block is open belongs
    to it. Only calls that were under way when it was opened keep the outcomes they got meanwhile. A block
    that is left by a cancellation, as when a timeout around it is over, is closed as it is.

    Raises:
        UsageError: at the end of the block, if a write started in it with `idempotence_mode(False)` is
            still under way in another task.

    Example:
        >>> from golem_sdk import Runtime, agent, atomically, durable
        >>> tries = []
        >>> @durable
        ... def reserve(item: str) -> str:
        ...     return f"{item} reserved"
        >>> @durable
        ... def pay(item: str) -> str:
        ...     tries.append(item)
        ...     if len(tries) == 1:
        ...         raise ValueError("no connection to the bank")
        ...     return f"{item} paid"
        >>> @agent
        ... def order(item: str) -> list[str]:
        ...     with atomically():
        ...         return [reserve(item), pay(item)]
        >>> with Runtime.memory() as runtime:
        ...     runtime.run(order, "tea")
        ['tea reserved', 'tea paid']
    """
    return _Atomically()


def mark_begin_operation() -> OplogIndex:
    """Open an atomic region that is no block; gives its index for `mark_end_operation`.

    An exception that leaves the agent's method before the end runs everything from here on again, as with
    `atomically`. What is open when the method returns is closed. Outside agents it gives 0.

    Example:
        >>> from golem_sdk import Runtime, agent, durable, mark_begin_operation, mark_end_operation
        >>> @durable
        ... def order_part(name: str) -> str:
        ...     return f"{name} ordered"
        >>> @agent
        ... def assemble(parts: list) -> list:
        ...     begin = mark_begin_operation()  # a crash before its end orders all parts again
        ...     ordered = [order_part(name) for name in parts]
        ...     mark_end_operation(begin)
        ...     return ordered
        >>> with Runtime.memory() as runtime:
        ...     runtime.run(assemble, ["frame", "wheel"])
        ['frame ordered', 'wheel ordered']
    """
    session = current()
    return 0 if session is None else session.operations.open_manually()


def mark_end_operation(begin: OplogIndex) -> None:
    """Close the region that `mark_begin_operation` opened last. Outside agents it does nothing.

    Raises:
        UsageError: ``begin`` is not that region: it was closed before, or another one must be closed first.
    """
    session = current()
    if session is not None:
        session.operations.close_manually(begin)
