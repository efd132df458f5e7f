"""Delivers completions to asynchronous agent code and to lanes, one at a time, in one order."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from golem_sdk.codec.values import decode
from golem_sdk.core.entries import LATEST_NS, ImportedFunctionInvoked, TimerSet
from golem_sdk.core.function_type import COMMIT_TABLE, FunctionType
from golem_sdk.errors import AgentControlSignal, AgentFencedSignal, NotDurableError
from golem_sdk.runtime import retries
from golem_sdk.runtime.context import SCOPE
from golem_sdk.runtime.effects import AlarmEffect, Effect, TimerEffect, Waiter
from golem_sdk.runtime.loop import AgentLoop
from golem_sdk.runtime.mailbox import Alarm, Mail
from golem_sdk.runtime.tasks import AgentTask, AgentTimer, SleepTimer

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from golem_sdk.core.machine import StartedCall
    from golem_sdk.core.scopes import Scope
    from golem_sdk.runtime.lanes import Lane
    from golem_sdk.runtime.session import Session

__all__ = ["SLEEP", "Pump"]

_log = logging.getLogger("golem_sdk")

SLEEP = "golem:clock/sleep"

_SHORTEST_TIMER_NS = 100_000_000
"""A shorter wait (that unloads nobody) is not noted when armed; after a crash it starts afresh."""


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
        held: what agent code has opened beside connections, as long as it keeps it; ``None``: nothing yet.
        loop: the agent's event loop, made with its first asynchronous invocation.
    """

    __slots__ = ("_connections", "_fresh", "_memory", "_unrecorded", "held", "loop", "session")

    def __init__(self, session: Session) -> None:
        self.loop: AgentLoop | None = None
        self._connections: dict[int, Connection] | None = None
        self.held: WeakSet[Droppable] | None = None
        self._memory: dict[str, Any] | None = None
        self.session = session
        # Of the awaited calls: those that the machine does not know, and which are to be launched.
        self._unrecorded: dict[int, StartedCall] | None = None
        self._fresh: dict[int, None] | None = None

    @property
    def connections(self) -> dict[int, Connection]:
        """Those that are open, in the order in which they were opened."""
        if self._connections is None:
            self._connections = {}
        return self._connections

    @property
    def memory(self) -> dict[str, Any]:
        """What interceptors remember as long as the session lasts, by their names for it."""
        if self._memory is None:
            self._memory = {}
        return self._memory

    def open_loop(self) -> AgentLoop:
        """The agent's event loop, made if need be."""
        if self.loop is None:
            self.loop = AgentLoop(self)  # type: ignore[abstract]  # the methods it lacks are made to refuse below the class
        return self.loop

    def read_on(self) -> None:
        """An invocation begins: what comes over open connections is for its code."""
        with self.open_loop().driven():
            for connection in list((self._connections or {}).values()):
                connection.read_on()

    def teardown(self) -> None:
        """The session is over: unwind what is left of its code, and let go of its connections."""
        if self.loop is not None:
            self.loop.teardown()
        self.let_go()

    def let_go(self) -> None:
        """The session is over, or is taken from memory while nothing runs: let go of what it has opened."""
        for thing in (*(self._connections or {}).values(), *(self.held or ())):
            try:
                thing.drop()
            except Exception:  # the agent has to go on, and the others to be let go
                _log.exception("what an agent has opened could not be let go: %r", thing)

    def hold(self, thing: Droppable) -> None:
        """Let go of it when the session is over, even if something of the agent's code lives on.

        Raises:
            AgentControlSignal: the session is over.
        """
        self.session.check()
        if self.held is None:
            self.held = WeakSet()
        self.held.add(thing)

    def run(self, finished: Callable[[], bool]) -> bool:
        """Deliver completions until ``finished()``; ``False``: live, and nothing has arrived yet.

        One completion is delivered, then everything ready runs until it is quiet, then the next: live
        and replay obey the same rule (P5). Whether it is finished is asked before going live.
        """
        loop = self.open_loop()
        with loop.running() as context:
            return self._run(loop, context, finished)

    def _run(self, loop: AgentLoop, context: Context, finished: Callable[[], bool]) -> bool:
        session = self.session
        while True:
            loop.run_ready(context)
            session.check()
            if finished():
                return True
            if not (session.machine.pending or self._unrecorded) and loop.lanes.untangle():
                continue
            if not session.machine.is_live:
                delivered = session.machine.replay_delivery()
                if delivered is not None:
                    self._deliver(*delivered)
                continue
            self._launch()
            mail = session.mailbox.take()
            if mail is None:
                return False
            call = self._awaited(mail.call)
            if call is not None:
                self._receive(call, mail)

    def _receive(self, call: StartedCall, mail: Mail | Alarm) -> None:
        session, effect = self.session, call.effect
        if isinstance(mail, Alarm):
            assert isinstance(effect, AlarmEffect), "nothing else sets an alarm"
            assert effect.again is not None, "the pump's alarms stand for an effect"
            call.effect = effect.again
            self._launch_soon(call)
            return
        settled = retries.settled(session, call, mail, effect.scope)
        if settled is None:
            self._launch_soon(call)
        else:
            self._deliver(call, session.record(call, settled))

    async def completion(self, call: StartedCall, effect: Effect) -> ImportedFunctionInvoked:
        """Await the completion of a started call; cancelling withdraws the call."""
        if not self.is_running:
            self.session.machine.withdraw(call.number)
            raise NotDurableError(
                "an asynchronous durable call was awaited on an event loop that is not the agent's, so its"
                " order could not be recorded: make the agent's method async instead of using asyncio.run()"
            )
        future = self.open_loop().create_future()
        self._await(call, effect, future)
        try:
            entry: ImportedFunctionInvoked = await future
        finally:
            self.cancel_call(call.number)
        return entry

    def park(self, call: StartedCall, effect: Effect, lane: Lane) -> ImportedFunctionInvoked:
        """Wait, on a lane's thread, for the completion of a started call."""
        self._await(call, effect, lane)
        lane.call = call.number
        entry = lane.park()
        assert isinstance(entry, ImportedFunctionInvoked), "a lane is resumed with its call's entry"
        return entry

    @property
    def effects(self) -> list[Effect]:
        """What the agent's code waits for."""
        return [call.effect for call in self._all_awaited()]

    def fence(self) -> None:
        """The session is over: what runs for it is cancelled."""
        for effect in self.effects:
            effect.cancel()

    # --- for the agent's loop -------------------------------------------------------------------

    def context(self) -> Context:
        """A new context for agent code."""
        return self.session.context()

    def time_s(self) -> float:
        """Logical time: the timestamp of the last delivered entry, seconds since the epoch."""
        return self.session.machine.now / 1e9

    def start_timer(self, delay_s: float, timer: AgentTimer | SleepTimer) -> int:
        """Start a durable call whose completion resumes the loop's timer; its number."""
        delay_ns = round(delay_s * 1e9)
        # Right above it are the loop and, of sleepers, `asyncio.sleep`, which waits from now on.
        site = self.session.sites.here(4 if isinstance(timer, SleepTimer) else 1)
        call = self.session.start(SLEEP, FunctionType.READ_LOCAL, delay_ns, site=site)
        self._await(call, TimerEffect(), timer)
        return call.number

    def timers(self) -> list[AgentTimer | SleepTimer]:
        """The timers of the loop that wait for their calls."""
        waiters = [call.effect.waiter for call in self._all_awaited()]
        return [waiter for waiter in waiters if isinstance(waiter, AgentTimer | SleepTimer)]

    def cancel_call(self, number: int) -> None:
        """Agent code does not wait for this call any more."""
        call = self._awaited(number)
        if call is None or self.session.ended is not None:
            return
        self._forget(number)
        if call.begin:
            self.session.operations.writes.withdrawn(call)
        call.effect.cancel()

    def stop(self, error: BaseException) -> AgentControlSignal:
        """The agent cannot go on, and begins anew from its oplog: what its code is to raise."""
        return self.session.end(AgentFencedSignal(error))

    def scope_of(self, call: StartedCall) -> Scope:
        """The guards around the code that waits for a call."""
        scope: Scope = call.effect.scope
        return scope

    def keep(self, entry: ImportedFunctionInvoked) -> None:
        """The outcome of a call that is under way was recorded where the oplog is dropped: deliver it."""
        session = self.session
        if self._fresh is not None:
            self._fresh.pop(entry.call, None)
        outcome = session.kernel.load_payload(entry.outcome)
        session.mailbox.post(Mail(entry.call, outcome, entry.failed))

    def timer_due(self, call: StartedCall) -> int:
        """When a timer launched now is due: as noted before a crash, else as asked for, from now on."""
        session = self.session
        noted = session.writer.plan.timers.get(call.number)
        if noted is not None:
            return noted.due
        delay_ns: int = decode(call.request)
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
        """The number of the line of agent code that runs, or has made the task that does; 0: not known."""
        site = self.session.sites.here(3)  # right above is the loop, or its lanes
        if site or (task := self.task()) is None:
            return site
        return task.site

    @property
    def is_running(self) -> bool:
        """Whether the code that asks runs on the agent's event loop."""
        return self.loop is not None and asyncio._get_running_loop() is self.loop

    def task(self) -> AgentTask | None:
        """The agent's task that runs."""
        task = None if self.loop is None else asyncio.current_task(self.loop)
        return task if isinstance(task, AgentTask) else None

    def _await(self, call: StartedCall, effect: Effect, waiter: Waiter) -> None:
        call.effect, effect.waiter, effect.scope = effect, waiter, SCOPE.get()
        if call.number < 0:
            if self._unrecorded is None:
                self._unrecorded = {}
            self._unrecorded[call.number] = call
        self._launch_soon(call)

    def _launch_soon(self, call: StartedCall) -> None:
        if self._fresh is None:
            self._fresh = {}
        self._fresh[call.number] = None

    def _awaited(self, number: int) -> StartedCall | None:
        """The call with this number, ``None`` if nobody waits for it any more."""
        call = self.session.machine.pending.get(number)
        if call is None and self._unrecorded is not None:
            call = self._unrecorded.get(number)
        return None if call is None or call.effect is None else call

    def _all_awaited(self) -> list[StartedCall]:
        calls = [*self.session.machine.pending.values(), *(self._unrecorded or {}).values()]
        return [call for call in calls if call.effect is not None]

    def _forget(self, number: int) -> None:
        self.session.machine.withdraw(number)
        if self._unrecorded is not None:
            self._unrecorded.pop(number, None)
        if self._fresh is not None:
            self._fresh.pop(number, None)

    def _deliver(self, call: StartedCall, entry: ImportedFunctionInvoked) -> None:
        self._forget(call.number)
        call.effect.waiter.resume(entry)

    def _launch(self) -> None:
        if self._fresh is None:
            return
        session, numbers, self._fresh = self.session, self._fresh, None
        fresh = [call for call in map(self._awaited, numbers) if call is not None]
        for at, call in enumerate(fresh):
            if call.begin:
                call = fresh[at] = session.operations.writes.announced(call)
            retry = session.writer.plan.call_retries.get(call.number)
            if retry is not None and retry.due > session.now_ns():
                call.effect = AlarmEffect(retry.due, call.effect)
        outside = [call for call in fresh if not call.effect.resumable]
        for call in fresh:
            if call.effect.resumable:  # these first, for they may record something
                call.effect.launch(session, call)
        if any(COMMIT_TABLE[call.function_type].before for call in outside):
            session.writer.commit()
        for call in outside:
            call.effect.launch(session, call)
