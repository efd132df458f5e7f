"""One thread at a time: real threads that hand a baton on at known points, in an order that a seed decides.

A *strand* is a thread of a simulation. It runs until it reaches a point (it takes a lock, waits, spawns,
commits, is over) and there the baton may go to any other strand that could run. No real time is involved:
when nobody can run, the virtual clock jumps to the next deadline. So the same seed gives the same run.
"""

from __future__ import annotations

import random
from _thread import allocate_lock, get_ident
from threading import Thread, current_thread
from typing import TYPE_CHECKING

from golem_sdk import originals
from golem_sdk.testing.environment import START_NS
from golem_sdk.testing.simulation.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.testing.simulation.machine import Machine

__all__ = ["Baton", "SimulationStuckError", "Strand", "StrandKilled"]

_TICK_NS = 1_000
_LONGEST_S = 60.0
"""Of real time, between one point and the next."""

_start_thread = originals.start_thread
"""Neither that of agents nor that of the simulation itself."""


class SimulationStuckError(Exception):
    """Nothing can run and nothing is due, but somebody waits; or the run does not come to an end."""


class StrandKilled(BaseException):  # a control signal, like SystemExit
    """Unwinds a strand that is of no use any more: of a machine that is gone, or after the end."""


class Strand:
    """A thread of a simulation, or a job on one. Made by `Baton`.

    Attributes:
        machine: the simulated process it belongs to; ``None``: the one who drives the simulation.
        deadline_ns: until when it waits; ``None``: for ever.
        waiting: it cannot run before somebody wakes it or the deadline has come.
    """

    def __init__(self, number: int, machine: Machine | None, name: str) -> None:
        self.number = number
        self.machine = machine
        self.name = name
        self.waiting = False
        self.deadline_ns: int | None = None
        self.over = False
        self.killed = False
        self.joiners: list[Strand] = []
        self.woken = False
        self.gate = allocate_lock()
        self.gate.acquire()

    def __repr__(self) -> str:
        state = "over" if self.over else "waiting" if self.waiting else "ready"
        return f"{self.number} {self.name} ({state})"


_STANDSTILL = 1_000
"""A process that is gone comes to its end within so many points, or those that wait for a time are tried."""


class Baton:
    """Who runs, and what time it is. Made on the thread that drives the simulation.

    Args:
        seed: of all decisions.
        restless: how likely the baton is handed on at a point where its holder could go on.
        longest: after so many points the run counts as endless.
    """

    def __init__(self, seed: int, restless: float = 0.1, longest: int = 300_000) -> None:
        self.draw = random.Random(f"baton {seed}")
        self.trace = Trace()
        self.now_ns = START_NS
        self.points = 0
        self.only: Machine | None = None
        self.driver = Strand(0, None, "driver")
        self.current = self.driver
        self._restless = restless
        self._longest = longest
        self._strands = [self.driver]
        self._made = 0
        self._idle: list[_Carrier] = []
        self._threads: set[Thread] = set()
        self._alarm: int | None = None
        self._driver_ident = get_ident()
        self.fault: SimulationStuckError | None = None
        self.escaped: list[BaseException] = []
        self.is_running = True
        self._stands_since = 0  # the point at which time began to stand still

    # --- for strands ------------------------------------------------------------------------------

    def tick(self) -> int:
        """The time; each look takes a microsecond, so that no two moments are equal."""
        self.now_ns += _TICK_NS
        return self.now_ns

    def point(self, *, always: bool = False) -> None:
        """Here another strand may run."""
        if always or self.draw.random() < self._restless:
            self._switch()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Let others run until somebody calls `wake` (``True``) or the time is up (``False``)."""
        me = self.current
        me.deadline_ns = None if timeout_s is None else self.now_ns + max(0, round(timeout_s * 1e9))
        me.waiting, me.woken = True, False
        self._switch()
        return me.woken

    def wake(self, strand: Strand) -> None:
        """Let a strand run again that waits."""
        if strand.waiting:
            strand.waiting, strand.woken = False, True

    def hasten(self, strand: Strand, timeout_s: float) -> None:
        """A strand that waits does so for no longer than this."""
        until_ns = self.now_ns + round(timeout_s * 1e9)
        strand.deadline_ns = min(until_ns, strand.deadline_ns or until_ns)

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        until = self.now_ns + round(seconds * 1e9)
        while self.now_ns < until and self.only is None:
            self.wait((until - self.now_ns) / 1e9)

    def spawn(self, machine: Machine | None, job: Callable[[], None], name: str) -> Strand:
        """Run a job on a thread of its own; threads are used again."""
        strand = self._new(machine, name)
        carrier = self._idle.pop() if self._idle else self._new_carrier()
        carrier.give(strand, job)
        return strand

    def guarded(self, job: Callable[[], object]) -> None:
        """Run a strand's job. What escapes from it is a fault of who runs it, and kept."""
        try:
            job()
        except StrandKilled:
            pass
        except BaseException as error:
            self.escaped.append(error)
            self.wake(self.driver)

    def begin(self, strand: Strand) -> None:
        """On a strand's own thread: wait for its first turn."""
        strand.gate.acquire()

    def end(self, strand: Strand) -> None:
        """On a strand's own thread: it is over, somebody else has the baton."""
        strand.over = True
        self._strands.remove(strand)
        for joiner in strand.joiners:
            self.wake(joiner)
        self._pick().gate.release()

    def thread(self, thread: Thread, name: str) -> Strand:
        """The strand of a thread that is about to start and calls `begin` and `end` itself."""
        self._threads.add(thread)
        return self._new(self.current.machine, name)

    # --- for the driver ---------------------------------------------------------------------------

    def rest(self, *, timeout_s: float | None = None, points: int | None = None) -> bool:
        """Let everybody run: for a time, for so many points, or until somebody wakes the driver."""
        self._alarm = None if points is None else self.points + points
        woken = self.wait(timeout_s)
        self._alarm = None
        if self.fault is not None:
            raise self.fault
        if self.escaped:
            raise SimulationStuckError(f"a thread raised {self.escaped[0]!r}") from self.escaped[0]
        return woken

    def drain(self, machine: Machine) -> None:
        """Run only the strands of a machine that is gone, without time passing, until they are over.

        Those that wait for ever are killed.
        """
        self.only, self._stands_since = machine, self.points
        try:
            while self.of(machine):
                if not self._runs(machine):
                    for strand in self.of(machine):
                        strand.killed = True
                        self.wake(strand)
                self.current.waiting, self.current.woken = True, False
                self._switch()
        finally:
            self.only = None

    def of(self, machine: Machine) -> list[Strand]:
        """The strands of a machine that are not over."""
        return [strand for strand in self._strands if strand.machine is machine]

    def close(self) -> None:
        """The simulation is over: let its threads end. After a fault those that wait are left behind."""
        self.is_running = False
        for carrier in self._idle:
            carrier.gate.release()
        if self._strands == [self.driver]:
            for thread in self._threads:
                thread.join()

    def is_mine(self) -> bool:
        """Whether the thread that asks is one of the simulation."""
        return get_ident() == self._driver_ident or current_thread() in self._threads

    # --- the order --------------------------------------------------------------------------------

    def _new(self, machine: Machine | None, name: str) -> Strand:
        self._made += 1
        strand = Strand(self._made, machine, name)
        self._strands.append(strand)
        return strand

    def _new_carrier(self) -> _Carrier:
        carrier = _Carrier(self, self._idle)
        self._threads.add(carrier)
        _start_thread(carrier)
        return carrier

    def _switch(self) -> None:
        if not self.is_running:
            raise StrandKilled
        me = self.current
        following = self._pick()
        if following is not me:
            following.gate.release()
            if me is self.driver:
                self._await_turn()
            else:
                me.gate.acquire()
        if me.killed and me.machine is not None and not me.machine.alive:
            raise StrandKilled

    def _await_turn(self) -> None:
        """The driver's. It also sees that nobody keeps the baton for ever."""
        points = self.points
        while not self.driver.gate.acquire(timeout=_LONGEST_S):
            if self.points == points:
                raise SimulationStuckError(
                    f"strand {self.current} has run for {_LONGEST_S:g} real seconds and come to no point:"
                    " it computes for long, or waits for something real (a lock of its own, a socket)"
                )
            points = self.points

    def _pick(self) -> Strand:
        self.points += 1
        if self._alarm is not None and self.points >= self._alarm:
            self.wake(self.driver)
            self._alarm = None
            chosen = self.driver
        elif self.points > self._longest and self.fault is None:
            chosen = self._give_up(f"the run has not ended after {self.points} points")
        else:
            chosen = self._draw()
        self.trace.note("run", chosen.number)
        self.current = chosen
        return chosen

    def _draw(self) -> Strand:
        ready = [s for s in self._strands if not s.waiting and self._may_run(s)]
        if self.only is not None and self.points - self._stands_since > _STANDSTILL:
            # Somebody looks again and again for what another one does, who waits for a time to come.
            ready += [s for s in self._strands if s.deadline_ns is not None and self._may_run(s)]
        if ready:
            strand = ready[0] if len(ready) == 1 else self.draw.choice(ready)
            strand.waiting = False
            return strand
        waiting = [s for s in self._strands if s.waiting and self._may_run(s)]
        timed = [(s.deadline_ns, s.number, s) for s in waiting if s.deadline_ns is not None]
        if not timed:
            if self.only is not None or self._alarm is not None:
                self.driver.waiting = False
                return self.driver
            return self._give_up("nothing can run and nothing is due")
        if self.only is not None:  # time stands still: all of them are tried
            deadline_ns, _, strand = self.draw.choice(timed)
        else:
            deadline_ns, _, strand = min(timed)
            self.now_ns = max(self.now_ns, deadline_ns)
        strand.waiting = False
        return strand

    def _may_run(self, strand: Strand) -> bool:
        if self.only is not None:
            return strand.machine is self.only
        return strand.machine is None or not strand.machine.frozen

    def _runs(self, machine: Machine) -> bool:
        return any(not s.waiting or s.deadline_ns is not None for s in self.of(machine))

    def _give_up(self, why: str) -> Strand:
        lines = [f"  {strand}" for strand in self._strands]
        self.fault = SimulationStuckError("\n".join([f"{why}:", *lines]))
        self.driver.waiting = False
        return self.driver


class _Carrier(Thread):
    """A thread that runs one strand after another."""

    def __init__(self, baton: Baton, idle: list[_Carrier]) -> None:
        super().__init__(name="golem-simulation", daemon=True)
        self.gate = allocate_lock()
        self.gate.acquire()
        self._baton = baton
        self._idle = idle
        self._next: tuple[Strand, Callable[[], None]] | None = None

    def give(self, strand: Strand, job: Callable[[], None]) -> None:
        """Run this one next."""
        self._next = (strand, job)
        self.gate.release()

    def run(self) -> None:
        """Run strands until there is none."""
        while True:
            self.gate.acquire()
            if self._next is None:
                return
            (strand, job), self._next = self._next, None
            self._baton.begin(strand)
            self._baton.guarded(job)
            del job
            self._idle.append(self)
            self._baton.end(strand)
