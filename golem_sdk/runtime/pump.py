"""Delivers completions to asynchronous agent code and to lanes, one at a time, in one order."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from golem_sdk.core.entries import LATEST_NS, ImportedFunctionInvoked, TimerSet
from golem_sdk.core.function_type import COMMIT_TABLE, FunctionType
from golem_sdk.errors import AgentControlSignal, AgentFencedSignal, NotDurableError
from golem_sdk.runtime.context import SCOPE
from golem_sdk.runtime.effects import AlarmEffect, Effect, TimerEffect
from golem_sdk.runtime.loop import AgentLoop
from golem_sdk.runtime.mailbox import Alarm, Mail
from golem_sdk.runtime.tasks import AgentTask

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.core.machine import StartedCall
    from golem_sdk.core.scopes import Scope
    from golem_sdk.runtime.lanes import Lane
    from golem_sdk.runtime.session import Session

__all__ = ["SLEEP", "Pump"]

_log = logging.getLogger("golem_sdk")

SLEEP = "golem:clock/sleep"

_SHORTEST_TIMER_NS = 100_000_000
"""A shorter wait (that unloads nobody) is not noted when armed; after a crash it starts afresh."""


class _Waiting:
    """A started call that the pump has to complete, and what to do with its entry."""

    __slots__ = ("call", "deliver", "effect", "scope")

    def __init__(
        self, call: StartedCall, effect: Effect, deliver: Callable[[ImportedFunctionInvoked], None]
    ) -> None:
        self.call = call
        self.effect = effect
        self.deliver = deliver
        self.scope = SCOPE.get()  # that of the code which waits

    def launch(self, session: Session) -> None:
        """Begin to obtain the completion."""
        self.effect.launch(session, self.call)


class Droppable(Protocol):
    """What agent code has opened."""

    def drop(self) -> None:
        """The session is over. Idempotent."""
        ...


class Connection(Droppable, Protocol):
    """What stays open from one invocation to the next."""

    def read_on(self) -> None:
        """An invocation begins."""
        ...


class Pump:
    """The asynchronous half of a session: its event loop and the calls that the loop waits for.

    Attributes:
        connections: those that are open, in the order in which they were opened.
        held: what else agent code has opened, as long as it keeps it; ``None``: nothing yet.
        memory: what interceptors remember as long as the session lasts, by their names for it.
        loop: the agent's event loop, made with its first asynchronous invocation.
    """

    def __init__(self, session: Session) -> None:
        self.loop: AgentLoop | None = None
        self.connections: dict[int, Connection] = {}
        self.held: WeakSet[Droppable] | None = None
        self.memory: dict[str, Any] = {}
        self._session = session
        self._waiting: dict[int, _Waiting] = {}
        self._fresh: dict[int, _Waiting] = {}  # those of them that are to be launched

    def open_loop(self) -> AgentLoop:
        """The agent's event loop, made if need be."""
        if self.loop is None:
            self.loop = AgentLoop(self, self._session.context)  # type: ignore[abstract]  # the methods it lacks are made to refuse below the class
        return self.loop

    def read_on(self) -> None:
        """An invocation begins: what comes over open connections is for its code."""
        with self.open_loop().driven():
            for connection in list(self.connections.values()):
                connection.read_on()

    def teardown(self) -> None:
        """The session is over: unwind what is left of its code, and let go of its connections."""
        if self.loop is not None:
            self.loop.teardown()
        self.let_go()

    def let_go(self) -> None:
        """The session is over, or is taken from memory while nothing runs: let go of what it has opened."""
        for thing in (*self.connections.values(), *(self.held or ())):
            try:
                thing.drop()
            except Exception:  # the agent has to go on, and the others to be let go
                _log.exception("what an agent has opened could not be let go: %r", thing)

    def hold(self, thing: Droppable) -> None:
        """Let go of it when the session is over, even if something of the agent's code lives on.

        Raises:
            AgentControlSignal: the session is over.
        """
        self._session.check()
        if self.held is None:
            self.held = WeakSet()
        self.held.add(thing)

    def run(self, finished: Callable[[], bool]) -> bool:
        """Deliver completions until ``finished()``; ``False``: live, and nothing has arrived yet.

        One completion is delivered, then everything ready runs until it is quiet, then the next: live
        and replay obey the same rule (P5). Whether it is finished is asked before going live.
        """
        loop = self.open_loop()
        with loop.driven():
            return self._run(loop, finished)

    def _run(self, loop: AgentLoop, finished: Callable[[], bool]) -> bool:
        session = self._session
        while True:
            loop.run_ready()
            session.check()
            if finished():
                return True
            if not self._waiting and loop.lanes.untangle():
                continue
            if not session.machine.is_live:
                entry = session.machine.replay_delivery()
                if entry is not None:
                    self._deliver(entry)
                continue
            self._launch()
            mail = session.mailbox.take()
            if mail is None:
                return False
            waiting = self._waiting.get(mail.call)
            if waiting is not None:
                self._receive(waiting, mail)

    def _receive(self, waiting: _Waiting, mail: Mail | Alarm) -> None:
        session, call = self._session, waiting.call
        if isinstance(mail, Alarm):
            assert isinstance(waiting.effect, AlarmEffect), "nothing else sets an alarm"
            assert waiting.effect.again is not None, "the pump's alarms stand for an effect"
            waiting.effect = waiting.effect.again
            self._fresh[mail.call] = waiting
            return
        settled = session.retries.settled(call, mail, waiting.scope)
        if settled is None:
            self._fresh[mail.call] = waiting
        else:
            self._deliver(session.record(call, settled))

    async def completion(self, call: StartedCall, effect: Effect) -> ImportedFunctionInvoked:
        """Await the completion of a started call; cancelling withdraws the call."""
        if not self.is_running:
            raise NotDurableError(
                "an asynchronous durable call was awaited on an event loop that is not the agent's, so its"
                " order could not be recorded: make the agent's method async instead of using asyncio.run()"
            )
        future = self.open_loop().create_future()
        self._add(call, effect, future.deliver)
        try:
            entry: ImportedFunctionInvoked = await future
        finally:
            self.cancel_call(call.number)
        return entry

    def park(self, call: StartedCall, effect: Effect, lane: Lane) -> ImportedFunctionInvoked:
        """Wait, on a lane's thread, for the completion of a started call."""
        self._add(call, effect, lane.resume)
        lane.call = call.number
        entry = lane.park()
        assert isinstance(entry, ImportedFunctionInvoked), "a lane is resumed with its call's entry"
        return entry

    @property
    def effects(self) -> list[Effect]:
        """What the agent's code waits for."""
        return [waiting.effect for waiting in self._waiting.values()]

    def fence(self) -> None:
        """The session is over: what runs for it is cancelled."""
        for waiting in list(self._waiting.values()):
            waiting.effect.cancel()

    # --- for the agent's loop -------------------------------------------------------------------

    def time_s(self) -> float:
        """Logical time: the timestamp of the last delivered entry, seconds since the epoch."""
        return self._session.machine.now / 1e9

    def start_timer(self, delay_s: float) -> int:
        """Start a durable call whose completion fires the loop's timer; its number."""
        delay_ns = round(delay_s * 1e9)
        call = self._session.start(SLEEP, FunctionType.READ_LOCAL, delay_ns)
        self._add(call, TimerEffect(delay_ns), lambda entry: self._fire(entry.call))
        return call.number

    def cancel_call(self, number: int) -> None:
        """Agent code does not wait for this call any more."""
        waiting = self._forget(number)
        if waiting is None or self._session.ended is not None:
            return
        call = self._session.machine.pending.get(number, waiting.call)
        self._session.machine.withdraw(number)
        if call.begin:
            self._session.operations.writes.withdrawn(call)
        waiting.effect.cancel()

    def stop(self, error: BaseException) -> AgentControlSignal:
        """The agent cannot go on, and begins anew from its oplog: what its code is to raise."""
        return self._session.end(AgentFencedSignal(error))

    def scope_of(self, call: StartedCall) -> Scope:
        """The guards around the code that waits for a call."""
        return self._waiting[call.number].scope

    def keep(self, entry: ImportedFunctionInvoked) -> None:
        """The outcome of a call that is under way was recorded where the oplog is dropped: deliver it."""
        session = self._session
        del self._fresh[entry.call]
        outcome = session.kernel.load_payload(entry.outcome)
        session.mailbox.post(Mail(entry.call, outcome, entry.failed))

    def timer_due(self, call: StartedCall, delay_ns: int) -> int:
        """When a timer launched now is due: as noted before a crash, else ``delay_ns`` from now."""
        session = self._session
        noted = session.writer.plan.timers.get(call.number)
        if noted is not None:
            return noted.due
        now = session.now_ns()
        due = min(now + delay_ns, LATEST_NS)
        if call.number < 0:
            return due
        patience_ns = session.kernel.settings.patience_s(session.writer) * 1e9
        if delay_ns >= min(_SHORTEST_TIMER_NS, patience_ns):
            session.writer.append(TimerSet(now, call.number, due))
            session.writer.soon()
        return due

    def here(self) -> int:
        """The number of the line of agent code that runs, 0 if it is not known."""
        return self._session.sites.here()

    @property
    def is_running(self) -> bool:
        """Whether the code that asks runs on the agent's event loop."""
        return self.loop is not None and asyncio._get_running_loop() is self.loop

    def task(self) -> AgentTask | None:
        """The agent's task that runs."""
        task = None if self.loop is None else asyncio.current_task(self.loop)
        return task if isinstance(task, AgentTask) else None

    def _fire(self, number: int) -> None:
        self.open_loop().fire_timer(number)

    def _add(
        self,
        call: StartedCall,
        effect: Effect,
        deliver: Callable[[ImportedFunctionInvoked], None],
    ) -> None:
        self._waiting[call.number] = self._fresh[call.number] = _Waiting(call, effect, deliver)

    def _forget(self, number: int) -> _Waiting | None:
        self._fresh.pop(number, None)
        return self._waiting.pop(number, None)

    def _deliver(self, entry: ImportedFunctionInvoked) -> None:
        waiting = self._forget(entry.call)
        assert waiting is not None, "the machine and the pump wait for the same calls"
        waiting.deliver(entry)

    def _launch(self) -> None:
        if not self._fresh:
            return
        session, fresh, self._fresh = self._session, list(self._fresh.values()), {}
        for waiting in fresh:
            waiting.call = session.operations.writes.announced(waiting.call)
            retry = session.writer.plan.call_retries.get(waiting.call.number)
            if retry is not None and retry.due > session.now_ns():
                waiting.effect = AlarmEffect(retry.due, waiting.effect)
        outside = [waiting for waiting in fresh if not waiting.effect.resumable]
        for waiting in fresh:
            if waiting.effect.resumable:  # these first, for they may record something
                waiting.launch(session)
        if any(COMMIT_TABLE[waiting.call.function_type].before for waiting in outside):
            session.writer.commit()
        for waiting in outside:
            waiting.launch(session)
