"""Names: two things never share one."""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golem_sdk.codec.values import encode
from golem_sdk.core.difference import first_difference
from golem_sdk.core.ids import (
    agent_id,
    derive_key,
    idempotency_namespace,
    invocation_namespace,
    storage_key,
)

_plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=9)
    | st.uuids()
    | st.binary(max_size=4)
)
_values = st.recursive(
    _plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(st.lists(_values, max_size=3), st.lists(_values, max_size=3))
def test_different_arguments_have_different_ids(left: list[object], right: list[object]) -> None:
    same = encode(left) == encode(right)
    assert (agent_id("A", left, encode) == agent_id("A", right, encode)) == same


def test_common_arguments_are_readable() -> None:
    args = ['a"b', 3, 2.5, True, None, [1], (2,), {"k": 1}, UUID(int=1)]
    text = str(agent_id("Order", args, encode))
    assert text == (
        'Order("a\\"b", 3, 2.5, True, None, [1], (2,), {"k": 1},'
        ' UUID("00000000-0000-0000-0000-000000000001"))'
    )


_names = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=300)


@given(_names, _names)
def test_storage_keys_are_short_and_different(left: str, right: str) -> None:
    assert len(storage_key(left)) <= 206
    assert b"\0" not in storage_key(left)
    assert (storage_key(left) == storage_key(right)) == (left == right)
    digest = storage_key(left + "0" * 300)
    assert storage_key(digest.decode("utf-8", "replace")) != digest, "no name poses as a digest"


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_names_that_cannot_be_keys(name: str) -> None:
    with pytest.raises(ValueError, match="NUL"):
        storage_key(name)


def test_derived_keys_never_change() -> None:
    assert str(derive_key("order-17", 1)) == "eff803ec-1955-5061-8ac5-85c32709c18e"
    assert (
        str(derive_key("00000000-0000-0000-0000-000000000001", 2))
        == "8ff9f83c-0bdf-58d9-be4e-b11369508e29"
    )
    assert idempotency_namespace(str(UUID(int=1))) == UUID(int=1)
    assert derive_key("order-17", 1) != derive_key("order-17", 2) != derive_key("order-18", 2)


@pytest.mark.parametrize(
    ("recorded", "attempted", "text"),
    [
        ({"a": [1, 2]}, {"a": [1, 3]}, 'request["a"][1]: recorded 2, attempted 3'),
        ({"a": 1}, {}, "request['a']: recorded 1, attempted without it"),
        ({}, {"b": 2}, "request['b']: recorded without it, attempted 2"),
        ([1], [1, 2], "request: recorded 1 items, attempted 2"),
        (1, 1.0, "request: recorded 1, attempted 1.0"),
        ({"a": (1, 2)}, {"a": (1, 2)}, ""),
    ],
)
def test_the_first_difference_has_its_path(recorded: object, attempted: object, text: str) -> None:
    assert first_difference(recorded, attempted).replace('"', "'") == text.replace('"', "'")


def test_only_long_names_are_shortened() -> None:
    """These keys are stored."""
    assert storage_key("n" * 200) == b"n" * 200
    digest = sha256(b"n" * 201).hexdigest().encode()
    assert storage_key("n" * 201) == b"n" * 140 + b"##" + digest


def test_half_a_character_is_a_name() -> None:
    assert storage_key("\ud800") == b"\xed\xa0\x80"


def test_two_agents_that_are_given_one_key_derive_others() -> None:
    key = str(UUID(int=1))
    left, right = invocation_namespace("A()", key), invocation_namespace("B()", key)
    assert left == invocation_namespace("A()", key) == uuid5(UUID(int=1), "A()")
    assert left != right


def test_only_long_arguments_are_shortened() -> None:
    text = "a" * 998
    assert str(agent_id("A", [text], encode)) == f'A("{text}")'
    digest = sha256(f'"{text}a"'.encode()).hexdigest()[:32]
    assert str(agent_id("A", [f"{text}a"], encode)) == f"A(#{digest})"
