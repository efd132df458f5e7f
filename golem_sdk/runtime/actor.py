"""One agent as the scheduler sees it: a queue of invocations, and at most one thread at a time."""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import TYPE_CHECKING

from golem_sdk.core.entries import (
    ExportedFunctionCompleted,
    ExportedFunctionInvoked,
    OplogIndex,
    PayloadRef,
)
from golem_sdk.core.ids import derive_key, storage_key
from golem_sdk.errors import (
    AgentControlSignal,
    AgentFailedError,
    AgentFencedSignal,
    GolemError,
    RuntimeClosedError,
)
from golem_sdk.oplog.reader import Survey, no_entries, survey
from golem_sdk.runtime.completion import Completion, forget
from golem_sdk.runtime.definitions import INIT
from golem_sdk.runtime.dissolving import dissolve
from golem_sdk.runtime.effects import AlarmEffect, TimerEffect
from golem_sdk.runtime.execution import Execution
from golem_sdk.runtime.leavings import Leavings
from golem_sdk.runtime.loading import load_session
from golem_sdk.runtime.outcomes import same_outcome
from golem_sdk.runtime.recovery import is_asleep
from golem_sdk.storage.base import Space
from golem_sdk.stores.heads import AgentHead, load_head
from golem_sdk.stores.invocations import (
    Invocation,
    InvocationStatus,
    Result,
    inbox_key,
    result_key,
    result_row,
)

if TYPE_CHECKING:
    from golem_sdk.runtime.kernel import Kernel
    from golem_sdk.runtime.session import Session
    from golem_sdk.storage.tickets import Writer

__all__ = ["Actor"]


class Actor:
    """An agent with work, or lately with work.

    ``mutex`` guards queue, completions and scheduling. The session and the execution belong to the one
    thread that runs the actor.

    Attributes:
        queue: accepted invocations, the one under way first.
        completions: ends that somebody may wait for, by idempotency key.
        retired: another actor stands, or will stand, for this agent: nothing may be added here.
        asleep: the agent is unloaded until its timer or a message wakes it. Who waits for timers only, and is
            waited for by nobody, needs no actor meanwhile.
        blank: the store has nothing of the agent, not even a head.
        intake: what is accepted for it is written by this; whoever makes the actor says which.
        parked: why it takes no new invocations.
    """

    def __init__(
        self,
        kernel: Kernel,
        agent_type: str,
        agent_id: str,
        queue: list[Invocation],
        head: AgentHead | None,
        *,
        blank: bool,
    ) -> None:
        self.agent_type = agent_type
        self.agent_id = agent_id
        self.mutex = Lock()
        self.queue = deque(queue)
        self._begun = "" if head is None else head.record.invocation
        self.completions = {i.key: self._completion(i.key) for i in queue}
        self.session: Session | None = None
        self.retired = False
        self.asleep = bool(queue and head and is_asleep(head, kernel.environment.now_ns()))
        self.blank = blank
        self.intake: Writer
        self.parked: AgentFailedError | None = None
        self._kernel = kernel
        self._read: tuple[AgentHead | None, Survey | None] | None = (
            head,
            no_entries() if blank else None,
        )
        self._execution: Execution | None = None
        self._is_put_off = False
        self._scheduled = False
        self._again = False
        self._turn = 0
        self._overdue = -1
        self._sleeps_in = ""

    def on_disk(self) -> tuple[AgentHead | None, Survey]:
        """The agent's head and oplog. What was found when the actor was made is not read a second time."""
        engine = self._kernel.engine
        head, found = self._read or (load_head(engine, self.agent_id), None)
        self._read = None
        return head, found or survey(engine, storage_key(self.agent_id))

    def wake(self) -> None:
        """There is something to do: run on a worker, soon. Thread-safe and cheap when already running."""
        with self.mutex:
            claimed = self.claim()
        if claimed:
            self._kernel.environment.spawn(self.run)

    def stop(self) -> None:
        """The session was ended from outside: unwind its code, here unless its own thread does."""
        with self.mutex:
            claimed = self.claim()
        if claimed:
            self.run()

    def claim(self) -> bool:
        """There is something to do (under ``mutex``); whether who claims it has to `run` it."""
        self._again, self._scheduled = self._scheduled, True
        return not self._again

    def add(self, invocation: Invocation, completion: Completion) -> None:
        """Queue an accepted invocation (under ``mutex``; then `wake`, unless the actor is asleep)."""
        self.expect(invocation.key, completion)
        self.queue.append(invocation)

    def expect(self, key: str, completion: Completion) -> None:
        """An invocation is stored that is to be queued, now or later (under ``mutex``)."""
        self.completions[key] = completion
        self.blank = False

    def surrender(self) -> Leavings:
        """Stop standing for the agent, whatever it does: give away what has to go on without this actor."""
        with self.mutex:
            self.retired = True
            left = Leavings.of(self.completions)
            self.queue.clear()
            for key in left.completions:
                del self.completions[key]
        return left

    def inherit(self, left: Leavings) -> None:
        """Go on with what an earlier actor had to leave (before anybody else knows this one)."""
        self.blank = self.blank and not left.completions
        for key, completion in left.completions.items():
            if completion.status is not InvocationStatus.SCHEDULED:
                completion.status = self._completion(key).status
            self.completions[key] = completion

    def _completion(self, key: str) -> Completion:
        """That of an invocation which is not over; one that has begun is not taken back any more."""
        began = key == self._begun
        status = InvocationStatus.RUNNING if began else InvocationStatus.PENDING
        return Completion(self.agent_id, key, status)

    @property
    def is_vacant(self) -> bool:
        """Whether it keeps nothing, so that `retire` has every prospect."""
        kept = self.session or self.queue or self.completions or self._scheduled
        return not kept and not self.retired

    def retire(self) -> bool:
        """Unload the agent if nothing is queued, running or waited for, and stop standing for it.

        What is scheduled keeps the actor, which has its completions, but not the agent in memory. One that
        sleeps may go although the invocation in which it does is queued: all of that is on disk.
        """
        with self.mutex:
            sleeps_in = self._sleeps_in
            if sleeps_in and not self._scheduled and [i.key for i in self.queue] == [sleeps_in]:
                self.retired = forget(self.completions, sleeps_in)
                if self.retired:
                    self.queue.clear()
                return self.retired
            ends = self.completions.values()
            waiting = any(end.status is not InvocationStatus.SCHEDULED for end in ends)
            if self.queue or self._scheduled or waiting:
                return False
            self.retired = not ends
            session, self.session = self.session, None
        if session is not None:
            session.pump.let_go()
        return self.retired

    def run(self) -> None:
        """Advance for as long as there is something to do (by who has claimed that)."""
        while True:
            try:
                self._advance()
            except AgentControlSignal as signal:
                self._ended(signal)
            except BaseException as error:  # a fault of ours must not take others down
                self._ended(AgentFencedSignal(error))
            with self.mutex:
                if not self._again:
                    self._scheduled = False
                    break
                self._again = False
        self._kernel.rested(self)

    def _advance(self) -> None:
        self._turn += 1
        self.asleep, self._sleeps_in = False, ""
        session = self.session
        if session is None:
            if not self.queue or self._kernel.closed is not None:
                return
            session = self.session = load_session(self._kernel, self)
            if self.retired:  # meanwhile: `fail` was called, and may not have seen the session
                raise AgentFencedSignal(RuntimeClosedError("the agent was taken from memory"))
        session.check()
        if self._is_put_off:
            self._is_put_off = False
            session.writer.commit()  # it is on disk, unless this raises why not
        while True:
            if self._execution is None:
                with session.agent_code():
                    self._execution = self._next(session)
                if self._execution is None:
                    if not session.definition.is_class:
                        self.session = None  # a function agent has run: nothing will ever be asked
                        self.unload(session)
                        dissolve(session)
                    return
                if self._puts_off(session, self._execution):
                    return
            if not self._execution.advance(session):
                self._blocked(session)
                return
            execution, self._execution = self._execution, None
            with session.agent_code():
                self._complete(session, execution)

    def _puts_off(self, session: Session, execution: Execution) -> bool:
        """While others commit, an invocation is carried out as soon as its begin is on disk.

        Its first write would wait for that on a thread of its own, and many threads take turns slowly.
        """
        committer = self._kernel.committer
        if execution.method == INIT or not committer.is_busy or not session.machine.is_live:
            return False
        ticket = session.writer.flush()
        if ticket is None:
            return False
        self._is_put_off = True
        self._kernel.environment.enter()  # what it waits for may be done by a thread of the outside
        committer.tell(ticket, self._go_on)
        return True

    def _go_on(self, _: BaseException | None) -> None:
        if not self.retired:
            self.wake()
        self._kernel.environment.leave()

    def _next(self, session: Session) -> Execution | None:
        kernel, machine = self._kernel, session.machine
        recorded = machine.replay_invocation()
        if recorded is not None:
            return self._execute(session, *recorded)
        is_first = (
            session.definition.is_class and session.instance is None and not session.init_failure
        )
        with self.mutex:
            invocation = self.queue[0] if self.queue else None
            if invocation is None:
                return None
            completion = self.completions.get(invocation.key)
            if completion is not None and not is_first:
                completion.status = InvocationStatus.RUNNING
        kernel.before_invocation()
        key, method, payload = invocation.key, invocation.method, invocation.arguments
        if is_first:
            key, method = str(derive_key(session.agent_id, 0)), INIT
            payload = session.created.arguments
        now = kernel.environment.now_ns()
        machine.advance(now)
        entry = ExportedFunctionInvoked(now, key, method, payload)
        return self._execute(session, session.append(entry), entry)

    def _execute(
        self, session: Session, index: OplogIndex, entry: ExportedFunctionInvoked
    ) -> Execution:
        session.operations.invoked(index)
        given = entry.arguments if session.definition.is_class else session.created.arguments
        if isinstance(given, PayloadRef):
            session.writer.commit()  # long arguments are read from disk: they may not be there yet
        arguments = self._kernel.load_payload(given)
        return Execution(entry.idempotency_key, entry.method, arguments)

    def _complete(self, session: Session, execution: Execution) -> None:
        outcome, failed = execution.outcome
        load = self._kernel.load_payload
        if session.machine.replay_completion(
            failed=failed, same=lambda recorded: same_outcome(load(recorded.outcome), outcome)
        ):
            return
        writer = session.writer
        now = self._kernel.environment.now_ns()
        payload = writer.keep(outcome)
        session.machine.advance(now)
        with self.mutex, writer.together():
            session.append(ExportedFunctionCompleted(now, payload, failed))
            if execution.method == INIT:
                return
            result = Result(InvocationStatus.COMPLETED, payload, failed)
            writer.put(Space.RESULT, result_key(self.agent_id, execution.key), result_row(result))
            for invocation in [i for i in self.queue if i.key == execution.key]:
                writer.delete(Space.INBOX, inbox_key(self.agent_id, invocation.order))
                self.queue.remove(invocation)
            ticket = writer.flush()
            assert ticket is not None, "there was something to write"
            completion = self.completions.setdefault(
                execution.key, Completion(self.agent_id, execution.key, InvocationStatus.RUNNING)
            )
            completion.status = InvocationStatus.COMPLETED  # `surrender` does not give it away
        completion.settle(outcome, failed, InvocationStatus.COMPLETED)
        # Not by the writer: the session may have been ended meanwhile, but this is written.
        self._kernel.committer.tell(ticket, lambda error: self._committed(completion, error))

    def _committed(self, completion: Completion, error: BaseException | None) -> None:
        """The end of an invocation is on disk, or cannot be. Runs on whichever thread committed it."""
        if error is not None:
            self._kernel.environment.spawn(lambda: self._lost(completion, error))
            return
        completion.publish()
        with self.mutex:
            self.completions.pop(completion.key, None)
            runs = self._scheduled
        if not runs:  # a thread that runs it will say so itself
            self._kernel.rested(self)

    def _lost(self, completion: Completion, error: BaseException) -> None:
        self._kernel.agent_ended(self, error)
        with self.mutex:  # interrupted meanwhile, this actor has told nobody
            kept = self.completions.pop(completion.key, None)
        if kept is not None:
            kept.fail(error)

    def _blocked(self, session: Session) -> None:
        """Nothing to do until mail comes. A long wait needs no memory either: unload the agent."""
        effects = session.pump.effects
        if not effects or not all(effect.resumable for effect in effects):
            return
        environment = self._kernel.environment
        now = environment.now_ns()
        patience_ns = round(self._kernel.settings.patience_s(session.writer) * 1e9)
        due = [e.due_ns for e in effects if isinstance(e, TimerEffect | AlarmEffect)]
        wake_at = min(due, default=0)
        if self._overdue == self._turn - 1 or (wake_at and wake_at - now > patience_ns):
            raise session.suspend(wake_at, only_timers=len(due) == len(effects))
        turn = self._turn
        environment.call_at(now + patience_ns, lambda: self._check_overdue(turn))

    def _check_overdue(self, turn: int) -> None:
        if turn == self._turn:
            self._overdue = turn
            self.wake()

    def _ended(self, signal: AgentControlSignal) -> None:
        session, self.session, self._execution = self.session, None, None
        if session is not None:
            signal = session.end(signal)
            self.unload(session)
        if isinstance(signal, AgentFencedSignal):
            self._kernel.agent_ended(self, signal.reason)
        else:
            assert session is not None, "what is suspended is a session"
            self.asleep = True
            if session.status.wake_at:  # on disk: nothing else is awaited
                with self.mutex:
                    self._again = False  # what it was to look at came before it fell asleep
                self._sleeps_in = session.status.invocation
                self._kernel.sleepers.add(self.agent_type, self.agent_id, session.status.wake_at)
            elif session.suspended:
                self._kernel.environment.call_at(session.suspended, self.wake)

    def unload(self, session: Session) -> None:
        """Unwind what is left of a session's code, inside its own context, and let go of what it holds."""
        session.pump.teardown()

    def fail(self, error: BaseException, *, refuse: bool) -> None:
        """Nobody can be answered: tell all who wait. ``refuse``: agents that wait are told, too."""
        with self.mutex:
            self.retired = True
            completions, self.completions = list(self.completions.values()), {}
            self.queue.clear()
        for completion in completions:
            if refuse and isinstance(error, GolemError):
                completion.refuse(error)
            else:
                completion.fail(error)
