"""A simulated process: its environment (clock, entropy, timers, threads), and whether it lives."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

from golem_sdk.runtime.timers import Timer, TimerHeap
from golem_sdk.testing.crash import SimulatedCrashError
from golem_sdk.testing.simulation.faults import CALM, Faults, Tally
from golem_sdk.testing.simulation.loop import SimulatedLoop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from golem_sdk.runtime.environment import Source
    from golem_sdk.testing.simulation.baton import Baton, Strand

__all__ = ["Machine"]

T = TypeVar("T")

_LONGEST_WAIT_S = 60.0
"""The timer thread of the real environment looks at the clock at least so often."""


class Machine:
    """One process. Also the `Environment` of its runtime.

    Args:
        baton: of the simulation.
        number: counts the simulation's processes from 1.
        faults: what may go wrong in it.
        tally: counts what did.

    Attributes:
        alive: ``False``: it was killed; nothing that its strands still do is seen outside.
        frozen: its strands stand still.
        doomed: it is killed by its next commit, which happens.
    """

    def __init__(self, baton: Baton, number: int, faults: Faults, tally: Tally) -> None:
        self.baton = baton
        self.number = number
        self.faults = faults
        self.tally = tally
        self.alive = True
        self.frozen = False
        self.doomed = False
        self.draw = random.Random(f"machine {number} {baton.draw.random()}")
        self._skew_ns = 0
        self._timers = TimerHeap()
        self._timer_strand: Strand | None = None
        self._closed = False

    def may(self, likelihood: float, branch: str) -> bool:
        """Whether a fault happens now; it counts."""
        if not likelihood or self.draw.random() >= likelihood:
            return False
        self.tally.hit(branch)
        self.baton.trace.note("fault", self.number, branch)
        return True

    def check(self) -> None:
        """Raise if the process was killed."""
        if not self.alive:
            raise SimulatedCrashError("the process was killed (simulated)")

    def calm(self) -> None:
        """Nothing goes wrong any more."""
        self.faults = CALM

    def jump(self, seconds: float) -> None:
        """Somebody sets the clock."""
        self._skew_ns += round(seconds * 1e9)
        self.tally.hit("clock ahead" if seconds > 0 else "clock back")
        self._wake_timers()

    # --- the environment --------------------------------------------------------------------------

    def now_ns(self) -> int:
        """See `Environment.now_ns`."""
        return self.baton.tick() + self._skew_ns

    def entropy(self, size: int) -> bytes:
        """See `Environment.entropy`."""
        return self.draw.randbytes(size)

    def reading(self, real: Callable[[], T], virtual: Callable[[Source], T]) -> Callable[[], T]:
        """See `Environment.reading`."""
        return lambda: virtual(self)

    def sleep(self, seconds: float) -> None:
        """See `Environment.sleep`."""
        self.baton.sleep(seconds)

    def event_loop(self) -> asyncio.AbstractEventLoop:
        """See `Environment.event_loop`."""
        return SimulatedLoop(self.baton)

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Timer:
        """See `Environment.call_at`."""
        timer = Timer(callback)
        if self._closed:
            return timer
        first_ns = self._timers.due_ns()
        self._timers.add(when_ns, timer)
        if self._timer_strand is None:
            self._timer_strand = self.baton.spawn(self, self._run_timers, "timers")
        elif first_ns is None or when_ns < first_ns:
            strand = self._timer_strand
            if strand.waiting and self.may(self.faults.wake, "lost wake-up"):
                self.baton.hasten(strand, _LONGEST_WAIT_S)
            else:
                self._wake_timers()
        return timer

    def spawn(self, job: Callable[[], None]) -> None:
        """See `Environment.spawn`."""

        def run() -> None:
            if self.may(self.faults.wake / 10, "late start"):
                self.baton.sleep(self.draw.uniform(0.001, 5.0))
            job()

        self.baton.spawn(self, run, "worker")
        self.baton.point()

    def enter(self) -> None:
        """See `Environment.enter`. The baton knows who runs."""

    def leave(self) -> None:
        """See `Environment.leave`."""

    def close(self) -> None:
        """See `Environment.close`."""
        self._closed = True
        self._timers.clear()
        self._wake_timers()

    def _wake_timers(self) -> None:
        if self._timer_strand is not None:
            self.baton.wake(self._timer_strand)

    def _run_timers(self) -> None:
        while self.alive and not self._closed:
            due_ns = self._timers.due_ns()
            left_ns = None if due_ns is None else due_ns - self.now_ns()
            if left_ns is not None and left_ns <= 0:
                self._timers.pop().fire()
            else:
                self.baton.wait(None if left_ns is None else left_ns / 1e9 + 1e-6)
