"""Whether a write with an unknown outcome may be sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from golem_sdk.durability import SCOPE, Session, current
from golem_sdk.errors import UsageError
from golem_sdk.guards.base import Guard

if TYPE_CHECKING:
    from golem_sdk.core.scopes import Scope

__all__ = ["get_idempotence_mode", "idempotence_mode", "set_idempotence_mode"]


class _IdempotenceMode(Guard):
    def __init__(self, idempotent: bool) -> None:
        self._idempotent = idempotent

    def _enter(self, session: Session, scope: Scope) -> tuple[Scope, None]:
        return evolve(scope, idempotent=self._idempotent), None


def idempotence_mode(idempotent: bool) -> Guard:
    """Say whether remote writes in a block may be sent again when nobody knows whether they happened.

    ``True``, the default: after a crash in the middle of a write it is sent again, under the same
    idempotency key: at least once. ``False``: each write is announced on disk first and never sent again:
    at most once. A crash in the middle parks the agent with `UnknownOutcomeError`, which names the call; an
    operator then says what happened. Such writes are not retried either.

    Raises:
        UsageError: the argument is no bool.

    Example:
        >>> from golem_sdk import Runtime, agent, durable, idempotence_mode
        >>> @durable
        ... def wire(cents: int) -> str:
        ...     return f"sent {cents}"
        >>> @agent
        ... def payout(cents: int) -> str:
        ...     with idempotence_mode(False):
        ...         return wire(cents)
        >>> with Runtime.memory() as runtime:
        ...     runtime.run(payout, 500)
        'sent 500'
    """
    return _IdempotenceMode(_checked(idempotent))


def get_idempotence_mode() -> bool:
    """The mode of the code that asks."""
    return SCOPE.get().idempotent


def set_idempotence_mode(idempotent: bool) -> None:
    """Set the mode from here to the end of the block, task or invocation. Does nothing outside agents.

    Raises:
        UsageError: the argument is no bool.
    """
    _checked(idempotent)
    if current() is not None:
        SCOPE.set(evolve(SCOPE.get(), idempotent=idempotent))


def _checked(idempotent: object) -> bool:
    if not isinstance(idempotent, bool):
        raise UsageError(f"the idempotence mode is True or False, not {idempotent!r}")
    return idempotent
