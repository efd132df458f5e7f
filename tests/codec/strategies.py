"""Values of every type that the codec knows, and what it means that two of them are the same."""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pydantic_core
from hypothesis import strategies as st

from codec import samples
from golem_sdk.codec.values import encode

ZONES: list[tzinfo | None] = [
    None,
    UTC,
    timezone(timedelta(hours=-3, microseconds=7)),
    timezone(timedelta(0), "X"),
]
ZONES += [ZoneInfo("Europe/Berlin"), pydantic_core.TzInfo(3600)]
texts = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates too
wide = (
    st.integers() | st.integers(-(2**200), 2**200) | st.sampled_from([2**63, 2**64, -(2**63) - 1])
)
zones = st.sampled_from(ZONES)
folds = st.integers(0, 1)


def is_exact_path(path: PureWindowsPath) -> bool:
    return PureWindowsPath(str(path)) == path


atoms = st.one_of(
    st.none(),
    st.booleans(),
    wide,
    st.floats(),
    texts,
    st.binary(max_size=8),
    st.complex_numbers(),
    st.decimals(),
    st.fractions(),
    st.uuids(),
    st.builds(lambda d, z, f: d.replace(tzinfo=z, fold=f), st.datetimes(), zones, folds),
    st.dates(),
    st.builds(lambda t, z, f: t.replace(tzinfo=z, fold=f), st.times(), zones, folds),
    st.timedeltas(),
    st.builds(PurePosixPath, st.text(max_size=5)),
    st.builds(PureWindowsPath, st.text("ab\\", max_size=5)).filter(is_exact_path),
    st.builds(range, st.integers(), st.integers(), st.integers(1, 9)),
    st.sampled_from([*samples.Color, *samples.Word, *samples.Level, Path("a/b")]),
    st.builds(samples.Access, st.integers(0, 3)),
    st.sampled_from(
        [samples.Bits.A, samples.Bits.A | samples.Bits.B, samples.Bits(8), samples.Bits(0)]
    ),
)


def short(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The same strategy, whose text does not list all its parts: hypothesis refuses long ones."""

    @st.composite
    def part(draw: st.DrawFn) -> Any:
        return draw(strategy)

    return part()


def hashable(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.tuples(parts, parts),
        st.frozensets(parts, max_size=4),
        st.builds(samples.Point, parts, parts),
        st.builds(samples.Tight, parts),
        st.builds(samples.Hashed, parts),
    )


keys = short(
    st.recursive(short(atoms).filter(lambda atom: not is_snan(atom)), hashable, max_leaves=4)
)


def containers(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    few = st.lists(parts, max_size=4)
    mapping = st.dictionaries(keys, parts, max_size=3)
    return st.one_of(
        few,
        few.map(tuple),
        few.map(deque),
        st.builds(lambda items: deque(items, 9), few),
        st.sets(keys, max_size=4),
        mapping,
        mapping.map(OrderedDict),
        mapping.map(Counter),
        mapping.map(lambda items: defaultdict(list, items)),
        mapping.map(lambda items: defaultdict(None, items)),
        st.builds(bytearray, st.binary(max_size=4)),
        st.builds(samples.Point, parts, parts),
        st.builds(samples.Slotted, texts, given=parts),
        st.builds(samples.Open, parts),
        st.builds(samples.Plain, parts),
        st.builds(samples.Tight, parts),
        st.builds(samples.Box, parts),
        st.builds(samples.Outer.Inner, parts),
        st.builds(samples.Model, name=st.just("n"), value=parts),
        st.builds(samples.Loose, name=st.just("n"), more=parts),
        st.lists(st.integers(0, 9)).map(lambda items: samples.IntPage(items=items)),
        st.lists(st.floats(), max_size=4).map(lambda items: np.array(items)),
    )


values = st.recursive(keys | st.decimals(), containers, max_leaves=12)


def is_snan(value: object) -> bool:
    return isinstance(value, Decimal) and value.is_snan()


def same(left: Any, right: Any) -> bool:
    """Equal in value and type at every level, NaN being equal to NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack(">d", left) == struct.pack(">d", right) or left == right != 0.0
    if isinstance(left, complex):
        return same(left.real, right.real) and same(left.imag, right.imag)
    if isinstance(left, Decimal):
        return bool(left.as_tuple() == right.as_tuple())
    if isinstance(left, (list, tuple, deque)):
        limits = getattr(left, "maxlen", None) == getattr(right, "maxlen", None)
        return bool(limits) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        factories = getattr(left, "default_factory", None) is getattr(
            right, "default_factory", None
        )
        return bool(factories) and same([*left.items()], [*right.items()])
    if isinstance(left, (set, frozenset)):
        return len(left) == len(right) and {encode(x) for x in left} == {encode(x) for x in right}
    if isinstance(left, np.ndarray):
        return (
            bool(left.dtype == right.dtype)
            and left.shape == right.shape
            and left.tobytes() == right.tobytes()
        )
    if isinstance(left, (datetime, time)):
        return repr(left) == repr(right) and left.fold == right.fold and same_zone(left, right)
    if hasattr(left, "__attrs_attrs__") or hasattr(left, "__dataclass_fields__"):
        names = {*dir(left)} | {*dir(right)}
        fields = [
            n for n in names if n in getattr(type(left), "__slots__", ()) or n in vars_of(left)
        ]
        fields = [n for n in fields if n not in ("__weakref__", "_attrs_cached_hash")]
        return all(same(getattr(left, n, "unset"), getattr(right, n, "unset")) for n in fields)
    if hasattr(left, "model_fields_set"):
        return left.model_fields_set == right.model_fields_set and all(
            same(getattr(left, part), getattr(right, part))
            for part in ("__dict__", "__pydantic_private__", "__pydantic_extra__")
        )
    return bool(left == right) and repr(left) == repr(right)


def vars_of(value: object) -> dict[str, Any]:
    return getattr(value, "__dict__", {})


def same_zone(left: Any, right: Any) -> bool:
    return left.tzinfo is right.tzinfo or left.tzinfo == right.tzinfo
