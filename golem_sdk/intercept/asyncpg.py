"""asyncpg in agents: it speaks over connections of asyncio, which are recorded.

What is left to do here: it names statements and the like by a counter of the process. Replay in another
process would write other names, so in agents each connection counts for itself. All else is the business of
`golem_sdk.intercept.asyncio_connections`.
"""

from __future__ import annotations

import functools
import weakref
from itertools import count
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.intercept.asyncio_transports import unless_unloaded
from golem_sdk.intercept.patching import Patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

__all__ = ["connection_patches"]

_counters: weakref.WeakKeyDictionary[Any, Iterator[int]] = weakref.WeakKeyDictionary()


def connection_patches(module: ModuleType) -> list[Patch]:
    """The patches of `asyncpg.connection`."""
    return [
        Patch(module.Connection, "_get_unique_id", _get_unique_id),
        Patch(module.Connection, "__del__", lambda done: unless_unloaded(done, _transport_of)),
    ]


def _transport_of(connection: Any) -> Any:
    return connection._transport


def _get_unique_id(original: Callable[[Any, str], str]) -> Callable[[Any, str], str]:
    @functools.wraps(original)
    def get_unique_id(connection: Any, prefix: str) -> str:
        if durability.current_since("asyncpg") is None:
            return original(connection, prefix)
        counter = _counters.setdefault(connection, count(1))
        return f"__golem_{prefix}_{next(counter):x}__"

    return get_unique_id
