"""Clock, entropy, timers and threads: the environment in which agents run, as one object.

Production and simulation differ in this object only.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from threading import Lock, Thread
from typing import TYPE_CHECKING, Protocol, TypeVar

from golem_sdk import originals
from golem_sdk.runtime.timers import AGAIN_NS, TimerThread

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable

    from golem_sdk.runtime.timers import Timer

__all__ = ["Environment", "RealEnvironment", "Source"]

T = TypeVar("T")

_log = logging.getLogger("golem_sdk")

_IDLE_S = 10.0


class Source(Protocol):
    """Where time and entropy come from."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        ...

    def entropy(self, size: int) -> bytes:
        """``size`` random bytes."""
        ...


class Environment(Source, Protocol):
    """What the runtime needs from the world."""

    def reading(self, real: Callable[[], T], virtual: Callable[[Source], T]) -> Callable[[], T]:
        """What reads a clock, or draws, for agent code: ``real``; simulated, ``virtual`` of some source."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block this thread of the runtime."""
        ...

    def event_loop(self) -> asyncio.AbstractEventLoop:
        """A new loop, on which the real effects of asynchronous agents are to run."""
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
        self._timers = TimerThread()
        self._workers = _Workers(self._later)

    def now_ns(self) -> int:
        """See `Environment.now_ns`."""
        return originals.time_ns()

    def entropy(self, size: int) -> bytes:
        """See `Environment.entropy`."""
        return originals.urandom(size)

    def reading(self, real: Callable[[], T], virtual: Callable[[Source], T]) -> Callable[[], T]:
        """See `Environment.reading`."""
        return real

    def sleep(self, seconds: float) -> None:
        """See `Environment.sleep`."""
        originals.sleep(seconds)

    def event_loop(self) -> asyncio.AbstractEventLoop:
        """See `Environment.event_loop`."""
        return asyncio.new_event_loop()

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

    def _later(self, callback: Callable[[], None]) -> None:
        self._timers.call_at(originals.time_ns() + AGAIN_NS, callback)


class _Workers:
    """Threads that run one job at a time and are kept for the next one for a while.

    There is always a thread on its way to the queued jobs, but one only: it wakes the next before it runs
    its own. Many that wake at once would only fight for the interpreter's lock.

    When the system refuses a new thread, jobs wait for a thread that is through with its own, and for the
    next attempt.

    Args:
        later: calls back a while later.
    """

    def __init__(self, later: Callable[[Callable[[], None]], None]) -> None:
        self._later = later
        self._mutex = Lock()
        self._jobs: deque[Callable[[], None]] = deque()
        self._idle: list[LockType] = []
        self._coming = False
        self._is_asked = False  # `_later`, to call again
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
        except RuntimeError as error:
            self._refused(error)
        except BaseException:
            self._coming = False
            raise

    def _refused(self, error: RuntimeError) -> None:
        with self._mutex:
            self._coming = False
            jobs = len(self._jobs)
            is_asked, self._is_asked = self._is_asked, True
        if not is_asked:
            _log.error("%s jobs wait for a thread: %s", jobs, error)
            self._later(self._call_again)

    def _call_again(self) -> None:
        with self._mutex:
            self._is_asked = False
            if self._coming or not self._jobs:
                return
            self._coming = True
        self._call_one()

    def _run(self) -> None:
        bell = Lock()
        bell.acquire()
        is_called = True
        while True:
            job = self._take(is_called)
            if job is not None:
                job()
                is_called = False
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
