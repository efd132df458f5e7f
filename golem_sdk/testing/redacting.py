"""Takes secrets out of recorded values, by the rules of `golem_sdk.core.redaction`.

A secret is what stands under a name that says so: in a dict, in a pair of name and value (a header), in the
query or the user part of a URL, or in a text or bytes that are JSON. What was found once is blanked
everywhere, in the results of calls, too: agents that are given a placeholder pass it on.
"""

from __future__ import annotations

import json
from typing import Any

from golem_sdk.codec.values import decode, encode
from golem_sdk.core.redaction import fingerprint_of_secret, names_secret, stored_url

__all__ = ["Secrets", "redacted"]

_HARMLESS = frozenset({"code", "key", "sid", "sig"})
"""Secret in a URL; as the name of a field they are mostly something else."""

_SHORTEST = 6
"""A shorter secret is blanked where it stands; elsewhere it might be anything."""


def redacted(value: Any) -> Any:
    """A value without the secrets that it shows itself."""
    secrets = Secrets()
    secrets.find(value)
    return secrets.without(value)


class Secrets:
    """Secrets that were found so far."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def find(self, value: Any, name: object = "") -> None:
        """Look for secrets in a value that stands under ``name``."""
        if isinstance(value, str | bytes) and _is_secret(name):
            self._add(value if isinstance(value, str) else value.decode("utf-8", "replace"))
        elif isinstance(value, str | bytes):
            self._find_in_json(value)
        elif isinstance(value, dict):
            for key, item in value.items():
                self.find(item, key)
        elif isinstance(value, list | tuple):
            is_pair = len(value) == 2 and isinstance(value[0], str | bytes)
            for item in value:
                self.find(item, value[0] if is_pair and item is not value[0] else "")

    def without(self, value: Any, name: object = "") -> Any:
        """The value with a placeholder in place of each secret."""
        kind = type(value)
        if kind in (str, bytes):
            return self._blanked(value, is_secret=_is_secret(name))
        if kind is dict:
            return {key: self.without(item, key) for key, item in value.items()}
        if kind in (list, tuple):
            is_pair = len(value) == 2 and isinstance(value[0], str | bytes)
            first = value[0] if is_pair else ""
            return kind([self.without(i, first if i is not first else "") for i in value])
        if kind in (type(None), bool, int, float):
            return value
        return self._masked(value)

    def _add(self, secret: str) -> None:
        if secret and not secret.startswith("<redacted:"):
            self._found[secret] = fingerprint_of_secret(secret)

    def _find_in_json(self, text: str | bytes) -> None:
        if text.lstrip()[:1] not in ("{", "[", b"{", b"["):
            return
        try:
            parsed = json.loads(text)
        except ValueError:
            return
        self.find(parsed)

    def _blanked(self, value: Any, *, is_secret: bool) -> Any:
        if isinstance(value, bytes):
            text = value.decode("utf-8", "surrogateescape")
            return self._blanked(text, is_secret=is_secret).encode("utf-8", "surrogateescape")
        if is_secret and value in self._found:
            return self._found[value]
        for secret, placeholder in self._found.items():
            if len(secret) >= _SHORTEST:
                value = value.replace(secret, placeholder)
        return stored_url(value) if "://" in value and "<redacted:" not in value else value

    def _masked(self, value: Any) -> Any:
        """Objects are not taken apart: a secret in what is stored of one is overwritten at its length."""
        packed = plain = encode(value)
        for secret in self._found:
            data = secret.encode("utf-8", "surrogatepass")
            if len(data) >= _SHORTEST:
                packed = packed.replace(data, b"*" * len(data))
        return value if packed == plain else decode(packed)


def _is_secret(name: object) -> bool:
    if isinstance(name, bytes):
        name = name.decode("utf-8", "replace")
    return isinstance(name, str) and name.lower() not in _HARMLESS and names_secret(name)
