"""Classes of the kinds that can be stored, for `golem_sdk.testing.values`."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, Generic, NamedTuple, TypeVar

import attrs

__all__ = ["Access", "Basket", "Color", "Item", "Point", "Sealed", "Word"]

T = TypeVar("T")


class Color(enum.Enum):
    """An enumeration."""

    RED = 1
    BLUE = "blue"


class Word(enum.StrEnum):
    """One whose members are texts."""

    YES = "yes"


class Access(enum.Flag):
    """One whose members combine."""

    READ = 1
    WRITE = 2


class Point(NamedTuple):
    """A named tuple."""

    x: Any
    y: Any = 0


@attrs.frozen
class Item:
    """An attrs class."""

    name: str
    value: Any


@dataclasses.dataclass
class Basket(Generic[T]):
    """A dataclass, a generic one."""

    items: list[T]
    note: Any = None


@dataclasses.dataclass(slots=True, frozen=True)
class Sealed:
    """A dataclass that can be a key."""

    value: Any
