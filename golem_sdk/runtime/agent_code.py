"""What the machine and the store object to ends a session."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from golem_sdk.core.machine import Mismatch
from golem_sdk.errors import AgentControlSignal, AgentFencedSignal

if TYPE_CHECKING:
    from golem_sdk.runtime.session import Session

__all__ = ["AgentCode"]


class AgentCode(AbstractContextManager[None]):
    """A block in which agent code's wishes are carried out: an objection ends the session."""

    __slots__ = ("session",)

    def __init__(self, session: Session) -> None:
        self.session = session

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None or isinstance(error, AgentControlSignal):
            return
        session = self.session
        if isinstance(error, Mismatch):
            raise session.diverged(error) from None
        raise session.end(AgentFencedSignal(error)) from error
