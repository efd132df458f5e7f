"""How much is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from golem_sdk.core.scopes import PersistenceLevel, Scope
from golem_sdk.durability import SCOPE, Session, current
from golem_sdk.errors import UsageError
from golem_sdk.guards.base import Guard

if TYPE_CHECKING:
    from golem_sdk.core.entries import OplogIndex

__all__ = ["get_oplog_persistence_level", "persistence_level", "set_oplog_persistence_level"]


class _Level(Guard):
    def __init__(self, level: PersistenceLevel) -> None:
        self._level = level

    def _enter(self, session: Session, scope: Scope) -> tuple[Scope, tuple[Scope, OplogIndex]]:
        if scope.zone:  # replay skips it, whatever the level in it
            return scope, (scope, 0)
        inside, begin = _changed(session, scope, self._level, 0)
        return inside, (scope, begin)

    def _exit(
        self, session: Session, kept: tuple[Scope, OplogIndex], error: BaseException | None
    ) -> None:
        before, begin = kept
        if session.operations.is_open(begin):  # or set_oplog_persistence_level() has ended it
            session.operations.change_level(before.level, begin)


def persistence_level(level: PersistenceLevel) -> Guard:
    """Say how much of what a block does is recorded. For library authors, not a knob for performance.

    ``SMART``: everything that cannot be made again (the default). ``PERSIST_REMOTE_SIDE_EFFECTS``: local
    reads and writes of synchronous code are not recorded and run again in replay (asynchronous ones still
    are, or their order could not be the same). ``PERSIST_NOTHING``: calls are only told in the oplog;
    replay skips them, so the block must ask `golem_sdk.durability.is_live` and keep what the agent needs with
    that module's functions. A call that such a block makes in replay raises `NotDurableError`. A crash inside
    the block runs it again. Other guards and levels inside it change nothing.

    Raises:
        UsageError: the argument is no `PersistenceLevel`.

    Example:
        >>> from golem_sdk import (
        ...     FunctionType,
        ...     PersistenceLevel,
        ...     Runtime,
        ...     agent,
        ...     durable,
        ...     persistence_level,
        ... )
        >>> @durable(function_type=FunctionType.READ_LOCAL)
        ... def temperature() -> int:
        ...     return 21
        >>> @agent
        ... def warm(room: str) -> bool:
        ...     with persistence_level(PersistenceLevel.PERSIST_REMOTE_SIDE_EFFECTS):
        ...         return temperature() > 20
        >>> with Runtime.memory() as runtime:
        ...     runtime.run(warm, "kitchen")
        True
    """
    return _Level(_checked(level))


def get_oplog_persistence_level() -> PersistenceLevel:
    """The level of the code that asks."""
    return SCOPE.get().level


def set_oplog_persistence_level(level: PersistenceLevel) -> None:
    """Set the level from here to the end of the block, task or invocation. Does nothing outside agents.

    Raises:
        UsageError: the argument is no `PersistenceLevel`.
    """
    _checked(level)
    session = current()
    if session is not None:
        scope = SCOPE.get()
        if level is scope.level:
            return
        inside, _ = _changed(session, scope, level, scope.zone)
        SCOPE.set(inside)


def _changed(
    session: Session, scope: Scope, level: PersistenceLevel, ended: OplogIndex
) -> tuple[Scope, OplogIndex]:
    index, skipped = session.operations.change_level(level, ended)
    nothing = level is PersistenceLevel.PERSIST_NOTHING
    zone = index if nothing else 0
    number = session.operations.levels
    inside = evolve(
        scope, level=level, zone=zone, zone_number=number, zone_skipped=nothing and skipped
    )
    return inside, index


def _checked(level: object) -> PersistenceLevel:
    if not isinstance(level, PersistenceLevel):
        names = ", ".join(f"PersistenceLevel.{each.name}" for each in PersistenceLevel)
        raise UsageError(f"a persistence level is one of {names}, not {level!r}")
    return level
