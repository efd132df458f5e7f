"""What becomes of the processes of a simulation: killed, closed, frozen, overtaken by another one."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from golem_sdk.app import Runtime
from golem_sdk.errors import GolemError
from golem_sdk.oplog.writer import EagerWriter, OplogWriter
from golem_sdk.runtime.settings import Settings
from golem_sdk.testing.simulation.faults import CALM, Faults, Tally
from golem_sdk.testing.simulation.machine import Machine
from golem_sdk.testing.simulation.world import world

if TYPE_CHECKING:
    from golem_sdk.testing.simulation.baton import Baton, Strand
    from golem_sdk.testing.simulation.callers import Callers
    from golem_sdk.testing.simulation.disk import Disk

__all__ = ["Fates"]

_DAY_S = 86_400.0

_EARLY = 0.25
"""How many processes are killed before, or just after, their runtime is open."""

_FATES = ("kill", *("kill in commit", "close", "freeze", "takeover") * 2, "takeover")


class Life:
    """One process and the runtime in it.

    Attributes:
        runtime: ``None`` until it is open.
        failed: it could not be opened.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.runtime: Runtime | None = None
        self.failed = False

    @property
    def over(self) -> bool:
        """Whether the runtime has ended by itself: its store failed."""
        if self.runtime is None:
            return self.failed
        return self.runtime._kernel.closed is not None


class Fates:
    """Starts processes and ends them, until every caller was answered. Runs on the driving thread.

    Attributes:
        processes: how many there were.
        crashes: how many were killed, or lost the store to another one.
    """

    def __init__(
        self, baton: Baton, disk: Disk, callers: Callers, faults: Faults, tally: Tally
    ) -> None:
        self.processes = 0
        self.crashes = 0
        self._baton = baton
        self._disk = disk
        self._callers = callers
        self._faults = faults
        self._tally = tally
        self._draw = random.Random(f"fates {baton.draw.random()}")

    def run(self) -> None:
        """Until the end."""
        bad = self._draw.randint(0, self._faults.fates) + (1 if self._faults.fates else 0)
        zombies: list[Life] = []
        while not self._callers.are_content:
            life = self._start(self._faults if bad > 0 else CALM)
            if bad > 0:
                bad -= 1
                self._suffer(life, zombies)
            else:
                self._go_on(life, zombies)
        for zombie in zombies:
            self._kill(zombie)

    # --- a process's life -------------------------------------------------------------------------

    def _start(self, faults: Faults) -> Life:
        self.processes += 1
        machine = Machine(self._baton, self.processes, faults, self._tally)
        life = Life(machine)
        settings = Settings(
            suspend_after_s=self._draw.choice((0.0, 1.0, 100.0)),
            max_loaded=self._draw.choice((1, 3, 1024)),
            write_behind_s=self._draw.choice((None, 0.002, 1.0)),
            writer_class=self._draw.choice((OplogWriter, EagerWriter)),
            performer=world(),
        )
        self._baton.trace.note("start", self.processes, settings.suspend_after_s)

        def main() -> None:
            try:
                life.runtime = Runtime.over(self._disk.open(machine), machine, settings)
            except GolemError:
                life.failed = True
                self._baton.wake(self._baton.driver)
                return
            self._callers.call(machine, life.runtime)

        self._baton.spawn(machine, main, "main")
        return life

    def _go_on(self, life: Life, zombies: list[Life]) -> None:
        """Nothing happens to it."""
        self._run_on(life)
        self._thaw(zombies)
        self._close(life)

    def _suffer(self, life: Life, zombies: list[Life]) -> None:
        """Something does."""
        fate = self._draw.choice(_FATES)
        if self._draw.random() < _EARLY:
            self._baton.rest(points=self._draw.randint(1, 30))
            self._thaw(zombies)
            self._kill(life)
            return
        for _ in range(self._draw.randint(0, 3)):
            self._pass_time(life)
            self._pinch(life)
        self._pass_time(life)
        self._thaw(zombies)
        if life.over:
            self._close(life)
        elif fate == "kill":
            self._kill(life)
        elif fate == "kill in commit":
            life.machine.doomed = True
            self._run_on(life)
            self._kill(life)
        elif fate == "close":
            self._tally.hit("close")
            self._close(life)
        elif fate == "freeze":
            self._freeze(life)
        else:
            self._take_over(life, zombies)

    def _run_on(self, life: Life) -> None:
        """Until it is over, or nobody asks for more."""
        while life.machine.alive and not life.over and not self._callers.are_content:
            self._baton.rest()

    def _pass_time(self, life: Life) -> None:
        """Let it run: for some points, or for some virtual time."""
        if life.over or self._callers.are_content:
            return
        if self._draw.random() < 0.7:
            self._baton.rest(points=1 + int(self._draw.expovariate(1 / 400)))
        else:
            self._baton.rest(timeout_s=10.0 ** self._draw.uniform(-2, 6))

    def _pinch(self, life: Life) -> None:
        """A small thing happens to it."""
        machine = life.machine
        what = self._draw.randrange(3)
        if what == 0:
            machine.jump(self._draw.uniform(-_DAY_S, _DAY_S))
        elif what == 1 and life.runtime is not None and not life.over:
            actors = list(life.runtime._kernel._actors.values())
            if actors:
                self._tally.hit("spurious wake-up")
                actor = self._draw.choice(actors)
                self._baton.spawn(machine, actor.wake, "spurious")

    # --- its end ----------------------------------------------------------------------------------

    def _kill(self, life: Life) -> None:
        self._baton.trace.note("kill", life.machine.number)
        self._tally.hit("kill")
        if life.runtime is None and not life.failed:
            self._tally.hit("kill while opening")
        self.crashes += 1
        self._bury(life)

    def _bury(self, life: Life) -> None:
        """Nothing that it still does is seen outside; then its threads end."""
        machine = life.machine
        machine.alive, machine.frozen = False, False
        machine.calm()
        if life.runtime is not None:
            self._baton.spawn(machine, life.runtime.close, "undertaker")
        self._baton.drain(machine)

    def _close(self, life: Life) -> None:
        """The runtime is closed as users do; what its threads still do afterwards is as if it were killed."""
        self._baton.trace.note("close", life.machine.number)
        if life.runtime is not None:
            closing = self._baton.spawn(life.machine, life.runtime.close, "closing")
            self._await(closing)
        self.crashes += 1  # an effect under way is not waited for
        self._bury(life)

    def _await(self, strand: Strand) -> None:
        strand.joiners.append(self._baton.driver)
        while not strand.over:
            self._baton.rest()

    def _freeze(self, life: Life) -> None:
        """It stands still for a while; a fate of its own awaits it later."""
        self._tally.hit("freeze")
        life.machine.frozen = True
        self._baton.now_ns += round(10.0 ** self._draw.uniform(0, 6) * 1e9)
        life.machine.frozen = False
        self._pass_time(life)
        self._close(life) if life.over else self._kill(life)

    def _take_over(self, life: Life, zombies: list[Life]) -> None:
        """It stands still, and loses the store to the next process; some time it wakes."""
        self._tally.hit("takeover")
        self._baton.trace.note("freeze", life.machine.number)
        self.crashes += 1
        life.machine.frozen = True
        zombies.append(life)

    def _thaw(self, zombies: list[Life]) -> None:
        for zombie in zombies:
            if zombie.machine.frozen:
                self._tally.hit("zombie wakes")
                self._baton.trace.note("thaw", zombie.machine.number)
                zombie.machine.frozen = False
        if zombies:
            self._baton.rest(points=1 + int(self._draw.expovariate(1 / 300)))
