"""The weight of stored bytes, told from their headers before anything of the value is built.

msgpack allocates an array as soon as its header is read, so a few hundred nested headers that promise
more than they hold can take all memory. Adding up the promises first is the only bound that holds.
"""

from __future__ import annotations

from golem_sdk.codec.codes import Code

__all__ = [
    "CONTAINER_WEIGHT",
    "ENTRY_WEIGHT",
    "MAX_WEIGHT",
    "extra_weight",
    "may_be_heavy",
    "weigh",
]

MAX_WEIGHT = 1_000_000
"""Bound on what one value may hold: a container weighs 10, a list item 1, a dict entry 4."""

CONTAINER_WEIGHT = 10
ENTRY_WEIGHT = 4

_LIGHT_BYTES = MAX_WEIGHT // CONTAINER_WEIGHT  # fewer bytes than this cannot weigh too much
_MAX_PROMISED = 2_000_000  # list slots that lying headers may allocate: 16 MB
_EXTRA: dict[int, int] = dict.fromkeys(
    (Code.SET, Code.FROZENSET, Code.ORDERED_DICT, Code.COUNTER), 4
)
_RAW = {Code.BYTEARRAY, Code.COMPLEX, Code.DECIMAL, Code.UUID, Code.ZONE_INFO}


def _fixed_sizes() -> list[int]:
    """Bytes of each token whose size its first byte tells; 0 for the others."""
    sizes = [1] * 256
    for first in range(0x80, 0xA0):
        sizes[first] = 0
    for length in range(32):
        sizes[0xA0 + length] = 1 + length
    for first in (*range(0xC4, 0xCA), *range(0xD4, 0xE0)):
        sizes[first] = 0
    numbers = {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9}
    for first, size in {**numbers, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}.items():
        sizes[first] = size
    return sizes


_SIZES = _fixed_sizes()
_LENGTH_BYTES = {
    0xC4: 1,
    0xC5: 2,
    0xC6: 4,
    0xD9: 1,
    0xDA: 2,
    0xDB: 4,  # bytes and text
    0xC7: 1,
    0xC8: 2,
    0xC9: 4,  # extensions
    0xDC: 2,
    0xDD: 4,
    0xDE: 2,
    0xDF: 4,  # arrays and maps
}


def extra_weight(code: int, size: int) -> int:
    """What an extension over `size` items weighs beyond its body."""
    return _EXTRA.get(code, 0) * size


def may_be_heavy(data: bytes) -> bool:
    """Whether these bytes have to be weighed before they are decoded."""
    size = len(data)
    if size > _LIGHT_BYTES:
        return True
    if size * size <= _MAX_PROMISED:
        return False
    headers = sum(map(data.count, (b"\xdc", b"\xdd", b"\xde", b"\xdf")))
    return headers * size > _MAX_PROMISED


def weigh(data: bytes) -> int:
    """Add up what the headers promise; stops soon after `MAX_WEIGHT`.

    Bytes that are not msgpack give some number: decoding stops at the same place as this walk.
    """
    position, end, weight, factor = 0, len(data), 0, 0
    while position < end and weight <= MAX_WEIGHT:
        first = data[position]
        size = _SIZES[first]
        if size:
            position += size
            continue
        position += 1
        length_bytes = _LENGTH_BYTES.get(first, 0)
        length = int.from_bytes(data[position : position + length_bytes], "big")
        position += length_bytes
        if first <= 0x9F or first >= 0xDC:  # array or map
            is_map = first <= 0x8F or first >= 0xDE
            length = first & 0x0F if first <= 0x9F else length
            weight += CONTAINER_WEIGHT + (ENTRY_WEIGHT if is_map else 1) * length + factor * length
            factor = 0
        elif first <= 0xC6 or 0xD9 <= first <= 0xDB:  # bytes or text
            position += length
        else:  # extension: step into a body of further values
            length = 1 << (first - 0xD4) if first >= 0xD4 else length
            code = data[position] if position < end else 0
            position += 1
            factor = extra_weight(code, 1)
            if code == Code.BIG_INT:  # weighs as the item that it is
                position += length
            else:
                weight += CONTAINER_WEIGHT
                position += length if code in _RAW else 0
    return weight
