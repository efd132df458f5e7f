"""Appends to one agent's oplog: buffered, and committed in groups with all other agents' oplogs."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from functools import cache
from operator import attrgetter
from threading import RLock
from typing import TYPE_CHECKING, Any

from attrs import fields

from golem_sdk.codec.entries import encode_chunk
from golem_sdk.core.entries import (
    Entry,
    ImportedFunctionInvoked,
    OplogIndex,
    Payload,
    TimerSet,
)
from golem_sdk.core.ids import storage_key
from golem_sdk.core.plan import plan_after
from golem_sdk.errors import AgentControlSignal
from golem_sdk.oplog.archive import MOST_CHUNKS
from golem_sdk.oplog.reader import chunk_key
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.payloads import INLINE_LIMIT, split_payload
from golem_sdk.storage.tickets import Ticket, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from golem_sdk.oplog.reader import Survey
    from golem_sdk.storage.committer import Committer

__all__ = ["EagerWriter", "OplogWriter"]

_MOST_ENTRIES = 128
"""A fuller buffer is handed to the committer without being asked (Golem: 128)."""

_MOST_BYTES = 256 * 1024
"""And so is one that takes up more: with one more entry it must still fit a record of the store."""

_FRAME_BYTES = 200

_MOST_BEHIND_BYTES = 16 * 1024 * 1024
"""Who records faster than the disk takes it waits for it when so much is on its way there; twice at most."""


class OplogWriter(Writer):
    """The only way to append to an agent's oplog. One session owns it; flushing is thread-safe.

    Each flush is one batch claimed by its first index, so a stale owner's append is refused (X1), and
    side records (results, queue rows, status) happen exactly if the entries do.

    Attributes:
        last: index of the newest entry appended, on disk or not.
        plan: the plan of everything appended so far; but of timers only those of earlier lives.
        most_loose: so many small chunks are archived together.
    """

    __slots__ = (
        "_agent_id",
        "_asked",
        "_behind",
        "_buffer",
        "_committer",
        "_dels",
        "_fence",
        "_head",
        "_loose",
        "_mutex",
        "_puts",
        "_size_bytes",
        "_undivided",
        "last",
        "plan",
    )

    most_loose = MOST_CHUNKS

    def __init__(self, agent_id: str, committer: Committer, found: Survey) -> None:
        super().__init__()
        self.last = found.last
        self.plan = found.plan
        self._agent_id = agent_id
        self._committer = committer
        self._loose = found.loose
        self._buffer: list[Entry] | None = None
        self._puts: dict[tuple[Space, bytes], bytes] | None = None
        self._head: Callable[[], tuple[Space, bytes, bytes]] | None = None
        self._dels: tuple[tuple[Space, bytes], ...] = ()
        self._size_bytes = 0
        self._fence: BaseException | None = None
        self._mutex = RLock()
        self._asked = False
        # Since this one was handed on, so many bytes followed.
        self._behind: tuple[Ticket, int] | None = None
        self._undivided = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is appended and put in this block is never split over two commits (if it fits one).

        Nor does it wait for the disk: whoever commits just then may wait for what the caller holds.
        """
        with self._mutex:
            self._undivided += 1
            try:
                yield
            finally:
                self._undivided -= 1

    def append(self, entry: Entry) -> OplogIndex:
        """Buffer one entry and give its index.

        Raises:
            OplogRuleError: the entry would break L1, L2, R1 or R2.
            StoreError: the store refused what was appended before.
            BaseException: what fenced this writer.
        """
        with self._mutex:
            if self._fence is not None:
                raise self._fence
            buffer = self._buffer
            if buffer and (len(buffer) >= _MOST_ENTRIES or self._size_bytes >= _MOST_BYTES):
                self._hand_on()
                buffer = None
            index = self.last + 1
            kind = type(entry)
            if kind is not TimerSet and self.plan.concerns(kind):
                self.plan = plan_after(self.plan, index, entry)
            if buffer is None:
                buffer = self._buffer = []
            self.last = index
            buffer.append(entry)
            self._size_bytes += _size_bytes(entry)
            return index

    def put(self, space: Space, key: bytes, value: bytes) -> None:
        """A side record that is written with the entries appended so far."""
        with self._mutex:
            self._check()
            if self._puts is None:
                self._puts = {}
            self._puts[space, key] = value

    def changed(self, head: Callable[[], tuple[Space, bytes, bytes]]) -> None:
        """The agent's status changed: ``head()`` gives its record when it is written."""
        self._head = head

    def delete(self, space: Space, key: bytes) -> None:
        """A side record that is removed with the entries appended so far."""
        with self._mutex:
            self._check()
            self._dels += ((space, key),)

    def keep(self, data: bytes) -> Payload:
        """What an entry keeps of an encoded value; a long one goes to the payload space."""
        if len(data) <= INLINE_LIMIT:
            return data
        payload, puts = split_payload(data)
        with self._mutex:
            for space, key, piece in puts:
                self.put(space, key, piece)
                if len(self._puts or ()) >= _MOST_ENTRIES // 8:
                    self._hand_on()  # or all of them wait in memory until somebody waits
        return payload

    def _hand_on(self) -> None:
        """Have what is buffered committed soon; wait, if too much is on its way already.

        Raises:
            StoreError: the store refused; this writer is of no use any more.
        """
        size = self._size_bytes + sum(map(len, (self._puts or {}).values()))
        ticket = self.flush()
        self._committer.soon()
        if ticket is None:
            return
        first, behind_bytes = self._behind or (ticket, 0)
        if first.settled:
            first, behind_bytes = ticket, 0
        self._behind = first, behind_bytes + size
        if behind_bytes + size > _MOST_BEHIND_BYTES and not self._undivided:
            self._committer.wait(ticket)

    def flush(self) -> Ticket | None:
        """Queue everything buffered for the next commit; the newest ticket, ``None``: all is durable."""
        with self._mutex:
            self._check()
            if self._buffer or self._puts or self._dels:
                claim, log = None, b""
                if self._buffer:
                    key = storage_key(self._agent_id)
                    if self._loose.are_due(self.most_loose):
                        self._archive(key)
                    first, data = self.last - len(self._buffer) + 1, encode_chunk(self._buffer)
                    claim, log = (Space.OPLOG, chunk_key(key, first), data), key + b"\0"
                    self._loose.add(first, data)
                if self._head is not None:
                    self.put(*self._head())
                    self._head = None
                puts: tuple[tuple[Space, bytes, bytes], ...] = ()
                if self._puts:
                    puts = tuple((*place, value) for place, value in self._puts.items())
                batch = Batch(claim, puts, self._dels, log=log)
                self._buffer, self._puts, self._dels, self._size_bytes = None, None, (), 0
                try:
                    return self._committer.submit(batch, self)
                except BaseException as error:
                    self.fence(error)  # what follows must not be taken for all that there is
                    raise
            return self.newest

    def _archive(self, agent_key: bytes) -> None:
        """Have the next batch put together what is on disk in small chunks."""
        lo, hi = (chunk_key(agent_key, index) for index in (self._loose.first, self.last + 1))
        limit = self._loose.to_read(self.most_loose)
        rows = self._committer.engine.scan(Space.OPLOG, lo, hi, limit=limit)
        data = self._loose.archive((int.from_bytes(key[-8:], "big"), data) for key, data in rows)
        if data is not None:
            self.put(Space.OPLOG, lo, data)
            end = chunk_key(agent_key, self._loose.first)
            self._dels += tuple((Space.OPLOG, key) for key, _ in rows if lo < key < end)

    def commit(self) -> None:
        """Return when everything appended is on disk.

        Raises:
            StoreError: the store refused; this writer is of no use any more.
        """
        ticket = self.flush()
        if ticket is not None:
            self._committer.wait(ticket)

    def soon(self) -> None:
        """Start a commit of everything appended, and of what follows at once, without waiting for it."""
        if not self._asked:
            self._asked = True
            self._committer.soon(self._flush_behind)

    def _flush_behind(self) -> Ticket | None:
        # What fences a writer may be a control signal, which no `except Exception` of the thread that calls
        # this would catch: it must neither keep others waiting nor this session in memory.
        self._asked = False
        if self._fence is None:
            with suppress(AgentControlSignal):
                return self.flush()
        return None

    def fence(self, reason: BaseException) -> None:
        """Refuse everything from now on with ``reason``; what is buffered is dropped."""
        if self._fence is None:
            self._fence = reason

    def _check(self) -> None:
        if self._fence is not None:
            raise self._fence


class EagerWriter(OplogWriter):
    """Archives after a few commits already, so that short programs show what comes of it."""

    most_loose = 3


def _size_bytes(entry: Entry) -> int:
    """About as much as the entry takes up, and not much less."""
    if isinstance(entry, ImportedFunctionInvoked):  # nearly all are of this kind
        request, outcome = entry.request, entry.outcome
        inline = len(request) if isinstance(request, bytes) else 0
        return _FRAME_BYTES + inline + (len(outcome) if isinstance(outcome, bytes) else 0)
    size = _FRAME_BYTES
    for value in _long_fields(type(entry))(entry):  # type: ignore[arg-type]  # attrs: its instances are hashable
        if isinstance(value, bytes):
            size += len(value)
        elif isinstance(value, str):
            size += len(value) if value.isascii() else 4 * len(value)
    return size


_BOUNDED = ("int", "bool", "OplogIndex", "OplogRegion", "dict[str, int]")
"""Types of fields that a frame has room for."""


@cache
def _long_fields(kind: Any) -> Callable[[Entry], Sequence[Any]]:
    """What gives the values of those fields of an entry that may be long."""
    names = [field.name for field in fields(kind) if field.type not in _BOUNDED]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda entry: [getattr(entry, name) for name in names]
