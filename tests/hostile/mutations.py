"""Nearly valid bytes: valid encodings, changed a little at the places where it matters.

Deterministic: the same seed gives the same bytes on every machine.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import msgpack

from golem_sdk.codec.codes import Code
from hostile.traps import TRAPS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

__all__ = ["BODIES", "DANGEROUS", "dangerous", "mutated"]

HERE = "hostile.traps"
DANGEROUS = (
    *("os:system", "builtins:eval", "builtins:exec", "builtins:__import__", "subprocess:Popen"),
    *("builtins:type", "builtins:object", "builtins:BaseException", "types:FunctionType"),
    *("types:CodeType", "functools:partial", "operator:attrgetter", "pickle:Unpickler"),
    *("ctypes:CDLL", "importlib:import_module", "antigravity:fly", "this:s", "webbrowser:open"),
    *("os.path:join", "sys:modules", ":", "", "a" * 5000, "os:environ.__class__", "enum:Enum"),
    *("golem_sdk.errors:AgentFencedSignal", "builtins:SystemExit", "codec.samples:Touchy"),
    *(f"{HERE}:{name}" for name in TRAPS),
)
"""References that must lead to nothing that runs."""

BODIES: dict[Code, Any] = {
    Code.ATTRS: lambda name: [name, {"value": 1}],
    Code.DATACLASS: lambda name: [name, {"value": 1}, {"__class__": 1, "__dict__": {}}, []],
    Code.NAMED_TUPLE: lambda name: [name, {"value": 1}],
    Code.ENUM: lambda name: [name, "ROUND"],
    Code.PYDANTIC: lambda name: [name, {"value": 1}, ["value"], [], {"__class__": 1}, None, None],
    Code.PYDANTIC_URL: lambda name: [name, "http://host/"],
    Code.EXCEPTION: lambda name: {"type": name, "args": [1], "attributes": {"__class__": 1}},
}
"""What refers to a class, by its code."""

_HEADERS = bytes([*range(0x80, 0xA0), *range(0xC0, 0xE0)])
_NASTY: tuple[object, ...] = (
    *(None, True, -1, 2**63, 2**64 - 1, -(2**63), float("nan"), float("inf"), b"", "", "\0"),
    *("\ud800", "\x1b[2J\u202e", [], {}, [[]], {1: 1}, {"": None}, "Evil/Zone", "../../etc/passwd"),
    *(msgpack.Timestamp(2**33), [0] * 40, "x" * 300, b"\xff" * 300),
)
_TYPICAL = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def dangerous(code: Code) -> list[bytes]:
    """Something of this code for each of the dangerous references."""
    body = BODIES[code]
    return [msgpack.packb(msgpack.ExtType(code, msgpack.packb(body(name)))) for name in DANGEROUS]


def _pack(value: object) -> bytes:
    packed: bytes = msgpack.packb(value, unicode_errors="surrogatepass")
    return packed


def _flip(data: bytearray, draw: random.Random, _: Sequence[bytes]) -> None:
    if data:
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _byte(data: bytearray, draw: random.Random, _: Sequence[bytes]) -> None:
    if data:
        data[draw.randrange(len(data))] = draw.choice(_HEADERS)


def _truncate(data: bytearray, draw: random.Random, _: Sequence[bytes]) -> None:
    del data[draw.randrange(len(data) + 1) :]


def _trail(data: bytearray, draw: random.Random, _: Sequence[bytes]) -> None:
    data += draw.randbytes(draw.randrange(1, 9))


def _length(data: bytearray, draw: random.Random, _: Sequence[bytes]) -> None:
    """A header with a length of 8, 16 or 32 bits, before something that is not that long."""
    size, format_ = draw.choice([(1, ">B"), (2, ">H"), (4, ">I")])
    marks = {1: (0xC4, 0xC7, 0xD9), 2: (0xC5, 0xC8, 0xDA, 0xDC, 0xDE), 4: (0xC6, 0xC9, 0xDD, 0xDF)}
    length = draw.choice([n for n in _TYPICAL if n < 256**size])
    at = draw.randrange(len(data) + 1)
    data[at:at] = bytes([draw.choice(marks[size])]) + struct.pack(format_, length)


def _splice(data: bytearray, draw: random.Random, others: Sequence[bytes]) -> None:
    other = draw.choice(others)
    start = draw.randrange(len(other) + 1)
    at = draw.randrange(len(data) + 1)
    data[at : at + draw.randrange(9)] = other[start : start + draw.randrange(64)]


def _repeat(data: bytearray, draw: random.Random, _: Sequence[bytes]) -> None:
    start = draw.randrange(len(data) + 1)
    piece = data[start : start + draw.randrange(1, 40)]
    data[start:start] = piece * draw.choice([1, 2, 3, 70])


def _insert(data: bytearray, draw: random.Random, _: Sequence[bytes]) -> None:
    at = draw.randrange(len(data) + 1)
    data[at : at + draw.randrange(3)] = _pack(draw.choice(_NASTY))


def _wrap(data: bytearray, draw: random.Random, _: Sequence[bytes]) -> None:
    """All of it as the body of an extension, a few times over."""
    for _level in range(draw.choice([1, 1, 2, 40])):
        code = draw.choice([*Code, 0, 77, 127])
        data[:] = _pack(msgpack.ExtType(code, bytes(data)))


def _record(data: bytearray, draw: random.Random, _: Sequence[bytes]) -> None:
    """An instance of a class that is none of our business."""
    name = draw.choice(DANGEROUS)
    fields = {draw.choice(["value", "__class__", "__dict__", "x"]): draw.choice(_NASTY)}
    bodies: list[object] = [
        [name, fields],
        [name, fields, {"__class__": 1}, []],
        [name, fields, [], [], fields, None, None],
        [name, "ROUND"],
        [name, 3],
        {"type": name, "args": [draw.choice(_NASTY)], "attributes": fields},
        {"type": name, "message": "m", "members": []},
    ]
    codes = (Code.ATTRS, Code.DATACLASS, Code.NAMED_TUPLE, Code.PYDANTIC, Code.ENUM)
    code = draw.choice([*codes, Code.EXCEPTION, Code.PYDANTIC_URL])
    packed = _pack(msgpack.ExtType(code, _pack(draw.choice(bodies))))
    at = draw.choice([0, draw.randrange(len(data) + 1)])
    data[at : at + len(packed)] = packed


_CHANGES: tuple[Callable[[bytearray, random.Random, Sequence[bytes]], None], ...] = (
    *(_flip, _flip, _byte, _truncate, _trail, _length, _splice, _splice),
    *(_repeat, _insert, _insert, _wrap, _record, _record),
)


def mutated(data: bytes, draw: random.Random, others: Sequence[bytes]) -> bytes:
    """Some bytes with one to four changes; ``others`` are what pieces are taken from."""
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        draw.choice(_CHANGES)(changed, draw, others)
    return bytes(changed)
