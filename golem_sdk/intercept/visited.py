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
        self._visits: set[_Visit] = set()

    def patches(self, kind: type, names: str) -> list[Patch]:
        """Of these methods, which look at the attribute or set it."""
        return [Patch(kind, name, self.watched) for name in names.split()]

    def watched(
        self, original: Callable[..., Any], inside: Callable[..., Any] | None = None
    ) -> Callable[..., Any]:
        """The method, which looks first who calls it, and has what agent code knows kept or made so again.

        Args:
            original: what is replaced, and is called at once outside agents while no body uses a client.
            inside: what is called else; takes the same, and asks for itself what is to be done.
        """
        nearby, nearby_body, visits = durability.nearby, durability.nearby_body, self._visits
        call = inside or original

        @functools.wraps(original)
        def method(client: Any, *args: Any, **options: Any) -> Any:
            if nearby() is None and nearby_body() is None and not visits:
                return original(client, *args, **options) if options else original(client, *args)
            body = durability.running_body()
            if body is None:
                self.settle(client)
            elif self._mark not in vars(client):
                self._begin(client, body)
            return call(client, *args, **options)

        return as_coroutine_function(method) if inspect.iscoroutinefunction(original) else method

    def _begin(self, client: Any, body: durability.Body) -> None:
        known, visit = getattr(client, self._attribute), _Visit(self, client)
        self._visits.add(visit)  # before the mark: outside, nobody looks for that without a visit
        vars(client).setdefault(self._mark, known)  # another thread of the body may have come first
        body.visit(visit)

    def end(self, visit: _Visit, client: Any) -> None:
        """The body is over that has used the client."""
        self._visits.discard(visit)
        self.settle(client)

    def settle(self, client: Any) -> None:
        """Make of the client what agent code knows."""
        known = vars(client).pop(self._mark, _NOTHING)
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
        self._known.end(self, self._client)
