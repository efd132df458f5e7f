"""Clients that agents and the bodies of their durable functions share, and that know whether they are closed.

Replay does not run bodies: what one closes or opens, it does for itself only. After it, and beside it, agent
code knows the client as it was. Connections are another matter: what the client has to, is opened when it is
needed, and not in replay.

Does not cover: what else a client keeps, like cookies: the agent's state, which a body is not to change.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.intercept.patching import Patch, as_coroutine_function

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Known"]

_NOTHING: Any = object()


class Known:
    """What agent code knows of clients that bodies use.

    Args:
        attribute: of a client; whether it is closed.
        reopen: has the value work again that the attribute had.
    """

    def __init__(self, attribute: str, reopen: Callable[[Any], None] = lambda value: None) -> None:
        self._attribute = attribute
        self._mark = f"_golem_known{attribute}"
        self._reopen = reopen
        self._marked: set[int] = set()

    def patches(self, kind: type, names: str) -> list[Patch]:
        """Of these methods, which look at the attribute or set it."""
        return [Patch(kind, name, self.watched) for name in names.split()]

    def watched(
        self, original: Callable[..., Any], inside: Callable[..., Any] | None = None
    ) -> Callable[..., Any]:
        """The method, which does the same, for whoever calls it; ``inside``: what it is in agents."""
        nearby, nearby_body, marked = durability.nearby, durability.nearby_body, self._marked
        in_agents = inside or original

        @functools.wraps(original)
        def method(client: Any, *args: Any, **options: Any) -> Any:
            if nearby() is None and nearby_body() is None and not marked:
                return original(client, *args, **options) if options else original(client, *args)
            body = durability.running_body()
            if body is not None:
                if self._mark not in vars(client):
                    marked.add(id(client))
                    vars(client)[self._mark] = getattr(client, self._attribute)
                    body.visit(_Visit(self, client))
            elif self._mark in vars(client):
                self.settle(client)
            return in_agents(client, *args, **options)

        return as_coroutine_function(method) if inspect.iscoroutinefunction(original) else method

    def settle(self, client: Any) -> None:
        """Make of the client what agent code knows."""
        known = vars(client).pop(self._mark, _NOTHING)
        self._marked.discard(id(client))
        if known is not _NOTHING and getattr(client, self._attribute) is not known:
            setattr(client, self._attribute, known)
            self._reopen(known)


class _Visit:
    """A body uses a client."""

    def __init__(self, known: Known, client: Any) -> None:
        self._known = known
        self._client = client

    def body_over(self, error: BaseException | None) -> None:
        """See `golem_sdk.runtime.context.Visited`."""
        self._known.settle(self._client)
