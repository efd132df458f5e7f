"""What agent code says about its own oplog: atomic regions, places to jump to, levels, announced writes.

Each is an entry that replay must meet where the code makes it. All of it is decided by the plan: a begin
without its end, met in replay, is where a crash or a failed attempt left the agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from attrs import evolve

from golem_sdk.core.entries import (
    BeginAtomicRegion,
    BeginRemoteWrite,
    ChangePersistenceLevel,
    EndAtomicRegion,
    EndRemoteWrite,
    Entry,
    Jump,
    NoOp,
    OplogIndex,
    OplogRegion,
)
from golem_sdk.core.scopes import PersistenceLevel
from golem_sdk.core.spans import Spans
from golem_sdk.errors import AgentSuspendedSignal, UsageError
from golem_sdk.runtime.context import SCOPE
from golem_sdk.runtime.unknown import unknown_region, unknown_write

if TYPE_CHECKING:
    from golem_sdk.core.machine import StartedCall
    from golem_sdk.core.plan import Plan
    from golem_sdk.runtime.session import Session

__all__ = ["Operations"]

E = TypeVar("E", bound=Entry)


class Operations:
    """The begins, ends and jumps of one session.

    Attributes:
        levels: how often the present invocation has changed the persistence level.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._invoked = 0
        self._announced = 0
        self._running_again = 0
        self._manual: list[tuple[OplogIndex, int]] = []  # begins, and outcomes given before them
        self._spans = Spans()
        self._sagas = 0
        self.levels = 0

    @property
    def _plan(self) -> Plan:
        return self._session.writer.plan

    def invoked(self, index: OplogIndex) -> None:
        """An invocation begins with entry ``index``; no jump reaches back before it."""
        self._invoked = index
        self._manual.clear()
        self._spans = Spans()
        self._sagas = self.levels = 0

    # --- atomic regions ---------------------------------------------------------------------------

    def begin_region(self) -> OplogIndex:
        """Open an atomic region; if it was never closed, everything in it is dropped and runs again."""
        index, recorded = self._mark(
            BeginAtomicRegion(self._session.now_ns()), "an atomic region is opened"
        )
        if recorded and index in self._plan.open_begins:
            self._running_again = index
            self._rerun(index)
        return index

    def may_have_been_made(self, region: OplogIndex) -> bool:
        """Whether a call that starts now may have been performed before.

        By a life that has crashed, or by an earlier run of the outermost region that it is in; ``region`` is
        that of the guards, 0: none.
        """
        if not self._session.machine.progressed:
            return True
        outermost = region or (self._manual[0][0] if self._manual else 0)
        return 0 < outermost == self._running_again

    def end_region(self, begin: OplogIndex) -> None:
        """Close an atomic region, and those in it that agent code was to close by their index.

        Raises:
            UsageError: there is no open region with this begin.
        """
        while self._manual and self._manual[-1][0] > begin:
            inner, _ = self._manual.pop()
            self.end_region(inner)
        self._check_open(begin, BeginAtomicRegion, "no atomic region that is open")
        self._mark(EndAtomicRegion(self._session.now_ns(), begin), "an atomic region is closed")

    def retry_region(self, begin: OplogIndex, outcomes: int, error: Exception) -> None:
        """``error`` leaves the outermost region opened at ``begin``: run it again, or give up.

        Returns only if it is not to run again. It is not when nothing was done in it (``outcomes`` had been
        given before it), when something in it must not be done twice, or when the policy has had enough.

        Raises:
            AgentControlSignal: unwinds the agent, which replay then brings back to the begin.
        """
        session = self._session
        if not session.machine.is_live or session.machine.outcomes == outcomes:
            return
        if self._announced > begin:
            return
        note = session.retries.of_region(begin, error)
        if note is None:
            return
        session.close_with(note)
        session.suspended = note.due
        raise session.end(AgentSuspendedSignal("an atomic region failed; it runs again"))

    def obstacle(self, begin: OplogIndex) -> str:
        """Why the region cannot be closed: a write announced in it is still under way elsewhere."""
        for call in self._session.machine.pending.values():
            if call.begin > begin:
                return (
                    f"the atomic region cannot be closed: {call.function_name} was started in it with"
                    " idempotence_mode(False) and is still under way in another task. Await it inside the"
                    " region"
                )
        return ""

    def open_manually(self) -> OplogIndex:
        """Open a region that agent code closes by its index."""
        begin = self.begin_region()
        self._manual.append((begin, self._session.machine.outcomes))
        return begin

    def close_manually(self, begin: OplogIndex) -> None:
        """Close it.

        Raises:
            UsageError: it is not the one that was opened last.
        """
        newest = self._manual[-1][0] if self._manual else 0
        if newest != begin or not newest:
            opened = f"the one opened last is {newest}" if newest else "none is open"
            raise UsageError(f"operation {begin!r} cannot be ended: {opened}")
        self._manual.pop()
        self.end_region(begin)

    def end_invocation(self, error: BaseException | None) -> None:
        """The invocation's code is over: whatever agent code left open is closed, or runs again."""
        self._session.custom.end_invocation()
        if self._manual:
            begin, outcomes = self._manual[0]
            if isinstance(error, Exception):
                self.retry_region(begin, outcomes, error)
            self.end_region(self._manual[0][0])
            self._manual.clear()

    def close_regions(self) -> None:
        """All the invocation's code is over: close the regions of blocks that were entered and never left.

        Else the next replay would take them for interrupted, and drop the invocation's result.
        """
        for begin in self._spans.open_regions():
            self.end_region(begin)

    def in_manual_region(self) -> bool:
        """Whether a region is open that agent code is to close by its index."""
        return bool(self._manual)

    # --- places in the oplog ----------------------------------------------------------------------

    def here(self) -> OplogIndex:
        """The index of a new entry that marks this place."""
        index, _ = self._mark(NoOp(self._session.now_ns()), "get_oplog_index() was called")
        return index

    def place(self, what: str) -> OplogIndex:
        """The index of a new entry at which ``what`` begins, which counts how often it is jumped back to.

        Raises:
            UsageError: the code is in something that runs again as a whole, and with it this entry: the
                jumps back to it could not be counted. (Where another task is in such a thing, they are
                refused.)
        """
        scope = SCOPE.get()
        for begin in (scope.region, scope.zone, *(begin for begin, _ in self._manual)):
            if self._spans.is_open(begin):
                raise UsageError(f"{what} cannot begin here. {_whole(begin)}. Put it around that")
        return self.here()

    def begin_saga(self) -> tuple[OplogIndex, tuple[int, int]]:
        """A saga begins that runs again if it fails: where, and (for `Scope.runs`) which one and run it is.

        Raises:
            UsageError: it could not be jumped back to.
        """
        start = self.place("saga(infallible=True)")
        self._sagas += 1
        return start, (self._sagas, self.jumps_to(start))

    def jump(self, target: OplogIndex) -> None:
        """Drop everything after ``target`` and run on from there.

        Had it happened, replay would not come here: in replay it is refused again, or ignored.

        Raises:
            UsageError: it cannot be jumped to.
            AgentControlSignal: unwinds the agent, which replay then brings back to the target.
        """
        session = self._session
        live = session.machine.is_live
        last = session.writer.last if live else session.machine.agreed[-1][0]
        if target > last:
            raise UsageError(f"cannot jump ahead to oplog index {target}: there is nothing yet")
        if target < self._invoked:
            raise UsageError(
                f"cannot jump back to oplog index {target}: this invocation began at {self._invoked}, and"
                " what came before has been answered"
            )
        if not self._plan.regions.is_visible(target):
            raise UsageError(f"cannot jump to oplog index {target}: an earlier jump has dropped it")
        begin = self._spans.around(target)
        if begin:
            raise UsageError(
                f"cannot jump back to oplog index {target}. {_whole(begin)}. Jump there or further back"
            )
        if session.machine.pending:
            names = ", ".join(call.function_name for call in session.machine.pending.values())
            raise UsageError(f"cannot jump while durable calls are under way: {names}")
        if self._announced > target:
            raise UsageError(
                f"cannot jump back to oplog index {target}: a write made with idempotence_mode(False) at"
                f" {self._announced} would be sent again"
            )
        if not live:
            return
        session.close_with(Jump(session.now_ns(), OplogRegion(target + 1, last + 1)))
        session.suspended = session.now_ns()
        raise session.end(AgentSuspendedSignal("the agent jumps back; replay brings it there"))

    def jumps_to(self, target: OplogIndex) -> int:
        """How often the agent has jumped back to this place."""
        return self._plan.jumps.get(target, 0)

    def revert(self, target: OplogIndex, attempts: int) -> None:
        """Jump to ``target``, unless what follows it was tried ``attempts`` times: then return.

        In replay it returns, too: had the agent jumped, replay would not come here.
        """
        if self.jumps_to(target) + 1 < attempts:
            self.jump(target)

    # --- persistence level ------------------------------------------------------------------------

    def change_level(
        self, level: PersistenceLevel, begin: OplogIndex = 0
    ) -> tuple[OplogIndex, bool]:
        """Note that ``level`` holds from here on, or again (``begin``: the change that is taken back).

        Gives the entry's index, and whether replay skips what was done under it. A zone in which nothing is
        persisted, and which was never left, runs again: what was persisted in it by hand is dropped.
        """
        session = self._session
        self.levels += 1
        if begin:
            self._check_open(begin, ChangePersistenceLevel, "no change of the persistence level")
        index, recorded = self._mark(
            ChangePersistenceLevel(session.now_ns(), level, begin),
            f"the persistence level becomes {level.name}",
        )
        if not recorded or begin:
            return index, False
        is_open = index in self._plan.open_begins
        if is_open and level is PersistenceLevel.PERSIST_NOTHING:
            self._rerun(index)
        return index, not is_open

    # --- announced writes -------------------------------------------------------------------------

    def announce(
        self, name: str, request: bytes, fingerprint: int, site: int, task: int
    ) -> OplogIndex:
        """Note that a write is about to be made which must not be made twice.

        Raises:
            AgentControlSignal: it was announced before, and nobody knows what became of it.
        """
        session = self._session
        with session.agent_code():
            payload = session.writer.keep(request) if session.machine.is_live else request
        number = session.machine.upcoming
        index, recorded = self._mark(
            BeginRemoteWrite(session.now_ns(), number, name, payload, fingerprint, site, task),
            f"call {number}, {name}, is made with idempotence_mode(False)",
        )
        if recorded and index in self._plan.open_begins:
            raise session.park(unknown_write(session, index, name, request, site))
        self._announced = index
        return index

    def announced(self, call: StartedCall) -> StartedCall:
        """The call, announced again if an operator has noted that it was not performed.

        Raises:
            AgentControlSignal: that was done before, and again nobody knows what became of it.
        """
        if not call.begin:
            return call
        session = self._session
        call = session.machine.pending[call.number]
        if call.begin in self._plan.open_begins:
            if call.number in session.machine.announced_again:
                name, request = call.function_name, call.request
                raise session.park(unknown_write(session, call.begin, name, request, call.site))
            return call
        with session.agent_code():
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
        self._announced = session.mark(begin)
        again = evolve(call, begin=self._announced)
        session.machine.pending[call.number] = again
        return again

    def performed(self, call: StartedCall) -> None:
        """Note the end of an announced write, whose outcome was appended just now."""
        session = self._session
        session.writer.append(EndRemoteWrite(session.now_ns(), call.begin))

    def end_announced(self, begin: OplogIndex) -> None:
        """Note the end of an announced write in several parts.

        Raises:
            UsageError: it was ended already, or never begun.
        """
        self._check_open(begin, BeginRemoteWrite, "no write that is open")
        self._mark(EndRemoteWrite(self._session.now_ns(), begin), "an announced write ends")

    # --- common -----------------------------------------------------------------------------------

    def _mark(self, entry: Entry, doing: str) -> tuple[OplogIndex, bool]:
        """The index of an entry made here, and whether it was recorded before."""
        session = self._session
        session.check()
        with session.agent_code():
            met = session.machine.meet(type(entry), doing)
            if met is None:
                index = session.mark(entry)
            else:
                index, recorded = met
                if _meaning(recorded) != _meaning(entry):
                    session.machine.refuse(index, recorded, doing)
            self._spans.note(index, entry)
            return index, met is not None

    def _check_open(self, begin: OplogIndex, kind: type[Entry], missing: str) -> None:
        session = self._session
        session.check()
        if session.machine.is_live and self._plan.open_begins.get(begin) is not kind:
            raise UsageError(f"{begin!r} is {missing}: it was ended already, or never begun")

    def _rerun(self, begin: OplogIndex) -> None:
        session = self._session
        dropped = session.machine.rerun()
        if any(isinstance(entry, BeginRemoteWrite) for entry in dropped):
            raise session.park(unknown_region(session, begin))
        last = session.writer.last
        if last > begin:
            session.mark(Jump(session.now_ns(), OplogRegion(begin + 1, last + 1)))


def _whole(begin: OplogIndex) -> str:
    return (
        f"What began at {begin} (an atomic region, a batch or a PERSIST_NOTHING zone) is always run again"
        " from its begin, which forgets every place in it and how often it was jumped back to"
    )


def _meaning(entry: Entry) -> Entry:
    """An entry without what may differ from run to run."""
    if isinstance(entry, BeginRemoteWrite):  # its request is fingerprinted
        return evolve(entry, timestamp=0, request=b"", site=0, task=0)
    return evolve(entry, timestamp=0)
