"""The state of a class agent as values that can be compared, stored and shown."""

from __future__ import annotations

import sys
import sysconfig
from typing import Any

from golem_sdk.codec.values import encode
from golem_sdk.errors import EncodingError

__all__ = ["state_of"]

_DEEPEST = 8
_FOREIGN = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def state_of(instance: object) -> dict[str, bytes]:
    """The attributes of an agent's object by name, encoded.

    What the codec cannot store counts by its type, and if its class is the user's own by its attributes.
    """
    return {name: _encoded(value) for name, value in sorted(_attributes(instance).items())}


def _encoded(value: object) -> bytes:
    try:
        return encode(value)
    except EncodingError:
        return encode(_plain(value, _DEEPEST, frozenset()))


def _plain(value: Any, depth: int, above: frozenset[int]) -> object:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if depth == 0 or id(value) in above:
        return f"<{kind}>"
    try:
        encode(value)
        return value
    except EncodingError:
        pass
    above |= {id(value)}
    match value:
        case dict():
            items = [
                [_plain(key, depth - 1, above), _plain(item, depth - 1, above)]
                for key, item in value.items()
            ]
            return [f"<{kind}>", items]
        case list() | tuple():
            return [f"<{kind}>", [_plain(item, depth - 1, above) for item in value]]
        case set() | frozenset():
            members = [encode(_plain(item, depth - 1, above)) for item in value]
            return [f"<{kind}>", sorted(members)]
    if _is_foreign(type(value)):
        return f"<{kind}>"
    attributes = _attributes(value)
    return [
        f"<{kind}>",
        {name: _plain(item, depth - 1, above) for name, item in sorted(attributes.items())},
    ]


def _attributes(value: object) -> dict[str, Any]:
    found = {str(name): item for name, item in getattr(value, "__dict__", {}).items()}
    for base in type(value).__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return found


def _is_foreign(cls: type[Any]) -> bool:
    """Whether the class belongs to Python or to an installed library: its attributes are its own business."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return file is None or file.startswith(_FOREIGN)
