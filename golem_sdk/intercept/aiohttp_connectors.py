"""The real connectors behind those of agents: twins on the host loop, which connect in the same way."""

from __future__ import annotations

import asyncio
import functools
import weakref
from typing import TYPE_CHECKING, Any

from golem_sdk import durability

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["TWIN", "Twins", "is_here"]

_SETTINGS = frozenset(
    {
        "_family",
        "_happy_eyeballs_delay",
        "_interleave",
        "_keepalive_timeout",
        "_local_addr_infos",
        "_socket_factory",
        "_ssl",
        "_use_dns_cache",
    }
)
"""What a connector was told about connecting, besides what it is made with below."""

TWIN = "_golem_twin"
"""What a connector has under this name: what stops its twin when it is collected."""

_HARMLESS = frozenset({"_close", "close"})
"""What a class derived from a connector's may change: it is called on the agent's side, too."""


class Twins:
    """The twins of the connectors that agents have made.

    Args:
        library: aiohttp.
    """

    def __init__(self, library: ModuleType) -> None:
        self._library: Any = library

    def has(self, connector: Any) -> bool:
        """Whether a connector can have one: it connects in one of aiohttp's ways."""
        kind = self._kind_of(connector)
        return kind is not None and not self._resolves_by_loop(connector)

    def of(self, connector: Any) -> Any:
        """The connector on the host loop, which asks for it, that does what the agent's would do."""
        known = vars(connector).get(TWIN)
        if known is None:
            twin = self._made_like(connector)
            known = weakref.finalize(connector, _stop, twin, asyncio.get_running_loop())
            known.atexit = False
            vars(connector)[TWIN] = known
            return twin
        return known.peek()[2][0]

    def close(self, connector: Any) -> None:
        """Close the twin, which there is."""
        dropped = vars(connector).pop(TWIN)
        session = durability.current()
        if session is not None:
            _, _, (twin, _), _ = dropped.detach()
            durability.host_call(session, functools.partial(_close, twin))
        else:
            dropped()

    def _made_like(self, connector: Any) -> Any:
        kind = self._kind_of(connector)
        options: dict[str, Any] = {
            "limit": connector.limit,
            "limit_per_host": connector.limit_per_host,
            "force_close": connector.force_close,
        }
        if kind is self._library.UnixConnector:
            options["path"] = connector.path
        else:
            options["resolver"] = self._resolver_of(connector)
        twin = kind(**options)
        known = vars(connector)
        vars(twin).update({name: known[name] for name in _SETTINGS & known.keys()})
        return twin

    def _kind_of(self, connector: Any) -> Any:
        """The class of aiohttp that says how it connects; ``None``: it has a way of its own."""
        kinds = (self._library.TCPConnector, self._library.UnixConnector)
        base = next((kind for kind in kinds if isinstance(connector, kind)), None)
        kind = type(connector)
        return base if base is None or kind is base or _connects_like(kind, base) else None

    def _resolver_of(self, connector: Any) -> Any:
        """The user's resolver of names; ``None``: one of aiohttp's, which belongs to a loop."""
        resolver = connector._resolver
        aiohttps = (self._library.ThreadedResolver, self._library.AsyncResolver)
        return None if type(resolver) in aiohttps else resolver

    def _resolves_by_loop(self, connector: Any) -> bool:
        """Whether its user has given it a resolver with settings that belongs to the agent's loop."""
        if getattr(connector, "_resolver_owner", True):
            return False
        return isinstance(connector._resolver, self._library.AsyncResolver)


def is_here(connector: Any) -> bool:
    """Whether it belongs to the loop that runs."""
    return connector._loop is asyncio._get_running_loop()


def _connects_like(kind: type, base: type) -> bool:
    """Whether a class derived from a connector's changes nothing of how it connects."""
    own = [each for each in kind.__mro__ if each not in base.__mro__]
    changed = {name for each in own for name in vars(each) if not name.startswith("__")}
    return changed.isdisjoint({*dir(base)} - _HARMLESS)


async def _close(twin: Any) -> None:
    await twin.close()


def _stop(twin: Any, loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_closed():
        asyncio.run_coroutine_threadsafe(_close(twin), loop)
