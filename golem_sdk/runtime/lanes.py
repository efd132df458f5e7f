"""Threads of an agent, of which one at a time runs: who has the baton."""

from __future__ import annotations

import sys
from collections import deque
from contextvars import Context
from queue import Empty, SimpleQueue
from threading import get_ident, local
from typing import TYPE_CHECKING, Any

from golem_sdk.runtime.sites import user_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from golem_sdk.runtime.crews import Lanes
    from golem_sdk.runtime.tasks import AgentFuture

__all__ = ["Baton", "Lane", "LaneThread", "Waiter", "current_lane", "lane_site"]

_LAST_WORDS_S = 1.0
"""How long a lane that is told to end may take before it is left to itself."""


class _Here(local):
    lane: Lane | None = None  # of the class: looking it up fails on no thread, which would be slow


_here = _Here()


def current_lane() -> Lane | None:
    """The lane whose thread runs this code, ``None`` on all other threads."""
    return _here.lane


def lane_site() -> int:
    """Where agent code has made the lane whose thread runs this code, 0: nobody knows, or it is none."""
    return 0 if _here.lane is None else _here.lane.site


_Message = tuple["Callable[[], None] | None", object, BaseException | None]
"""To a lane that is parked: an effect that it is to perform, or what `Lane.park` returns or raises."""


class Baton:
    """Which thread may run the agent's code and complete its futures; never two at once.

    Attributes:
        holder: identity of that thread, ``None`` while nobody drives the agent.
        turns: how often it was handed to a lane.
    """

    __slots__ = ("holder", "turns")

    def __init__(self) -> None:
        self.holder: int | None = None
        self.turns = 0


class Lane:
    """A function of the agent on a thread of its own.

    The thread that drives the agent hands over the baton and waits until it comes back: agent code never
    runs in parallel, so the order of deliveries is all there is to record. While the lane waits for a
    durable call it has no baton; the real effect is performed on its thread meanwhile.

    Args:
        context: in which the function runs.
        function: the function.
        future: gets what it returns or raises, if anything does. Cancelling it does not end the lane.
        own: the thread that was started for this lane alone.
        job: what agent code has got for a function that it gave to a thread pool.
        is_daemon: whether it is ended with its invocation, which waits for the others.

    Attributes:
        over: the function has returned or raised.
        waiters: who waits for that.
        call: the durable call that it has waited for last.
        site: where agent code made it.
    """

    def __init__(
        self,
        context: Context,
        function: Callable[[], Any],
        future: AgentFuture | None = None,
        *,
        own: LaneThread | None = None,
        job: Future[Any] | None = None,
        is_daemon: bool = False,
    ) -> None:
        self.future = future
        self.own = own
        self.job = job
        self.is_daemon = is_daemon
        self.over = False
        self.waiters: deque[Waiter] = deque()
        self.call = self.site = 0
        self._context = context
        self._function = function
        self._messages: SimpleQueue[_Message] = SimpleQueue()
        self._baton_back: SimpleQueue[None] = (
            SimpleQueue()
        )  # which is never replaced by agents' own
        self._result: Any
        self._error: BaseException | None = None
        self._performing = False
        self._fence: BaseException | None = None
        self._thread: LaneThread | None = None
        self._lanes: Lanes

    # --- on the driver's thread -------------------------------------------------------------------

    def begin(self, lanes: Lanes, thread: LaneThread) -> None:
        """Run the function on a thread, with the baton; returns when that comes back."""
        self._lanes, self._thread = lanes, thread
        self._lend_baton(thread.jobs.put, self._run)

    def resume(self, value: object) -> None:
        """Hand over the baton with what `park` is to return; returns when it comes back."""
        self._lend_baton(self._messages.put, (None, value, None))

    def throw(self, error: BaseException) -> None:
        """Hand over the baton with what `park` is to raise; returns when it comes back."""
        self._lend_baton(self._messages.put, (None, None, error))

    def abandon(self, signal: BaseException) -> bool:
        """End the lane by raising ``signal`` where it is parked; whether it has ended or will.

        One that is performing a real effect is not waited for: it ends when the effect does.
        """
        if self._thread is None:
            return True
        self._fence = signal
        if self._performing:
            self._messages.put((None, None, signal))
            return True
        baton = self._lanes.baton
        holder, baton.holder = baton.holder, self._thread.ident
        try:
            self._messages.put((None, None, signal))
            self._baton_back.get(timeout=_LAST_WORDS_S)
        except Empty:
            return False
        finally:
            baton.holder = holder
        return True

    def whereabouts(self) -> str:
        """File and line at which the lane's thread is at this moment."""
        assert self._thread is not None, "it was begun"
        frame = sys._current_frames().get(self._thread.ident or 0)
        return "nowhere" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"

    @property
    def ident(self) -> int:
        """The identity of its thread, 0: it has none yet."""
        return 0 if self._thread is None else self._thread.ident or 0

    def waits_at(self) -> str:
        """The line of agent code at which it waits. On any thread."""
        frame = sys._current_frames().get(self.ident)
        return "nowhere" if frame is None else user_line(frame)

    def reveal(self) -> None:
        """Give the outcome of the function, which is over, to the future if it is still wanted."""
        error, self._error = self._error, None
        if self.future is None or self.future.done():
            return
        if error is None:
            self.future.set_result(self._result)
        elif isinstance(error, StopIteration):  # which no future can carry
            stopped = RuntimeError(f"a thread of the agent raised {error!r}")
            stopped.__cause__ = error
            self.future.set_exception(stopped)
        else:
            self.future.set_exception(error)

    def _lend_baton(self, tell: Callable[[Any], None], message: object) -> None:
        assert self._thread is not None, "a lane is resumed after it was begun"
        baton = self._lanes.baton
        holder, baton.holder = baton.holder, self._thread.ident
        baton.turns += 1
        try:
            tell(message)  # not before it has the baton: it goes on at once
            self._baton_back.get()
        finally:
            baton.holder = holder
        self._baton_is_back()

    def _baton_is_back(self) -> None:
        """The baton is back."""
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

    def check(self) -> None:
        """Raise what has ended this lane, if anything has."""
        if self._fence is not None:
            raise self._fence

    def park(self) -> object:
        """Give the baton back and wait for it.

        Raises:
            BaseException: what was thrown in, or the signal that ended the session meanwhile.
        """
        self.check()
        self._baton_back.put(None)
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
        self._baton_back.put(None)


class Waiter:
    """A lane that waits for another one, not for a durable call.

    Attributes:
        lane: which.
        what: for what, and where.
        queue: where it stands in line.
    """

    __slots__ = ("is_roused", "lane", "queue", "what")

    def __init__(self, lane: Lane, what: str, queue: deque[Waiter]) -> None:
        self.lane = lane
        self.what = what
        self.queue = queue
        self.is_roused = False


class MainLane(Lane):
    """The code of a synchronous agent's invocation, on the thread on which it was begun.

    It has the baton from the moment at which this is made. Somebody else drives the agent from then on.

    Args:
        lanes: those beside it.
    """

    def __init__(self, lanes: Lanes) -> None:
        super().__init__(Context(), _nothing)
        self._lanes = lanes
        self._thread = LaneThread()
        self._thread.ident = lanes.baton.holder = get_ident()
        lanes.main = self
        _here.lane = self

    def await_baton(self) -> None:
        """Wait, on the driver's thread, until it gives the baton back for the first time."""
        self._baton_back.get()

    def fence(self, signal: BaseException) -> None:
        """Nobody drives the agent any more: raise a signal where the lane is parked, or parks."""
        assert self._thread is not None, "it has one"
        self._lanes.baton.holder = self._thread.ident
        self._fence = signal
        self._messages.put((None, None, signal))

    def end(self) -> None:
        """It is over; on its own thread, with the baton, which it gives back."""
        self._lanes.main = None
        _here.lane = None
        self.over = True
        self._baton_back.put(None)

    def _baton_is_back(self) -> None:
        """The baton is back."""


def _nothing() -> None:
    """What a lane runs that runs already."""


class LaneThread:
    """A thread that runs one lane after another.

    Attributes:
        ident: its identity, once it is started.
    """

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.ident: int | None = None

    def serve(self) -> None:
        """What the thread does."""
        while (job := self.jobs.get()) is not None:
            job()
            del job
