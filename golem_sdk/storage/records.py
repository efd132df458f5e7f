"""How a record lies in the store: a version byte and two checksums before the value.

The first checksum covers space and key, the second one these and the value. So a record which rots,
or turns up under another key or in another space, is noticed when it is read (K2); LMDB itself
notices hardly any of this. Two of them, because whoever looks for a record has to trust the keys on
both sides of its place, but is not to suffer from a rotten value there.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final
from zlib import crc32

from golem_sdk.errors import StoreCorruptError, StoreVersionError

if TYPE_CHECKING:
    from golem_sdk.storage.base import Space

__all__ = ["OVERHEAD", "check_record_key", "open_record", "seal"]

_VERSION: Final = 1
_HEAD: Final = struct.Struct(">BII")

OVERHEAD: Final = _HEAD.size
"""Bytes that sealing adds to a value."""


def seal(space: Space, key: bytes, value: bytes) -> bytes:
    """The bytes to store for ``value`` under ``key`` in ``space``."""
    key_sum = crc32(key, _VERSION << 8 | space)
    return _HEAD.pack(_VERSION, key_sum, crc32(value, key_sum)) + value


def open_record(space: Space, key: bytes, sealed: bytes) -> bytes:
    """The value in ``sealed``, which was found under ``key`` in ``space``.

    Raises:
        StoreCorruptError: it is not what was stored there.
        StoreVersionError: it is undamaged, but sealed in a way that this version does not know.
    """
    value = sealed[OVERHEAD:]
    head = sealed[:OVERHEAD]
    key_sum = crc32(key, _VERSION << 8 | space)
    if head == _HEAD.pack(_VERSION, key_sum, crc32(value, key_sum)):
        return value
    key_sum, value_sum = check_record_key(space, key, sealed)
    if value_sum != crc32(value, key_sum):
        raise _damaged(space, key, "the checksum of its value does not match")
    if sealed[0] != _VERSION:
        raise StoreVersionError(
            f"record {key!r} in {space.name} has format {sealed[0]}, this version of golem_sdk "
            f"reads format {_VERSION}: upgrade golem_sdk"
        )
    return value


def check_record_key(space: Space, key: bytes, sealed: bytes) -> tuple[int, int]:
    """Check that ``sealed`` was stored under ``key`` in ``space``; gives its two checksums.

    Raises:
        StoreCorruptError: it was not.
    """
    if len(sealed) < OVERHEAD:
        raise _damaged(space, key, f"{len(sealed)} bytes are too few for a record")
    version, key_sum, value_sum = _HEAD.unpack_from(sealed)
    if key_sum != crc32(key, version << 8 | space):
        raise _damaged(space, key, "the checksum of its key does not match")
    return key_sum, value_sum


def _damaged(space: Space, key: bytes, why: str) -> StoreCorruptError:
    return StoreCorruptError(
        f"record {key!r} in {space.name} is damaged: {why}. Nothing was changed. Restore the store "
        "from a backup, or give up the agent that owns this record; others are not affected",
        space.name,
        key,
    )
