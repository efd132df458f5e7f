"""An agent's status: a pure fold over its oplog (S1)."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from golem_sdk.core.entries import (
    Create,
    Entry,
    Error,
    ExportedFunctionCompleted,
    ExportedFunctionInvoked,
    ImportedFunctionInvoked,
    OplogIndex,
    Suspend,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NEW_AGENT", "AgentStatus", "StatusRecord", "fold_status", "status_after"]


class AgentStatus(Enum):
    """What an agent is doing, in Golem's words."""

    RUNNING = "running"
    IDLE = "idle"
    SUSPENDED = "suspended"
    FAILED = "failed"


@frozen
class StatusRecord:
    """Everything shown about an agent, as of entry ``last``.

    Attributes:
        status: what it is doing.
        last: index of the newest entry.
        created_at, updated_at: nanoseconds since the epoch, 0 before the first entry.
        completed: how many invocations are over.
        wake_at: when a suspended agent's timer is due (nanoseconds since the epoch), 0: no timer.
        error: why it failed, empty otherwise.
        error_code: the code fingerprint it failed with.
    """

    status: AgentStatus = AgentStatus.IDLE
    last: OplogIndex = 0
    created_at: int = 0
    updated_at: int = 0
    completed: int = 0
    wake_at: int = 0
    error: str = ""
    error_code: str = ""


NEW_AGENT = StatusRecord()


def fold_status(
    entries: Iterable[tuple[OplogIndex, Entry]], record: StatusRecord = NEW_AGENT
) -> StatusRecord:
    """Fold a run of entries into a status. Folding in any split gives the same status."""
    for index, entry in entries:
        record = status_after(record, index, entry)
    return record


def status_after(record: StatusRecord, index: OplogIndex, entry: Entry) -> StatusRecord:
    """The status with one more entry."""
    now: dict[str, Any] = {"last": index, "updated_at": entry.timestamp}
    match entry:
        case Create():
            return evolve(record, created_at=entry.timestamp, **now)
        case ExportedFunctionInvoked() | ImportedFunctionInvoked():
            return evolve(
                record, status=AgentStatus.RUNNING, wake_at=0, error="", error_code="", **now
            )
        case ExportedFunctionCompleted():
            done = record.completed + 1
            return evolve(record, status=AgentStatus.IDLE, completed=done, wake_at=0, **now)
        case Suspend(wake_at=wake_at):
            return evolve(record, status=AgentStatus.SUSPENDED, wake_at=wake_at, **now)
        case Error(message=message, code=code):
            return evolve(record, status=AgentStatus.FAILED, error=message, error_code=code, **now)
    return evolve(record, **now)
