"""When small chunks of an oplog are put together, and how: one compressed record instead of hundreds.

An agent that waits for the disk after each entry leaves as many records, each with a head, a key and
its function's name. Golem moves such entries to compressed chunks, too (its archive layer); here these
stay in their place: the archived chunk has the key of the first of those that it replaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define

from golem_sdk.codec.entries import FORMAT_VERSION, chunk_kinds, encode_archive
from golem_sdk.core.entries import OplogIndex  # attrs classes are resolved at run time

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MOST_CHUNKS", "Loose"]

MOST_CHUNKS: Final = 256
"""So many chunks are archived together, or fewer."""

_ENOUGH_BYTES: Final = 64 * 1024
_LOOSE: Final = bytes([FORMAT_VERSION])
_FEWEST: Final = 2
_SMALL_BYTES: Final = 16 * 1024
"""A longer chunk stays as it is, and so do those before it that are too few."""


@define
class Loose:
    """The small chunks at the end of an oplog, which follow each other and are not archived.

    Attributes:
        first: index of the first entry in them.
        chunks, size_bytes: how many they are, and how long together.
    """

    first: OplogIndex = 0
    chunks: int = 0
    size_bytes: int = 0

    def are_due(self, most_chunks: int) -> bool:
        """Whether they are enough to be archived."""
        return self.chunks >= most_chunks or self.size_bytes >= _ENOUGH_BYTES

    def add(self, index: OplogIndex, data: bytes) -> None:
        """A chunk follows, whose first entry has this index."""
        if not _is_small(data):
            self.chunks = self.size_bytes = 0
            return
        if not self.chunks:
            self.first = index
        self.chunks += 1
        self.size_bytes += len(data)

    def to_read(self, most_chunks: int) -> int:
        """How many of them are as many as will be archived together, about."""
        return min(most_chunks, 1 + self.chunks * _ENOUGH_BYTES // max(1, self.size_bytes))

    def archive(self, rows: Iterable[tuple[OplogIndex, bytes]]) -> bytes | None:
        """The archived chunk to have in place of ``rows``: the first of them, as found on disk.

        However many are there, after a while in which the disk took nothing, it does not get longer than it
        would otherwise. ``None``: there are not even two, or somebody else has archived them, who owns the
        log now. What was put together is loose no longer.

        Raises:
            DecodingError: one of them is damaged.
        """
        expected, taken, size_bytes = self.first, list[bytes](), 0
        for index, data in rows:
            if index != expected or not _is_small(data) or size_bytes >= _ENOUGH_BYTES:
                break
            expected += len(chunk_kinds(data))
            size_bytes += len(data)
            taken.append(data)
        if len(taken) < _FEWEST:
            return None
        archived = encode_archive(taken)
        self.first = expected
        self.chunks -= len(taken)
        self.size_bytes -= size_bytes
        return archived


def _is_small(data: bytes) -> bool:
    """Whether a chunk may become a part of an archived one."""
    return len(data) <= _SMALL_BYTES and data[:1] == _LOOSE
