"""The lanes of one agent: which runs on which thread, and who waits for whom."""

from __future__ import annotations

import logging
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

from golem_sdk import originals
from golem_sdk.errors import AgentFencedSignal, NotDurableError, UsageError
from golem_sdk.runtime.lanes import Lane, LaneThread, MainLane, Waiter
from golem_sdk.runtime.watch import watch

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from golem_sdk.runtime.lanes import Baton
    from golem_sdk.runtime.loop import AgentLoop

__all__ = ["Lanes", "LanesPort", "executor_size"]

_log = logging.getLogger("golem_sdk")

_MOST_LANES = 32
"""Lanes of the default executor that are under way at once; the others queue up, as in asyncio."""

_OWN_THREADS = object()
"""Stands for the executor of lanes that have a thread of their own."""


def _started(name: str) -> LaneThread:
    lane_thread = LaneThread()
    thread = Thread(target=lane_thread.serve, name=name, daemon=True)
    originals.start_thread(thread)
    lane_thread.ident = thread.ident
    return lane_thread


class LanesPort(Protocol):
    """What lanes need from their session."""

    def here(self) -> int:
        """The number of the line of agent code that runs, or that has made the task that does."""
        ...

    def cancel_call(self, number: int) -> None:
        """A durable call is not waited for any more."""
        ...

    def stop(self, error: BaseException) -> object:
        """The system has refused a thread: the agent cannot go on, and begins anew from its oplog."""
        ...


class _Crew:
    """The lanes of one executor: so many at once, the others wait their turn."""

    def __init__(self, size: int) -> None:
        self.vacancies = size
        self.waiting: deque[Lane] = deque()
        self.idle: list[LaneThread] = []
        self.waiters: deque[Waiter] = deque()
        self.is_closed = False

    def release(self) -> None:
        """Let its idle threads go."""
        idle, self.idle = self.idle, []
        for thread in idle:
            thread.jobs.put(None)


class Lanes:
    """The lanes of one agent. Which thread runs which lane is the same in every run.

    Args:
        loop: the agent's loop.
        port: takes back calls, and ends the session.

    Attributes:
        baton: passed to the lane that runs.
        default_executor: what ``None`` means, if that was said.
        futures: numbers for what agent code gets of thread pools.
        main: the lane of the invocation's own code, if that is one.
    """

    def __init__(self, loop: AgentLoop, port: LanesPort) -> None:
        self.baton: Baton = loop
        self.default_executor: object = None
        self.futures = count(1)
        self.main: MainLane | None = None
        self._port = port
        self._loop = loop
        self._lanes: dict[Lane, _Crew] = {}
        self._crews: dict[object, _Crew] = {}
        self._numbers = count(1)
        self._drained: list[asyncio.Future[Any]] = []
        self._empty: deque[Waiter] = deque()
        self._waiting: dict[Waiter, None] = {}
        self._over = False

    def __len__(self) -> int:
        return len(self._lanes)

    def add(self, lane: Lane, executor: object) -> None:
        """Have a lane begin in this turn, or when its executor has a thread for it.

        Raises:
            NotDurableError: the executor's work cannot be journaled.
        """
        executor = self.default_executor if executor is None else executor
        crew = self._crews.get(executor)
        if crew is None:
            size = sys.maxsize if executor is _OWN_THREADS else executor_size(executor)
            crew = self._crews[executor] = _Crew(size)
        self._lanes[lane] = crew
        lane.site = self._port.here()
        watch(self)
        if crew.vacancies:
            crew.vacancies -= 1
            self._loop.call_soon(self._begin, lane)
        else:
            crew.waiting.append(lane)

    def add_thread(self, lane: Lane) -> None:
        """Have a lane that has a thread of its own begin in this turn."""
        self.add(lane, _OWN_THREADS)

    def ended(self, lane: Lane, thread: LaneThread | None) -> None:
        """A lane's function is over, or was never wanted."""
        crew = self._lanes.pop(lane)
        if lane.own is not None:
            lane.own.jobs.put(None)
        elif thread is not None:
            crew.idle.append(thread)
        lane.reveal()
        if crew.waiting:
            self._loop.call_soon(self._begin, crew.waiting.popleft())
        else:
            crew.vacancies += 1
        self._rouse_all(lane.waiters)
        if crew not in self._lanes.values():
            self._rouse_all(crew.waiters)
            if crew.is_closed:
                self._forget_crew(crew)
        if not self._lanes:
            drained, self._drained = self._drained, []
            for future in drained:
                if not future.done():
                    future.set_result(None)
            self._rouse_all(self._empty)

    def waiting_at(self) -> list[str]:
        """The lines at which lanes wait; where the event loop runs the agent, it does, too. On any thread."""
        lanes = [lane for lane in (self.main, *list(self._lanes)) if lane is not None]
        waiting = [lane.waits_at() for lane in lanes if lane.ident not in {0, self.baton.holder}]
        if self.main is None and any(lane.ident == self.baton.holder for lane in lanes):
            waiting.append("its event loop")
        return waiting

    async def drain(self) -> None:
        """Wait until no lane is left."""
        self.end_daemons()
        while self._lanes:
            future = self._loop.create_future()
            self._drained.append(future)
            await future

    def drain_for(self, lane: Lane) -> None:
        """The same for a lane that is none of these: that of the invocation."""
        self.end_daemons()
        while self._lanes:
            self.wait(lane, self._empty, None, "")

    def close(self, executor: object) -> tuple[list[Lane], deque[Waiter]]:
        """An executor gets no more lanes; those that are not over, and where to wait until none is left."""
        crew = self._crews.get(executor)
        if crew is None:
            return [], deque()
        crew.is_closed = True
        lanes = [lane for lane, its in self._lanes.items() if its is crew]
        if not lanes:
            self._forget_crew(crew)
        return lanes, crew.waiters

    def _forget_crew(self, crew: _Crew) -> None:
        self._crews = {executor: its for executor, its in self._crews.items() if its is not crew}
        crew.release()

    def end_daemons(self) -> None:
        """The invocation's code is over: so are the threads for which it does not wait."""
        for lane in [lane for lane in self._lanes if lane.is_daemon]:
            self._port.cancel_call(lane.call)
            self._abandon(lane, AgentFencedSignal(NotDurableError("its invocation is over")))
            if lane in self._lanes:
                lane.over = True  # for all who ask, whatever its thread still does
                self.ended(lane, None)

    def release_threads(self) -> None:
        """No lane is left: let their threads go."""
        crews, self._crews = self._crews, {}
        for crew in crews.values():
            crew.release()
        self._numbers = count(1)

    def abandon(self, signal: Callable[[], BaseException]) -> None:
        """The session is over: raise a ``signal`` in every lane that is parked, in order of creation.

        A lane that does not end is reported and left behind, fenced by its session.
        """
        self._over = True
        for lane in list(self._lanes):
            self._abandon(lane, signal())
        self._lanes.clear()
        self.release_threads()

    def _abandon(self, lane: Lane, signal: BaseException) -> None:
        if not lane.abandon(signal):
            _log.warning(
                "A thread of an unloaded agent does not end: it is at %s. Nothing it does is recorded"
                " any more. Let control signals (BaseException) pass through its except clauses.",
                lane.whereabouts(),
            )
        thread = lane.own or lane._thread
        if thread is not None:
            thread.jobs.put(None)

    # --- lanes that wait for each other -----------------------------------------------------------

    def wait(self, lane: Lane, queue: deque[Waiter], timeout_s: float | None, what: str) -> bool:
        """Have the lane that runs wait until it is roused; ``False``: the time was up first.

        ``what`` says for what, and where; ``""``: it waits for all others, and nobody for it.
        """
        lane.check()
        waiter = Waiter(lane, what, queue)
        queue.append(waiter)
        if what:
            self._waiting[waiter] = None
        timer = None
        if timeout_s is not None:
            timer = self._loop.call_later(timeout_s, self.rouse, waiter, False)
        try:
            return bool(lane.park())
        finally:
            waiter.is_roused = True
            self._forget(waiter)
            if timer is not None:
                timer.cancel()

    def rouse(self, waiter: Waiter, value: bool = True) -> None:
        """A lane has waited long enough: it goes on in this turn."""
        if not (waiter.is_roused or self._over):
            waiter.is_roused = True
            self._forget(waiter)
            self._loop.call_soon(waiter.lane.resume, value)

    def _rouse_all(self, queue: deque[Waiter]) -> None:
        for waiter in list(queue):
            self.rouse(waiter)

    def _forget(self, waiter: Waiter) -> None:
        self._waiting.pop(waiter, None)
        if waiter in waiter.queue:
            waiter.queue.remove(waiter)

    def untangle(self) -> bool:
        """Nothing can happen any more: raise in a lane that waits, if any does.

        In that of the invocation, whose caller hears of it, or else in the one that has waited longest.
        """
        if not self._waiting:
            return False
        all_of_them = "; ".join(waiter.what for waiter in self._waiting)
        mains = [waiter for waiter in self._waiting if isinstance(waiter.lane, MainLane)]
        waiter = next(iter(mains or self._waiting))
        self._forget(waiter)
        waiter.is_roused = True
        waiter.lane.throw(
            UsageError(
                f"Threads of the agent wait for each other, and nothing that could end it is under way:"
                f" {all_of_them}. Take locks in one order, give back what others need before waiting, or"
                " wait with a timeout"
            )
        )
        return True

    def _begin(self, lane: Lane) -> None:
        if lane not in self._lanes:  # it was a daemon
            return
        if lane.future is not None and lane.future.cancelled():
            self.ended(lane, None)
            return
        idle = self._lanes[lane].idle
        thread = lane.own or (idle.pop() if idle else None)
        try:
            thread = thread or _started(f"golem-lane-{next(self._numbers)}")
        except RuntimeError as error:
            self._port.stop(error)
        else:
            lane.begin(self, thread)


def executor_size(executor: object) -> int:
    """How many lanes of an executor may be under way at once (``None``: the default executor).

    Raises:
        NotDurableError: it is no plain thread pool, so its work cannot be a lane.
    """
    if executor is None:
        return _MOST_LANES
    if isinstance(executor, ThreadPoolExecutor) and executor._initializer is None:
        return executor._max_workers
    raise NotDurableError(
        f"An agent has given work to {executor!r}. Nothing was started: only threads of the agent can be"
        " replayed. Use asyncio.to_thread(), run_in_executor(None, ...) or a ThreadPoolExecutor without"
        " initializer, or put the work into a function decorated with @durable"
    )
