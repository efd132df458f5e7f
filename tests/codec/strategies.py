"""Values of every type that the codec knows, and what it means that two of them are the same."""

from __future__ import annotations

import struct
from collections import deque
from datetime import datetime, time
from decimal import Decimal
from pathlib import PureWindowsPath
from typing import Any

import numpy as np
import pydantic_core
from hypothesis import strategies as st
from pydantic import HttpUrl, PostgresDsn

from codec import samples
from golem_sdk import testing
from golem_sdk.codec.values import encode

texts = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates too


def is_exact_path(path: PureWindowsPath) -> bool:
    return PureWindowsPath(str(path)) == path


atoms = st.one_of(
    st.ip_addresses(),
    st.sampled_from([HttpUrl("http://host/?a=1#b"), PostgresDsn("postgres://u:p@h1,h2/db")]),
    st.sampled_from(
        [*samples.Color, *samples.Level, samples.Bits.A | samples.Bits.B, samples.Bits(8)]
    ),
    st.datetimes(timezones=st.just(pydantic_core.TzInfo(3600))),
    st.sampled_from([samples.Bits.A, samples.Bits(0), samples.Word.YES, samples.Access.READ]),
)

values = testing.values(
    keys=[
        lambda parts: atoms,
        lambda parts: st.builds(samples.Point, parts, parts),
        lambda parts: st.builds(samples.Tight, parts),
        lambda parts: st.builds(samples.Hashed, parts),
    ],
    containers=[
        lambda parts: st.builds(samples.Point, parts, parts),
        lambda parts: st.builds(samples.Slotted, texts, given=parts),
        lambda parts: st.builds(samples.Open, parts),
        lambda parts: st.builds(samples.Plain, parts),
        lambda parts: st.builds(samples.Box, parts),
        lambda parts: st.builds(samples.Outer.Inner, parts),
        lambda parts: st.builds(samples.Model, name=st.just("n"), value=parts),
        lambda parts: st.builds(samples.Loose, name=st.just("n"), more=parts),
        lambda parts: st.lists(st.integers(0, 9)).map(lambda items: samples.IntPage(items=items)),
    ],
)


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
