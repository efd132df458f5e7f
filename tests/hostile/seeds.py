"""Valid bytes for every reader: what mutations start from."""

from __future__ import annotations

import attrs

from golden.sample import ENTRIES, VALUES
from golem_sdk.codec.entries import encode_archive, encode_chunk
from golem_sdk.codec.values import encode
from golem_sdk.core.entries import PayloadRef
from golem_sdk.core.status import AgentStatus, StatusRecord
from golem_sdk.storage.base import Space
from golem_sdk.storage.format import FORMAT
from golem_sdk.storage.records import seal
from golem_sdk.stores.heads import AgentHead, head_put
from golem_sdk.stores.invocations import Invocation, InvocationStatus, Result, result_row
from hostile.targets import AGENT, ORDER

__all__ = ["SEEDS"]

_RECORD = StatusRecord(AgentStatus.FAILED, 9, 10**18, 2 * 10**18, 3, 4, "key", "error", "code", "E")
_INVOCATION = Invocation(
    "Order", AGENT, "key", "pay", b"\x90", PayloadRef(b"\2" * 32, 99_999), ORDER
)
_CHUNKS = [encode_chunk(ENTRIES[at : at + 3]) for at in range(0, len(ENTRIES), 3)]
_ARCHIVED = [encode_archive(_CHUNKS), encode_archive(_CHUNKS[:2])]
_QUEUED = [_INVOCATION.to_row(), attrs.evolve(_INVOCATION, constructor=b"\xc0" * 50).to_row()]

SEEDS: dict[str, list[bytes]] = {
    "value": [encode(value) for value in VALUES.values()],
    "viewed": [encode(value) for value in VALUES.values()],
    "chunk": [*_CHUNKS, *_ARCHIVED],
    "oplog": [*(encode_chunk([entry]) for entry in ENTRIES), *_ARCHIVED],
    "HEAD": [head_put(AgentHead("Order", AGENT, _RECORD))[2]],
    "INBOX": _QUEUED,
    "SCHEDULED": _QUEUED,
    "RESULT": [
        result_row(Result(InvocationStatus.COMPLETED, b"\x01", failed=True)),
        result_row(Result(InvocationStatus.CANCELLED)),
        result_row(Result(InvocationStatus.COMPLETED, PayloadRef(b"\3" * 32, 1))),
    ],
    "PAYLOAD": [b"what the entry means", b"what the entry means, and more"],
    "META": [str(FORMAT).encode()],
    "record": [seal(Space.HEAD, b"key", b"value")],
}
"""By target: bytes that it accepts, except that what they refer to may be missing."""
