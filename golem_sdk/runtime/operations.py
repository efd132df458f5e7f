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
    Entry,
    ImportedFunctionInvoked,
    Jump,
    NoOp,
    OplogIndex,
    OplogRegion,
)
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.scopes import PersistenceLevel
from golem_sdk.core.spans import Spans
from golem_sdk.errors import AgentSuspendedSignal, UsageError
from golem_sdk.runtime import retries
from golem_sdk.runtime.announcing import Announcements
from golem_sdk.runtime.context import SCOPE
from golem_sdk.runtime.unknown import mixed_batch, unknown_region

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.core.plan import Plan
    from golem_sdk.runtime.session import Session

__all__ = ["Operations"]

E = TypeVar("E", bound=Entry)


class Operations:
    """The begins, ends and jumps of one session.

    Attributes:
        levels: how often the present invocation has changed the persistence level.
    """

    __slots__ = ("_manual", "_running_again", "_sagas", "_spans", "levels", "session", "writes")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.writes = Announcements(self)
        self._running_again: OplogIndex | None = None
        self.invocation_begins()

    @property
    def plan(self) -> Plan:
        """The plan of everything appended so far."""
        return self.session.writer.plan

    def invocation_begins(self) -> None:
        """An invocation begins; no jump reaches back before it."""
        self._manual: list[tuple[OplogIndex, int]] = []  # begins, and outcomes given before them
        self._spans = Spans()
        self._sagas = self.levels = 0

    # --- atomic regions ---------------------------------------------------------------------------

    def begin_region(
        self, is_foreign: Callable[[ImportedFunctionInvoked], bool] | None = None
    ) -> OplogIndex:
        """Open an atomic region; if it was never closed, everything in it is dropped and runs again.

        Unless ``is_foreign`` says of a call in it that this must not be.
        """
        index, recorded = self.mark(
            BeginAtomicRegion(self.session.now_ns()), "an atomic region is opened"
        )
        if recorded and index in self.plan.open_begins:
            self._running_again = index
            self._rerun(index, is_foreign)
        return index

    def may_have_been_made(self, region: OplogIndex) -> bool:
        """Whether a call that starts now may have been performed before.

        By a life that has crashed, or by an earlier run of the outermost region that it is in; ``region`` is
        that of the guards, 0: none.
        """
        if not self.session.machine.progressed:
            return True
        outermost = region or (self._manual[0][0] if self._manual else 0)
        return outermost == self._running_again

    def end_region(self, begin: OplogIndex) -> None:
        """Close an atomic region, and those in it that agent code was to close by their index.

        Raises:
            UsageError: there is no open region with this begin.
        """
        while self._manual and self._manual[-1][0] > begin:
            inner, _ = self._manual.pop()
            self.end_region(inner)
        self.check_open(begin, "no atomic region that is open")
        self.mark(EndAtomicRegion(self.session.now_ns(), begin), "an atomic region is closed")

    def retry_region(self, begin: OplogIndex, outcomes: int, error: Exception) -> None:
        """``error`` leaves the outermost region opened at ``begin``: run it again, or give up.

        Returns only if it is not to run again. It is not when nothing was done in it (``outcomes`` had been
        given before it), when the policy has had enough, or when something that must not be done twice is
        under way in another task or is a batch around it, or was begun in it: or in that of another task
        which is open, too, and would run again with it.

        Raises:
            AgentControlSignal: unwinds the agent, which replay then brings back to the begin.
        """
        session = self.session
        if not session.machine.is_live or session.machine.outcomes == outcomes:
            return
        if self.writes.newest >= self._spans.first_open(begin) or self.writes.under_way():
            return
        note = retries.of_region(session, begin, error)
        if note is None:
            return
        session.close_with(note)
        session.suspended = note.due
        raise session.end(AgentSuspendedSignal("an atomic region failed; it runs again"))

    def obstacle(self, begin: OplogIndex, region: OplogIndex) -> str:
        """Why the region cannot be closed: a write announced in it is still under way elsewhere.

        ``region`` is the outermost one: the code of tasks that were made in it has that in its scope.
        """
        for call in self.session.machine.pending.values():
            if call.begin > begin and self.session.pump.scope_of(call).region == region:
                return (
                    f"the atomic region cannot be closed: {call.function_name} was started in it with"
                    " idempotence_mode(False) and is still under way in another task. Await it inside the"
                    " region"
                )
        return ""

    def is_open(self, begin: OplogIndex) -> bool:
        """Whether what was begun there (a region, a zone, a level) has not ended yet."""
        return self._spans.is_open(begin)

    def open_manually(self) -> OplogIndex:
        """Open a region that agent code closes by its index.

        Raises:
            UsageError: in a zone that replay skips.
        """
        if SCOPE.get().zone:
            raise UsageError(
                "nothing is recorded inside a PERSIST_NOTHING block, so no operation can begin there: begin"
                " it before the block"
            )
        begin = self.begin_region()
        self._manual.append((begin, self.session.machine.outcomes))
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
        if SCOPE.get().zone:
            raise UsageError(
                "there is no place in the oplog inside a PERSIST_NOTHING block, which replay skips: mark it"
                " before the block"
            )
        index, _ = self.mark(NoOp(self.session.now_ns()), "get_oplog_index() was called")
        times = self.jumps_to(index)
        if times:
            self.session.keys.jumped_back(index, times)
        return index

    def place(self, what: str) -> OplogIndex:
        """The index of a new entry at which ``what`` begins, which counts how often it is jumped back to.

        Raises:
            UsageError: the code is in something that runs again as a whole, and with it this entry: the
                jumps back to it could not be counted. (Where another task is in such a thing, they are
                refused.)
        """
        self._refuse_inside(what)
        return self.here()

    def _refuse_inside(self, what: str) -> None:
        scope = SCOPE.get()
        for begin in (scope.region, scope.zone, *(begin for begin, _ in self._manual)):
            if self._spans.is_open(begin):
                raise UsageError(f"{what} cannot begin here. {_whole(begin)}. Put it around that")

    def check_saga(self) -> None:
        """A saga begins that is undone if it fails.

        Raises:
            UsageError: it is in something that runs again as a whole: then what was undone would be done
                again under the keys it had, and be taken for a repetition.
        """
        self._refuse_inside("a saga")

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
        session = self.session
        live = session.machine.is_live
        last = session.writer.last if live else session.machine.agreed[-1][0]
        if target > last:
            raise UsageError(f"cannot jump ahead to oplog index {target}: there is nothing yet")
        if target < session.invoked:
            raise UsageError(
                f"cannot jump back to oplog index {target}: this invocation began at {session.invoked}, and"
                " what came before has been answered"
            )
        if not self.plan.regions.is_visible(target):
            raise UsageError(f"cannot jump to oplog index {target}: an earlier jump has dropped it")
        begin = self._spans.around(target)
        if begin:
            raise UsageError(
                f"cannot jump back to oplog index {target}. {_whole(begin)}. Jump there or further back"
            )
        writes = [c for c in session.machine.pending.values() if c.function_type not in _READS]
        if writes:
            names = ", ".join(call.function_name for call in writes)
            raise UsageError(f"cannot jump while durable calls are under way: {names}")
        announced = max(self.writes.newest, self.plan.newest_end(BeginRemoteWrite, last))
        if announced > self._spans.first_open(target):
            raise UsageError(
                f"cannot jump back to oplog index {target}: a write made with idempotence_mode(False), begun"
                f" or over at {announced}, would be sent again"
            )
        if not live:
            return
        session.close_with(Jump(session.now_ns(), OplogRegion(target + 1, last + 1)))
        session.suspended = session.now_ns()
        raise session.end(AgentSuspendedSignal("the agent jumps back; replay brings it there"))

    def jumps_to(self, target: OplogIndex) -> int:
        """How often the agent has jumped back to this place."""
        return self.plan.jumps.get(target, 0)

    def revert(self, target: OplogIndex, attempts: int) -> None:
        """Jump to ``target``, unless what follows it was tried ``attempts`` times: then return.

        In replay it returns, too: had the agent jumped, replay would not come here.
        """
        if self.jumps_to(target) + 1 < attempts:
            self.jump(target)

    # --- persistence level ------------------------------------------------------------------------

    def change_level(self, level: PersistenceLevel, begin: OplogIndex) -> tuple[OplogIndex, bool]:
        """Note that ``level`` holds from here on, or again (``begin``: the change that is taken back, or 0).

        Gives the entry's index, and whether replay skips what was done under it. A zone in which nothing is
        persisted, and which was never left, runs again: what was persisted in it by hand is dropped.
        """
        session = self.session
        self.levels += 1
        if begin:
            self.check_open(begin, "no change of the persistence level")
        index, recorded = self.mark(
            ChangePersistenceLevel(session.now_ns(), level, begin),
            f"the persistence level becomes {level.name}",
        )
        is_open = index in self.plan.open_begins
        if recorded and is_open and level is PersistenceLevel.PERSIST_NOTHING:
            self._rerun(index)
        return index, recorded and not is_open

    # --- common -----------------------------------------------------------------------------------

    def mark(self, entry: Entry, doing: str) -> tuple[OplogIndex, bool]:
        """The index of an entry made here, and whether it was recorded before."""
        session = self.session
        with session:
            met = session.machine.meet(type(entry), doing)
            if met is None:
                index = session.mark(entry)
            else:
                index, recorded = met
                if not _same(recorded, entry):
                    raise session.machine.refuse(index, recorded, doing)
            self._spans.note(index, entry)
            return index, met is not None

    def check_open(self, begin: OplogIndex, missing: str) -> None:
        """Raises `UsageError` unless what was begun there is open."""
        self.session.check()
        if not self._spans.is_open(begin):
            raise UsageError(f"{begin!r} is {missing}: it was ended already, or never begun")

    def _rerun(
        self,
        begin: OplogIndex,
        is_foreign: Callable[[ImportedFunctionInvoked], bool] | None = None,
    ) -> None:
        """Run what began there again: what other tasks have done since is dropped, too, and done again.

        But the outcomes of calls that were under way at the begin are kept.
        """
        session = self.session
        dropped = session.machine.rerun()
        if any(isinstance(entry, BeginRemoteWrite) for entry in dropped):
            raise session.park(unknown_region(session, begin))
        made = [entry for entry in dropped if isinstance(entry, ImportedFunctionInvoked)]
        if is_foreign and any(is_foreign(entry) for entry in made):
            raise session.park(mixed_batch(session, begin))
        last = session.writer.last
        if last > begin:
            session.mark(Jump(session.now_ns(), OplogRegion(begin + 1, last + 1)))
        for entry in made:
            if entry.call in session.machine.pending:
                session.pump.keep(entry)


_READS = (FunctionType.READ_LOCAL, FunctionType.READ_REMOTE)


def _whole(begin: OplogIndex) -> str:
    return (
        f"What began at {begin} (an atomic region, a batch or a PERSIST_NOTHING zone) is always run again"
        " from its begin, which forgets every place in it and how often it was jumped back to"
    )


def _same(recorded: Entry, made: Entry) -> bool:
    """Whether they differ at most in what may differ from run to run."""
    may_differ = {"timestamp"}
    if isinstance(recorded, BeginRemoteWrite):  # its request is fingerprinted
        may_differ |= {"request", "site", "task"}
    return evolve(made, **{name: getattr(recorded, name) for name in may_differ}) == recorded
