"""The first structural difference between two values, as text with its path."""

from __future__ import annotations

__all__ = ["first_difference"]

_LONGEST = 120


def first_difference(recorded: object, attempted: object, path: str = "request") -> str:
    """Where two values differ first: ``request["cents"]: recorded 100, attempted 200``. Empty if equal."""
    if type(recorded) is not type(attempted):
        return _pair(path, recorded, attempted)
    if isinstance(recorded, dict) and isinstance(attempted, dict):
        for key in [*recorded, *(k for k in attempted if k not in recorded)]:
            inner = f"{path}[{key!r}]"
            if key not in attempted:
                return f"{inner}: recorded {_short(recorded[key])}, attempted without it"
            if key not in recorded:
                return f"{inner}: recorded without it, attempted {_short(attempted[key])}"
            found = first_difference(recorded[key], attempted[key], inner)
            if found:
                return found
        return ""
    if isinstance(recorded, list | tuple) and isinstance(attempted, list | tuple):
        for at, (left, right) in enumerate(zip(recorded, attempted, strict=False)):
            found = first_difference(left, right, f"{path}[{at}]")
            if found:
                return found
        if len(recorded) != len(attempted):
            return f"{path}: recorded {len(recorded)} items, attempted {len(attempted)}"
        return ""
    return "" if recorded == attempted else _pair(path, recorded, attempted)


def _pair(path: str, recorded: object, attempted: object) -> str:
    return f"{path}: recorded {_short(recorded)}, attempted {_short(attempted)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
