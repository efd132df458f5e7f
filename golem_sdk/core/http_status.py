"""What retry policies have to know of HTTP: the status of an answer, and when it asks to be asked again."""

from __future__ import annotations

from typing import Any

__all__ = ["LONGEST_RETRY_AFTER_S", "HttpStatusError", "RetryableResult", "answer_in", "wait_s"]

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


def answer_in(error: BaseException) -> HttpStatusError | None:
    """The HTTP answer that an exception tells of, ``None`` if it does not.

    Knows exceptions with a ``response`` (httpx, requests, openai, anthropic) and those that are
    responses themselves (``urllib.error.HTTPError``, aiohttp's ``ClientResponseError``).
    """
    if isinstance(error, HttpStatusError):
        return error
    for answer in (getattr(error, "response", None), error):
        status = _first_number(answer, ("status_code", "status", "code"))
        headers: Any = getattr(answer, "headers", None)
        if status is not None and hasattr(headers, "get"):
            retry_after = headers.get("Retry-After")
            return HttpStatusError(status, retry_after if isinstance(retry_after, str) else None)
    return None


def wait_s(retry_after: str | None, now_s: float) -> float:
    """How long an answer asks to wait: seconds, 0 without a (readable) ``Retry-After``.

    Source: RFC 9110, section 10.2.3: a number of seconds, or a date.

    Args:
        retry_after: the header's value.
        now_s: the time, seconds since the epoch.
    """
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    from email.utils import parsedate_to_datetime  # takes long to import, and is seldom needed

    try:
        moment = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
    return max(0.0, moment - now_s)


def _first_number(answer: object, names: tuple[str, ...]) -> int | None:
    for name in names:
        value = getattr(answer, name, None)
        if isinstance(value, int) and 100 <= value <= 599:
            return int(value)
    return None
