"""Names of agents and invocations, and how names are derived from names.

An agent's id is the text of its constructor call, e.g. ``Counter("a")``. The text is injective: two
different lists of arguments never have the same text. Common values are readable, all others appear as
their type and a digest of their encoding.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from uuid import UUID, uuid5

from attrs import frozen

__all__ = [
    "KEY_NAMESPACE",
    "AgentId",
    "agent_id",
    "derive_key",
    "idempotency_namespace",
    "invocation_namespace",
    "storage_key",
]

KEY_NAMESPACE = UUID("6f2d6ff2-2b0b-5d2f-9d0e-5a3c1c3f7a10")
"""Namespace of keys that are not UUIDs themselves (Golem: a fixed root namespace)."""

_LONGEST_KEY = 200
_LONGEST_ARGUMENTS = 1000


@frozen
class AgentId:
    """Identity of an agent: its type's name and its constructor arguments as text.

    ``str()`` gives the id as users read and write it.
    """

    agent_type: str
    text: str

    def __str__(self) -> str:
        return self.text


def agent_id(agent_type: str, args: Sequence[object], encode: Callable[[object], bytes]) -> AgentId:
    """The id of the agent made by calling ``agent_type`` with ``args`` (all bound, defaults filled in).

    Of long arguments it shows a digest.
    """
    text = ", ".join(_text(arg, encode) for arg in args)
    if len(text) > _LONGEST_ARGUMENTS:
        text = f"#{sha256(text.encode()).hexdigest()[:32]}"
    return AgentId(agent_type, f"{agent_type}({text})")


def _text(value: object, encode: Callable[[object], bytes]) -> str:
    match value:
        case None | bool():
            return str(value)
        case str() if type(value) is str:
            return json.dumps(value)
        case int() | float() if type(value) in (int, float):
            return repr(value)
        case list() if type(value) is list:
            return f"[{', '.join(_text(item, encode) for item in value)}]"
        case tuple() if type(value) is tuple:
            inner = ", ".join(_text(item, encode) for item in value)
            return f"({inner},)" if len(value) == 1 else f"({inner})"
        case Mapping() if type(value) is dict:
            return (
                "{"
                + ", ".join(f"{_text(k, encode)}: {_text(v, encode)}" for k, v in value.items())
                + "}"
            )
        case UUID():
            return f"UUID({json.dumps(str(value))})"
    return f"{type(value).__name__}#{sha256(encode(value)).hexdigest()[:32]}"


@lru_cache(maxsize=1024)
def storage_key(text: str) -> bytes:
    """A store key for a name: the name itself, or its beginning and its digest when it is long.

    The two kinds differ in length, so no name can pose as another one's digest.

    Raises:
        ValueError: the name is empty or holds a NUL character (which ends names in composed keys).
    """
    raw = text.encode("utf-8", "surrogatepass")
    if not raw or b"\0" in raw:
        raise ValueError(f"a name must not be empty and must not hold NUL characters: {text!r}")
    if len(raw) <= _LONGEST_KEY:
        return raw
    return raw[: _LONGEST_KEY - 60] + b"##" + sha256(raw).hexdigest().encode()


def idempotency_namespace(key: str) -> UUID:
    """The namespace in which keys are derived from invocation key ``key``."""
    try:
        return UUID(key)
    except ValueError:
        return uuid5(KEY_NAMESPACE, key)


def invocation_namespace(agent_id: str, key: str) -> UUID:
    """From what the keys of an invocation's calls are derived: two agents may be given the same ``key``."""
    return uuid5(idempotency_namespace(key), agent_id)


def derive_key(key: str, position: int) -> UUID:
    """The idempotency key of the call at ``position`` of the invocation with ``key``: same on replay."""
    return uuid5(idempotency_namespace(key), str(position))
