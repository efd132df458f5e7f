"""Stored values are shown without their classes, and hostile bytes are shown, too."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from golem_sdk.cli.stored import Stored, as_json, as_text, read_stored
from golem_sdk.codec.codes import Code
from golem_sdk.codec.values import encode


@frozen
class Order:
    name: str
    parts: tuple[int, ...] = ()


@dataclass
class Box:
    content: Any


class Point(NamedTuple):
    x: int
    y: int


class Colour(Enum):
    RED = 1


VALUES: list[tuple[Any, str, Any]] = [
    (None, "None", None),
    (1.5, "1.5", 1.5),
    (float("inf"), "inf", {"$": "float", "value": "inf"}),
    ([1, {"a": b"\0"}], "[1, {'a': b'\\x00'}]", [1, {"a": {"$": "bytes", "hex": "00"}}]),
    ({1: 2}, "{1: 2}", {"$": "dict", "items": [[1, 2]]}),
    ((1,), "(1,)", {"$": "tuple", "items": [1]}),
    ((1, "b"), "(1, 'b')", {"$": "tuple", "items": [1, "b"]}),
    ({3}, "{3}", {"$": "set", "items": [3]}),
    (frozenset({3}), "frozenset({3})", {"$": "frozenset", "items": [3]}),
    (2**70, str(2**70), {"$": "big_int", "value": str(2**70)}),
    (1 + 2j, "(1+2j)", {"$": "complex", "value": "(1+2j)"}),
    (Decimal("1.50"), "Decimal('1.50')", {"$": "decimal", "value": "Decimal('1.50')"}),
    (Fraction(1, 3), "Fraction(1, 3)", {"$": "fraction", "value": "Fraction(1, 3)"}),
    (UUID(int=1), str(UUID(int=1)), {"$": "uuid", "value": str(UUID(int=1))}),
    (date(2026, 1, 2), "2026-01-02", {"$": "date", "value": "2026-01-02"}),
    (time(1, 2, 3), "01:02:03", {"$": "time", "value": "01:02:03"}),
    (timedelta(hours=1), "1:00:00", {"$": "timedelta", "value": "1:00:00"}),
    (range(3), "range(0, 3)", {"$": "range", "value": "range(0, 3)"}),
    (Order("o", (1,)), "Order(name='o', parts=(1,))", None),
    (Box([Point(1, 2)]), "Box(content=[Point(x=1, y=2)])", None),
    (Colour.RED, "Colour.RED", None),
    (KeyError("k"), "KeyError('k')", None),
    (deque([1], 5), "deque(5, [1])", None),
    (OrderedDict(a=1), "ordered_dict({'a': 1})", None),
    (Counter("aa"), "counter({'a': 2})", None),
    (bytearray(b"x"), "bytearray(b'x')", None),
    (PurePosixPath("a/b"), "PurePosixPath('a/b')", None),
    (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02 03:04:00+00:00", None),
    (
        datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=-5))),
        "2026-01-02 00:00:00-05:00",
        None,
    ),
    (
        datetime(2026, 1, 2, tzinfo=ZoneInfo("Europe/Berlin")),
        "2026-01-02 00:00:00 Europe/Berlin",
        None,
    ),
]


@pytest.mark.parametrize(("value", "text", "plain"), VALUES, ids=[repr(v[0]) for v in VALUES])
def test_values_are_shown(value: Any, text: str, plain: Any) -> None:
    stored = read_stored(encode(value))
    assert as_text(stored) == text
    shown = as_json(stored)
    json.dumps(shown)
    if plain is not None:
        assert shown == plain


def test_objects_are_json_with_the_name_of_their_class() -> None:
    shown = as_json(read_stored(encode(Order("o", (1,)))))
    assert shown == {
        "$": f"{__name__}:Order",
        "name": "o",
        "parts": {"$": "tuple", "items": [1]},
    }


def test_no_class_is_needed() -> None:
    record = msgpack.packb(["nowhere.to.be:found.Order", {"name": "o"}])
    data = msgpack.packb(msgpack.ExtType(Code.ATTRS, record))
    assert as_text(read_stored(data)) == "Order(name='o')"


def test_long_bytes_are_cut() -> None:
    assert as_text(b"x" * 5000).endswith("(5,000 bytes)")


def test_a_number_too_long_for_decimals_is_hexadecimal() -> None:
    assert as_text(read_stored(encode(1 << 20_000))) == f"0x1{'0' * 5000}"


def test_what_is_nested_too_deeply_is_cut() -> None:
    deep: Any = "end"
    for _ in range(20_000):
        deep = [deep]
    assert "<nested too deeply>" in as_text(deep)
    assert _innermost(as_json(deep)) == {"$": "nested too deeply"}


def _innermost(value: Any) -> Any:
    while isinstance(value, list):
        (value,) = value
    return value


@given(st.binary(max_size=200))
def test_k1_any_bytes_are_shown(data: bytes) -> None:
    stored = read_stored(data)
    as_text(stored)
    json.dumps(as_json(stored))


@given(st.sampled_from(sorted(Code)), st.binary(max_size=40) | st.lists(st.integers()).map(encode))
def test_k1_any_body_is_shown(code: Code, body: bytes) -> None:
    stored = read_stored(msgpack.packb(msgpack.ExtType(code, body)))
    as_text(stored)
    json.dumps(as_json(stored))


def test_unreadable_bytes_say_so() -> None:
    assert read_stored(b"\xc1") == Stored(0, b"\xc1")
    assert as_text(read_stored(b"\xc1")) == "<unreadable: b'\\xc1'>"
    assert as_json(read_stored(b"\xc1")) == {
        "$": "unreadable",
        "value": {"$": "bytes", "hex": "c1"},
    }
