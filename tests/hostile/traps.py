"""Classes any of whose code raises when it runs: what a hostile reference may name."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, NamedTuple, NoReturn

import attrs
import pydantic

__all__ = ["SPRUNG", "TRAPS"]

SPRUNG: list[str] = []
"""The code that ran. Decoding may swallow an exception, so that what ran is noted, too."""


def _spring(name: str) -> NoReturn:
    SPRUNG.append(name)
    raise AssertionError(f"{name} ran")


def _trap(name: str) -> Any:
    def sprung(*_: object, **__: object) -> NoReturn:
        _spring(name)

    return sprung


_METHODS = (
    *("__init__", "__post_init__", "__attrs_post_init__", "__setattr__", "__getattr__"),
    *("__getattribute__", "__setstate__", "__getstate__", "__reduce__", "__reduce_ex__"),
    *("__repr__", "__str__", "__bool__", "__len__", "__iter__", "__del__", "__copy__"),
    *("__instancecheck__", "__call__", "__index__", "__int__", "__float__", "__contains__"),
)
_ARMED = {name: _trap(name) for name in _METHODS}


class Descriptor:
    """A data descriptor, as a property or an ORM's column is."""

    def __get__(self, instance: object, owner: object = None) -> Any:
        return self if instance is None else _spring("Descriptor.__get__")

    def __set__(self, instance: object, value: object) -> None:
        _spring("Descriptor.__set__")


class Meta(type):
    """A metaclass that is asked nothing while it is armed."""

    armed = False

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return _spring("Meta.__call__") if Meta.armed else super().__call__(*args, **kwargs)

    def __hash__(cls) -> int:
        return _spring("Meta.__hash__") if Meta.armed else super().__hash__()

    def __eq__(cls, other: object) -> bool:
        return _spring("Meta.__eq__") if Meta.armed else cls is other

    def __getattribute__(cls, name: str) -> Any:
        return _spring(f"Meta.{name}") if Meta.armed else super().__getattribute__(name)

    def __instancecheck__(cls, instance: object) -> bool:
        return _spring("Meta.__instancecheck__") if Meta.armed else False

    def __subclasscheck__(cls, subclass: type) -> bool:
        return _spring("Meta.__subclasscheck__") if Meta.armed else cls in subclass.__mro__


def _armed(cls: Any, *names: str) -> Any:
    for name in names or _METHODS:
        setattr(cls, name, _ARMED[name])
    return cls


@dataclasses.dataclass
class Record:
    value: Any
    other = Descriptor()


@attrs.define(slots=False, init=False)
class Attrs:
    value: Any


@attrs.define(init=False)
class Slots:
    value: Any


@dataclasses.dataclass
class WithMeta(metaclass=Meta):
    value: Any


class Named(NamedTuple):
    value: Any


class Failure(Exception):  # noqa: N818  # as users name them
    pass


class FailureWithMeta(Exception, metaclass=Meta):  # noqa: N818  # as users name them
    pass


class Shape(enum.Enum):
    ROUND = 1

    @classmethod
    def _missing_(cls, value: object) -> Any:
        _spring("Shape._missing_")


class Modelled(pydantic.BaseModel):
    value: Any = None

    def model_post_init(self, context: Any, /) -> None:
        _spring("model_post_init")


class Evil:
    """No record at all: it can only be named."""

    __slots__ = ("x",)
    __attrs_attrs__ = Descriptor()
    __dataclass_fields__ = Descriptor()
    _fields = Descriptor()


class Imposter:
    """Says that it is a record."""

    __attrs_attrs__ = (1, "x")
    __dataclass_fields__: Any = {"value": 3}  # noqa: RUF012  # as dataclasses make it
    _fields = ("value",)


_CALM = [name for name in _METHODS if name != "__del__"]  # instances with one are refused at once
_armed(Record, *_CALM)
_armed(Attrs)
_armed(Slots, "__init__", "__attrs_post_init__", "__setattr__", "__repr__", "__setstate__")
_armed(WithMeta, *_CALM)
_armed(
    Failure, "__init__", "__setattr__", "__getattribute__", "__repr__", "__str__", "__setstate__"
)
_armed(Evil, "__init__", "__getattribute__", "__setattr__", "__reduce__", "__iter__")
TRAPS = (
    *("Record", "Attrs", "Slots", "WithMeta", "Named", "Failure", "FailureWithMeta", "Shape"),
    *("Modelled", "Evil", "Imposter", "Meta", "Descriptor", "SPRUNG", "dataclasses", "Shape.ROUND"),
)
"""Names in this module that hostile data may ask for."""
