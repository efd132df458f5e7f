"""An environment in which no time passes: clock, timers and entropy are simulated, threads are real."""

from __future__ import annotations

import random
from threading import Condition, RLock
from typing import TYPE_CHECKING, TypeVar

from golem_sdk import originals
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.timers import Timer, TimerHeap

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from golem_sdk.runtime.environment import Source

__all__ = ["START_NS", "VirtualEnvironment"]

T = TypeVar("T")

START_NS = 1_700_000_000_000_000_000
_TICK_NS = 1_000


class VirtualEnvironment:
    """A virtual clock that jumps to the next due timer whenever nothing else is going on.

    Each look at the clock takes a microsecond, so that no two moments are equal. Nothing ever sleeps.

    Args:
        seed: of the entropy that it gives.
        start_ns: what the clock shows at first, nanoseconds since the epoch.
        performs: its agents act upon the real outside. So their clocks also show the time that this takes,
            and what they draw is real.
    """

    def __init__(self, seed: int = 0, start_ns: int = START_NS, *, performs: bool = False) -> None:
        self._mutex = RLock()
        self._now_ns = start_ns
        self._timers = TimerHeap()
        self._active = 0
        self._jobs = 0
        self._job_over = Condition(self._mutex)
        self._closed = False
        self._random = random.Random(seed)
        self._threads = RealEnvironment()
        self._outside: Source = _Outside(self) if performs else self

    def now_ns(self) -> int:
        """See `Environment.now_ns`."""
        with self._mutex:
            self._now_ns += _TICK_NS
            return self._now_ns

    def entropy(self, size: int) -> bytes:
        """See `Environment.entropy`."""
        with self._mutex:
            return self._random.randbytes(size)

    def reading(self, real: Callable[[], T], virtual: Callable[[Source], T]) -> Callable[[], T]:
        """See `Environment.reading`."""
        return lambda: virtual(self._outside)

    def sleep(self, seconds: float) -> None:
        """See `Environment.sleep`. Only the committer sleeps, for moments that have no part in the order."""
        self._threads.sleep(seconds)

    def event_loop(self) -> asyncio.AbstractEventLoop:
        """See `Environment.event_loop`."""
        return self._threads.event_loop()

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Timer:
        """See `Environment.call_at`."""
        timer = Timer(callback)
        with self._mutex:
            self._timers.add(when_ns, timer)
            idle = not self._active
        if idle:  # not here: whoever sets a timer may hold what is needed by those that fire
            self.spawn(_nothing)
        return timer

    def spawn(self, job: Callable[[], None]) -> None:
        """See `Environment.spawn`."""
        self.enter()
        with self._mutex:
            self._jobs += 1

        def run() -> None:
            try:
                job()
            finally:
                self.leave()
                with self._job_over:
                    self._jobs -= 1
                    self._job_over.notify_all()

        self._threads.spawn(run)

    def enter(self) -> None:
        """See `Environment.enter`."""
        with self._mutex:
            self._active += 1

    def leave(self) -> None:
        """See `Environment.leave`. Who leaves last lets time pass."""
        while (timer := self._next()) is not None:
            timer.fire()

    def close(self) -> None:
        """See `Environment.close`."""
        with self._mutex:
            self._closed = True
            self._timers.clear()
        self._threads.close()

    def join(self, timeout_s: float) -> None:
        """Return when no job of `spawn` runs any more.

        Raises:
            TimeoutError: some still do after ``timeout_s`` seconds.
        """
        with self._job_over:
            if not self._job_over.wait_for(lambda: self._jobs == 0, timeout_s):
                raise TimeoutError(f"{self._jobs} jobs do not end, though the runtime is closed")

    def rest(self, timeout_s: float) -> None:
        """Return when nothing goes on any more and no timer is armed.

        Raises:
            TimeoutError: something still does after ``timeout_s`` seconds.
        """
        with self._job_over:
            if not self._job_over.wait_for(lambda: self._active == 0, timeout_s):
                raise TimeoutError(f"agents still run after {timeout_s:g} s")

    def _next(self) -> Timer | None:
        with self._mutex:
            due_ns = self._timers.due_ns() if self._active == 1 else None
            if due_ns is not None and self._may_pass_to(due_ns):
                self._now_ns = max(self._now_ns, due_ns)
                return self._timers.pop()
            self._active -= 1
            if not self._active:
                self._job_over.notify_all()
            return None

    def _may_pass_to(self, when_ns: int) -> bool:
        return True


def _nothing() -> None:
    """What a job does that only lets time pass at its end."""


class _Outside:
    """Real entropy, and virtual time that passes also while something real is done."""

    def __init__(self, environment: VirtualEnvironment) -> None:
        self._environment = environment
        self._began_s = originals.monotonic()

    def now_ns(self) -> int:
        passed_s = originals.monotonic() - self._began_s
        return self._environment.now_ns() + round(passed_s * 1e9)

    def entropy(self, size: int) -> bytes:
        return originals.urandom(size)
