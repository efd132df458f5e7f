"""What the parts of a retry policy may be: converters and validators for attrs fields.

All refuse with a `UsageError` that names the parameter, what it takes and what it was given.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, NoReturn

from golem_sdk.errors import UsageError

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = [
    "Validator",
    "any_of",
    "as_float",
    "as_seconds",
    "check_factor",
    "check_seconds",
    "refuse",
    "some_text",
    "whole_number",
]

Validator = Callable[[Any, "Attribute[Any]", Any], None]


def refuse(instance: object, attribute: Attribute[Any], wanted: str, value: object) -> NoReturn:
    """Say which parameter takes what.

    Raises:
        UsageError: always.
    """
    raise UsageError(
        f"{type(instance).__name__}({attribute.name}=...) takes {wanted}, not {value!r}"
    )


def as_float(value: float) -> float:
    """The same number as a plain float; what is no number stays as it is, for a validator to refuse."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    try:
        return float(value)
    except OverflowError:
        return inf


def as_seconds(value: float | timedelta) -> float:
    """Seconds of a number or a timedelta; anything else stays as it is, for a validator to refuse."""
    return value.total_seconds() if isinstance(value, timedelta) else as_float(value)


def check_seconds(instance: object, attribute: Attribute[Any], value: object) -> None:
    """Validates a delay, after `as_seconds`."""
    if not _is_amount(value):
        refuse(instance, attribute, "a number of seconds from 0 or a timedelta", value)


def check_factor(instance: object, attribute: Attribute[Any], value: object) -> None:
    """Validates a factor, after `as_float`."""
    if not _is_amount(value):
        refuse(instance, attribute, "a finite number from 0", value)


def _is_amount(value: object) -> bool:
    return isinstance(value, float) and isfinite(value) and value >= 0


def whole_number(least: int | None = None) -> Validator:
    """Validates a whole number, of at least ``least`` if there is one."""
    wanted = "a whole number" if least is None else f"a whole number from {least}"

    def check(instance: object, attribute: Attribute[Any], value: object) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            refuse(instance, attribute, wanted, value)
        if least is not None and value < least:
            refuse(instance, attribute, wanted, value)

    return check


def some_text(*, empty: bool = False) -> Validator:
    """Validates a text, which may be empty or not."""

    def check(instance: object, attribute: Attribute[Any], value: object) -> None:
        if not isinstance(value, str):
            refuse(instance, attribute, "a text", value)
        if not (value or empty):
            refuse(instance, attribute, "a text that is not empty", value)

    return check


def any_of(*kinds: type, called: str) -> Validator:
    """Validates an object of one of several classes, which the message calls ``called``."""

    def check(instance: object, attribute: Attribute[Any], value: object) -> None:
        if not isinstance(value, kinds):
            refuse(instance, attribute, called, value)

    return check
