"""Where two values differ first, as text with its path; and which recorded calls agent code did not make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from golem_sdk.core.entries import (
    Entry,
    ExportedFunctionCompleted,
    ExportedFunctionInvoked,
    ImportedFunctionInvoked,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from golem_sdk.core.machine import StartedCall

__all__ = ["first_difference", "is_recorded", "left_out"]

_LONGEST = 120


def left_out(
    ahead: Sequence[Entry], attempted: StartedCall | None
) -> list[ImportedFunctionInvoked]:
    """The calls that agent code left out, if it agrees again with what is recorded behind them.

    Args:
        ahead: what is recorded next in this invocation, and perhaps in later ones.
        attempted: the call that agent code makes instead; ``None``: it is at its end.
    """
    found: list[ImportedFunctionInvoked] = []
    for entry in ahead:
        match entry:
            case ImportedFunctionInvoked():
                if attempted is not None and _is_same(entry, attempted):
                    return found
                found.append(entry)
            case ExportedFunctionCompleted():
                return found if attempted is None else []
            case ExportedFunctionInvoked():
                break
    return []


def is_recorded(ahead: Sequence[Entry], attempted: StartedCall) -> bool:
    """Whether a call to the same function, whatever its arguments, is recorded further on."""
    return any(
        isinstance(entry, ImportedFunctionInvoked)
        and entry.function_name == attempted.function_name
        for entry in ahead
    )


def _is_same(entry: ImportedFunctionInvoked, attempted: StartedCall) -> bool:
    return (entry.function_name, entry.function_type, entry.fingerprint) == (
        attempted.function_name,
        attempted.function_type,
        attempted.fingerprint,
    )


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
