"""One agent as the scheduler sees it: a queue of invocations, and at most one thread at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

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
    RuntimeClosedError,
    StoreFencedError,
)
from golem_sdk.oplog.reader import Survey, no_entries, survey
from golem_sdk.runtime.completion import Completion
from golem_sdk.runtime.definitions import INIT
from golem_sdk.runtime.dissolving import dissolve
from golem_sdk.runtime.effects import AlarmEffect, TimerEffect
from golem_sdk.runtime.execution import Execution
from golem_sdk.runtime.inbox import Inbox
from golem_sdk.runtime.loading import load_session
from golem_sdk.runtime.outcomes import same_outcome
from golem_sdk.runtime.recovery import is_asleep
from golem_sdk.runtime.session import Session
from golem_sdk.storage.base import Space
from golem_sdk.storage.tickets import Writer
from golem_sdk.stores.heads import AgentHead, load_head
from golem_sdk.stores.invocations import (
    InvocationStatus,
    Result,
    inbox_key,
    result_key,
    result_row,
)

if TYPE_CHECKING:
    from golem_sdk.runtime.kernel import Kernel  # noqa: TC004  # nobody resolves this annotation

__all__ = ["Actor"]


@define(eq=False, repr=False, weakref_slot=False)
class Actor(Inbox):
    """An agent with work, or lately with work.

    ``mutex`` guards the scheduling, too. The session and the execution belong to the one thread that runs
    the actor. It is `retired` when another actor stands, or will stand, for this agent.

    Attributes:
        asleep: the agent is unloaded until its timer or a message wakes it. Who waits for timers only, and is
            waited for by nobody, needs no actor meanwhile.
        intake: what is accepted for it is written by this; whoever makes the actor says which.
        parked: why it takes no new invocations.
    """

    _kernel: Kernel
    agent_type: str
    session: Session | None = field(init=False, default=None)
    asleep: bool = field(init=False)
    intake: Writer = field(init=False)
    parked: AgentFailedError | None = field(init=False, default=None)
    _execution: Execution | None = field(init=False, default=None)
    _is_put_off: bool = field(init=False, default=False)
    _scheduled: bool = field(init=False, default=False)
    _again: bool = field(init=False, default=False)
    _turn: int = field(init=False, default=0)
    _overdue: int = field(init=False, default=-1)
    _sleeps_in: str = field(init=False, default="")

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        head = None if self._found is None else self._found.head
        now = self._kernel.environment.now_ns()
        self.asleep = bool(self.queue and head and is_asleep(head, now))

    def on_disk(self) -> tuple[AgentHead | None, Survey]:
        """The agent's head and oplog. What was found when the actor was made is not read a second time."""
        engine = self._kernel.engine
        found, self._found = self._found, None
        if found is not None and found.blank:
            return found.head, no_entries()
        head = load_head(engine, self.agent_id) if found is None else found.head
        return head, survey(engine, storage_key(self.agent_id))

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

    @property
    def is_vacant(self) -> bool:
        """Whether it keeps nothing, so that `retire` has every prospect."""
        kept = self.session or self.queue or self._completions or self._scheduled
        return not kept and not self.retired

    def retire(self) -> bool:
        """Unload the agent if nothing is queued, running or waited for, and stop standing for it.

        What is scheduled keeps the actor, which has its completions, but not the agent in memory. One that
        sleeps may go although the invocation in which it does is queued: all of that is on disk.
        """
        with self.mutex:
            sleeps_in = self._sleeps_in
            if sleeps_in and not self._scheduled and [i.key for i in self.queue] == [sleeps_in]:
                self.retired = self.forget(sleeps_in)
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
                with session:
                    self._execution = self._next(session)
                if self._execution is None:
                    if not session.definition.is_class:
                        self.session = None  # a function agent has run: nothing will ever be asked
                        session.pump.teardown()
                        dissolve(session)
                    return
                if self._puts_off(session, self._execution):
                    return
            if not self._execution.advance(session):
                self._blocked(session)
                return
            execution, self._execution = self._execution, None
            with session:
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
        if not invocation.constructor:  # it had begun, and was forgotten
            raise AgentFencedSignal(self._overtaken())
        kernel.before_invocation()
        key, method, payload = invocation.key, invocation.method, invocation.arguments
        if is_first:
            key, method = str(derive_key(session.agent_id, 0)), INIT
            payload = session.arguments
        now = kernel.environment.now_ns()
        machine.advance(now)
        entry = ExportedFunctionInvoked(now, key, method, payload)
        return self._execute(session, session.append(entry), entry)

    def _execute(
        self, session: Session, index: OplogIndex, entry: ExportedFunctionInvoked
    ) -> Execution:
        session.invoked, given = index, entry.arguments
        if not session.definition.is_class:
            given = session.arguments
        session.arguments = b""
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
            if self.queue and self.queue[0].key == execution.key:  # who ends it takes it away
                raise AgentFencedSignal(self._overtaken())
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
            invocation = next((i for i in self.queue if i.key == execution.key), None)
            if invocation is not None:  # it is the first
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

    def _overtaken(self) -> StoreFencedError:
        return StoreFencedError(
            f"what agent {self.agent_id} does here has ended in its oplog, or was reverted: another process"
            " owns the store now. Close this runtime, and see that nobody removes the owner.lock of a store"
            " in use"
        )

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
        assert self._execution is not None, "it is under way"
        with self.mutex:  # nobody may ever ask what comes of it
            self.forget(self._execution.key)
        environment = self._kernel.environment
        now = environment.now_ns()
        patience_ns = round(self._kernel.settings.patience_s(session.writer) * 1e9)
        due = [e.due_ns for e in effects if isinstance(e, TimerEffect | AlarmEffect)]
        wake_at = min(due, default=0)
        if self._overdue == self._turn - 1 or (wake_at and wake_at - now > patience_ns):
            raise session.suspend(wake_at, only_timers=len(due) == len(effects))
        if not wake_at:  # or it is woken before
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
            session.pump.teardown()
        if isinstance(signal, AgentFencedSignal):
            self._kernel.agent_ended(self, signal.reason)
        else:
            assert session is not None, "what is suspended is a session"
            self.asleep = True
            if session.status.wake_at:  # on disk: nothing else is awaited
                with self.mutex:
                    self._again = False  # what it was to look at came before it fell asleep
                    if not self.retired:  # or the timer is up to the next one
                        self._sleeps_in, due_ns = session.status.invocation, session.status.wake_at
                        self._kernel.sleepers.add(self.agent_type, self.agent_id, due_ns)
            elif session.suspended:
                self._kernel.environment.call_at(session.suspended, self.wake)
