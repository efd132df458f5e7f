"""Outcomes of durable calls and invocations: encoded results, or encoded exceptions."""

from __future__ import annotations

from typing import Any

from golem_sdk.codec.values import decode, encode
from golem_sdk.core.http_status import FinalError, RetryableResult
from golem_sdk.errors import DecodingError, EncodingError

__all__ = ["failure", "raised", "reveal", "same_outcome", "shortened", "success"]

_LONGEST_TEXT = 32 * 1024


def success(value: object) -> tuple[bytes, bool]:
    """An encoded result and ``False``; or, if the value cannot be stored, that error as a failure (K1).

    The error is the recorded outcome, so that agent code sees the same on replay.
    """
    try:
        return encode(value), False
    except EncodingError as error:
        return failure(error)


def failure(error: BaseException) -> tuple[bytes, bool]:
    """An encoded exception and ``True``."""
    return encode(error), True


def raised(error: BaseException) -> tuple[bytes, bool, BaseException | None]:
    """The outcome of a call whose performing raised ``error``, and what a retry policy is asked about."""
    if isinstance(error, FinalError):
        return (*failure(error.error), None)
    if isinstance(error, RetryableResult):
        return (*success(error.result), error.error)
    return (*failure(error), error)


def shortened(text: str) -> str:
    """A text for the record only, not longer than 32 Ki characters and a note of what is missing."""
    if len(text) <= _LONGEST_TEXT:
        return text
    return f"{text[:_LONGEST_TEXT]}… ({len(text) - _LONGEST_TEXT} characters left out)"


def same_outcome(recorded: bytes, attempted: bytes) -> bool:
    """Whether two outcomes are equal. Of exceptions type, arguments and text count, not where they rose."""
    if recorded == attempted:
        return True
    first, second = decode(recorded), decode(attempted)
    if not isinstance(first, BaseException) or type(first) is not type(second):
        return False
    return encode(first.args) == encode(second.args) and str(first) == str(second)


def reveal(outcome: bytes, failed: bool) -> Any:
    """The result, decoded.

    Raises:
        BaseException: the recorded exception, if the outcome is one.
        DecodingError: the stored bytes are no outcome.
    """
    value = decode(outcome)
    if not failed:
        return value
    if not isinstance(value, BaseException):
        raise DecodingError("a recorded failure is not an exception")
    raise value
