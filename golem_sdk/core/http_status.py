"""What retry policies have to know of HTTP: the status of an answer, and when it asks to be asked again."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

__all__ = [
    "LONGEST_RETRY_AFTER_S",
    "FinalError",
    "HttpStatusError",
    "RetryableResult",
    "answer_in",
    "wait_s",
]

LONGEST_RETRY_AFTER_S = 3600.0
"""A server that asks for more patience than this is not asked again."""


class HttpStatusError(Exception):
    """An HTTP response with an error status, as a retry policy sees it. Agent code gets the response.

    Attributes:
        status: the status code.
        retry_after: the response's ``Retry-After`` header.
    """

    def __init__(self, status: int, retry_after: str | None = None) -> None:
        super().__init__(status, retry_after)
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"HTTP status {self.status}"


class RetryableResult(Exception):  # noqa: N818  # it is raised, but is a result unless a policy objects
    """Raised by what performs a call: a result that may be as bad as an error.

    If the retry policy tries ``error`` again, the call is performed once more; otherwise ``result`` is the
    call's result.
    """

    def __init__(self, result: object, error: Exception) -> None:
        super().__init__(result, error)
        self.result = result
        self.error = error


class FinalError(Exception):
    """Raised by what performs a call: ``error`` is its outcome, and no retry policy is asked about it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def answer_in(error: BaseException) -> HttpStatusError | None:
    """The HTTP answer that an exception tells of, ``None`` if it does not.

    Knows exceptions with a ``response`` (httpx, requests, openai, anthropic), which may be a dict
    (botocore's ``ClientError``), and those that are responses themselves (``urllib.error.HTTPError``,
    aiohttp's ``ClientResponseError``).
    """
    if isinstance(error, HttpStatusError):
        return error
    for tell in (_of_metadata, _of_response, _of_answer):
        with suppress(Exception):  # attributes of strangers may be properties, which may fail
            answer = tell(error)
            if answer is not None:
                return answer
    return None


def _of_metadata(error: Any) -> HttpStatusError | None:
    match getattr(error, "response", None):
        case {"ResponseMetadata": {"HTTPStatusCode": int(status), **others}} if _is_status(status):
            return HttpStatusError(int(status), _retry_after(others.get("HTTPHeaders")))
    return None


def _of_response(error: Any) -> HttpStatusError | None:
    return _of_answer(getattr(error, "response", None))


def _of_answer(answer: Any) -> HttpStatusError | None:
    status = _first_status(answer, ("status_code", "status", "code"))
    headers = getattr(answer, "headers", None)
    if status is None or not hasattr(headers, "get"):
        return None
    return HttpStatusError(status, _retry_after(headers))


def _retry_after(headers: Any) -> str | None:
    with suppress(Exception):  # no headers, or something else under their name
        for name in ("Retry-After", "retry-after"):  # a mere dict does not know that both are one
            value = headers.get(name)
            if isinstance(value, str):
                return value
    return None


def _first_status(answer: object, names: tuple[str, ...]) -> int | None:
    for name in names:
        value = getattr(answer, name, None)
        if isinstance(value, int) and _is_status(value):
            return int(value)
    return None


def _is_status(number: int) -> bool:
    return 100 <= number <= 599


def wait_s(retry_after: str | None, now_s: float) -> float:
    """How long an answer asks to wait: seconds, 0 without a (readable) ``Retry-After``.

    Source: RFC 9110, section 10.2.3: a number of seconds, or a date.

    Args:
        retry_after: the header's value.
        now_s: the time, seconds since the epoch.
    """
    if retry_after is None:
        return 0.0
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    from email.utils import parsedate_to_datetime  # takes long to import, and is seldom needed

    try:
        moment = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
    return max(0.0, moment - now_s)
