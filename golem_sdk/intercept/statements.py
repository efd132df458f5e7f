"""What there is to say of a statement in SQL: what kind it is, and what is recorded of its values."""

from __future__ import annotations

import copy
import hashlib
import re
from typing import TYPE_CHECKING, Any

from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import EncodingError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CHUNK_ROWS",
    "described",
    "function_type_of",
    "is_full",
    "kept",
    "keyword_of",
    "told",
]

CHUNK_ROWS = 1000
"""So many rows are recorded at once."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_CHUNK_BYTES = 1 << 20
_LONGEST_VALUE = 4096
_COMMENTS = re.compile(r"(?:\s|;|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]+")
_WRITES_INSIDE = re.compile(r"\b(insert|update|delete|replace|merge|into|nextval|setval)\b", re.I)
_IMMUTABLE = frozenset({bool, bytes, float, int, str, type(None)})
_READS = frozenset({"SELECT", "VALUES", "SHOW", "TABLE", "PRAGMA", "EXPLAIN"})


def keyword_of(statement: str) -> str:
    """Its first word, in capitals; comments and brackets before it do not count."""
    start = _COMMENTS.match(statement)
    word = _WORD.match(statement, start.end() if start else 0)
    return word[0].upper() if word else ""


def function_type_of(statement: str) -> FunctionType:
    """A read, if it certainly only reads (functions that write apart); else a write."""
    keyword = keyword_of(statement)
    if keyword == "PRAGMA" and "=" in statement:
        return FunctionType.WRITE_REMOTE
    if keyword in _READS or keyword == "WITH":
        writes = _WRITES_INSIDE.search(statement)
        return FunctionType.WRITE_REMOTE if writes else FunctionType.READ_REMOTE
    return FunctionType.WRITE_REMOTE


def kept(values: Any) -> Any:
    """The values of a statement as they are now: agent code may change its objects before it is made again.

    Args:
        values: one value, or many in a list, tuple or dict. What cannot be copied is given as it is.
    """
    kind = type(values)
    if kind in _IMMUTABLE:
        return values
    if kind is list:
        return [kept(value) for value in values]
    if kind is tuple:
        return tuple(kept(value) for value in values)
    if kind is dict:
        return {key: kept(value) for key, value in values.items()}
    try:
        return bytes(values) if kind is memoryview else copy.deepcopy(values)
    except Exception:  # its own code, and the statement says what is wrong with it
        return values


def described(value: Any) -> str:
    """A value that cannot be recorded, as text that is the same in every life: without its address."""
    return _ADDRESS.sub("", repr(value))


def told(values: Any, adapt: Callable[[Any], Any] = described) -> Any:
    """What is recorded of the values of a statement: they themselves, of long ones a hash.

    Args:
        values: one value, or many in a list, tuple or dict.
        adapt: makes another of a value that cannot be recorded.
    """
    if isinstance(values, dict):
        return {_name(key): told(value, adapt) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [told(value, adapt) for value in values]
    if values is None or type(values) in (int, float, bool):
        return values
    if isinstance(values, bytes | bytearray | memoryview):
        return _shortened(bytes(values), bytes(values))
    if type(values) is str:
        return _shortened(values, values.encode(errors="surrogatepass"))
    return _encodable(values, adapt)


def _name(key: Any) -> Any:
    return str.__str__(key) if isinstance(key, str) else key  # SQLAlchemy has strings of its own


def _shortened(value: str | bytes, data: bytes) -> Any:
    if len(data) <= _LONGEST_VALUE:
        return value
    return ["sha256", hashlib.sha256(data).hexdigest(), len(data)]


def _encodable(value: Any, adapt: Callable[[Any], Any]) -> Any:
    from golem_sdk.codec.values import encode

    try:
        encode(value)
    except EncodingError:
        return adapt(value)
    return value


def is_full(rows: list[Any]) -> bool:
    """Whether so many rows are enough for one entry."""
    if len(rows) >= CHUNK_ROWS:
        return True
    return sum(len(v) for row in rows for v in row if isinstance(v, str | bytes)) >= _CHUNK_BYTES
