"""An agent's status: a pure fold over its oplog (S1)."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import define

from golem_sdk.core.entries import (
    Create,
    EndRemoteWrite,
    Entry,
    Error,
    ExportedFunctionCompleted,
    ExportedFunctionInvoked,
    ImportedFunctionInvoked,
    OplogIndex,
    Revert,
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
    RETRYING = "retrying"
    FAILED = "failed"


# Not frozen, which takes three times as long to make: nobody changes one.
@define(weakref_slot=False)
class StatusRecord:
    """Everything shown about an agent, as of entry ``last``.

    Attributes:
        status: what it is doing.
        last: index of the newest entry.
        created_at, updated_at: nanoseconds since the epoch, 0 before the first entry.
        completed: how many invocations are over.
        wake_at: when the timer of a suspended agent, or the next attempt of a retrying one, is due
            (nanoseconds since the epoch), 0: no timer.
        invocation: idempotency key of the invocation under way, empty: none is.
        error: why it failed, or what is tried again; empty otherwise.
        error_code: the code fingerprint it failed with.
        error_type: the name of that error's class.
    """

    status: AgentStatus = AgentStatus.IDLE
    last: OplogIndex = 0
    created_at: int = 0
    updated_at: int = 0
    completed: int = 0
    wake_at: int = 0
    invocation: str = ""
    error: str = ""
    error_code: str = ""
    error_type: str = ""


NEW_AGENT = StatusRecord()
_NO_ERROR = ("", "", "")


def fold_status(
    entries: Iterable[tuple[OplogIndex, Entry]], record: StatusRecord = NEW_AGENT
) -> StatusRecord:
    """Fold a run of entries into a status. Folding in any split gives the same status."""
    for index, entry in entries:
        record = status_after(record, index, entry)
    return record


def status_after(record: StatusRecord, index: OplogIndex, entry: Entry) -> StatusRecord:
    """The status with one more entry."""
    status, created_at, completed = record.status, record.created_at, record.completed
    wake_at, invocation = record.wake_at, record.invocation
    error = (record.error, record.error_code, record.error_type)
    match entry:
        case ImportedFunctionInvoked():
            status, wake_at, error = AgentStatus.RUNNING, 0, _NO_ERROR
        case ExportedFunctionInvoked():
            status, wake_at, error = AgentStatus.RUNNING, 0, _NO_ERROR
            invocation = entry.idempotency_key
        case ExportedFunctionCompleted():
            status, wake_at, error = AgentStatus.IDLE, 0, _NO_ERROR
            completed, invocation = completed + 1, ""
        case EndRemoteWrite():
            status, wake_at, error = AgentStatus.RUNNING, 0, _NO_ERROR
        case Suspend():
            status, wake_at = AgentStatus.SUSPENDED, entry.wake_at
        case Error():
            again = entry.begin or entry.call
            status = AgentStatus.RETRYING if again else AgentStatus.FAILED
            wake_at, error = entry.due, (entry.message, entry.code, entry.error_type)
        case Revert():
            status = AgentStatus.RUNNING if entry.invocation else AgentStatus.IDLE
            invocation = entry.invocation
            wake_at, error, completed = 0, _NO_ERROR, entry.completed
        case Create():
            created_at = entry.timestamp
    # Spelled out: this runs several times per invocation, and `evolve` takes four times as long.
    return StatusRecord(
        status, index, created_at, entry.timestamp, completed, wake_at, invocation, *error
    )
