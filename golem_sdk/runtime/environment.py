"""Clock, entropy, timers and threads: the environment in which agents run, as one object.

Production and simulation differ in this object only.
"""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING, Protocol

from golem_sdk import originals

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable

__all__ = ["Environment", "RealEnvironment", "Timer"]

_IDLE_S = 10.0


class Timer:
    """An armed timer; ``cancel`` keeps it from firing if it has not fired yet."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the callback. Idempotent."""
        self.callback = None

    def fire(self) -> None:
        """Run the callback once, unless cancelled."""
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


class Environment(Protocol):
    """What the runtime needs from the world."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        ...

    def entropy(self, size: int) -> bytes:
        """``size`` random bytes."""
        ...

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` (which must not block) from some thread at ``when_ns`` or soon after."""
        ...

    def spawn(self, job: Callable[[], None]) -> None:
        """Run ``job`` on a thread of its own, soon."""
        ...

    def enter(self) -> None:
        """Something runs that is no job of `spawn` (an effect on the host loop), or runs again."""
        ...

    def leave(self) -> None:
        """It is over; or a job waits."""
        ...

    def close(self) -> None:
        """Timers fire no more; idle threads end. Running jobs are not waited for."""
        ...


class RealEnvironment:
    """The real clock, the system's entropy, one timer thread, and worker threads that are reused."""

    def __init__(self) -> None:
        self._timers = _TimerThread()
        self._workers = _Workers()

    def now_ns(self) -> int:
        """See `Environment.now_ns`."""
        return originals.time_ns()

    def entropy(self, size: int) -> bytes:
        """See `Environment.entropy`."""
        return originals.urandom(size)

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Timer:
        """See `Environment.call_at`."""
        return self._timers.call_at(when_ns, callback)

    def spawn(self, job: Callable[[], None]) -> None:
        """See `Environment.spawn`."""
        self._workers.spawn(job)

    def enter(self) -> None:
        """See `Environment.enter`."""

    def leave(self) -> None:
        """See `Environment.leave`."""

    def close(self) -> None:
        """See `Environment.close`."""
        self._timers.close()
        self._workers.close()


class _TimerThread:
    """A heap of due times and one thread, started with the first timer.

    It waits by the monotonic clock but at most a minute at a time, so that a stepped wall clock neither
    loses nor hastens a timer for longer.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._heap: list[tuple[int, int, Timer]] = []
        self._order = count()
        self._thread: Thread | None = None
        self._closed = False

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Timer:
        timer = Timer(callback)
        with self._changed:
            heapq.heappush(self._heap, (when_ns, next(self._order), timer))
            if self._thread is None and not self._closed:
                self._thread = Thread(target=self._run, name="golem-timers", daemon=True)
                originals.start_thread(self._thread)
            elif self._heap[0][2] is timer:
                self._changed.notify()
        return timer

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._heap.clear()
            self._changed.notify()

    def _run(self) -> None:
        while (timer := self._next()) is not None:
            timer.fire()

    def _next(self) -> Timer | None:
        with self._changed:
            while not self._closed:
                if not self._heap:
                    self._changed.wait()
                    continue
                when_ns, _, timer = self._heap[0]
                if timer.callback is None or when_ns <= originals.time_ns():
                    heapq.heappop(self._heap)
                    return timer
                self._changed.wait(min(60.0, (when_ns - originals.time_ns()) / 1e9 + 0.0001))
            return None


class _Workers:
    """Threads that run one job at a time and are kept for the next one for a while.

    There is always a thread on its way to the queued jobs, but one only: it wakes the next before it runs
    its own. Many that wake at once would only fight for the interpreter's lock.
    """

    def __init__(self) -> None:
        self._mutex = Lock()
        self._jobs: deque[Callable[[], None]] = deque()
        self._idle: list[LockType] = []
        self._coming = False
        self._closed = False

    def spawn(self, job: Callable[[], None]) -> None:
        with self._mutex:
            self._jobs.append(job)
            if self._coming:
                return
            self._coming = True
        self._call_one()

    def close(self) -> None:
        with self._mutex:
            self._closed = True
            idle, self._idle = self._idle, []
        for bell in idle:
            bell.release()

    def _call_one(self) -> None:
        with self._mutex:
            bell = self._idle.pop() if self._idle else None
        if bell is not None:
            bell.release()
            return
        try:
            originals.start_thread(Thread(target=self._run, name="golem-worker", daemon=True))
        except BaseException:
            self._coming = False
            raise

    def _run(self) -> None:
        bell = Lock()
        bell.acquire()
        is_called = True
        while True:
            job = self._take(is_called)
            if job is not None:
                job()
                is_called = False
                del job
            elif self._rest(bell):
                is_called = True
            else:
                return

    def _take(self, is_called: bool) -> Callable[[], None] | None:
        with self._mutex:
            job = self._jobs.popleft() if self._jobs else None
            if is_called:
                self._coming = bool(self._jobs)
            call = is_called and self._coming
        if call:
            self._call_one()
        return job

    def _rest(self, bell: LockType) -> bool:
        """Wait to be called; ``False``: not needed any more."""
        with self._mutex:
            if self._closed:
                return False
            if self._jobs and not self._coming:
                self._coming = True
                return True
            self._idle.append(bell)
        if not bell.acquire(timeout=_IDLE_S):
            with self._mutex:
                if bell in self._idle:
                    self._idle.remove(bell)
                    return False
            bell.acquire()
        return True
