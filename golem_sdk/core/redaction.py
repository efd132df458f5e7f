"""Secrets are taken out before a request is stored: they must not reach the oplog.

Of the headers an allow-list is stored as it is. Those whose name says that they are secret keep it, with
``<redacted:…>`` and the first eight hexadecimal digits of the value's SHA-256, which tells two secrets
apart (and lets a guessed one be confirmed); all others are left out. The user name and password of a
URL, and query parameters with such a name, are treated alike. None of it is compared on replay, so keys
can be rotated while an agent sleeps.

Does not cover: secrets in the path of a URL or under harmless names; request bodies are stored as their
hash only, response headers and bodies exactly, because agent code needs them again on replay.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "fingerprint_of_secret",
    "names_secret",
    "stored_headers",
    "stored_url",
    "without_url_secrets",
]

_ALLOWED = frozenset(
    {
        "content-encoding",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-unmodified-since",
        "prefer",
        "range",
    }
)
_WORDS = "apikey|auth|code|credential|jwt|key|passwd|password|pwd|secret|sid|sig|signature|token"
_CAMEL = "(?-i:[a-z0-9](?:Auth|Code|Credential|Jwt|Key|Password|Secret|Signature|Token))|accesskey"
_NAME = rf"(?:(?:[\w.-]*(?:[_.-]|%5F|%2D))?(?:{_WORDS})|[\w.-]*(?:{_CAMEL}))(?:\[\])?"
_QUERY = re.compile(rf"([?&;#]{_NAME}=)([^&;#\s\"<>]+)", re.IGNORECASE)
_SECRET_HEADER = re.compile(rf"authorization|cookie|(?:{_WORDS})$")
_USER = re.compile(r"(?<=://)[^/?#\s\"'<>]+(?=@)")


def fingerprint_of_secret(value: str) -> str:
    """What is stored in a secret's place."""
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
    return f"<redacted:{digest[:8]}>"


def names_secret(name: str) -> bool:
    """Whether a header, a field or a parameter with this name holds a secret."""
    found = _SECRET_HEADER.search(name.lower()) or re.fullmatch(_NAME, name, re.IGNORECASE)
    return found is not None


def stored_headers(headers: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Request headers as they are stored: ``[[name, value], ...]``, names in lower case."""
    stored = []
    for given, value in headers:
        name = given.lower()
        if name in _ALLOWED:
            stored.append([name, value])
        elif _SECRET_HEADER.search(name):
            stored.append([name, fingerprint_of_secret(value)])
    return stored


def stored_url(url: str) -> str:
    """The URL as it is stored."""
    url = _USER.sub(lambda found: fingerprint_of_secret(found[0]), url)
    return _QUERY.sub(lambda found: found[1] + fingerprint_of_secret(found[2]), url)


def without_url_secrets(text: str) -> str:
    """The text with its secrets in URLs blanked: for log entries, and for comparing on replay."""
    if "://" not in text and "=" not in text:
        return text
    return _QUERY.sub(r"\1<redacted>", _USER.sub("<redacted>", text))
