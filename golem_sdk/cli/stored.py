"""Stored values for people to read, without the classes they are made of.

A viewer runs in a process that has not imported the user's modules, and it must not: so it reads the
codec's frame itself and shows ``Order(id='o-1', cents=1500)`` by the names in the data. Nothing is
looked up, built or run; damaged bytes are shown as such.
"""

from __future__ import annotations

import struct
from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgpack
from attrs import frozen

from golem_sdk.codec.codes import Code

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Stored", "as_json", "as_text", "read_stored"]

_DEEPEST = 64
_RAW = frozenset(
    {Code.BIG_INT, Code.BYTEARRAY, Code.COMPLEX, Code.DECIMAL, Code.UUID, Code.ZONE_INFO}
)
_BRACKETS = {
    Code.TUPLE: ("(", ")"),
    Code.SET: ("{", "}"),
    Code.FROZENSET: ("frozenset({", "})"),
}
_BYTES_SHOWN = 32
_LONGEST_DECIMAL_BYTES = 1024  # Python refuses to write much longer ones in decimal


@frozen(repr=False)
class Stored:
    """A value that is not plain: what kind it is and its parts, as they are stored."""

    code: int
    body: Any

    def __repr__(self) -> str:
        return as_text(self)


class _Damaged(Exception):  # noqa: N818  # a signal inside this module, never shown
    """The bytes do not fit the codec's frame."""


def read_stored(data: bytes) -> Any:
    """Plain values, lists and dicts, with a `Stored` in place of everything else.

    Bytes that are not a stored value come back as a `Stored` with code 0.
    """
    try:
        return _unpack(data, 0)
    except (_Damaged, ValueError, TypeError, msgpack.UnpackException, RecursionError):
        return Stored(0, data)


def _unpack(data: bytes, depth: int) -> Any:
    if depth > _DEEPEST:
        raise _Damaged

    def extension(code: int, body: bytes) -> Stored:
        if code not in Code.__members__.values():
            raise _Damaged
        return Stored(code, body if code in _RAW else _unpack(body, depth + 1))

    return msgpack.unpackb(
        data,
        ext_hook=extension,
        object_pairs_hook=_pairs,
        strict_map_key=False,
        unicode_errors="surrogatepass",
    )


def _pairs(pairs: list[tuple[Any, Any]]) -> Any:
    try:
        return dict(pairs)
    except TypeError:  # a key with a list inside: cannot be looked up, can be shown
        return {as_text(key): value for key, value in pairs}


# --- as text --------------------------------------------------------------------------------------


def as_text(value: Any) -> str:
    """The value much as Python would write it."""
    try:
        return _text(value)
    except RecursionError:
        return "<nested too deeply>"


def _text(value: Any) -> str:
    match value:
        case Stored():
            return _stored_text(value)
        case list():
            return f"[{_items(value)}]"
        case dict():
            return f"{{{', '.join(f'{as_text(k)}: {as_text(v)}' for k, v in value.items())}}}"
        case bytes():
            return _bytes_text(value)
    return repr(value)


def _items(values: Any) -> str:
    return ", ".join(map(as_text, values))


def _bytes_text(data: bytes) -> str:
    if len(data) <= _BYTES_SHOWN:
        return repr(data)
    return f"{data[:_BYTES_SHOWN]!r}… ({len(data):,} bytes)"


def _stored_text(value: Stored) -> str:
    try:
        return _text_of(value.code, value.body)
    except (ValueError, TypeError, LookupError, ArithmeticError, struct.error):
        return f"<unreadable: {value.body!r}>"


def _text_of(code: int, body: Any) -> str:
    if code in _BRACKETS:
        opening, closing = _BRACKETS[Code(code)]
        comma = "," if code == Code.TUPLE and len(body) == 1 else ""
        return f"{opening}{_items(body)}{comma}{closing}"
    if code in _SIMPLE:
        return str(_SIMPLE[Code(code)](body))
    match code, body:
        case (Code.EXCEPTION, {"type": str(name), **rest}):
            return f"{_short(name)}({_items(rest.get('args', []))})"
        case (Code.ENUM, [str(name), member]):
            return f"{_short(name)}.{member}"
        case (
            Code.NAMED_TUPLE | Code.ATTRS | Code.DATACLASS | Code.PYDANTIC,
            [str(name), dict(), *_],
        ):
            fields = ", ".join(f"{key}={as_text(item)}" for key, item in body[1].items())
            return f"{_short(name)}({fields})"
        case (0, _):
            return f"<unreadable: {as_text(body)}>"
    parts = _items(body) if isinstance(body, list) else as_text(body)
    return f"{Code(code).name.lower()}({parts})"


def _short(reference: str) -> str:
    return reference.rpartition(":")[2].rpartition(".")[2]


# --- as JSON --------------------------------------------------------------------------------------


def as_json(value: Any) -> Any:
    """The value as plain JSON data.

    What JSON does not have becomes an object whose ``$`` member names its type.
    """
    try:
        return _json(value)
    except RecursionError:
        return {"$": "nested too deeply"}


def _json(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if value - value == 0 else {"$": "float", "value": repr(value)}
        case list():
            return [as_json(item) for item in value]
        case dict():
            if all(isinstance(key, str) for key in value):
                return {key: as_json(item) for key, item in value.items()}
            return {"$": "dict", "items": [[as_json(k), as_json(v)] for k, v in value.items()]}
        case bytes():
            return {"$": "bytes", "hex": value.hex()}
        case Stored():
            return _stored_json(value)
    return {"$": type(value).__name__, "value": repr(value)}


def _stored_json(value: Stored) -> Any:
    if value.code in _SIMPLE:
        return {"$": Code(value.code).name.lower(), "value": _stored_text(value)}
    match value.code, value.body:
        case (Code.TUPLE | Code.SET | Code.FROZENSET, list(items)):
            return {"$": Code(value.code).name.lower(), "items": [as_json(i) for i in items]}
        case (Code.EXCEPTION, {"type": str(name), **rest}):
            return {"$": name, **{str(key): as_json(item) for key, item in rest.items()}}
        case (Code.ENUM, [str(name), member]):
            return {"$": name, "member": as_json(member)}
        case (_, [str(name), dict(fields), *_]):
            return {"$": name, **{str(key): as_json(item) for key, item in fields.items()}}
        case (0, body):
            return {"$": "unreadable", "value": as_json(body)}
    return {"$": Code(value.code).name.lower(), "value": as_json(value.body)}


# --- values of the standard library ---------------------------------------------------------------


def _big_int(data: bytes) -> str:
    value = int.from_bytes(data, "big", signed=True)
    return str(value) if len(data) <= _LONGEST_DECIMAL_BYTES else hex(value)


def _moment(body: list[Any]) -> str:
    *numbers, fold, zone = body
    moment = datetime(*numbers, fold=fold)  # noqa: DTZ001  # the zone is added as text
    return moment.isoformat(" ") + _zone(moment, zone)


def _zone(moment: datetime, zone: Any) -> str:
    match zone:
        case None:
            return ""
        case Stored(code=Code.TIMEZONE, body=[Stored(code=Code.TIMEDELTA, body=offset), *_]):
            aware = moment.replace(tzinfo=timezone(timedelta(*offset)))
            return aware.isoformat()[len(moment.isoformat()) :]
    return f" {as_text(zone)}"


_SIMPLE: dict[Code, Callable[[Any], object]] = {
    Code.BIG_INT: _big_int,
    Code.COMPLEX: lambda data: complex(*struct.unpack(">dd", data)),
    Code.DECIMAL: lambda data: f"Decimal('{data.decode('ascii')}')",
    Code.FRACTION: lambda body: f"Fraction({body[0]}, {body[1]})",
    Code.UUID: lambda data: UUID(bytes=data[:16]),
    Code.DATETIME: _moment,
    Code.DATE: lambda body: date(*body),
    Code.TIME: lambda body: time(*body[:4]),
    Code.TIMEDELTA: lambda body: timedelta(*body),
    Code.ZONE_INFO: lambda data: data.decode("ascii"),
    Code.PATH: lambda body: f"{body[0]}({body[1]!r})",
    Code.RANGE: lambda body: range(*body),
}
"""How the body of such a value is shown."""
