"""Classes that the codec's tests store: one of every kind, importable like a user's own."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

import attrs
import pydantic

T = TypeVar("T")


def forbidden(*_: object, **__: object) -> NoReturn:
    raise AssertionError("the codec ran user code")


class Color(enum.Enum):
    RED = 1
    BLUE = object()  # the value does not matter, the name does


class Word(enum.StrEnum):
    YES = "yes"


class Level(enum.IntEnum):
    LOW = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Bits(enum.IntFlag):
    A = 1
    B = 4


class Lenient(enum.Flag, boundary=enum.CONFORM):
    A = 1


class Ejecting(enum.IntFlag, boundary=enum.EJECT):
    A = 1


class Point(NamedTuple):
    x: Any
    y: Any = 0


@attrs.frozen
class Slotted:
    name: str
    _secret: Any = attrs.field(alias="given", default=None)
    late: Any = attrs.field(init=False)


@attrs.define(slots=False)
class Open:
    value: Any

    def __attrs_post_init__(self) -> None:
        self.extra = "extra"


@attrs.frozen(cache_hash=True)
class Hashed:
    value: Any


@dataclasses.dataclass
class Plain:
    value: Any
    other: list[Any] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True, frozen=True)
class Tight:
    value: Any


@dataclasses.dataclass
class Box(Generic[T]):
    item: T


@dataclasses.dataclass
class Touchy:
    """Every method that building an instance might run raises."""

    value: Any

    def __new__(cls, *_: object) -> NoReturn:
        forbidden()

    def __init__(self, *_: object) -> None:
        forbidden()

    def __post_init__(self) -> None:
        forbidden()

    def __setattr__(self, *_: object) -> None:
        forbidden()

    def __repr__(self) -> str:
        forbidden()


class Outer:
    @attrs.frozen
    class Inner:
        value: Any


class Model(pydantic.BaseModel):
    name: str
    value: Any = None
    _note: Any = pydantic.PrivateAttr(default="note")

    @pydantic.field_validator("name")
    @classmethod
    def checked(cls, name: str) -> str:
        return name.upper() + "!"  # not idempotent: running it again would be seen


class Loose(pydantic.BaseModel, extra="allow"):
    name: str


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


IntPage = Page[int]


class Root(pydantic.RootModel[list[Any]]):
    pass


class TwoArgs(Exception):  # noqa: N818  # as users name them
    """An exception that can be built neither from its args nor without arguments."""

    def __init__(self, code: int, detail: dict[str, Any]) -> None:
        super().__init__(f"code {code}")
        self.code = code
        self.detail = detail


class TouchyError(OSError):
    def __init__(self, *args: object) -> None:
        forbidden()


class SlottedError(Exception):
    __slots__ = ("code",)
    code: object


@dataclasses.dataclass
class Dropped:
    """Deletes what it names when nobody needs it any more, as temporary files do."""

    path: Any

    def __del__(self) -> None:
        pass


class DroppedModel(pydantic.BaseModel):
    path: Any = None

    def __del__(self) -> None:
        pass


class DroppedError(Exception):
    def __del__(self) -> None:
        pass


class OwnGroup(ExceptionGroup[Exception]):
    """A subclass of a group."""
