"""A sum over all records, kept among them: what tells that a page is whole, but of another time.

A disk that loses a write leaves what was in its place before: with LMDB an older page, whose records
have right checksums and right keys. Nothing in it says that it is old. So every transaction writes how
many records each space holds and the sum of their checksums, and its own number: a store whose records
do not add up to that has lost some, or got old ones back (K2).

It lies beside the names of the spaces, in LMDB's unnamed database: every transaction writes that page
anyway, since it tells where each space begins. In a space of its own it would take two pages more.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Protocol

from golem_sdk.storage.base import Space
from golem_sdk.storage.records import OVERHEAD, open_record, seal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["TALLY_KEY", "SealedRecord", "Tally", "checksum_of"]

TALLY_KEY: Final = b"tally"
"""Its key beside the names of the spaces. The records of `Space.META` are not counted."""

_SLOTS: Final = 16  # spaces have numbers below
_ROW: Final = struct.Struct(f">Q{2 * _SLOTS}Q")
_NUMBER: Final = struct.Struct(">Q")
_PAIR: Final = struct.Struct(">QQ")
_MASK: Final = 2**64 - 1


class SealedRecord(Protocol):
    """A sealed record, or a view of one."""

    def __getitem__(self, part: slice, /) -> bytes | memoryview:
        """Some of its bytes."""
        ...


def checksum_of(record: SealedRecord) -> int:
    """Both checksums of a sealed record, as one number."""
    return int.from_bytes(record[1:9], "big")


class Tally:
    """What the records of a store add up to, after a transaction.

    Attributes:
        RECORD_SIZE: how long its sealed record is, in bytes.
        transaction: the transaction's number.
    """

    RECORD_SIZE: Final = _ROW.size + OVERHEAD

    __slots__ = ("_changed", "_numbers", "_packed", "transaction")

    def __init__(self, transaction: int = 0, numbers: Sequence[int] = (0,) * (2 * _SLOTS)) -> None:
        self.transaction = transaction
        self._numbers = list(numbers)
        self._packed = bytearray(_ROW.pack(transaction, *numbers))  # as it was, but for the changed
        self._changed: set[int] = set()

    @staticmethod
    def from_record(record: bytes) -> Tally:
        """The tally in a sealed record.

        Raises:
            StoreCorruptError: it is damaged.
        """
        return Tally.from_value(open_record(Space.META, TALLY_KEY, record))

    @staticmethod
    def from_value(value: bytes) -> Tally:
        """The tally in the value of a sound record."""
        transaction, *numbers = _ROW.unpack(value)
        return Tally(transaction, numbers)

    def to_record(self) -> bytes:
        """The sealed record to put under `TALLY_KEY`."""
        packed, numbers = self._packed, self._numbers
        _NUMBER.pack_into(packed, 0, self.transaction)
        for at in self._changed:
            _PAIR.pack_into(packed, _NUMBER.size * (1 + at), numbers[at], numbers[at + 1])
        self._changed.clear()
        return seal(Space.META, TALLY_KEY, bytes(packed))

    def add(self, space: Space, checksum: int) -> None:
        """Count one more record (see `checksum_of`)."""
        self._change(space, 1, checksum)

    def remove(self, space: Space, checksum: int) -> None:
        """Count one less."""
        self._change(space, -1, -checksum)

    def add_all(self, space: Space, records: Iterable[SealedRecord]) -> None:
        """Count many."""
        count, total = 0, 0
        for record in records:
            count += 1
            total += checksum_of(record)
        self._change(space, count, total)

    def _change(self, space: Space, count: int, total: int) -> None:
        if space:
            numbers, at = self._numbers, 2 * space
            numbers[at] = numbers[at] + count & _MASK
            numbers[at + 1] = numbers[at + 1] + total & _MASK
            self._changed.add(at)

    def count(self, space: Space) -> int:
        """How many records ``space`` holds."""
        return self._numbers[2 * space]

    def agrees(self, other: Tally, space: Space) -> bool:
        """Whether both count the same records in ``space``."""
        at = slice(2 * space, 2 * space + 2)
        return self._numbers[at] == other._numbers[at]
