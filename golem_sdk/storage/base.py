"""The one storage primitive: what every engine does, whatever it keeps its bytes in.

A store is a set of spaces, each an ordered map from keys to values. It changes only by
`Engine.commit`: a batch is one put-if-absent *claim* plus unconditional puts and deletes, all or
nothing; many batches share one durable transaction. An engine keeps five rules, which the
conformance suite checks:

- A, atomic: a reader, or a crash, sees all of a batch or none of it.
- I, independent: batches that share a transaction do not fail each other.
- O, ordered: a state that holds a later commit holds every earlier one.
- X, exclusive: of any number of batches that claim one key, exactly one wins; of a log, none if a later
  key is there.
- R, reads: `get` and `scan` see every batch acknowledged before they began.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence  # noqa: TC003  # attrs classes below are resolved at run time
from enum import IntEnum
from typing import Final, Protocol

from attrs import frozen

from golem_sdk.errors import StoreError

__all__ = [
    "KEY_LIMIT",
    "VALUE_LIMIT",
    "Batch",
    "Engine",
    "RecordSizeError",
    "Row",
    "Space",
    "be64",
    "check_key",
    "check_range",
    "prefix_range",
]

KEY_LIMIT: Final = 480
"""Longest key in bytes (LMDB takes 511; the rest is room for engines that prefix keys)."""

VALUE_LIMIT: Final = 1 << 20
"""Longest value in bytes; larger things are cut into chunks by who stores them."""

Row = tuple[bytes, bytes]


class Space(IntEnum):
    """The ordered maps of a store. The numbers are stored (in checksums): never reuse one."""

    META = 0
    OPLOG = 1
    HEAD = 2
    INBOX = 4
    RESULT = 5
    PAYLOAD = 11
    SCHEDULED = 13


class RecordSizeError(StoreError, ValueError):
    """A key or value is outside the limits of the store; nothing was written.

    Attributes:
        space: the space it was meant for.
        key: the key (whole, however long).
        size: the offending length in bytes.
        limit: the longest allowed length in bytes.
    """

    def __init__(self, what: str, space: Space, key: bytes, size: int, limit: int) -> None:
        super().__init__(what, space, key, size, limit)
        self.space = space
        self.key = key
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        what = str(self.args[0])
        advice = "shorten it or use its digest" if what == "key" else "store it in chunks"
        return (
            f"a {what} of {self.size} bytes in {self.space.name} under {self.key[:60]!r}: the "
            f"limit is {self.limit} bytes, and at least 1 for a key. Nothing was written; {advice}"
        )


@frozen(slots=False)  # made in half the time: there is one in the way of every durable call
class Batch:
    """One indivisible change. Order inside: the claim, then puts, then deletes.

    Attributes:
        claim: put-if-absent; the batch happens only if this key was absent. ``None``: it happens.
        puts: written whether or not the key exists.
        dels: removed; an absent key is no error.
        chain: batches of one commit that carry the same number other than 0 hang together: after
            one of them lost its claim, none of the later ones happens.
        log: what the claimed key begins with, as all keys of its log: the claim is lost also if a later one
            of them was there before this commit, or claimed in it.

    Raises:
        RecordSizeError: a key or value is outside the limits. So a bad batch never reaches a
            transaction that it shares with others.
    """

    claim: tuple[Space, bytes, bytes] | None = None
    puts: tuple[tuple[Space, bytes, bytes], ...] = ()
    dels: tuple[tuple[Space, bytes], ...] = ()
    chain: int = 0
    log: bytes = b""

    def __attrs_post_init__(self) -> None:
        puts = self.puts if self.claim is None else (self.claim, *self.puts)
        for space, key, value in puts:
            check_key(space, key)
            if len(value) > VALUE_LIMIT:
                raise RecordSizeError("value", space, key, len(value), VALUE_LIMIT)
        for space, key in self.dels:
            check_key(space, key)


class Engine(Protocol):
    """What keeps a store. Thread-safe. Every record is sealed with a checksum (see `records`)."""

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        """Apply ``batches`` in order, in one durable transaction.

        Returns:
            For each batch whether it happened; ``False``: its claim was lost (or its chain before it) and
            nothing of it happened.

        Raises:
            StoreFullError: nothing of the transaction happened; may be tried again.
            StoreFencedError: another process writes to the store now; nothing of the transaction happened.
            StoreBrokenError: the disk failed; whether it happened is known after a restart only.
            StoreError: nothing of the transaction happened.
        """
        ...

    def get(self, space: Space, key: bytes) -> bytes | None:
        """The value under ``key``.

        Raises:
            StoreCorruptError: the record is damaged, or a key beside the place where it should be.
        """
        ...

    def scan(
        self, space: Space, lo: bytes, hi: bytes | None, *, limit: int, reverse: bool = False
    ) -> list[Row]:
        """One page of the rows with ``lo <= key < hi`` (no ``hi``: to the end), from one snapshot.

        Fewer than ``limit`` rows mean that there are no more. The next page starts after the last
        key (with a zero byte added, as ``lo``; reversed: the key itself, as ``hi``) and is a
        snapshot of its own.

        Raises:
            StoreCorruptError: a record of the page is damaged, or the key of one just outside.
        """
        ...

    def size_bytes(self) -> int:
        """How much the store takes up."""
        ...

    def close(self) -> None:
        """Let go of everything. Closing twice is fine; every other later operation raises."""
        ...


def be64(number: int) -> bytes:
    """Eight bytes that sort like the number (0 to 2**64 - 1)."""
    return _BE64.pack(number)


def prefix_range(prefix: bytes) -> tuple[bytes, bytes | None]:
    """The ``lo`` and ``hi`` of a scan over all keys that begin with ``prefix``."""
    trimmed = prefix.rstrip(b"\xff")
    return prefix, trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None


def check_key(space: Space, key: bytes) -> None:
    """Raise RecordSizeError unless ``key`` can be a key."""
    if not 0 < len(key) <= KEY_LIMIT:
        raise RecordSizeError("key", space, key, len(key), KEY_LIMIT)


def check_range(space: Space, lo: bytes, hi: bytes | None) -> None:
    """Raise RecordSizeError unless ``lo`` and ``hi`` can bound a scan.

    A bound may be empty, and a byte longer than any key: what follows the longest one.
    """
    for bound in (lo, hi):
        if bound is not None and len(bound) > KEY_LIMIT + 1:
            raise RecordSizeError("key", space, bound, len(bound), KEY_LIMIT + 1)


_BE64 = struct.Struct(">Q")
