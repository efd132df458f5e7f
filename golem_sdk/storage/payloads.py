"""Large payloads, kept once under their content hash, in pieces that fit a record."""

from __future__ import annotations

from hashlib import sha256

from golem_sdk.core.entries import Payload, PayloadRef
from golem_sdk.errors import StoreCorruptError
from golem_sdk.storage.base import Engine, Space

__all__ = ["INLINE_LIMIT", "load_payload", "split_payload"]

INLINE_LIMIT = 64 * 1024 + 64
"""A longer payload leaves its entry (Golem: 65,536 bytes; here without the frame of such a value)."""

_PIECE = 256 * 1024

Put = tuple[Space, bytes, bytes]


def split_payload(data: bytes) -> tuple[Payload, list[Put]]:
    """What the entry keeps of a payload, and the records that hold the rest (none for a short one)."""
    if len(data) <= INLINE_LIMIT:
        return data, []
    digest = sha256(data).digest()
    pieces = range(0, len(data), _PIECE)
    puts = [(Space.PAYLOAD, _key(digest, at), data[at : at + _PIECE]) for at in pieces]
    return PayloadRef(digest, len(data)), puts


def load_payload(engine: Engine, payload: Payload) -> bytes:
    """The whole payload.

    Raises:
        StoreCorruptError: a piece is missing, or the content does not have its hash.
    """
    if isinstance(payload, bytes):
        return payload
    pieces = []
    for at in range(0, payload.size_bytes, _PIECE):
        piece = engine.get(Space.PAYLOAD, _key(payload.sha256, at))
        if piece is None:
            break
        pieces.append(piece)
    data = b"".join(pieces)
    if len(data) != payload.size_bytes or sha256(data).digest() != payload.sha256:
        raise StoreCorruptError(
            f"the payload {payload.sha256.hex()} ({payload.size_bytes} bytes) is damaged or incomplete",
            Space.PAYLOAD.name,
            payload.sha256,
        )
    return data


def _key(digest: bytes, at: int) -> bytes:
    return digest + at.to_bytes(8, "big")
