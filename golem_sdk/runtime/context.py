"""Which agent, if any, the running code belongs to."""

from __future__ import annotations

from contextvars import ContextVar, copy_context
from threading import get_ident
from typing import TYPE_CHECKING, Protocol

from golem_sdk.core.scopes import DEFAULT_SCOPE, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from golem_sdk.runtime.session import Session

__all__ = [
    "BODY",
    "SCOPE",
    "SESSION",
    "Body",
    "current",
    "current_or_performing",
    "is_stranger",
    "nearby",
    "nearby_body",
    "running_body",
]

SESSION: ContextVar[Session | None] = ContextVar("golem_session", default=None)

SCOPE: ContextVar[Scope] = ContextVar("golem_scope", default=DEFAULT_SCOPE)
"""The guards around the running code."""


def current() -> Session | None:
    """The session of the agent whose code runs here.

    ``None`` outside agents, and while a durable call is being performed, a module imported or garbage
    collected: what happens there is not the agent's own doing.
    """
    session = SESSION.get()
    return None if session is None or (session.depth and _is_left(session)) else session


def _is_left(session: Session) -> bool:
    """Whether no agent code runs on this thread: beside one that collects garbage, others may run it."""
    return session.depth > 1 or session.collector in {0, get_ident()}


def current_or_performing() -> Session | None:
    """The session this code belongs to, also while it performs a durable call."""
    return SESSION.get()


class Visited(Protocol):
    """What agent code has opened, and the body of a durable function uses."""

    def body_over(self, error: BaseException | None) -> Exception | None:
        """The body is over, with this error; gives what is wrong with what it has left."""
        ...


class Body:
    """While the body of a durable function runs.

    Attributes:
        visited: what it has used so far, see `visit`.
        is_over: tasks that it has left behind are not it.
    """

    visited: Sequence[Visited] = ()
    is_over = False
    _outer: Body | None

    def visit(self, used: Visited) -> None:
        """It uses this, and tells it when it is over. Several of its threads may say so at once."""
        vars(self).setdefault("visited", []).append(used)  # no thread comes between

    def __enter__(self) -> None:
        self._outer = BODY.get()
        BODY.set(self)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        BODY.set(self._outer)
        self.is_over = True
        if self.visited:
            wrong = [each.body_over(error) for each in self.visited]
            for found in filter(None, wrong):
                raise found


BODY: ContextVar[Body | None] = ContextVar("golem_body", default=None)


nearby = SESSION.get
"""A look that costs less than `current`: ``None`` outside agents, but not in a durable call's performing."""

nearby_body = BODY.get
"""A look that costs less than `running_body`: it may give one that is over."""


def running_body() -> Body | None:
    """The body of a durable function that runs here; ``None``: none, or one that is over by now."""
    body = BODY.get()
    return None if body is None or body.is_over else body


def is_stranger() -> bool:
    """Whether this code is neither an agent's nor part of what a durable call performs.

    It is a thread that a body of a durable function has started, a task that one has left behind, or the
    program around.
    """
    body = BODY.get()
    return body.is_over if body is not None else SESSION not in copy_context()
