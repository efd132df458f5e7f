"""Idempotency keys: derived from the invocation's key and a position in it, so replay derives the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from golem_sdk.core.ids import derive_key, invocation_namespace
from golem_sdk.runtime.context import SCOPE

if TYPE_CHECKING:
    from uuid import UUID

    from golem_sdk.core.entries import OplogIndex
    from golem_sdk.runtime.session import Session

__all__ = ["Keys"]

_GENERATED = 0
_SAGAS = -(10**9)
"""Positions that no call has, of the keys from which those for agent code, and in sagas, are derived."""


class Keys:
    """The keys of one session's present invocation.

    Attributes:
        invocation: from what the keys are derived: the agent, and the invocation's own key.
    """

    def __init__(self, session: Session) -> None:
        self.invocation = ""
        self._session = session
        self._generated: dict[OplogIndex, int] = {}
        self._called: dict[OplogIndex, int] = {}

    def begin(self, invocation: str) -> None:
        """An invocation begins."""
        self.invocation = invocation_namespace(self._session.agent_id, invocation)
        self._generated, self._called = {}, {}

    def upcoming(self) -> UUID:
        """The key of the next call that starts."""
        scope = SCOPE.get()
        if scope.zone:
            return derive_key(self._of(-scope.zone_number), -1 - self._called.get(scope.zone, 0))
        return derive_key(self._base(), self._session.machine.upcoming)

    def called(self, zone: OplogIndex) -> None:
        """A call was made in a zone: the next one there has another key."""
        self._called[zone] = self._called.get(zone, 0) + 1

    def generate(self) -> UUID:
        """A key for agent code. In a zone that replay skips, its own positions count."""
        self._session.check()
        scope = SCOPE.get()
        count = self._generated[scope.zone] = self._generated.get(scope.zone, 0) + 1
        if scope.zone:
            return derive_key(self._of(-scope.zone_number), count)
        return derive_key(self._of(_GENERATED), -count)

    def _of(self, position: int) -> str:
        return str(derive_key(self._base(), position))

    def _base(self) -> str:
        """From what keys are derived here: each run of a saga, and what follows it, count calls alike."""
        key = self.invocation
        for saga, run in SCOPE.get().runs:
            key = str(derive_key(str(derive_key(key, _SAGAS - saga)), run))
        return key
