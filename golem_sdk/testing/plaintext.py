"""Stored values as JSON that people can read and edit, and back, exactly."""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from typing import Any

from golem_sdk.codec.values import decode, encode

__all__ = ["from_plain", "to_plain"]

_TAG = "$"


def to_plain(value: Any) -> Any:
    """A value as JSON data.

    What JSON does not have becomes an object with the key ``$``: tuples, bytes (as text where they are
    text), and everything else as the codec stores it, with its `repr` beside it for readers.
    """
    match value:
        case None | bool() | str():
            if not isinstance(value, str) or (type(value) is str and _is_text(value)):
                return value
        case int() | float():
            if type(value) in (int, float) and math.isfinite(value):
                return value
        case list() if type(value) is list:
            return [to_plain(item) for item in value]
        case dict() if type(value) is dict and _TAG not in value:
            if all(type(key) is str and _is_text(key) for key in value):
                return {key: to_plain(item) for key, item in value.items()}
        case tuple() if type(value) is tuple:
            return {_TAG: "tuple", "items": [to_plain(item) for item in value]}
        case bytes():
            return _plain_bytes(value)
    return {
        _TAG: "stored",
        "value": b64encode(encode(value)).decode("ascii"),
        "shown": repr(value).encode("utf-8", "backslashreplace").decode("utf-8"),
    }


def from_plain(plain: Any) -> Any:
    """The value again.

    Raises:
        ValueError, KeyError: it is not what `to_plain` gives.
        DecodingError: a stored value cannot be read.
    """
    match plain:
        case list():
            return [from_plain(item) for item in plain]
        case {"$": "tuple", "items": list(items)}:
            return tuple(map(from_plain, items))
        case {"$": "bytes", "text": str(text)}:
            return text.encode("utf-8")
        case {"$": "bytes", "base64": str(text)}:
            return b64decode(text, validate=True)
        case {"$": "stored", "value": str(text)}:
            return decode(b64decode(text, validate=True))
        case {"$": tag}:
            raise ValueError(f"{tag!r} is no kind of value")
        case dict():
            return {key: from_plain(item) for key, item in plain.items()}
    return plain


def _plain_bytes(value: bytes) -> dict[str, str]:
    try:
        return {_TAG: "bytes", "text": value.decode("utf-8")}
    except UnicodeDecodeError:
        return {_TAG: "bytes", "base64": b64encode(value).decode("ascii")}


def _is_text(text: str) -> bool:
    """Whether it can be written to a file: no lone surrogates."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
