"""Which agent, if any, the running code belongs to."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from golem_sdk.core.scopes import DEFAULT_SCOPE, Scope

if TYPE_CHECKING:
    from golem_sdk.runtime.session import Session

__all__ = ["SCOPE", "SESSION", "current", "current_or_performing"]

SESSION: ContextVar[Session | None] = ContextVar("golem_session", default=None)

SCOPE: ContextVar[Scope] = ContextVar("golem_scope", default=DEFAULT_SCOPE)
"""The guards around the running code."""


def current() -> Session | None:
    """The session of the agent whose code runs here.

    ``None`` outside agents, and while a durable call is being performed, a module imported or garbage
    collected: what happens there is not the agent's own doing.
    """
    session = SESSION.get()
    return None if session is None or session.depth else session


def current_or_performing() -> Session | None:
    """The session this code belongs to, also while it performs a durable call."""
    return SESSION.get()
