"""Threads of an agent, of which one at a time runs: who has the baton."""

from __future__ import annotations

import logging
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from queue import SimpleQueue
from threading import Semaphore, Thread, local
from typing import TYPE_CHECKING, Any

from golem_sdk import originals
from golem_sdk.errors import NotDurableError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextvars import Context

    from golem_sdk.runtime.tasks import AgentFuture

__all__ = ["Baton", "Lane", "Lanes", "current_lane"]

_log = logging.getLogger("golem_sdk")

_MOST_LANES = 32
"""Lanes of the default executor that are under way at once; the others queue up, as in asyncio."""

_LAST_WORDS_S = 1.0
"""How long a lane that is told to end may take before it is left to itself."""


class _Here(local):
    lane: Lane | None = None  # of the class: looking it up fails on no thread, which would be slow


_here = _Here()


def current_lane() -> Lane | None:
    """The lane whose thread runs this code, ``None`` on all other threads."""
    return _here.lane


_Message = tuple["Callable[[], None] | None", object, BaseException | None]
"""To a lane that is parked: an effect that it is to perform, or what `Lane.park` returns or raises."""


class Baton:
    """Which thread may run the agent's code and complete its futures; never two at once.

    Attributes:
        holder: identity of that thread, ``None`` while nobody drives the agent.
    """

    __slots__ = ("holder",)

    def __init__(self) -> None:
        self.holder: int | None = None


class Lane:
    """A function of the agent on a thread of its own.

    The thread that drives the agent hands over the baton and waits until it comes back: agent code never
    runs in parallel, so the order of deliveries is all there is to record. While the lane waits for a
    durable call it has no baton; the real effect is performed on its thread meanwhile.

    A lane that blocks on a lock which a parked lane holds blocks its agent: that is not detected.

    Attributes:
        future: gets what the function returns or raises. Cancelling it does not end the lane.
        over: the function has returned or raised.
    """

    def __init__(self, context: Context, function: Callable[[], Any], future: AgentFuture) -> None:
        self.future = future
        self.over = False
        self._context = context
        self._function = function
        self._messages: SimpleQueue[_Message] = SimpleQueue()
        self._baton_back = Semaphore(0)
        self._result: Any
        self._error: BaseException | None = None
        self._performing = False
        self._fence: BaseException | None = None
        self._thread: _LaneThread | None = None
        self._lanes: Lanes

    # --- on the driver's thread -------------------------------------------------------------------

    def begin(self, lanes: Lanes, thread: _LaneThread) -> None:
        """Run the function on a thread, with the baton; returns when that comes back."""
        self._lanes, self._thread = lanes, thread
        thread.jobs.put(self._run)
        self._lend_baton()

    def resume(self, value: object) -> None:
        """Hand over the baton with what `park` is to return; returns when it comes back."""
        self._messages.put((None, value, None))
        self._lend_baton()

    def throw(self, error: BaseException) -> None:
        """Hand over the baton with what `park` is to raise; returns when it comes back."""
        self._messages.put((None, None, error))
        self._lend_baton()

    def abandon(self, signal: BaseException) -> bool:
        """End the lane by raising ``signal`` where it is parked; whether it has ended or will.

        One that is performing a real effect is not waited for: it ends when the effect does.
        """
        if self._thread is None:
            return True
        self._fence = signal
        self._messages.put((None, None, signal))
        return self._performing or self._baton_back.acquire(timeout=_LAST_WORDS_S)

    def whereabouts(self) -> str:
        """File and line at which the lane's thread is at this moment."""
        assert self._thread is not None, "it was begun"
        frame = sys._current_frames().get(self._thread.ident)
        return "nowhere" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"

    def reveal(self) -> None:
        """Give the outcome of the function, which is over, to the future if it is still wanted."""
        error, self._error = self._error, None
        if self.future.done():
            return
        if error is None:
            self.future.set_result(self._result)
        elif isinstance(error, StopIteration):  # which no future can carry
            stopped = RuntimeError(f"a thread of the agent raised {error!r}")
            stopped.__cause__ = error
            self.future.set_exception(stopped)
        else:
            self.future.set_exception(error)

    def _lend_baton(self) -> None:
        assert self._thread is not None, "a lane is resumed after it was begun"
        baton = self._lanes.baton
        holder, baton.holder = baton.holder, self._thread.ident
        try:
            self._baton_back.acquire()
        finally:
            baton.holder = holder
        if self.over:
            self._lanes.ended(self, self._thread)

    # --- on any thread ----------------------------------------------------------------------------

    def perform(self, effect: Callable[[], None]) -> None:
        """Have a real effect performed on the lane's thread, without the baton. Does not wait.

        ``effect`` posts its own completion and raises nothing.
        """
        self._performing = True
        self._messages.put((effect, None, None))

    # --- on the lane's own thread -----------------------------------------------------------------

    def park(self) -> object:
        """Give the baton back and wait for it.

        Raises:
            BaseException: what was thrown in, or the signal that ended the session meanwhile.
        """
        if self._fence is not None:
            raise self._fence
        self._baton_back.release()
        while True:
            effect, value, error = self._messages.get()
            if error is not None:
                raise error
            if effect is None:
                return value
            effect()
            self._performing = False

    def _run(self) -> None:
        _here.lane = self
        try:
            self._result = self._context.run(self._function)
        except BaseException as error:  # it is the future's outcome
            self._error = error
        _here.lane = None  # an idle thread keeps nothing of it
        self.over = True
        self._baton_back.release()


class _LaneThread:
    """A thread that runs one lane after another."""

    def __init__(self, name: str) -> None:
        self.jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        thread = Thread(target=self._serve, name=name, daemon=True)
        originals.start_thread(thread)
        assert thread.ident is not None, "it was started"
        self.ident = thread.ident

    def _serve(self) -> None:
        while (job := self.jobs.get()) is not None:
            job()
            del job


class _Crew:
    """The lanes of one executor: so many at once, the others wait their turn."""

    def __init__(self, size: int) -> None:
        self.vacancies = size
        self.waiting: deque[Lane] = deque()
        self.idle: list[_LaneThread] = []


class Lanes:
    """The lanes of one agent. Which thread runs which lane is the same in every run.

    Args:
        loop: the agent's loop.
        baton: passed to the lane that runs.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, baton: Baton) -> None:
        self.baton = baton
        self._loop = loop
        self._lanes: dict[Lane, _Crew] = {}
        self._crews: dict[object, _Crew] = {}
        self._numbers = count(1)
        self._drained: list[asyncio.Future[Any]] = []

    def __len__(self) -> int:
        return len(self._lanes)

    def add(self, lane: Lane, executor: object) -> None:
        """Have a lane begin in this turn, or when its executor has a thread for it.

        Raises:
            NotDurableError: the executor's work cannot be journaled.
        """
        crew = self._crews.get(executor)
        if crew is None:
            crew = self._crews[executor] = _Crew(executor_size(executor))
        self._lanes[lane] = crew
        if crew.vacancies:
            crew.vacancies -= 1
            self._loop.call_soon(self._begin, lane)
        else:
            crew.waiting.append(lane)

    def ended(self, lane: Lane, thread: _LaneThread | None) -> None:
        """A lane's function is over, or was never wanted."""
        crew = self._lanes.pop(lane)
        if thread is not None:
            crew.idle.append(thread)
            lane.reveal()
        if crew.waiting:
            self._loop.call_soon(self._begin, crew.waiting.popleft())
        else:
            crew.vacancies += 1
        if not self._lanes:
            drained, self._drained = self._drained, []
            for future in drained:
                if not future.done():
                    future.set_result(None)

    async def drain(self) -> None:
        """Wait until no lane is left."""
        while self._lanes:
            future = self._loop.create_future()
            self._drained.append(future)
            await future

    def release_threads(self) -> None:
        """No lane is left: let their threads go."""
        crews, self._crews = self._crews, {}
        for crew in crews.values():
            for thread in crew.idle:
                thread.jobs.put(None)
        self._numbers = count(1)

    def abandon(self, signal: Callable[[], BaseException]) -> None:
        """The session is over: raise a ``signal`` in every lane that is parked, in order of creation.

        A lane that does not end is reported and left behind, fenced by its session.
        """
        for lane in list(self._lanes):
            if not lane.abandon(signal()):
                _log.warning(
                    "A thread of an unloaded agent does not end: it is at %s. Nothing it does is recorded"
                    " any more. Let control signals (BaseException) pass through its except clauses.",
                    lane.whereabouts(),
                )
            if lane._thread is not None:
                lane._thread.jobs.put(None)
        self._lanes.clear()
        self.release_threads()

    def _begin(self, lane: Lane) -> None:
        if lane.future.cancelled():
            self.ended(lane, None)
            return
        idle = self._lanes[lane].idle
        lane.begin(self, idle.pop() if idle else _LaneThread(f"golem-lane-{next(self._numbers)}"))


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
        f"run_in_executor() of an agent was given {executor!r}. Nothing was started: only threads of the"
        " agent can be replayed. Use asyncio.to_thread(), None or a ThreadPoolExecutor without initializer,"
        " or put the work into a function decorated with @durable"
    )
