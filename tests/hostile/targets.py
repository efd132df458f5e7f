"""Everything in golem_sdk that reads bytes which somebody else may have written, as functions of bytes.

Each target returns, or fails the run: whatever the bytes, a reader gives a value of the documented type or
one of the documented errors, with a text that can be shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from attrs import fields, frozen

from golem_sdk.cli.entries import entry_rows, entry_values
from golem_sdk.cli.output import visible
from golem_sdk.cli.stored import as_json, as_text, read_stored
from golem_sdk.codec.entries import FORMAT_VERSION, decode_chunk, encode_chunk
from golem_sdk.codec.values import decode, encode
from golem_sdk.core.entries import KIND_OF, Entry, PayloadRef
from golem_sdk.core.ids import storage_key
from golem_sdk.core.status import StatusRecord, fold_status
from golem_sdk.errors import DecodingError, StoreCorruptError, StoreVersionError
from golem_sdk.oplog.reader import chunk_key, read_entries, survey, surveyed_entries
from golem_sdk.storage.base import Batch, Engine, Space
from golem_sdk.storage.format import FORMAT_KEY, check_format
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.storage.payloads import load_payload
from golem_sdk.storage.records import open_record, seal
from golem_sdk.stores.heads import AgentHead, load_heads
from golem_sdk.stores.invocations import (
    Invocation,
    Result,
    inbox_key,
    load_inbox,
    load_result,
    load_scheduled,
    pending_agents,
    result_key,
    scheduled_key,
)
from golem_sdk.testing.histories import CREATE
from golem_sdk.viewer import Viewer
from hostile.traps import SPRUNG, Meta

__all__ = ["AGENT", "ORDER", "TARGETS", "Target", "attack"]

AGENT = 'Order("1")'
ORDER = 1_700_000_000_000_000
_LONGEST_MESSAGE = 1500
_ERRORS = (DecodingError, StoreCorruptError, StoreVersionError)
_ENTRY_TYPES = {"int": int, "bool": bool, "str": str, "bytes": bytes, "OplogIndex": int}


class WrongError(AssertionError):
    """A reader failed otherwise than it says, or its text cannot be shown."""


@frozen
class Target:
    """A reader, and what valid bytes for it begin with that a mutation had better leave alone."""

    read: Callable[[bytes], object]
    frame: bytes = b""


def attack(target: Target, data: bytes) -> bool:
    """Have a reader read these bytes. Gives whether it accepted them.

    Raises:
        WrongError: it failed otherwise than by one of the documented errors.
    """
    try:
        target.read(data)
    except _ERRORS as error:
        text = str(error)
        if not text or len(text) > _LONGEST_MESSAGE or not text.isprintable():
            raise WrongError(f"a text that cannot be shown: {text!r:.300}") from error
        return False
    except WrongError:
        raise
    except BaseException as error:
        raise WrongError(f"{type(error).__name__}: {error}, for {data.hex()[:400]}") from error
    return True


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise WrongError(what)


def _engine(space: Space, key: bytes, value: bytes) -> MemoryEngine:
    """A store with one record, whose checksums are right."""
    engine = MemoryEngine()
    engine.commit([Batch(puts=((space, key, value),))])
    return engine


def _value(data: bytes) -> None:
    value = decode(data)
    _require(not SPRUNG, f"{SPRUNG} ran")
    # What was accepted is a value, and can be stored again: its class is asked how.
    was_armed, Meta.armed = Meta.armed, False
    try:
        encode(value)
    finally:
        Meta.armed = was_armed
    SPRUNG.clear()  # the text of an exception is asked for when it is stored


def _viewed(data: bytes) -> None:
    value = read_stored(data)
    _require(visible(as_text(value)).isprintable(), "text for a terminal")
    json.dumps(as_json(value)).encode("ascii")


def _entries(entries: list[Entry]) -> None:
    for entry in entries:
        for field in fields(type(entry)):
            kind = _ENTRY_TYPES.get(str(field.type))
            if kind is not None:
                _require(
                    type(getattr(entry, field.name)) is kind, f"{field.name} of {entry!r:.200}"
                )


def _chunk(data: bytes) -> None:
    run = decode_chunk(data)
    _entries(run)
    encode_chunk(run)


def _oplog(data: bytes) -> None:
    """An agent's log: its first entries are whole, the chunk after them is hostile."""
    key = storage_key(AGENT)
    engine = _engine(Space.OPLOG, chunk_key(key, 2), data)
    engine.commit([Batch((Space.OPLOG, chunk_key(key, 1), encode_chunk([CREATE])))])
    found = survey(engine, key)
    entries = [*read_entries(engine, key)]
    _require([*surveyed_entries(engine, key, found)] == entries, "two readings")
    fold_status(entries)

    def load(payload: Any) -> bytes:
        return load_payload(engine, payload)

    for row in entry_rows(entries, load, 60):
        _require(visible(row.text).isprintable(), "a row of the viewer")
    json.dumps([*entry_values(entries, load)])
    _require(all(type(entry) in KIND_OF for _, entry in entries), "kinds")


def _head(data: bytes) -> None:
    engine = _engine(Space.HEAD, storage_key(AGENT), data)
    (head,) = load_heads(engine)
    _require(type(head) is AgentHead and type(head.record) is StatusRecord, "a head")
    listed = [*Viewer(engine).agents()]
    _require(len(listed) == (head.record.last > 0), "one that has begun, in a listing")
    for shown in listed:
        _require(shown.agent_id == AGENT and shown.created_at.year < 2300, "what a listing shows")


def _inbox(data: bytes) -> None:
    engine = _engine(Space.INBOX, inbox_key(AGENT, ORDER), data)
    (found,) = load_inbox(engine, AGENT)
    _require([found] == [*pending_agents(engine)] and found.order == ORDER, "a queue")
    _invocation(engine, found)


def _scheduled(data: bytes) -> None:
    engine = _engine(Space.SCHEDULED, scheduled_key(5, ORDER), data)
    ((due, found),) = load_scheduled(engine)
    _require(due == 5 and found.order == ORDER, "a timer")
    _invocation(engine, found)


def _invocation(engine: Engine, found: Invocation) -> None:
    for text in (found.agent_type, found.agent_id, found.key, found.method):
        _require(type(text) is str, "names")
    result_key(found.agent_id, found.key)  # where its result will be written
    inbox_key(found.agent_id, found.order)
    for payload in (found.arguments, found.constructor):
        if isinstance(payload, PayloadRef):
            load_payload(engine, payload)


def _result(data: bytes) -> None:
    found = load_result(_engine(Space.RESULT, result_key(AGENT, "key"), data), AGENT, "key")
    _require(type(found) is Result and type(found.failed) is bool, "a result")


def _payload(data: bytes) -> None:
    """A piece of a payload, under a reference to other content: never given away as that content."""
    wanted = b"what the entry means"
    reference = PayloadRef(sha256(wanted).digest(), len(wanted))
    engine = _engine(Space.PAYLOAD, reference.sha256 + bytes(8), data)
    _require(load_payload(engine, reference) == wanted, "other content")


def _format(data: bytes) -> None:
    check_format(seal(Space.META, FORMAT_KEY, data), "here")


def _record(data: bytes) -> None:
    open_record(Space.HEAD, b"key", data)


TARGETS: dict[str, Target] = {
    "value": Target(_value),
    "viewed": Target(_viewed),
    "chunk": Target(_chunk, bytes([FORMAT_VERSION])),
    "oplog": Target(_oplog, bytes([FORMAT_VERSION])),
    "HEAD": Target(_head),
    "INBOX": Target(_inbox),
    "SCHEDULED": Target(_scheduled),
    "RESULT": Target(_result),
    "PAYLOAD": Target(_payload),
    "META": Target(_format),
    "record": Target(_record),
}
"""By name."""
