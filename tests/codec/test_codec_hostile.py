"""K1: arbitrary bytes give a value or DecodingError, bounded, and never run or import anything."""

from __future__ import annotations

import ast
import struct
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import golem_sdk.codec
from codec import samples
from golem_sdk.codec import bounds, tables
from golem_sdk.codec.codes import Code
from golem_sdk.codec.values import MAX_DEPTH, decode, encode
from golem_sdk.errors import DecodingError

HERE = samples.__name__


def pack(value: Any) -> bytes:
    data: bytes = msgpack.packb(value)
    return data


def ext(code: int, body: Any) -> msgpack.ExtType:
    return msgpack.ExtType(code, body if type(body) is bytes else pack(body))


def extension(code: int, body: Any) -> bytes:
    return pack(ext(code, body))


def deep(levels: int, code: int, data: bytes = b"\x90") -> bytes:
    for _ in range(levels):
        data = extension(code, b"\x91" + data)
    return data


MEGABYTE = 1_000_000
BOMBS = {
    "lying-array": b"\xdd\xff\xff\xff\xff",
    "lying-map": b"\xdf\xff\xff\xff\xff",
    "lying-bin": b"\xc6\xff\xff\xff\xff",
    "lying-str": b"\xdb\xff\xff\xff\xff",
    "lying-ext": b"\xc9\xff\xff\xff\xff\x02",
    "lying-array-in-ext": extension(Code.TUPLE, b"\xdd\xff\xff\xff\xff"),
    "lists-65": b"\x91" * 64 + b"\x90",
    "lists-1024": b"\x91" * 1024 + b"\x90",
    "lists-100000": b"\x91" * 100_000,
    "maps-65": b"\x81\x01" * 64 + b"\x80",
    "tuples-33": deep(33, Code.TUPLE),
    "tuples-2000": deep(2000, Code.TUPLE),
    "empty-maps": b"\xdd" + struct.pack(">I", 10 * MEGABYTE) + b"\x80" * (10 * MEGABYTE),
    "empty-lists": b"\xdd" + struct.pack(">I", 10 * MEGABYTE) + b"\x90" * (10 * MEGABYTE),
    "empty-sets": b"\xdd" + struct.pack(">I", 2 * MEGABYTE) + b"\xc7\x01\x03\x90" * (2 * MEGABYTE),
    "many-ints": b"\xdd" + struct.pack(">I", 3 * MEGABYTE) + b"\xcd\x7f\xff" * (3 * MEGABYTE),
    "many-texts": b"\xdd" + struct.pack(">I", 3 * MEGABYTE) + b"\xa2ab" * (3 * MEGABYTE),
    "wide-map": b"\xdf"
    + struct.pack(">I", MEGABYTE)
    + b"".join(b"\xce" + struct.pack(">I", n) + b"\x01" for n in range(MEGABYTE)),
    "nested-lies": (b"\xdd\x00\x01\x5f\x90" * 1000).ljust(90_000, b"\x00"),
    "nested-lies-of-maps": (b"\xdf\x00\x00\xaf\xc8\x01" * 1000).ljust(99_000, b"\x00"),
    "nested-lies-in-ext": extension(
        Code.TUPLE, (b"\xdd\x00\x01\x5f\x90" * 1000).ljust(90_000, b"\x00")
    ),
    "array-of-nothing": extension(Code.NDARRAY, ["<f8", [10**15], "C", True, b""]),
    "array-overflow": extension(Code.NDARRAY, ["<f8", [2**62, 4], "C", True, b""]),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused_within_bounded_memory(name: str) -> None:
    data = BOMBS[name]
    decode(encode((1,)))  # the tables are loaded
    tracemalloc.start()
    try:
        with pytest.raises(DecodingError):
            decode(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    bound = 20 if name.startswith("nested-lies") else 80
    assert peak < bound * 2**20 + len(data)


def test_heaviest_allowed_values_stay_within_bounded_memory() -> None:
    # A tenth of what is allowed, in a tenth of the memory.
    count = {"texts": 111_000, "pairs": 41_000, "sets": 13_400, "lists": 99_000}
    many = {name: b"\xdd" + struct.pack(">I", number) for name, number in count.items()}
    pairs = (b"\xce" + struct.pack(">I", n) + b"\x01" for n in range(count["pairs"]))
    texts = many["texts"] + b"\xa2ab" * count["texts"]
    mapping = b"\xdf" + many["pairs"][1:] + b"".join(pairs)
    sets = many["sets"] + b"\xc7\x01\x03\x90" * count["sets"]
    lists = many["lists"] + b"\x90" * count["lists"]
    for data in (texts, mapping, sets, lists):
        assert bounds.weigh(data) > bounds.MAX_WEIGHT * 0.095
        tracemalloc.start()
        decode(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10 * 2**20


MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "reserved": b"\xc1",
    "trailing": encode(1) + b"\x00",
    "trailing-in-ext": extension(Code.TUPLE, b"\x90\x00"),
    "trailing-in-deep-ext": deep(9, Code.TUPLE, extension(Code.TUPLE, b"\x90\x00")),
    "truncated": encode([1, "text"])[:-1],
    "duplicate-keys": b"\x82\xa1a\x01\xa1a\x02",
    "duplicate-keys-around-a-list": b"\x82\xa1a\x91\x01\xa1a\x02",
    "duplicate-keys-in-a-list": b"\x91\x82\xa1a\x01\xa1a\x02",
    "duplicate-keys-in-a-dict": b"\x81\xa1b\x82\xa1a\x01\xa1a\x02",
    "duplicate-keys-of-two-types": b"\x82\x01\x01\xc3\x02",
    "unhashable-key": b"\x81\x90\x01",
    "invalid-utf8": b"\xa1\xff",
    "timestamp-32": b"\xd6\xff\x00\x00\x00\x01",
    "timestamp-64": b"\x91\xd7\xff" + b"\x00" * 8,
    "timestamp-96": extension(Code.TUPLE, b"\x91\xc7\x0c\xff" + b"\x00" * 12),
    "set-twice": extension(Code.SET, [1, 1]),
    "set-unhashable": extension(Code.SET, [[]]),
    "small-big-int": extension(Code.BIG_INT, b"\x01"),
    "empty-big-int": extension(Code.BIG_INT, b""),
    "decimal": extension(Code.DECIMAL, b"1_0"),
    "decimal-words": extension(Code.DECIMAL, b"evil"),
    "decimal-huge-exponent": extension(Code.DECIMAL, b"1E+99999999999999999999"),
    "fraction-zero": extension(Code.FRACTION, [1, 0]),
    "fraction-not-lowest": extension(Code.FRACTION, [2, 4]),
    "fraction-of-text": extension(Code.FRACTION, ["1", "2"]),
    "fraction-huge": extension(Code.FRACTION, [ext(Code.BIG_INT, b"\x7f" * 10_000), 3]),
    "uuid": extension(Code.UUID, b"short"),
    "datetime-year": extension(Code.DATETIME, [-(10**6), 1, 1, 0, 0, 0, 0, 0, None]),
    "datetime-zone": extension(Code.DATETIME, [2020, 1, 1, 0, 0, 0, 0, 0, "UTC"]),
    "datetime-bytes": extension(Code.DATETIME, [b"\x07\xe4\x01", 1, 1, 0, 0, 0, 0, 0, None]),
    "timedelta": extension(Code.TIMEDELTA, [10**10, 0, 0]),
    "zone-path": extension(Code.ZONE_INFO, b"../../etc/passwd"),
    "zone-unknown": extension(Code.ZONE_INFO, b"Evil/Zone"),
    "path-kind": extension(Code.PATH, ["Path", "x"]),
    "path-foreign": extension(
        Code.PATH, ["WindowsPath" if sys.platform != "win32" else "PosixPath", ""]
    ),
    "range": extension(Code.RANGE, [0, 1, 0]),
    "deque-over": extension(Code.DEQUE, [1, [1, 2]]),
    "factory": extension(Code.DEFAULT_DICT, ["eval", {}]),
    "dtype-object": extension(Code.NDARRAY, ["|O8", [1], "C", True, b"\x00" * 8]),
    "dtype-structure": extension(Code.NDARRAY, ["f8,O", [1], "C", True, b"\x00" * 16]),
    "dtype-scalar": extension(Code.NUMPY_SCALAR, ["|O8", b"\x00" * 8]),
    "array-negative": extension(Code.NDARRAY, ["<f8", [-1, -1], "C", True, b"\x00" * 8]),
    "class-missing": extension(Code.ATTRS, [f"{HERE}:Nothing", {}]),
    "class-of-another-kind": extension(Code.ATTRS, [f"{HERE}:Plain", {"value": 1}]),
    "class-builtin": extension(Code.DATACLASS, ["builtins:dict", {}]),
    "class-is-function": extension(Code.ATTRS, [f"{HERE}:forbidden", {}]),
    "class-in-instance": extension(Code.ENUM, ["os:environ.data", "x"]),
    "class-not-text": extension(Code.ATTRS, [3, {}]),
    "module-not-imported": extension(Code.ATTRS, ["antigravity:x", {}]),
    "enum-member": extension(Code.ENUM, [f"{HERE}:Color", "GREEN"]),
    "enum-number": extension(Code.ENUM, [f"{HERE}:Color", 1]),
    "enum-attribute": extension(Code.ENUM, [f"{HERE}:Color", "__init__"]),
    "flag-number": extension(Code.ENUM, [f"{HERE}:Access", 64]),
    "flag-conforming": extension(Code.ENUM, [f"{HERE}:Lenient", 65]),
    "flag-ejecting": extension(Code.ENUM, [f"{HERE}:Ejecting", 65]),
    "flag-negative": extension(Code.ENUM, [f"{HERE}:Bits", -1]),
    "named-tuple": extension(Code.NAMED_TUPLE, ["builtins:tuple", {}]),
    "slot-unknown": extension(Code.DATACLASS, [f"{HERE}:Tight", {"value": 1}, {"x": 1}, []]),
    "field-not-text": extension(Code.DATACLASS, [f"{HERE}:Plain", {1: 1}]),
    "model-short": extension(Code.PYDANTIC, [f"{HERE}:Model", {}]),
    "model-of-another-kind": extension(
        Code.PYDANTIC, [f"{HERE}:Plain", {}, [], [], {}, None, None]
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_bytes_are_refused(name: str) -> None:
    with pytest.raises(DecodingError):
        decode(MALFORMED[name])


def test_no_flag_has_a_negative_number_also_if_it_was_asked_for() -> None:
    assert samples.Bits(-3) == samples.Bits(5)
    with pytest.raises(DecodingError):
        decode(extension(Code.ENUM, [f"{HERE}:Bits", -3]))


@pytest.mark.parametrize("code", sorted({*range(128)} - {*Code}))
def test_unknown_extension_is_refused(code: int) -> None:
    with pytest.raises(DecodingError, match=f"code {code}"):
        decode(extension(code, b"\x90"))


@pytest.mark.parametrize("code", list(Code))
@pytest.mark.parametrize(
    "body", [b"", b"\x90", b"\x80", b"\xc0", b"\x93\xa1a\xc0\x80", b"\xff" * 17]
)
def test_no_extension_trusts_its_body(code: Code, body: bytes) -> None:
    value_or_error(extension(code, body))


def value_or_error(data: bytes) -> None:
    try:
        value = decode(data)
    except DecodingError:
        return
    encode(value)  # what was accepted is a value


modules = st.sampled_from(
    ["os", "sys", "builtins", "antigravity", "this", HERE, "golem_sdk.errors"]
)
names = st.sampled_from(
    ["Model", "Plain", "Touchy", "Color", "TwoArgs", "system", "int", "OSError", "Tight"]
)
references = st.builds("{}:{}".format, modules, names)
fields = st.dictionaries(
    st.sampled_from(["value", "name", "__class__", "__dict__"]), st.integers(0, 9)
)
bodies = st.recursive(
    st.one_of(
        st.none(),
        st.integers(-5, 5),
        st.text(max_size=3),
        st.binary(max_size=9),
        references,
        fields,
    ),
    lambda parts: st.one_of(
        st.lists(parts, max_size=4),
        st.tuples(references, parts).map(list),
        st.builds(ext, st.integers(0, 40), parts),
    ),
    max_leaves=10,
)


@settings(max_examples=500)
@given(st.one_of(st.binary(), bodies.map(pack), st.builds(extension, st.integers(0, 40), bodies)))
@example(extension(Code.ATTRS, ["antigravity:x", {}]))
@example(extension(Code.EXCEPTION, {"type": "this:x"}))
def test_fuzz_gives_a_value_or_the_error_and_imports_nothing(data: bytes) -> None:
    encode(samples.Plain((1,)))  # the codec's own imports are done
    before = set(sys.modules)
    value_or_error(data)
    assert set(sys.modules) == before


@given(st.data())
def test_flipped_bytes_give_a_value_or_the_error(data: Any) -> None:
    whole = encode(
        [samples.Plain({"a": (1, {2})}), samples.TwoArgs(1, {}), samples.Model(name="x"), 2**99]
    )
    position = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[position] = data.draw(st.integers(0, 255))
    value_or_error(bytes(damaged))


def weighable(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    items = st.lists(parts, max_size=40)
    sets = st.sets(st.integers(), max_size=40)
    return (
        items | items.map(tuple) | sets | st.dictionaries(st.text(max_size=3), parts, max_size=40)
    )


def weight_of(value: Any) -> int:
    if isinstance(value, (list, tuple)):
        return 9 + 64 * (type(value) is tuple) + len(value) + sum(map(weight_of, value))
    if isinstance(value, set):
        return 64 + 9 + 9 * len(value) + sum(map(weight_of, value))
    if isinstance(value, dict):
        parts = [*value, *value.values()]
        return 9 + 20 * len(value) + sum(map(weight_of, parts))
    if isinstance(value, (str, bytes)):
        return 8
    if isinstance(value, float):
        return 3
    if not -(2**63) <= value < 2**64:
        return 8
    return 0 if -32 <= value < 128 else 4


def test_depth_limit_is_the_same_for_what_others_wrote() -> None:
    assert decode(b"\x91" * (MAX_DEPTH - 1) + b"\x90") is not None
    with pytest.raises(DecodingError, match="nested deeper"):
        decode(b"\x91" * MAX_DEPTH + b"\x90")


def test_weigher_steps_over_exactly_the_raw_bodies() -> None:
    raw = {code for code, is_raw, _ in tables.RAISE.values() if is_raw}
    assert bounds._RAW | {Code.BIG_INT} == raw


@given(st.recursive(st.integers() | st.floats() | st.text() | st.binary(), weighable))
def test_weight_told_from_bytes_is_that_of_the_value(value: Any) -> None:
    assert bounds.weigh(encode(value)) == weight_of(value)


@pytest.mark.static
def test_codec_uses_nothing_that_executes_data() -> None:
    banned = {
        "pickle",
        "marshal",
        "shelve",
        "eval",
        "exec",
        "compile",
        "__import__",
        "importlib",
        "yaml",
    }
    for path in Path(golem_sdk.codec.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            used: set[str] = set()
            if isinstance(node, ast.Import):
                used = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                used = {(node.module or "").partition(".")[0]}
            elif isinstance(node, ast.Name):
                used = {node.id}
            elif isinstance(node, ast.Attribute):
                used = {node.attr} - {"compile"}  # re.compile
            assert not used & banned, (
                f"{path.name}:{getattr(node, 'lineno', 0)} uses {used & banned}"
            )
