"""Writes that must not be made twice: each is announced on disk before it is made.

The public side is `idempotence_mode(False)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from golem_sdk.core.entries import BeginRemoteWrite, EndRemoteWrite
from golem_sdk.runtime.unknown import unknown_write

if TYPE_CHECKING:
    from golem_sdk.core.entries import OplogIndex
    from golem_sdk.core.machine import StartedCall
    from golem_sdk.runtime.operations import Operations

__all__ = ["Announcements"]


class Announcements:
    """The announced writes of one session.

    Attributes:
        newest: the entry that has announced the last one, 0: none was.
    """

    __slots__ = ("newest", "operations")

    def __init__(self, operations: Operations) -> None:
        self.newest: OplogIndex = 0
        self.operations = operations

    def announce(
        self, name: str, request: bytes, fingerprint: int, site: int, task: int
    ) -> OplogIndex:
        """Note that a write is about to be made which must not be made twice.

        Raises:
            AgentControlSignal: it was announced before, and nobody knows what became of it.
        """
        session = self.operations.session
        with session:
            payload = session.writer.keep(request) if session.machine.is_live else request
        number = session.machine.upcoming
        index, recorded = self.operations.mark(
            BeginRemoteWrite(session.now_ns(), number, name, payload, fingerprint, site, task),
            f"call {number}, {name}, is made with idempotence_mode(False)",
        )
        if recorded and index in self.operations.plan.open_begins:
            raise session.park(unknown_write(session, index, name, request, site))
        self.newest = index
        return index

    def announced(self, call: StartedCall) -> StartedCall:
        """The announced call, announced again if an operator has noted that it was not performed.

        Raises:
            AgentControlSignal: that was done before, and again nobody knows what became of it.
        """
        session = self.operations.session
        call = session.machine.pending[call.number]
        if call.begin in self.operations.plan.open_begins:
            if call.number in session.machine.announced_again:
                name, request = call.function_name, call.request
                raise session.park(unknown_write(session, call.begin, name, request, call.site))
            return call
        with session:
            payload = session.writer.keep(call.request)
        begin = BeginRemoteWrite(
            session.now_ns(),
            call.number,
            call.function_name,
            payload,
            call.fingerprint,
            call.site,
            call.task,
        )
        self.newest = session.mark(begin)
        again = evolve(call, begin=self.newest)
        session.machine.pending[call.number] = again
        return again

    def performed(self, call: StartedCall) -> None:
        """Note the end of an announced write, whose outcome was appended just now."""
        session = self.operations.session
        session.writer.append(EndRemoteWrite(session.now_ns(), call.begin))

    def end_announced(self, begin: OplogIndex) -> None:
        """Note the end of an announced write in several parts.

        Raises:
            UsageError: it was ended already, or never begun.
        """
        self.operations.check_open(begin, "no write that is open")
        self._end(begin, "an announced write ends")

    def withdrawn(self, call: StartedCall) -> None:
        """Agent code has cancelled an announced write: it is over, and nobody knows whether it happened."""
        self._end(call.begin, "a write is cancelled")

    def _end(self, begin: OplogIndex, doing: str) -> None:
        now_ns = self.operations.session.now_ns()
        self.operations.mark(EndRemoteWrite(now_ns, begin), doing)

    def under_way(self) -> bool:
        """Whether some task waits for one."""
        return any(call.begin for call in self.operations.session.machine.pending.values())
