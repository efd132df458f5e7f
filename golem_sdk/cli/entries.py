"""Oplog entries as rows of a table and as JSON: pure functions over values.

Text that comes out of here is not inert yet; `golem_sdk.cli.output.visible` makes it so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from golem_sdk.cli.calls import arguments_text, outcome_text, request_text
from golem_sdk.cli.output import shorten, shorten_middle
from golem_sdk.cli.stored import Stored, as_json, read_stored
from golem_sdk.codec.entries import entry_fields
from golem_sdk.core.entries import (
    KIND_OF,
    BeginAtomicRegion,
    BeginRemoteWrite,
    ChangePersistenceLevel,
    Create,
    DescribeCallSite,
    EndAtomicRegion,
    EndRemoteWrite,
    Entry,
    Error,
    ExportedFunctionCompleted,
    ExportedFunctionInvoked,
    ImportedFunctionInvoked,
    Jump,
    Log,
    NoOp,
    ObservedFunctionCall,
    OplogIndex,
    OplogRegion,
    Payload,
    PayloadRef,
    Revert,
    Suspend,
    TimerSet,
)
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.scopes import PersistenceLevel
from golem_sdk.errors import StoreCorruptError

__all__ = ["EntryRow", "entry_rows", "entry_values", "moment"]

LoadPayload = Callable[[Payload], bytes]

_NOTHING = "None"
_REQUEST_SHARE = 0.6
_ARROW = " → "
_WORDS: dict[type[Entry], str] = {
    BeginAtomicRegion: "BeginAtomic",
    BeginRemoteWrite: "BeginWrite",
    ChangePersistenceLevel: "Level",
    Create: "Create",
    DescribeCallSite: "CallSite",
    EndAtomicRegion: "EndAtomic",
    EndRemoteWrite: "EndWrite",
    Error: "Error",
    ExportedFunctionCompleted: "Completed",
    ExportedFunctionInvoked: "Invoked",
    Jump: "Jump",
    Log: "Log",
    NoOp: "NoOp",
    ObservedFunctionCall: "Observed",
    Revert: "Revert",
    Suspend: "Suspend",
    TimerSet: "TimerSet",
}


@frozen
class EntryRow:
    """One line of the viewer.

    Attributes:
        index: position in the oplog.
        time: local time of day.
        kind: the entry's kind in a word; of a durable call its function type.
        call: the durable call's number, or empty.
        text: what happened: the call with its request, and after an arrow what came of it.
        source: file and line of the call, or empty.
        failed: whether it tells of a failure.
        replayed: whether replay has to meet the entry again.
    """

    index: OplogIndex
    time: str
    kind: str
    call: str
    text: str
    source: str
    failed: bool
    replayed: bool


def moment(timestamp: int) -> datetime:
    """Nanoseconds since the epoch as local time."""
    return datetime.fromtimestamp(timestamp / 1e9, UTC).astimezone()


def entry_rows(
    entries: Iterable[tuple[OplogIndex, Entry]], load: LoadPayload, room: int
) -> Iterator[EntryRow]:
    """The rows of an oplog, from its beginning on (so that call sites are known when they are named).

    Args:
        entries: index and entry, in order.
        load: gives the bytes of a payload.
        room: about how many characters of text a row should have.
    """
    sites: dict[int, str] = {}
    for index, entry in entries:
        if isinstance(entry, DescribeCallSite):
            sites[entry.site] = f"{Path(entry.file).name}:{entry.line}"
        yield EntryRow(
            index=index,
            time=moment(entry.timestamp).strftime("%H:%M:%S.%f")[:-3],
            kind=_kind(entry),
            call=str(getattr(entry, "call", "") or ""),
            text=_text(entry, load, room),
            source="" if isinstance(entry, DescribeCallSite) else sites.get(_site(entry), ""),
            failed=getattr(entry, "failed", False) or isinstance(entry, Error),
            replayed=KIND_OF[type(entry)].replayed,
        )


def entry_values(
    entries: Iterable[tuple[OplogIndex, Entry]], load: LoadPayload
) -> Iterator[dict[str, Any]]:
    """The entries as plain data for JSON: every field, payloads decoded."""
    for index, entry in entries:
        fields = {
            name: _json_field(name, value, load) for name, value in entry_fields(entry).items()
        }
        yield {"index": index, "kind": type(entry).__name__, **fields}


def _site(entry: Entry) -> int:
    site: int = getattr(entry, "site", 0)
    return site


def _json_field(name: str, value: Any, load: LoadPayload) -> Any:
    match value:
        case b"":
            return None
        case bytes() | PayloadRef():
            return as_json(_payload(value, load))
        case OplogRegion(start=start, end=end):
            return {"start": start, "end": end}
        case int() if name == "function_type":
            return _function_type(value)
    return value


# --- one row --------------------------------------------------------------------------------------


def _kind(entry: Entry) -> str:
    if isinstance(entry, ImportedFunctionInvoked):
        return _function_type(entry.function_type)
    return _WORDS[type(entry)]


def _function_type(number: int) -> str:
    try:
        return FunctionType(number).label
    except ValueError:
        return f"type {number}"


def _text(entry: Entry, load: LoadPayload, room: int) -> str:
    match entry:
        case ImportedFunctionInvoked() | ObservedFunctionCall():
            asked = request_text(entry.function_name, _payload(entry.request, load))
            outcome = _outcome(entry.outcome, entry.failed, load)
            return asked if outcome == _NOTHING else _both(asked, outcome, room)
        case BeginRemoteWrite():
            return request_text(entry.function_name, _payload(entry.request, load))
        case ExportedFunctionInvoked():
            return f"{entry.method}({arguments_text(_payload(entry.arguments, load))})"
        case ExportedFunctionCompleted():
            return _ARROW.lstrip() + _outcome(entry.outcome, entry.failed, load)
    return _hint_text(entry)


def _hint_text(entry: Entry) -> str:
    match entry:
        case Create():
            return f"{entry.agent_id} (golem_sdk {entry.sdk_version})"
        case Log():
            return f"{entry.level}: {entry.message.rstrip()}"
        case Error(attempt=0):
            return f"{entry.error_type}: {entry.message}"
        case Error():
            again = f"again from {entry.begin}" if entry.begin else "again"
            return f"attempt {entry.attempt} failed, {again} at {moment(entry.due):%T}: {entry.message}"
        case ChangePersistenceLevel():
            return _level(entry.level) + (f", as before {entry.begin}" if entry.begin else "")
        case DescribeCallSite():
            return f"{Path(entry.file).name}:{entry.line} {entry.function}(): {entry.source}"
        case Suspend():
            return f"until {moment(entry.wake_at):%F %T}" if entry.wake_at else "until it is woken"
        case TimerSet():
            return f"due {moment(entry.due):%F %T.%f}"[:-3]
        case Jump() | Revert():
            return f"entries {entry.region.start} to {entry.region.end} do not count"
        case EndAtomicRegion() | EndRemoteWrite():
            return f"begun at {entry.begin}"
    return ""


def _level(number: int) -> str:
    try:
        return PersistenceLevel(number).name
    except ValueError:
        return f"level {number}"


def _both(asked: str, outcome: str, room: int) -> str:
    """Request and outcome; when they are too long together, each keeps its share of the room."""
    excess = len(asked) + len(_ARROW) + len(outcome) - room
    if excess <= 0:
        return f"{asked}{_ARROW}{outcome}"
    for_outcome = max(round(room * (1 - _REQUEST_SHARE)), room - len(_ARROW) - len(asked))
    outcome = shorten(outcome, for_outcome)
    return f"{shorten_middle(asked, max(room - len(_ARROW) - len(outcome), 8))}{_ARROW}{outcome}"


def _outcome(payload: Payload, failed: bool, load: LoadPayload) -> str:
    return ("raised " if failed else "") + outcome_text(_payload(payload, load))


def _payload(payload: Payload, load: LoadPayload) -> Any:
    try:
        return read_stored(load(payload))
    except StoreCorruptError as error:  # one damaged payload must not hide the other entries
        return Stored(0, str(error))
