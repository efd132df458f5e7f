"""Clock, entropy, timers and threads: the environment in which agents run, as one object.

Production and simulation differ in this object only.
"""

from __future__ import annotations

import heapq
from itertools import count
from queue import Empty, SimpleQueue
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING, Protocol

from golem_sdk import originals

if TYPE_CHECKING:
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
    """Threads that run one job at a time and are kept for the next one for a while."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self._idle: list[SimpleQueue[Callable[[], None] | None]] = []

    def spawn(self, job: Callable[[], None]) -> None:
        with self._mutex:
            jobs = self._idle.pop() if self._idle else None
        if jobs is None:
            jobs = SimpleQueue()
            originals.start_thread(
                Thread(target=self._run, args=(jobs,), name="golem-worker", daemon=True)
            )
        jobs.put(job)

    def close(self) -> None:
        with self._mutex:
            idle, self._idle = self._idle, []
        for jobs in idle:
            jobs.put(None)

    def _run(self, jobs: SimpleQueue[Callable[[], None] | None]) -> None:
        while (job := self._take(jobs)) is not None:
            job()
            del job
            with self._mutex:
                self._idle.append(jobs)

    def _take(self, jobs: SimpleQueue[Callable[[], None] | None]) -> Callable[[], None] | None:
        try:
            return jobs.get(timeout=_IDLE_S)
        except Empty:
            with self._mutex:
                if jobs in self._idle:
                    self._idle.remove(jobs)
                    return None
        return jobs.get()
