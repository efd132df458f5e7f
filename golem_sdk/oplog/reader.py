"""Reads one agent's oplog from the store, page by page."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING

from attrs import frozen

from golem_sdk.codec.codes import shown
from golem_sdk.codec.entries import (
    FORMAT_VERSION,
    SMALL_CHUNK,
    chunk_kinds,
    decode_chunk,
    decode_small_chunks,
    encode_chunk,
)
from golem_sdk.core.entries import (
    KIND_OF,
    Create,
    DescribeCallSite,
    Entry,
    OplogIndex,
)
from golem_sdk.core.plan import EMPTY_PLAN, OplogRuleError, Plan, plan_after
from golem_sdk.errors import DecodingError, StoreCorruptError
from golem_sdk.oplog.archive import Loose
from golem_sdk.storage.base import Engine, Space

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "Survey",
    "agents_with_entries",
    "chunk_key",
    "has_entries",
    "no_entries",
    "read_entries",
    "survey",
    "surveyed_entries",
]

_PAGE = 128
_TOGETHER = 64

_KEPT_BYTES = 4 << 20
"""As much of an oplog is kept by its survey, and not read again."""

_Item = tuple[OplogIndex, Entry]

_Chunk = tuple[OplogIndex, bytes, bytes]
"""A chunk's first index, its kinds and its bytes."""


@frozen
class Survey:
    """What one pass over an oplog tells before replay begins.

    Attributes:
        last: index of the newest entry, 0 if there is none.
        create: the first entry.
        plan: what replay skips, what is still open.
        sites: the call sites that were described.
        kept: its first chunks, for `surveyed_entries`.
        loose: its last chunks, for who appends to it.
    """

    last: OplogIndex
    create: Create | None
    plan: Plan
    sites: tuple[DescribeCallSite, ...]
    kept: deque[_Chunk]
    loose: Loose


def no_entries() -> Survey:
    """What a survey of no oplog gives."""
    return Survey(0, None, EMPTY_PLAN, (), deque(), Loose())


def chunk_key(agent_key: bytes, first: OplogIndex) -> bytes:
    """Store key of the chunk that begins with entry ``first``."""
    return agent_key + b"\0" + first.to_bytes(8, "big")


def read_entries(engine: Engine, agent_key: bytes, start: OplogIndex = 1) -> Iterator[_Item]:
    """The entries from index ``start`` on, in order.

    Raises:
        StoreCorruptError: a record is damaged, or an index is missing (K2).
    """
    first = _chunk_holding(engine, agent_key, start) if start > 1 else 1
    for index, kinds, data in _chunks(engine, agent_key, first):
        for at, entry in enumerate(_decode(agent_key, index, kinds, data), start=index):
            if at >= start:
                yield at, entry


def surveyed_entries(engine: Engine, agent_key: bytes, found: Survey) -> Iterator[_Item]:
    """The entries that a survey saw, in order. May be asked for once: what was kept is given away.

    Raises:
        StoreCorruptError: a record is damaged.
    """
    return chain.from_iterable(_runs(engine, agent_key, found))


def _runs(engine: Engine, agent_key: bytes, found: Survey) -> Iterator[Iterable[_Item]]:
    last, kept = 0, found.kept
    while kept:
        first, some = kept[0][0], [kept.popleft()]
        if _is_small(some[0][2]):
            while kept and len(some) < _TOGETHER and _is_small(kept[0][2]):
                some.append(kept.popleft())
        last = some[-1][0] + len(some[-1][1]) - 1
        yield enumerate(_decode_some(agent_key, some), start=first)
    if last < found.last:
        yield read_entries(engine, agent_key, last + 1)


def _is_small(data: bytes) -> bool:
    return len(data) <= SMALL_CHUNK and data[0] == FORMAT_VERSION


def _decode_some(agent_key: bytes, some: list[_Chunk]) -> Iterable[Entry]:
    if len(some) > 1:
        with suppress(DecodingError):  # the good ones of them come first, then the error
            return decode_small_chunks([(kinds, data) for _, kinds, data in some])
    return chain.from_iterable(
        _decode(agent_key, index, kinds, data) for index, kinds, data in some
    )


def has_entries(engine: Engine, agent_key: bytes) -> bool:
    """Whether there is an oplog.

    Raises:
        StoreCorruptError: its first record is damaged, or lies where nothing can be found any more.
    """
    return engine.get(Space.OPLOG, chunk_key(agent_key, 1)) is not None


def agents_with_entries(engine: Engine) -> Iterator[bytes]:
    """The store keys of all agents that have an oplog, in order; one read for each.

    Raises:
        StoreCorruptError: a record on the way is damaged.
    """
    start = b"\0"
    while found := engine.scan(Space.OPLOG, start, None, limit=1):
        agent_key = found[0][0].partition(b"\0")[0]
        yield agent_key
        start = agent_key + b"\1"


def survey(engine: Engine, agent_key: bytes) -> Survey:
    """One pass over the whole oplog; entries that cannot matter are not decoded.

    Raises:
        StoreCorruptError: a record is damaged, an index is missing, or the entries break the oplog's rules.
    """
    last, create, plan, plain = 0, None, EMPTY_PLAN, _PLAIN_AT_FIRST
    sites: list[DescribeCallSite] = []
    kept: deque[_Chunk] = deque()
    loose = Loose()
    room = _KEPT_BYTES
    for chunk in _chunks(engine, agent_key, 1):
        index, kinds, data = chunk
        loose.add(index, data)
        room -= len(data)
        if room > 0:
            kept.append(chunk)
        last = index + len(kinds) - 1
        if kinds in plain or not kinds.translate(None, plain):  # one entry, mostly, or several
            continue
        before = plan
        for at, entry in enumerate(_decode(agent_key, index, kinds, data), start=index):
            if isinstance(entry, Create):
                create = entry
            elif isinstance(entry, DescribeCallSite):
                sites.append(entry)
            try:
                plan = plan_after(plan, at, entry)
            except OplogRuleError as error:
                raise _corrupt(agent_key, at, str(error)) from None
        if plan is not before:
            plain = _plain_kinds(plan)
    if last and create is None:
        raise _corrupt(agent_key, 1, "the first entry is not Create")
    return Survey(last, create, plan, tuple(sites), kept, loose)


def _plain_kinds(plan: Plan) -> bytes:
    """The kinds of entries that a survey need not look at, being where ``plan`` is."""
    return bytes(
        kind.code
        for kind in KIND_OF.values()
        if kind.entry_class is not DescribeCallSite and not plan.concerns(kind.entry_class)
    )


_PLAIN_AT_FIRST = _plain_kinds(EMPTY_PLAN)


def _chunks(engine: Engine, agent_key: bytes, first: OplogIndex) -> Iterator[_Chunk]:
    expected, end = first, chunk_key(agent_key, 2**64 - 1)
    was_read = first > 1
    while True:
        page = engine.scan(Space.OPLOG, chunk_key(agent_key, expected), end, limit=_PAGE)
        if was_read and not (page and page[0][0] == chunk_key(agent_key, expected)):
            rest = _archived_since(engine, agent_key, expected)
            if rest is not None:
                expected += len(rest[1])
                yield rest
                continue
        was_read = True
        for key, data in page:
            index = int.from_bytes(key[-8:], "big")
            if index != expected:
                raise _corrupt(agent_key, expected, f"the next entry on disk is {index}")
            try:
                kinds = chunk_kinds(data)
            except DecodingError as error:
                raise _corrupt(agent_key, index, str(error)) from None
            if not kinds:
                raise _corrupt(agent_key, index, "an empty chunk of oplog entries")
            expected = index + len(kinds)
            yield index, kinds, data
        if len(page) < _PAGE:
            return


def _archived_since(engine: Engine, agent_key: bytes, start: OplogIndex) -> _Chunk | None:
    """The entries from ``start`` on of a chunk that has come into the place of those which were read."""
    first = _chunk_holding(engine, agent_key, start)
    data = engine.get(Space.OPLOG, chunk_key(agent_key, first))
    if data is None:
        return None
    entries = _decode(agent_key, first, None, data)[start - first :]
    if not entries:
        return None
    chunk = encode_chunk(entries)
    return start, chunk_kinds(chunk), chunk


def _chunk_holding(engine: Engine, agent_key: bytes, start: OplogIndex) -> OplogIndex:
    lo, hi = chunk_key(agent_key, 1), chunk_key(agent_key, start + 1)
    found = engine.scan(Space.OPLOG, lo, hi, limit=1, reverse=True)
    return int.from_bytes(found[0][0][-8:], "big") if found else 1


def _decode(agent_key: bytes, index: OplogIndex, kinds: bytes | None, data: bytes) -> list[Entry]:
    try:
        return decode_chunk(data, kinds)
    except DecodingError as error:
        raise _corrupt(agent_key, index, str(error)) from None


def _corrupt(agent_key: bytes, index: OplogIndex, why: str) -> StoreCorruptError:
    name = shown(agent_key.decode("utf-8", "replace"))
    return StoreCorruptError(
        f"the oplog of agent {name} is damaged at entry {index}: {why}. The agent is set aside and other"
        " agents run on; restore the store from a backup to get it back.",
        Space.OPLOG.name,
        chunk_key(agent_key, index),
    )
