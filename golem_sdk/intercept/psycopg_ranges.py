"""Ranges of PostgreSQL in the rows that agents read: psycopg has classes for them, which are no plain values.

Does not cover: ranges of types that a database has defined itself.
"""

from __future__ import annotations

from typing import Any

__all__ = ["lowered", "raised"]

_RANGES = frozenset({3904, 3906, 3908, 3910, 3912, 3926})
_MULTIRANGES = frozenset({4451, 4532, 4533, 4534, 4535, 4536})
_ARRAYS = frozenset({3905, 3907, 3909, 3911, 3913, 3927, 6150, 6151, 6152, 6153, 6155, 6157})
_OIDS = _RANGES | _MULTIRANGES | _ARRAYS
"""Of the types, as the server has them."""


def lowered(columns: list[list[Any]], rows: list[list[Any]]) -> list[list[Any]]:
    """Rows as they are recorded."""
    return _mapped(columns, rows, _lower)


def raised(columns: list[list[Any]] | None, rows: list[list[Any]]) -> list[list[Any]]:
    """Recorded rows as psycopg gives them."""
    return _mapped(columns or [], rows, _raise)


def _mapped(columns: list[list[Any]], rows: list[list[Any]], change: Any) -> list[list[Any]]:
    places = [place for place, column in enumerate(columns) if column[1] in _OIDS]
    if not places:
        return rows
    changed = [row.copy() for row in rows]  # they may be compared with those of another life
    for row in changed:
        for place in places:
            row[place] = change(row[place])
    return changed


def _lower(value: Any) -> Any:
    from psycopg.types.multirange import Multirange
    from psycopg.types.range import Range

    if isinstance(value, Range):
        return {"range": [value.lower, value.upper, value.bounds]}
    if isinstance(value, Multirange):
        return {"ranges": [_lower(each) for each in value]}
    return [_lower(each) for each in value] if isinstance(value, list) else value


def _raise(value: Any) -> Any:
    from psycopg.types.multirange import Multirange
    from psycopg.types.range import Range

    match value:
        case {"range": [lower, upper, bounds]}:
            return Range(lower, upper, bounds) if bounds else Range(empty=True)
        case {"ranges": list() as ranges}:
            return Multirange([_raise(each) for each in ranges])
        case list():
            return [_raise(each) for each in value]
    return value
