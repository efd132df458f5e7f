"""How a record lies in the store: a version byte and a checksum before the value.

The checksum covers space, key and value, so that a record which rots, or turns up under another key
or in another space, is noticed when it is read (K2). LMDB itself notices hardly any of this.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final
from zlib import crc32

from golem_sdk.errors import StoreCorruptError, StoreVersionError

if TYPE_CHECKING:
    from golem_sdk.storage.base import Space

__all__ = ["OVERHEAD", "open_record", "seal"]

_VERSION: Final = 1
_HEAD: Final = struct.Struct(">BI")

OVERHEAD: Final = _HEAD.size
"""Bytes that sealing adds to a value."""


def seal(space: Space, key: bytes, value: bytes) -> bytes:
    """The bytes to store for ``value`` under ``key`` in ``space``."""
    return _HEAD.pack(_VERSION, _checksum(_VERSION, space, key, value)) + value


def open_record(space: Space, key: bytes, sealed: bytes) -> bytes:
    """The value in ``sealed``, which was found under ``key`` in ``space``.

    Raises:
        StoreCorruptError: it is not what was stored there.
        StoreVersionError: it is undamaged, but sealed in a way that this version does not know.
    """
    if len(sealed) < OVERHEAD:
        raise _damaged(space, key, f"{len(sealed)} bytes are too few for a record")
    version, checksum = _HEAD.unpack_from(sealed)
    value = sealed[OVERHEAD:]
    if checksum != _checksum(version, space, key, value):
        raise _damaged(space, key, "its checksum does not match")
    if version != _VERSION:
        raise StoreVersionError(
            f"record {key!r} in {space.name} has format {version}, this version of golem_sdk reads "
            f"format {_VERSION}: upgrade golem_sdk"
        )
    return value


def _checksum(version: int, space: Space, key: bytes, value: bytes) -> int:
    # The key's length is part of the start value: a shifted border of key and value is damage.
    return crc32(value, crc32(key, version << 24 | space << 16 | len(key)))


def _damaged(space: Space, key: bytes, why: str) -> StoreCorruptError:
    return StoreCorruptError(
        f"record {key!r} in {space.name} is damaged: {why}. Nothing was changed. Restore the store "
        "from a backup, or give up the agent that owns this record; others are not affected",
        space.name,
        key,
    )
