"""asyncpg in agents: it speaks over connections of asyncio, which are recorded.

What is left to do here: it names statements and the like by a counter of the process. Replay in another
process would write other names, so in agents each connection counts for itself. All else is the business of
`golem_sdk.intercept.asyncio_connections`.
"""

from __future__ import annotations

import asyncio
import functools
import weakref
from itertools import count
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.asyncio_transports import unless_unloaded
from golem_sdk.intercept.patching import Patch, in_agents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

__all__ = ["connection_patches", "pool_patches"]

_counters: weakref.WeakKeyDictionary[Any, Iterator[int]] = weakref.WeakKeyDictionary()


def connection_patches(module: ModuleType) -> list[Patch]:
    """The patches of `asyncpg.connection`."""
    return [
        Patch(module.Connection, "_get_unique_id", _get_unique_id),
        Patch(module.Connection, "__del__", lambda done: unless_unloaded(done, _transport_of)),
    ]


def pool_patches(module: ModuleType) -> list[Patch]:
    """The patch of `asyncpg.pool`."""
    return [Patch(module.Pool, "_acquire", _acquire)]


def _acquire(original: Callable[..., Any]) -> Callable[..., Any]:
    def acquire(pool: Any, timeout: float | None) -> Any:
        session = durability.current_since("asyncpg")
        if session is not None and pool._loop is not asyncio.get_running_loop():
            raise NotDurableError(
                "An agent uses a pool of asyncpg that was made outside of it (by another agent, or by the"
                " program): its connections belong to the event loop there. Nothing was done. Make a pool in"
                " the agent's code, and keep it in the agent (self...)"
            )
        return original(pool, timeout)

    return in_agents(original, acquire)


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
