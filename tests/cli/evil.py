"""A store in which every text is hostile: escapes, bidirectional overrides, newlines, lone surrogates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import fields

from golem_sdk.codec.entries import encode_chunk
from golem_sdk.codec.values import encode
from golem_sdk.core.entries import (
    ENTRY_KINDS,
    BeginRemoteWrite,
    Create,
    Entry,
    Error,
    ExportedFunctionInvoked,
    OplogRegion,
)
from golem_sdk.core.ids import storage_key
from golem_sdk.core.plan import EMPTY_PLAN, OplogRuleError, plan_after
from golem_sdk.core.status import fold_status
from golem_sdk.oplog.reader import chunk_key
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.stores.heads import AgentHead, head_put
from golem_sdk.stores.invocations import Invocation, inbox_key

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TEXTS", "fill", "ids"]

TEXTS = (
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m\x85",
    "\u202eevil\u2066\u2069\u061c",
    "two\nlines\r\nand\u2028more\u2029\x0b\x0c",
    "a\ttab\x08\x7f",
    "\ud800lone\udfff",
    "\ufeff\u200b\u00ad\U000e0041",
    "-rf --help",
    "é" * 3 + "a\u0301" * 2000,
    "日本\U0001f600\ue000",
    "',\"}]<script>alert(1)</script>{{7*7}}${HOME}`id`",
    "x" * 10_000,
)
"""What names, log lines, errors and files may be."""


def _value(kind: str, text: str, index: int) -> Any:
    match kind:
        case "str":
            return text
        case "int" | "OplogIndex":
            return 1
        case "bool":
            return True
        case "bytes":
            return text.encode("utf-8", "surrogatepass")
        case "Payload":
            return encode([[text, {text: (text,)}], {text: ValueError(text)}])
        case "OplogRegion":
            return OplogRegion(2, index - 1)
        case "dict[str, int]":
            return {text: 1}
    raise AssertionError(kind)


def _entry(kind: type[Entry], text: str, index: int) -> Entry:
    values = [_value(str(field.type), text, index) for field in fields(kind)[1:]]
    return kind(1_700_000_000_000_000_000 + index, *values)


def _history(agent_id: str, text: str) -> list[Entry]:
    """One entry of every kind that can follow; at the end a write of which nobody knows what became."""
    created = Create(1, text, agent_id, encode([[text], {}]), text, 1, text, {text: 1})
    history: list[Entry] = [created]
    plan = plan_after(EMPTY_PLAN, 1, created)
    kinds = [row.entry_class for row in ENTRY_KINDS.values() if row.entry_class is not Create]
    write = BeginRemoteWrite(2, 1, text, encode(text), 1, 1, 0)
    again = Error(3, text, text, text)
    call = ExportedFunctionInvoked(2, text, text, encode([[text], {}]))
    wanted: list[type[Entry] | Entry] = [*kinds, call, write, again]
    for entry in wanted:
        index = len(history) + 1
        made = _entry(entry, text, index) if isinstance(entry, type) else entry
        if type(made).__name__ in ("Jump", "Revert"):
            continue
        try:
            plan = plan_after(plan, index, made)
        except OplogRuleError:
            continue
        history.append(made)
    return history


def ids() -> list[str]:
    """The agents' ids."""
    return [f"Evil({text})" for text in TEXTS]


def fill(path: Path) -> None:
    """Make the store, with right checksums, as somebody would who can write to it."""
    engine = LmdbEngine(path)
    for text, agent_id in zip(TEXTS, ids(), strict=True):
        key = storage_key(agent_id)
        history = _history(agent_id, text)
        record = fold_status(enumerate(history, 1))
        head = head_put(AgentHead(text, agent_id, record))
        call = Invocation(text, agent_id, text, text, encode([[text], {}]), encode([[text], {}]), 5)
        queued = (Space.INBOX, inbox_key(agent_id, 5), call.to_row())
        chunk = (Space.OPLOG, chunk_key(key, 1), encode_chunk(history))
        engine.commit([Batch(chunk, (head, queued))])
    engine.close()
