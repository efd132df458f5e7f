"""A Bloom filter: a set that takes little room and may say yes to what is not in it, never no to what is."""

from __future__ import annotations

from zlib import crc32

__all__ = ["BloomFilter"]

_HASHES = 3
_OTHER = 0x9E3779B9  # begins a second checksum, from which and the first all others are made


class BloomFilter:
    """A set of byte strings of which only membership can be asked. Not thread-safe for those who add.

    Bits are chosen by double hashing (Kirsch and Mitzenmacher, 2006); equal in every process.

    Args:
        size_bytes: with 8 bits for each element 3 in 100 strangers are taken for one, with 16 bits 1 in 200.
    """

    def __init__(self, size_bytes: int) -> None:
        self._bits = bytearray(size_bytes)

    def add(self, element: bytes) -> None:
        """Put one in."""
        bits = self._bits
        for at in _places(element, 8 * len(bits)):
            bits[at >> 3] |= 1 << (at & 7)

    def __contains__(self, element: bytes) -> bool:
        bits = self._bits
        return all(bits[at >> 3] >> (at & 7) & 1 for at in _places(element, 8 * len(bits)))


def _places(element: bytes, count: int) -> list[int]:
    first, step = crc32(element), crc32(element, _OTHER) | 1
    return [(first + number * step) % count for number in range(_HASHES)]
