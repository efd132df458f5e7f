"""The weight of stored bytes, told from their headers before anything of the value is built.

msgpack allocates an array as soon as its header is read, so a few hundred nested headers that promise
more than they hold can take all memory. Adding up the promises first is the only bound that holds.
"""

from __future__ import annotations

import re

from golem_sdk.codec.codes import Code

__all__ = ["MAX_WEIGHT", "may_be_heavy", "promises_much", "weigh"]

MAX_WEIGHT = 10_000_000
"""Bound on what one value may take up, in units of 8 bytes, beside its texts and bytes themselves.

An item of a list weighs 1, one of a dict 20; what the item is adds 3 or 4 for a number, 8 for a text, 9 for
a container, 64 for anything else. So 2,500,000 floats fit, or 1,000,000 short texts.
"""

_LIST = 9
_ENTRY = 20
_TEXT = 8
_FLOAT = 3
_INT = 4
_EXTENSION = 64
_HEAVIEST_BYTE = 25  # no run of bytes weighs more per byte, unless headers lie

_LIGHT_BYTES = MAX_WEIGHT // _HEAVIEST_BYTE  # fewer bytes than this cannot weigh too much
_MAX_PROMISED = 2_000_000  # list slots that lying headers may allocate: 16 MB
_EXTRA: dict[int, int] = dict.fromkeys(
    (Code.SET, Code.FROZENSET, Code.ORDERED_DICT, Code.COUNTER), 8
)
_RAW = {Code.BYTEARRAY, Code.COMPLEX, Code.DECIMAL, Code.UUID, Code.ZONE_INFO}


def _fixed_tokens() -> list[tuple[int, int]]:
    """Size and weight of each token whose size its first byte tells; 0 and 0 for the others."""
    tokens = [(1, 0)] * 256
    for first in range(0x80, 0xA0):
        tokens[first] = (0, 0)
    for length in range(32):
        tokens[0xA0 + length] = (1 + length, _TEXT)
    for first in (*range(0xC4, 0xCA), *range(0xD4, 0xE0)):
        tokens[first] = (0, 0)
    tokens[0xCA], tokens[0xCB] = (5, _FLOAT), (9, _FLOAT)
    for first, size in {0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9}.items():
        tokens[first] = (size, _INT)
    for first, size in {0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}.items():
        tokens[first] = (size, _INT)
    return tokens


_TOKENS = _fixed_tokens()
_FLOAT_MARK = 0xCB
_FLOATS = re.compile(rb"(?:\xcb.{8})+", re.DOTALL)  # embeddings: worth a step for all of a list
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


def may_be_heavy(data: bytes) -> bool:
    """Whether these bytes have to be weighed before they are decoded."""
    return len(data) > _LIGHT_BYTES or promises_much(data, len(data))


def promises_much(data: bytes, longest: int) -> bool:
    """Whether lying headers in these bytes could make msgpack allocate more slots than it should.

    It refuses lists and dicts of more than ``longest`` items when it has read their headers.
    """
    if len(data) * longest <= _MAX_PROMISED:
        return False
    return longest * sum(map(data.count, (b"\xdc", b"\xdd", b"\xde", b"\xdf"))) > _MAX_PROMISED


def weigh(data: bytes) -> int:
    """Add up what the headers promise; stops soon after `MAX_WEIGHT`.

    Bytes that are not msgpack give some number: decoding stops at the same place as this walk.
    """
    position, end, weight, factor = 0, len(data), 0, 0
    while position < end and weight <= MAX_WEIGHT:
        first = data[position]
        if first == _FLOAT_MARK and (run := _FLOATS.match(data, position)):
            weight += _FLOAT * ((run.end() - position) // 9)
            position = run.end()
            continue
        size, token = _TOKENS[first]
        if size:
            position += size
            weight += token
            continue
        position += 1
        length_bytes = _LENGTH_BYTES.get(first, 0)
        length = int.from_bytes(data[position : position + length_bytes], "big")
        position += length_bytes
        if first <= 0x9F or first >= 0xDC:  # array or map
            is_map = first <= 0x8F or first >= 0xDE
            length = first & 0x0F if first <= 0x9F else length
            weight += _LIST + ((_ENTRY if is_map else 1) + factor) * length
            factor = 0
        elif first <= 0xC6 or 0xD9 <= first <= 0xDB:  # bytes or text
            position += length
            weight += _TEXT
        else:  # extension: step into a body of further values
            length = 1 << (first - 0xD4) if first >= 0xD4 else length
            code = data[position] if position < end else 0
            position += 1
            factor = _EXTRA.get(code, 0)
            if code == Code.BIG_INT:
                position += length
                weight += _TEXT
            else:
                weight += _EXTENSION
                position += length if code in _RAW else 0
    return weight
