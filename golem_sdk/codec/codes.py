"""The extension codes of stored values, and the internal words of the codec's two directions.

Codes are part of the stored format: a number is never reused for something else.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

__all__ = ["Code", "Lower", "Lowered", "Malformed", "Raise", "Refused", "shown"]

_LONGEST_SHOWN = 200


class Code(IntEnum):
    """What a msgpack extension holds. `RAW` lists those whose body is bytes instead of msgpack."""

    BIG_INT = 1
    TUPLE = 2
    SET = 3
    FROZENSET = 4
    BYTEARRAY = 5
    COMPLEX = 6
    DECIMAL = 7
    FRACTION = 8
    UUID = 9
    DATETIME = 10
    DATE = 11
    TIME = 12
    TIMEDELTA = 13
    TIMEZONE = 14
    ZONE_INFO = 15
    PATH = 16
    RANGE = 17
    ENUM = 18
    NAMED_TUPLE = 19
    ATTRS = 20
    DATACLASS = 21
    PYDANTIC = 22
    EXCEPTION = 23
    ORDERED_DICT = 24
    DEFAULT_DICT = 25
    COUNTER = 26
    DEQUE = 27
    NDARRAY = 28
    NUMPY_SCALAR = 29
    PYDANTIC_ZONE = 30
    IP_ADDRESS = 31
    PYDANTIC_URL = 32
    HTTP_MESSAGE = 33


Lowered = tuple[Code, Any]
"""A code with its body: `bytes` for raw codes, otherwise a list or dict of further values."""

Lower = Callable[[Any], Lowered]
Raise = Callable[[Any], Any]


class Refused(Exception):  # noqa: N818  # a signal inside the codec, never shown
    """This very object has no encoding. Becomes an `EncodingError` with the path to it."""

    def __init__(self, value: object, reason: str, remedy: str) -> None:
        super().__init__(reason, remedy)
        self.value = value
        self.reason = reason
        self.remedy = remedy


class Malformed(Exception):  # noqa: N818  # a signal inside the codec, never shown
    """Stored bytes do not fit their code. Becomes a `DecodingError`."""


def shown(text: str) -> str:
    """A text from stored bytes as it may stand in an error: short, and nothing in it acts on a terminal."""
    if len(text) > _LONGEST_SHOWN:
        text = f"{text[:_LONGEST_SHOWN]}… ({len(text) - _LONGEST_SHOWN} more)"
    return text if text.isprintable() else ascii(text)
