"""Which errors are those of connections and timeouts, also of libraries that are not imported here."""

from __future__ import annotations

import errno

__all__ = ["is_transient"]

_CODES = {
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETRESET,
    errno.ENETUNREACH,
    errno.EPIPE,
    errno.ETIMEDOUT,
}

_ALWAYS = ""
_REASON = "reason"
_KINDS = {
    ("aiohttp", "ClientConnectionError"): _ALWAYS,
    ("aiohttp", "ClientPayloadError"): _ALWAYS,
    ("anthropic", "APIConnectionError"): _ALWAYS,
    ("botocore", "ConnectionError"): _ALWAYS,
    ("botocore", "HTTPClientError"): _ALWAYS,
    ("http", "IncompleteRead"): _ALWAYS,
    ("httpx", "TransportError"): _ALWAYS,
    ("httpx2", "TransportError"): _ALWAYS,
    ("openai", "APIConnectionError"): _ALWAYS,
    ("requests", "ChunkedEncodingError"): _ALWAYS,
    ("requests", "ConnectionError"): _ALWAYS,
    ("requests", "Timeout"): _ALWAYS,
    ("socket", "gaierror"): _ALWAYS,
    ("urllib", "URLError"): _REASON,
    ("urllib3", "MaxRetryError"): _REASON,
    ("urllib3", "ProtocolError"): _ALWAYS,
    ("urllib3", "TimeoutError"): _ALWAYS,
}
"""Top-level package and name of a class: always transient, or as the error in this attribute is."""

_DEEPEST = 8


def is_transient(error: BaseException) -> bool:
    """Whether an error is one of connections or timeouts, which may be gone the next time."""
    for _ in range(_DEEPEST):
        if isinstance(error, ConnectionError | TimeoutError):
            return True
        if isinstance(error, OSError) and error.errno in _CODES:
            return True
        attribute = _rule(error)
        if attribute is None or attribute == _ALWAYS:
            return attribute == _ALWAYS
        reason = getattr(error, attribute, None)  # a mere text in urllib's HTTPError
        if not isinstance(reason, BaseException):
            return False
        error = reason
    return False


def _rule(error: BaseException) -> str | None:
    for kind in type(error).__mro__:
        rule = _KINDS.get((kind.__module__.partition(".")[0], kind.__qualname__))
        if rule is not None:
            return rule
    return None
