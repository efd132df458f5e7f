"""The state of class agents as values that can be compared, stored and shown."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from golem_sdk.codec.values import encode
from golem_sdk.errors import AgentFailedError, EncodingError
from golem_sdk.runtime.definitions import definition_named
from golem_sdk.runtime.loading import load_session
from golem_sdk.stores.heads import load_heads

if TYPE_CHECKING:
    from golem_sdk.runtime.kernel import Kernel

__all__ = ["States", "look_at_agents", "state_of", "unload_agents"]

States = Mapping[str, Mapping[str, bytes]]
"""Of every class agent, by its id: its attributes, encoded."""

_DEEPEST = 8
_FOREIGN = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def look_at_agents(kernel: Kernel, rest: Callable[[], None], *, functions: bool = False) -> States:
    """Have agents replayed that are not in memory, and look at the objects of class agents.

    Args:
        kernel: the running system.
        rest: returns when nothing goes on any more.
        functions: have function agents replayed, too; there is nothing to look at.
    """
    found = {}
    for head in list(load_heads(kernel.engine)):
        is_class = definition_named(head.agent_type).is_class
        if not is_class and not functions:
            continue
        with kernel.holding(head.agent_type, head.agent_id) as actor:
            loads = actor.session is None
            if loads:
                with suppress(AgentFailedError):  # it is parked
                    actor.session = load_session(kernel, actor)
        if loads and actor.session is not None:
            actor.wake()
            rest()
        if is_class and actor.session is not None:
            found[head.agent_id] = state_of(actor.session.instance)
    return found


def unload_agents(kernel: Kernel) -> None:
    """Drop every agent from memory that has nothing to do."""
    with kernel._mutex:
        for actor in list(kernel._resting.values()):
            kernel._evict(actor)


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
