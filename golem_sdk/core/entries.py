"""The oplog's entries, and the table that says of each whether replay must meet it again.

Names are Golem's (1.1 to 1.5). *Replayed* entries must be met again, in order, by re-executing the
agent's code; *hint* entries (status, logs, call sites) are skipped by it. Payload fields hold encoded
values: they are decoded only by whom they concern, so that replay stays cheap.
"""

from __future__ import annotations

from attrs import frozen

__all__ = [
    "ENTRY_KINDS",
    "KIND_OF",
    "LATEST_NS",
    "BeginAtomicRegion",
    "BeginRemoteWrite",
    "ChangePersistenceLevel",
    "Create",
    "DescribeCallSite",
    "EndAtomicRegion",
    "EndRemoteWrite",
    "Entry",
    "EntryKind",
    "Error",
    "ExportedFunctionCompleted",
    "ExportedFunctionInvoked",
    "ImportedFunctionInvoked",
    "Jump",
    "Log",
    "NoOp",
    "ObservedFunctionCall",
    "OplogIndex",
    "OplogRegion",
    "Payload",
    "PayloadRef",
    "Revert",
    "Suspend",
    "TimerSet",
]

OplogIndex = int
"""Position in an agent's oplog; the first entry has 1, 0 means none."""


LATEST_NS = 2**63 - 1
"""The latest moment that is recorded, in the year 2262: what is due later is due then."""


@frozen
class PayloadRef:
    """A payload kept outside its entry, under its content hash (payloads over 64 KiB)."""

    sha256: bytes
    size_bytes: int


Payload = bytes | PayloadRef
"""An encoded value, or where it is kept."""


@frozen
class OplogRegion:
    """A stretch of entries, both ends included."""

    start: OplogIndex
    end: OplogIndex

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and self.start <= index <= self.end


@frozen(slots=False)  # a frozen class with slots takes twice as long to make
class Entry:
    """Base of all entries. ``timestamp`` is nanoseconds since the epoch; it is the agent's logical clock."""

    timestamp: int


@frozen
class Create(Entry):
    """The first entry: who the agent is and what it was made with.

    ``arguments`` encodes ``[positional, keyword]``. ``code`` fingerprints the module that defined the
    agent type. ``hash_canary`` is this interpreter's hash of a fixed string: another one at replay tells
    that PYTHONHASHSEED differs. ``interceptors`` maps interceptor names to their versions.
    """

    agent_type: str
    agent_id: str
    arguments: Payload
    code: str
    hash_canary: int
    sdk_version: str
    interceptors: dict[str, int]


@frozen(slots=False)  # see Entry: replay makes one per step
class ImportedFunctionInvoked(Entry):
    """One durable call, appended when its completion is delivered to user code.

    ``call`` is the call's number (per agent, given at its start), ``fingerprint`` a CRC-32 of what must
    be equal on replay, ``outcome`` the encoded result, or the encoded exception if ``failed``. ``site``
    names a `DescribeCallSite`; ``task`` is the number of the asyncio task (0: none).
    """

    call: int
    function_name: str
    function_type: int
    request: Payload
    fingerprint: int
    outcome: Payload
    failed: bool
    site: int
    task: int


@frozen
class ExportedFunctionInvoked(Entry):
    """An invocation of an agent method begins."""

    idempotency_key: str
    method: str
    arguments: Payload


@frozen
class ExportedFunctionCompleted(Entry):
    """The invocation that began last is over."""

    outcome: Payload
    failed: bool


@frozen
class Jump(Entry):
    """The region, which ends with this entry, is to be skipped: its code runs again."""

    region: OplogRegion


@frozen
class Revert(Entry):
    """An operator dropped the region (which ends before this entry).

    ``completed`` is how many invocations were over before the region, ``invocation`` the idempotency key of
    the one that was under way there, empty: none was.
    """

    region: OplogRegion
    completed: int = 0
    invocation: str = ""


@frozen
class BeginAtomicRegion(Entry):
    """What follows is re-executed together until the region is closed."""


@frozen
class EndAtomicRegion(Entry):
    """Closes the region opened at ``begin``."""

    begin: OplogIndex


@frozen
class BeginRemoteWrite(Entry):
    """A write whose outcome must not be guessed is about to be performed; the fields are its call's."""

    call: int
    function_name: str
    request: Payload
    fingerprint: int
    site: int
    task: int


@frozen
class EndRemoteWrite(Entry):
    """The write begun at ``begin`` is over and recorded."""

    begin: OplogIndex


@frozen
class NoOp(Entry):
    """A place in the oplog that agent code asked for, to jump back to."""


@frozen
class ChangePersistenceLevel(Entry):
    """From here on ``level`` holds. ``begin`` names the change that this one takes back, 0: none."""

    level: int
    begin: OplogIndex


@frozen
class Suspend(Entry):
    """The agent was unloaded while waiting. ``wake_at`` is nanoseconds since the epoch, 0: no timer."""

    wake_at: int


@frozen
class TimerSet(Entry):
    """A wait was armed: call ``call`` completes at ``due`` (nanoseconds since the epoch)."""

    call: int
    due: int


@frozen
class Error(Entry):
    """Something failed. ``code`` is the code fingerprint with which it happened.

    With ``begin`` the atomic region opened there runs again, with ``call`` that call is made again, both
    at ``due`` (nanoseconds since the epoch) as attempt ``attempt`` + 1; ``state`` is the retry policy's. With
    neither, the agent was parked.
    """

    error_type: str
    message: str
    code: str
    begin: OplogIndex = 0
    call: int = 0
    attempt: int = 0
    due: int = 0
    state: bytes = b""


@frozen
class Log(Entry):
    """A line that agent code printed or logged."""

    level: str
    context: str
    message: str


@frozen
class ObservedFunctionCall(Entry):
    """A call made where nothing is persisted: told for the record, never replayed."""

    function_name: str
    function_type: int
    request: Payload
    outcome: Payload
    failed: bool
    site: int


@frozen
class DescribeCallSite(Entry):
    """Gives number ``site`` to a place in the agent's source."""

    site: int
    file: str
    line: int
    function: str
    source: str


@frozen
class EntryKind:
    """One row of the table: the stored number, the class, and whether replay must meet it again."""

    code: int
    entry_class: type[Entry]
    replayed: bool


ENTRY_KINDS: dict[int, EntryKind] = {
    kind.code: kind
    for kind in (
        EntryKind(1, Create, replayed=True),
        EntryKind(2, ImportedFunctionInvoked, replayed=True),
        EntryKind(3, ExportedFunctionInvoked, replayed=True),
        EntryKind(4, ExportedFunctionCompleted, replayed=True),
        EntryKind(5, Jump, replayed=True),
        EntryKind(6, BeginAtomicRegion, replayed=True),
        EntryKind(7, EndAtomicRegion, replayed=True),
        EntryKind(8, BeginRemoteWrite, replayed=True),
        EntryKind(9, EndRemoteWrite, replayed=True),
        EntryKind(10, NoOp, replayed=True),
        EntryKind(11, ChangePersistenceLevel, replayed=True),
        EntryKind(20, Revert, replayed=False),
        EntryKind(21, Suspend, replayed=False),
        EntryKind(22, Error, replayed=False),
        EntryKind(23, Log, replayed=False),
        EntryKind(24, DescribeCallSite, replayed=False),
        EntryKind(25, TimerSet, replayed=False),
        EntryKind(26, ObservedFunctionCall, replayed=False),
    )
}
"""Every entry, by its stored number. Numbers are never reused."""

KIND_OF: dict[type[Entry], EntryKind] = {kind.entry_class: kind for kind in ENTRY_KINDS.values()}
