"""Values stored by an earlier version of a class: read, or refused with the class and the field."""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections import namedtuple
from typing import Any, NoReturn

import attrs
import pydantic
import pytest

from golem_sdk.codec.values import decode, encode
from golem_sdk.errors import DecodingError, EncodingError

MODULE = sys.modules[__name__]


def forbidden() -> NoReturn:
    raise AssertionError("the codec ran user code")


def version(make: Any, *fields: Any) -> type[Any]:
    """Make this module's class `Record` anew."""
    cls: type[Any] = make(*fields)
    cls.__module__, cls.__qualname__ = __name__, "Record"
    MODULE.Record = cls  # type: ignore[attr-defined]  # made here
    return cls


def attrs_class(**fields: Any) -> Any:
    return attrs.make_class("Record", fields)


def data_class(**fields: Any) -> Any:
    return dataclasses.make_dataclass(
        "Record", [(name, object, field) for name, field in fields.items()]
    )


def tuple_class(**fields: Any) -> Any:
    given = {name: value for name, value in fields.items() if value is not ...}
    return namedtuple("Record", fields, defaults=given.values())


def model_class(**fields: Any) -> Any:
    definitions: Any = {name: (Any, field) for name, field in fields.items()}
    return pydantic.create_model("Record", __module__=__name__, **definitions)


KINDS: dict[str, Any] = {
    "attrs": (attrs_class, attrs.field, lambda value: attrs.field(default=value)),
    "dataclass": (data_class, dataclasses.field, lambda value: dataclasses.field(default=value)),
    "namedtuple": (tuple_class, lambda: ..., lambda value: value),
    "pydantic": (
        model_class,
        lambda: pydantic.Field(),
        lambda value: pydantic.Field(default=value),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_fields_that_came_and_went(kind: str) -> None:
    make, required, default = KINDS[kind]
    old = encode(version(lambda: make(a=required()))(a=1))
    version(lambda: make(a=required(), b=default(5)))
    back = decode(old)
    assert (back.a, back.b) == (1, 5)
    version(lambda: make(a=required(), b=required()))
    with pytest.raises(DecodingError, match=r"Record has no field 'b'.*default"):
        decode(old)
    version(lambda: make(b=default(5)))
    with pytest.raises(DecodingError, match="Record has a field 'a' that the class does not"):
        decode(old)


FACTORIES: dict[str, Any] = {
    "attrs": lambda factory: (attrs_class, attrs.field(), attrs.field(factory=factory)),
    "dataclass": lambda f: (data_class, dataclasses.field(), dataclasses.field(default_factory=f)),
    "pydantic": lambda f: (model_class, pydantic.Field(), pydantic.Field(default_factory=f)),
}


@pytest.mark.parametrize("kind", FACTORIES)
def test_only_built_in_factories_fill_a_missing_field(kind: str) -> None:
    make, required, filled = FACTORIES[kind](list)
    old = encode(version(lambda: make(a=required))(a=1))
    version(lambda: make(a=FACTORIES[kind](list)[1], b=filled))
    first, second = decode(old), decode(old)
    assert first.b == []
    assert first.b is not second.b
    make, required, filled = FACTORIES[kind](forbidden)
    version(lambda: make(a=required, b=filled))
    with pytest.raises(DecodingError, match="has no field 'b'"):
        decode(old)


def test_attrs_factory_that_takes_self_is_not_run() -> None:
    old = encode(version(lambda: attrs_class(a=attrs.field()))(a=1))
    takes_self = attrs.field(default=attrs.Factory(lambda self: forbidden(), takes_self=True))
    version(lambda: attrs_class(a=attrs.field(), b=takes_self))
    with pytest.raises(DecodingError, match="has no field 'b'"):
        decode(old)


def test_mutable_default_of_pydantic_is_not_shared() -> None:
    old = encode(version(lambda: model_class(a=pydantic.Field()))(a=1))
    version(lambda: model_class(a=pydantic.Field(), b=pydantic.Field(default=[])))
    assert decode(old).b is not decode(old).b


def test_class_that_is_gone_is_named_with_the_remedy() -> None:
    old = encode(version(lambda: attrs_class(a=attrs.field()))(a=1))
    del MODULE.Record
    with pytest.raises(DecodingError, match=rf"{__name__}:Record.*Import the module") as caught:
        decode(old)
    assert "importable" in str(caught.value)


def test_class_that_changed_its_kind_is_refused() -> None:
    old = encode(version(lambda: attrs_class(a=attrs.field()))(a=1))
    version(lambda: data_class(a=dataclasses.field()))
    with pytest.raises(DecodingError, match="not of the kind ATTRS"):
        decode(old)


def test_instance_of_a_replaced_class_is_refused() -> None:
    instance = version(lambda: attrs_class(a=attrs.field()))(a=1)
    version(lambda: attrs_class(a=attrs.field()))
    with pytest.raises(EncodingError, match=r"not what .* names"):
        encode(instance)


def test_enum_member_that_is_gone_is_named() -> None:
    old = encode(version(lambda: enum.Enum("Record", "A B")).B)
    version(lambda: enum.Enum("Record", "A"))
    with pytest.raises(DecodingError, match="'B'"):
        decode(old)


def test_enum_member_keeps_its_name_when_values_change() -> None:
    old = encode(version(lambda: enum.Enum("Record", {"A": 1})).A)
    renumbered = version(lambda: enum.Enum("Record", {"A": 7}))
    assert decode(old) is renumbered.A


class Items(dict[str, int]):
    pass


@attrs.define(slots=False)
class OnBuiltIn(Items):
    a: int = 0


def test_class_that_extends_a_built_in_type_is_refused() -> None:
    with pytest.raises(EncodingError, match="extends a built-in type"):
        encode(OnBuiltIn(1))
