"""S2 and K1: decode(encode(x)) is x in value, type and repr; and the bytes are a function of the value."""

from __future__ import annotations

import cmath
import math
import os
import struct
import subprocess
import sys
import threading
import types
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from zoneinfo import ZoneInfo

import msgpack
import numpy as np
import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec import samples
from golem_sdk.codec.values import MAX_DEPTH, decode, encode
from golem_sdk.errors import EncodingError

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


@given(values)
def test_s2_every_value_comes_back_exactly_and_in_the_same_bytes(value: Any) -> None:
    data = encode(value)
    back = decode(data)
    assert same(back, value)
    assert encode(back) == data


@pytest.mark.parametrize(
    "value",
    [
        2**64 - 1,
        2**64,
        -(2**63),
        -(2**63) - 1,
        True,
        math.nan,
        -math.inf,
        -0.0,
        complex(-0.0, math.nan),
        cmath.infj,
        Decimal("-0"),
        Decimal("sNaN123"),
        Decimal("1.10"),
        Decimal("1E+999999999"),
        Fraction(-1, 3),
        "\ud800 lone",
        {"\udfff": 1},
        b"",
        bytearray(b"x"),
        [bytearray(b"x"), b"x"],
        ({"a": bytearray(b"x")},),
        uuid.UUID(int=1, is_safe=uuid.SafeUUID.safe),
        datetime(2020, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
        datetime(9999, 12, 31, 23, 59, 59, 999999),  # noqa: DTZ001  # a naive one
        date.min,
        time(1, fold=1),
        timedelta.min,
        Path(),
        Path("/a/../b"),
        range(10, 0, -3),
        {(1, (2, "x")): [(3,)], frozenset({1}): {1}, None: 0, 1.5: 0, b"k": 1},
        {1: "int", "1": "text"},
        ([1, (2, [3])],),
        samples.Access.READ | samples.Access.WRITE,
        samples.Access(0),
        samples.Slotted("n", given=(1,)),
        samples.Open([1]),
        samples.Hashed("x"),
        samples.Box[list[int]]([1]),
        samples.Page[int](items=[1]),
        samples.Model.model_construct(value=3),
        np.arange(6, dtype="<i2").reshape(2, 3),
        np.arange(6.0).reshape(2, 3, order="F"),
        np.zeros((0, 3)),
        np.array(5),
        np.array(["a", "bcd"]),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.float64(1.5),
        np.int8(-1),
        np.bool_(True),
        np.str_("text"),
        np.bytes_(b"b"),
        np.datetime64("2020-01-01", "ns"),
    ],
    ids=lambda value: f"{type(value).__name__}-{value!r:.40}",
)
def test_s2_one_of_each(value: Any) -> None:
    back = decode(encode(value))
    assert same(back, value)
    assert encode(back) == encode(value)


def test_array_keeps_its_layout_and_writability() -> None:
    frozen = np.arange(6).reshape(2, 3, order="F")
    frozen.flags.writeable = False
    back = decode(encode([frozen, np.arange(3)]))
    assert back[0].flags.f_contiguous
    assert not back[0].flags.writeable
    back[1][0] = 7
    assert decode(encode(np.arange(10)[::2])).tolist() == [0, 2, 4, 6, 8]


def test_singletons_come_back_as_themselves() -> None:
    zone = ZoneInfo("Europe/Berlin")
    for single in (UTC, zone, samples.Color.BLUE, samples.Access(3), samples.Word.YES):
        assert decode(encode(single)) is single


def test_unset_field_stays_unset_and_cached_hash_is_computed_again() -> None:
    back = decode(encode(samples.Slotted("n")))
    assert not hasattr(back, "late")
    hashed = samples.Hashed("text")
    hash(hashed)
    back = decode(encode(hashed))
    assert back._attrs_cached_hash is None
    assert {back} == {hashed}


def test_k1_no_user_code_runs_in_either_direction() -> None:
    touchy = object.__new__(samples.Touchy)
    object.__getattribute__(touchy, "__dict__")["value"] = (1, 2)
    back = decode(encode({"a": [touchy]}))["a"][0]
    assert type(back) is samples.Touchy
    assert back.value == (1, 2)


def test_pydantic_validators_do_not_run_again() -> None:
    model = samples.Model(name="n")
    model._note = {"a": (1,)}
    back = decode(encode(model))
    assert back == model
    assert back.name == "N!"
    assert back._note == {"a": (1,)}
    assert back.model_fields_set == {"name"}


def test_set_bytes_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "from golem_sdk.codec.values import encode\n"
        "words = {f'w{n}' for n in range(40)}\n"
        "print(encode([words, frozenset(words), {frozenset(words): 1}]).hex())"
    )
    seen = set()
    for seed in ("0", "1", "7"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.getcwd()}
        command = [sys.executable, "-c", program]
        run = subprocess.run(command, env=environment, capture_output=True, check=True)
        seen.add(run.stdout)
    assert len(seen) == 1


def test_class_of_main_is_found_when_the_script_runs_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, attrs\n"
        "from golem_sdk.codec.values import decode, encode\n"
        "@attrs.frozen\nclass Own:\n    value: object\n"
        "if len(sys.argv) > 1:\n    print(decode(bytes.fromhex(sys.argv[1])).value)\n"
        "else:\n    assert decode(encode(Own(5))) == Own(5)\n    print(encode(Own(7)).hex())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}

    def run(*args: str) -> str:
        command = [sys.executable, str(script), *args]
        return subprocess.run(
            command, env=environment, capture_output=True, check=True, text=True
        ).stdout

    assert run(run().strip()).strip() == "7"


def nested(depth: int, wrap: Any) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize(("wrap", "levels"), [(lambda v: [v], 1), (lambda v: (v,), 2)])
def test_depth_is_bounded_alike_in_both_directions(wrap: Any, levels: int) -> None:
    deepest = nested(MAX_DEPTH // levels, wrap)
    assert decode(encode(deepest)) == deepest
    with pytest.raises(EncodingError, match="nested deeper"):
        encode(nested(MAX_DEPTH // levels + 1, wrap))


def test_deep_values_need_little_c_stack() -> None:
    program = (
        "import threading\n"
        "from golem_sdk.codec.values import decode\n"
        "threading.stack_size(512 * 1024)\n"
        f"data = bytes.fromhex({encode(nested(MAX_DEPTH // 2, lambda value: (value,))).hex()!r})\n"
        "thread = threading.Thread(target=lambda: print(decode(data) is not None))\n"
        "thread.start()\n"
        "thread.join()"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
    assert (run.returncode, run.stdout.strip()) == (0, b"True")


@given(st.text("ab\\/:.", max_size=6))
def test_path_is_exact_or_refused(text: str) -> None:
    path = PureWindowsPath(text)
    try:
        data = encode(path)
    except EncodingError:
        assert not is_exact_path(path)
    else:
        assert same(decode(data), path)


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Items(list[int]):
    pass


def local_class() -> Any:
    class Local(samples.Plain):
        pass

    return Local(1)


REFUSED = [
    (lambda: {"items": [1, 2, samples.Plain(threading.Lock())]}, 'value["items"][2].value', "lock"),
    (lambda: threading.Lock(), "value", "lock"),
    (lambda: {(1, "x"): len}, "value[(1, 'x')]", "builtin_function_or_method"),
    (lambda: {"k": {samples.Tight(print)}}, 'value["k"].element(', "builtin_function_or_method"),
    (lambda: [int], "value[0]", "type"),
    (lambda: [samples.Model], "value[0]", "ModelMetaclass"),
    (lambda: [types.SimpleNamespace()], "value[0]", "SimpleNamespace"),
    (lambda: {"a": Text("x")}, 'value["a"]', "Text"),
    (lambda: Number(1), "value", "Number"),
    (lambda: [Items()], "value[0]", "Items"),
    (lambda: local_class(), "value", "Local"),
    (lambda: [memoryview(b"x")], "value[0]", "memoryview"),
    (lambda: [(memoryview(b"x"),)], "value[0][0]", "memoryview"),
    (lambda: [msgpack.ExtType(5, b"x")], "value[0]", "ExtType"),
    (lambda: (msgpack.ExtType(5, b"x"), msgpack.Timestamp(1)), "value[0]", "ExtType"),
    (lambda: [msgpack.Timestamp(1)], "value[0]", "Timestamp"),
    (lambda: np.array([None]), "value", "ndarray"),
    (lambda: samples.Model(name="n", value=object()), "value.value", "object"),
    (lambda: defaultdict(lambda: 1), "value", "defaultdict"),
    (lambda: os.stat("."), "value", "stat_result"),
    (lambda: {1: (deque([object()]),)}, "value[1][0][0]", "object"),
]


@pytest.mark.parametrize(("make", "path", "kind"), REFUSED, ids=range(len(REFUSED)))
def test_k1_what_cannot_be_stored_is_refused_with_its_path(make: Any, path: str, kind: str) -> None:
    with pytest.raises(EncodingError) as caught:
        encode(make())
    assert caught.value.path.startswith(path)
    assert caught.value.type_name.endswith(kind)
    assert caught.value.path in str(caught.value)
    assert str(caught.value).count(". ") >= 1  # and a remedy


def test_value_that_contains_itself_is_refused_with_the_place() -> None:
    items: list[Any] = [1]
    items.append({"again": items})
    record = samples.Plain(None)
    record.value = [record]
    for value, path in ((items, 'value[1]["again"]'), (record, "value.value[0]")):
        with pytest.raises(EncodingError, match="refers back to value") as caught:
            encode(value)
        assert caught.value.path == path


def test_value_with_too_many_parts_is_refused() -> None:
    with pytest.raises(EncodingError, match="too many parts"):
        encode([0] * 1_000_001)
    assert decode(encode([0] * 500_000)) == [0] * 500_000
