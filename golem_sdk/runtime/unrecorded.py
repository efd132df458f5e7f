"""Calls that replay does not meet: local ones and those in a PERSIST_NOTHING zone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from golem_sdk.core.entries import (
    DescribeCallSite,
    ImportedFunctionInvoked,
    ObservedFunctionCall,
)
from golem_sdk.core.machine import StartedCall
from golem_sdk.errors import NotDurableError

if TYPE_CHECKING:
    from golem_sdk.core.function_type import FunctionType
    from golem_sdk.core.scopes import Scope
    from golem_sdk.runtime.mailbox import Mail
    from golem_sdk.runtime.session import Session

__all__ = ["Unrecorded"]


class Unrecorded:
    """The unrecorded calls of one session. Their numbers are negative: they have no place in its order."""

    __slots__ = ("_started", "_told", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self._started = 0
        self._told: set[int] = set()

    def start(
        self, name: str, function_type: FunctionType, request: bytes, scope: Scope
    ) -> StartedCall:
        """Number a call that is made without being recorded.

        Raises:
            NotDurableError: replay skips the zone in which it is made.
        """
        if scope.zone_skipped:
            raise NotDurableError(
                f"{name} was called in the replay of a block under PersistenceLevel.PERSIST_NOTHING, where"
                " nothing is done again. Write the block as `if is_live(): <do it>`, and keep what the agent"
                " needs of it with golem_sdk.durability.persist_durable_function_invocation()"
            )
        self._started += 1
        number = -self._started
        keys, site = self.session.keys, self.session.sites.here()
        if scope.zone:
            self._told.add(number)
        strand, position = keys.called(scope.zone)
        return StartedCall(
            number, name, function_type, request, 0, site, 0, strand=strand, position=position
        )

    def completed(self, call: StartedCall, mail: Mail) -> ImportedFunctionInvoked:
        """The outcome of such a call. In a zone it is also told in the oplog, for the record."""
        session = self.session
        if call.number in self._told:
            self._told.remove(call.number)
            if session.machine.is_live:
                with session:
                    self._tell(call, mail)
        return ImportedFunctionInvoked(
            session.machine.now,
            call.number,
            call.function_name,
            int(call.function_type),
            call.request,
            call.fingerprint,
            mail.outcome,
            mail.failed,
            call.site,
            call.task,
        )

    def _tell(self, call: StartedCall, mail: Mail) -> None:
        session = self.session
        writer = session.writer
        site = session.sites.undescribed(call.site) if call.site else None
        if site is not None:
            writer.append(DescribeCallSite(session.now_ns(), call.site, *site))
        writer.append(
            ObservedFunctionCall(
                session.now_ns(),
                call.function_name,
                int(call.function_type),
                writer.keep(call.request),
                writer.keep(mail.outcome),
                mail.failed,
                call.site,
            )
        )
