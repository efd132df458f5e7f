"""Reads one agent's oplog from the store, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from golem_sdk.codec.entries import chunk_kinds, decode_chunk
from golem_sdk.core.entries import (
    KIND_OF,
    Create,
    DescribeCallSite,
    Entry,
    ExportedFunctionCompleted,
    ImportedFunctionInvoked,
    OplogIndex,
)
from golem_sdk.core.plan import EMPTY_PLAN, PLANNED, OplogRuleError, Plan, plan_after
from golem_sdk.errors import DecodingError, StoreCorruptError
from golem_sdk.storage.base import Engine, Space

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Survey", "chunk_key", "read_entries", "survey"]

_PAGE = 64

_SOMETIMES = {
    KIND_OF[kind].code: kind for kind in (ImportedFunctionInvoked, ExportedFunctionCompleted)
}
"""Entries that change some plans: `Plan.concerns` tells which."""
_PLAIN = frozenset(
    kind.code
    for kind in KIND_OF.values()
    if kind.entry_class not in PLANNED and kind.entry_class is not DescribeCallSite
)


@frozen
class Survey:
    """What one pass over an oplog tells before replay begins.

    Attributes:
        last: index of the newest entry, 0 if there is none.
        create: the first entry.
        plan: what replay skips, what is still open.
        sites: the call sites that were described.
    """

    last: OplogIndex
    create: Create | None
    plan: Plan
    sites: tuple[DescribeCallSite, ...]


def chunk_key(agent_key: bytes, first: OplogIndex) -> bytes:
    """Store key of the chunk that begins with entry ``first``."""
    return agent_key + b"\0" + first.to_bytes(8, "big")


def read_entries(
    engine: Engine, agent_key: bytes, start: OplogIndex = 1
) -> Iterator[tuple[OplogIndex, Entry]]:
    """The entries from index ``start`` on, in order.

    Raises:
        StoreCorruptError: a record is damaged, or an index is missing (K2).
    """
    first = _chunk_holding(engine, agent_key, start)
    for index, data in _chunks(engine, agent_key, first):
        for at, entry in enumerate(_decode(agent_key, index, data), start=index):
            if at >= start:
                yield at, entry


def survey(engine: Engine, agent_key: bytes) -> Survey:
    """One pass over the whole oplog; entries that cannot matter are not decoded.

    Raises:
        StoreCorruptError: a record is damaged, an index is missing, or the entries break the oplog's rules.
    """
    last, create, plan = 0, None, EMPTY_PLAN
    sites: list[DescribeCallSite] = []
    for index, data in _chunks(engine, agent_key, 1):
        kinds = set(chunk_kinds(data))
        last = index + _count(data) - 1
        if kinds <= _PLAIN and not any(
            plan.concerns(_SOMETIMES[k]) for k in kinds & _SOMETIMES.keys()
        ):
            continue
        for at, entry in enumerate(_decode(agent_key, index, data), start=index):
            if isinstance(entry, Create):
                create = entry
            elif isinstance(entry, DescribeCallSite):
                sites.append(entry)
            try:
                plan = plan_after(plan, at, entry)
            except OplogRuleError as error:
                raise _corrupt(agent_key, at, str(error)) from None
    if last and create is None:
        raise _corrupt(agent_key, 1, "the first entry is not Create")
    return Survey(last, create, plan, tuple(sites))


def _chunks(
    engine: Engine, agent_key: bytes, first: OplogIndex
) -> Iterator[tuple[OplogIndex, bytes]]:
    expected, end = first, chunk_key(agent_key, 2**64 - 1)
    while True:
        page = engine.scan(Space.OPLOG, chunk_key(agent_key, expected), end, limit=_PAGE)
        for key, data in page:
            index = int.from_bytes(key[-8:], "big")
            if index != expected:
                raise _corrupt(agent_key, expected, f"the next entry on disk is {index}")
            try:
                expected = index + _count(data)
            except DecodingError as error:
                raise _corrupt(agent_key, index, str(error)) from None
            yield index, data
        if len(page) < _PAGE:
            return


def _chunk_holding(engine: Engine, agent_key: bytes, start: OplogIndex) -> OplogIndex:
    lo, hi = chunk_key(agent_key, 1), chunk_key(agent_key, start + 1)
    found = engine.scan(Space.OPLOG, lo, hi, limit=1, reverse=True)
    return int.from_bytes(found[0][0][-8:], "big") if found else 1


def _count(data: bytes) -> int:
    count = len(chunk_kinds(data))
    if count == 0:
        raise DecodingError("an empty chunk of oplog entries")
    return count


def _decode(agent_key: bytes, index: OplogIndex, data: bytes) -> list[Entry]:
    try:
        return decode_chunk(data)
    except DecodingError as error:
        raise _corrupt(agent_key, index, str(error)) from None


def _corrupt(agent_key: bytes, index: OplogIndex, why: str) -> StoreCorruptError:
    name = agent_key.decode("utf-8", "replace")
    return StoreCorruptError(
        f"the oplog of agent {name} is damaged at entry {index}: {why}. The agent is set aside and other"
        " agents run on; restore the store from a backup to get it back.",
        Space.OPLOG.name,
        chunk_key(agent_key, index),
    )
