"""K1: what cannot be stored exactly is refused, with its place in the value and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import types
from collections import defaultdict, deque
from pathlib import PureWindowsPath
from typing import Any

import msgpack
import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec import samples
from codec.strategies import is_exact_path, same
from golem_sdk.codec import values
from golem_sdk.codec.values import MAX_DEPTH, decode, encode
from golem_sdk.errors import EncodingError


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


def made_by_hand(value: int) -> Any:
    flag = object.__new__(samples.Access)
    flag._value_, flag._name_ = value, None
    return flag


REFUSED = [
    (lambda: [made_by_hand(1)], "value[0]", "Access"),
    (lambda: [made_by_hand(64)], "value[0]", "Access"),
    (lambda: {"items": [1, 2, samples.Plain(threading.Lock())]}, 'value["items"][2].value', "lock"),
    (lambda: threading.Lock(), "value", "lock"),
    (lambda: {(1, "x"): len}, "value[(1, 'x')]", "builtin_function_or_method"),
    (lambda: {"k": {samples.Tight(len)}}, 'value["k"].element(', "builtin_function_or_method"),
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


@pytest.mark.once
def test_value_with_too_many_parts_is_refused() -> None:
    with pytest.raises(EncodingError, match="too many parts"):
        encode([0] * 10_000_001)
    assert decode(encode([0] * 500_000)) == [0] * 500_000


def test_a_batch_of_embeddings_can_be_a_result() -> None:
    embeddings = [[n + 0.5] * 1536 for n in range(1000)]
    assert decode(encode(embeddings)) == embeddings


@pytest.mark.parametrize(
    "wrap",
    [lambda v: [v, v], lambda v: {"a": v, "b": v}, lambda v: (v, v), lambda v: [(v,), (v,)]],
    ids=["list", "dict", "tuple", "mixed"],
)
def test_what_is_shared_counts_each_time_and_takes_no_longer(
    wrap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lowered = 0
    lower = values.Encoder.lower

    def counted(encoder: Any, value: Any) -> Any:
        nonlocal lowered
        lowered += 1
        return lower(encoder, value)

    monkeypatch.setattr(values.Encoder, "lower", counted)
    with pytest.raises(EncodingError, match="too many parts"):
        encode(nested(30, wrap))
    assert lowered < 1_000_000
    few = nested(6, wrap)
    assert decode(encode(few)) == few


def test_a_secret_is_refused_as_one() -> None:
    with pytest.raises(EncodingError, match="A secret is not stored"):
        encode({"token": pydantic.SecretStr("x")})
