"""Lowering and raising of the standard library's value types."""

from __future__ import annotations

import os
import re
import struct
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import cache
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from math import gcd
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import TYPE_CHECKING, Any
from uuid import UUID, SafeUUID

from golem_sdk.codec.codes import Code, Lower, Lowered, Malformed, Raise, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LOWER", "RAISE_BODIES", "RAISE_RAW"]

_FRACTION_BITS = 32_768  # checking that a fraction is in lowest terms is quadratic in this
_COMPLEX = struct.Struct(">dd")
_ZONE_KEY = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
_PATHS: dict[str, type[PurePath]] = {
    kind.__name__: kind for kind in (PurePosixPath, PureWindowsPath, PosixPath, WindowsPath)
}
_IP_TYPES: dict[str, Callable[[str], Any]] = {
    kind.__name__: kind
    for kind in (
        IPv4Address,
        IPv4Interface,
        IPv4Network,
        IPv6Address,
        IPv6Interface,
        IPv6Network,
    )
}
_FACTORIES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (bool, bytes, dict, float, frozenset, int, list, set, str, tuple)
}


def _lower_big_int(value: int) -> Lowered:
    size = value.bit_length() // 8 + 1
    return Code.BIG_INT, value.to_bytes(size, "big", signed=True)


def _raise_big_int(data: bytes) -> int:
    value = int.from_bytes(data, "big", signed=True)
    if -(2**63) <= value < 2**64:
        raise Malformed("a small int in the form of a big one")
    return value


def _lower_complex(value: complex) -> Lowered:
    return Code.COMPLEX, _COMPLEX.pack(value.real, value.imag)


def _raise_decimal(data: bytes) -> Decimal:
    text = data.decode("ascii")
    value = Decimal(text)
    if str(value) != text:
        raise Malformed("not a decimal number")
    return value


def _lower_fraction(value: Fraction) -> Lowered:
    top, bottom = value.numerator, value.denominator
    if top.bit_length() > _FRACTION_BITS or bottom.bit_length() > _FRACTION_BITS:
        reason = f"a Fraction is stored up to {_FRACTION_BITS:,} bits on either side"
        raise Refused(value, reason, "Round it, or store numerator and denominator.")
    return Code.FRACTION, [top, bottom]


def _raise_fraction(body: list[Any]) -> Fraction:
    top, bottom = _integers(body, 2)
    if max(top.bit_length(), bottom.bit_length()) > _FRACTION_BITS:
        raise Malformed("too large a fraction")
    if bottom < 1 or gcd(top, bottom) != 1:
        raise Malformed("a fraction that is not in lowest terms")
    return Fraction(top, bottom)


def _lower_uuid(value: UUID) -> Lowered:
    safety = value.is_safe.value
    suffix = b"" if safety is None else safety.to_bytes(1, "big", signed=True)
    return Code.UUID, value.bytes + suffix


def _raise_uuid(data: bytes) -> UUID:
    if len(data) == 16:
        return UUID(bytes=data)
    return UUID(bytes=data[:16], is_safe=SafeUUID(int.from_bytes(data[16:], "big", signed=True)))


def _lower_datetime(value: datetime) -> Lowered:
    clock = value.hour, value.minute, value.second, value.microsecond, value.fold, value.tzinfo
    return Code.DATETIME, [value.year, value.month, value.day, *clock]


def _raise_datetime(body: list[Any]) -> datetime:
    *numbers, fold, zone = _list(body, 9)
    year, month, day, hour, minute, second, micro = _integers(numbers, 7)
    return datetime(year, month, day, hour, minute, second, micro, tzinfo=zone, fold=fold)


def _lower_time(value: time) -> Lowered:
    clock = value.hour, value.minute, value.second, value.microsecond, value.fold, value.tzinfo
    return Code.TIME, list(clock)


def _raise_time(body: list[Any]) -> time:
    *numbers, fold, zone = _list(body, 6)
    hour, minute, second, micro = _integers(numbers, 4)
    return time(hour, minute, second, micro, tzinfo=zone, fold=fold)


def _raise_timedelta(body: list[Any]) -> timedelta:
    days, seconds, micros = _integers(body, 3)
    return timedelta(days, seconds, micros)


def _lower_timezone(value: Any) -> Lowered:
    # tzname() cannot tell a given name from the default one; this C method can
    offset, *name = value.__getinitargs__()
    return Code.TIMEZONE, [offset, *name]


def _raise_timezone(body: list[Any]) -> timezone:
    return timezone(*_list(body))


def _lower_zone_info(value: zoneinfo.ZoneInfo) -> Lowered:
    key = value.key
    if type(key) is not str or not _ZONE_KEY.fullmatch(key) or zoneinfo.ZoneInfo(key) is not value:
        reason = "only time zones made by ZoneInfo(key) can be found again"
        raise Refused(value, reason, "Make it with ZoneInfo(key).")
    return Code.ZONE_INFO, key.encode()


def _raise_zone_info(data: bytes) -> zoneinfo.ZoneInfo:
    key = data.decode("ascii")
    if not _ZONE_KEY.fullmatch(key):
        raise Malformed("not the name of a time zone")
    # ZoneInfo imports packages named after the key when no zone file is found, so look first
    found = any(os.path.isfile(os.path.join(root, key)) for root in zoneinfo.TZPATH)
    if not found and key not in _known_zones():
        raise Malformed(f"time zone {key!r} is unknown here: install the tzdata package")
    return zoneinfo.ZoneInfo(key)


@cache
def _known_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _lower_path(value: PurePath) -> Lowered:
    kind, text = type(value), str(value)
    if kind(text) != value:  # odd Windows anchors such as "//://" change when read again
        raise Refused(value, "its text does not lead back to it", "Store the text.")
    return Code.PATH, [kind.__name__, text]


def _raise_path(body: list[Any]) -> PurePath:
    kind, text = _list(body, 2)
    if kind in ("PosixPath", "WindowsPath") and kind != type(Path()).__name__:
        raise Malformed(f"a {kind} cannot exist on this system: store a Pure{kind}")
    return _PATHS[kind](_text(text))


def _lower_ip(value: Any) -> Lowered:
    return Code.IP_ADDRESS, [type(value).__name__, str(value)]


def _raise_ip(body: list[Any]) -> Any:
    kind, text = _list(body, 2)
    value = _IP_TYPES[kind](_text(text))
    if str(value) != text:
        raise Malformed("not an address as it is written")
    return value


def _raise_range(body: list[Any]) -> range:
    return range(*_integers(body, 3))


def _distinct(kind: Callable[[list[Any]], Any]) -> Raise:
    def build(body: list[Any]) -> Any:
        value = kind(_list(body))
        if len(value) != len(body):
            raise Malformed("a set has the same element twice")
        return value

    return build


def _lower_default_dict(value: defaultdict[Any, Any]) -> Lowered:
    factory: Any = value.default_factory
    if factory is None:
        return Code.DEFAULT_DICT, [None, dict(value)]
    name = getattr(factory, "__name__", None)
    if not isinstance(name, str) or _FACTORIES.get(name) is not factory:
        reason = "only built-in types are stored as the factory of a defaultdict"
        raise Refused(value, reason, "Use list, dict, int, … as the factory, or a plain dict.")
    return Code.DEFAULT_DICT, [name, dict(value)]


def _raise_default_dict(body: list[Any]) -> defaultdict[Any, Any]:
    name, items = _list(body, 2)
    return defaultdict(None if name is None else _FACTORIES[name], _dict(items))


def _raise_counter(body: Any) -> Counter[Any]:
    value: Counter[Any] = Counter()
    dict.update(value, _dict(body))
    return value


def _raise_deque(body: list[Any]) -> deque[Any]:
    limit, items = _list(body, 2)
    value = deque(_list(items), limit)
    if len(value) != len(items):
        raise Malformed("more items than a deque may hold")
    return value


def _list(body: Any, size: int | None = None) -> list[Any]:
    if type(body) is not list or (size is not None and len(body) != size):
        raise Malformed("not the expected list")
    return body


def _dict(body: Any) -> dict[Any, Any]:
    if type(body) is not dict:
        raise Malformed("not the expected dict")
    return body


def _text(body: Any) -> str:
    if type(body) is not str:
        raise Malformed("not the expected text")
    return body


def _integers(body: Any, size: int) -> list[int]:
    if any(type(number) is not int for number in _list(body, size)):
        raise Malformed("not the expected integers")
    numbers: list[int] = body
    return numbers


LOWER: dict[type[Any], Lower] = {
    int: _lower_big_int,
    tuple: lambda value: (Code.TUPLE, list(value)),
    set: lambda value: (Code.SET, list(value)),
    frozenset: lambda value: (Code.FROZENSET, list(value)),
    complex: _lower_complex,
    range: lambda value: (Code.RANGE, [value.start, value.stop, value.step]),
    Decimal: lambda value: (Code.DECIMAL, str(value).encode("ascii")),
    Fraction: _lower_fraction,
    UUID: _lower_uuid,
    datetime: _lower_datetime,
    date: lambda value: (Code.DATE, [value.year, value.month, value.day]),
    time: _lower_time,
    timedelta: lambda value: (Code.TIMEDELTA, [value.days, value.seconds, value.microseconds]),
    timezone: _lower_timezone,
    zoneinfo.ZoneInfo: _lower_zone_info,
    **dict.fromkeys(_PATHS.values(), _lower_path),
    **dict.fromkeys(
        (IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network),
        _lower_ip,
    ),
    OrderedDict: lambda value: (Code.ORDERED_DICT, dict(value)),
    defaultdict: _lower_default_dict,
    Counter: lambda value: (Code.COUNTER, dict(value)),
    deque: lambda value: (Code.DEQUE, [value.maxlen, list(value)]),
}
"""By exact type: a subclass is not the same value and is never stored as its base."""

RAISE_RAW: dict[Code, Raise] = {
    Code.BIG_INT: _raise_big_int,
    Code.BYTEARRAY: bytearray,
    Code.COMPLEX: lambda data: complex(*_COMPLEX.unpack(data)),
    Code.DECIMAL: _raise_decimal,
    Code.UUID: _raise_uuid,
    Code.ZONE_INFO: _raise_zone_info,
}
"""Codes whose body is bytes."""

RAISE_BODIES: dict[Code, Raise] = {
    Code.TUPLE: lambda body: tuple(_list(body)),
    Code.SET: _distinct(set),
    Code.FROZENSET: _distinct(frozenset),
    Code.FRACTION: _raise_fraction,
    Code.DATETIME: _raise_datetime,
    Code.DATE: lambda body: date(*_integers(body, 3)),
    Code.TIME: _raise_time,
    Code.TIMEDELTA: _raise_timedelta,
    Code.TIMEZONE: _raise_timezone,
    Code.PATH: _raise_path,
    Code.IP_ADDRESS: _raise_ip,
    Code.RANGE: _raise_range,
    Code.ORDERED_DICT: lambda body: OrderedDict(_dict(body)),
    Code.DEFAULT_DICT: _raise_default_dict,
    Code.COUNTER: _raise_counter,
    Code.DEQUE: _raise_deque,
}
"""Codes whose body is a further value."""
