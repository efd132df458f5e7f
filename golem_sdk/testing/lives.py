"""The lives of a simulated process: each ends in a crash or a restart, the next one takes up its store."""

from __future__ import annotations

import logging
from threading import RLock
from typing import TYPE_CHECKING, TypeVar

from attrs import evolve, frozen

from golem_sdk.app import Runtime
from golem_sdk.core.status import AgentStatus
from golem_sdk.errors import DivergenceError, GolemError, RuntimeClosedError, StoreError
from golem_sdk.runtime.context import current_or_performing
from golem_sdk.runtime.loading import load_session
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.clock import PausedEnvironment
from golem_sdk.testing.crash import (
    CrashMoment,
    CrashPoint,
    MortalEngine,
    SimulatedCrashError,
    Trap,
)
from golem_sdk.testing.states import unload_agents

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from golem_sdk.runtime.kernel import Kernel
    from golem_sdk.runtime.performing import Performer

__all__ = ["Life", "Lives"]

T = TypeVar("T")

_LONGEST_S = 60.0


def _is_news(record: logging.LogRecord) -> bool:
    """A crash that the test has ordered is no error."""
    given = record.args if isinstance(record.args, tuple) else ()
    return not any(isinstance(each, SimulatedCrashError) for each in given)


logging.getLogger("golem_sdk").addFilter(_is_news)


@frozen(eq=False)
class Life:
    """One run of the process: its runtime, its time, and what kills it."""

    runtime: Runtime
    environment: PausedEnvironment
    engine: MortalEngine
    trap: Trap

    @property
    def kernel(self) -> Kernel:
        """The running system."""
        return self.runtime._kernel


class Lives:
    """The lives of one store, in memory. Thread-safe.

    Args:
        seed: of the entropy of all lives.
        points: where it crashes: each is counted from the crash before.
        performer: what performs durable calls; ``None``: the real world does.

    Attributes:
        crashes: how many crashes there were.
        asked: what the outside has asked for and nobody has accepted yet.
    """

    def __init__(
        self, seed: int, points: Sequence[CrashPoint], performer: Performer | None = None
    ) -> None:
        self.crashes = 0
        self.asked: list[Callable[[Kernel], object]] = []
        self._mutex = RLock()
        self._seed = seed
        self._points = list(points)
        self._performer = performer
        self._appended = 0
        self._lives = 0
        self._life = self._begin(MemoryEngine(), 0)

    @property
    def life(self) -> Life:
        """The present one, which may have ended without anybody having noticed."""
        return self._life

    @property
    def appends(self) -> int:
        """How many entries all lives have appended."""
        return self._appended + self._life.trap.appends

    def surviving(self, action: Callable[[Life], T]) -> T:
        """Do something with the present life; if a crash comes in between, again with the next one."""
        if current_or_performing() is not None:  # agents die with the process
            return action(self._life)
        while True:
            life = self._life
            try:
                return action(life)
            except (StoreError, RuntimeClosedError):
                if not self.survived(life):
                    raise

    def survived(self, life: Life) -> bool:
        """Whether ``life`` has ended and another one has begun; begins it if it has crashed."""
        with self._mutex:
            if self._life is life and life.trap.survivor is not None:
                self.crashes += 1
                self._next(life, life.trap.survivor)
            return self._life is not life

    def arm(self, append: int, moment: CrashMoment) -> None:
        """Crash at the ``append``-th append from now, in place of any crash that was to come."""
        self.surviving(lambda life: life.environment.pass_time(0))
        with self._mutex:
            point = CrashPoint(self._life.trap.appends + append, moment)
            self._points = [point]
            self._life.trap.arm(point)

    def crash(self) -> None:
        """Crash now."""
        life = self._life
        life.trap.kill()
        self.survived(life)

    def restart(self) -> None:
        """Close in good order and open again."""
        with self._mutex:
            life = self._life
            if not self.survived(life):
                life.runtime.close()
                self._next(life, life.trap.survivor or life.engine.snapshot())

    def unload(self) -> None:
        """Drop every agent from memory that has nothing to do."""
        unload_agents(self._life.kernel)

    def replay(self) -> None:
        """Load every agent anew, as far as its oplog goes; see `VirtualRuntime.replay`."""
        self.settle()
        self.surviving(_wake_all)
        self.settle()
        self.surviving(_check)

    def settle(self) -> None:
        """Return when all agents wait for time or for the outside."""
        self.pass_time(0)

    def moment_ns(self) -> int:
        """What the clock shows."""
        return self._life.environment.moment_ns

    def pass_time(self, until_ns: int) -> None:
        """Let time pass; also beyond a crash."""
        while True:
            life = self._life
            life.environment.pass_time(until_ns)
            if not self.survived(life):
                return

    def next_timer_ns(self) -> int | None:
        """When the next timer is due."""
        return self._life.environment.next_timer_ns()

    def close(self) -> None:
        """The last life ends. Idempotent."""
        self._life.runtime.close()
        self._life.environment.join(_LONGEST_S)

    def _next(self, life: Life, engine: MortalEngine) -> None:
        life.runtime.close()
        self._end(life.trap, life.environment)
        self._life = self._begin(engine, life.environment.moment_ns)
        for ask in self.asked:
            self.surviving(lambda life, ask=ask: ask(life.kernel))  # type: ignore[misc]  # mypy does not see through the default

    def _end(self, trap: Trap, environment: PausedEnvironment) -> None:
        environment.join(_LONGEST_S)  # of a process that has ended nothing goes on
        self._appended += trap.appends
        if self._points:
            left = self._points[0].append - trap.appends
            if left > 0:
                self._points[0] = evolve(self._points[0], append=left)
            else:
                del self._points[0]

    def _begin(self, engine: MortalEngine, start_ns: int) -> Life:
        while True:
            trap = Trap(engine, self._points[0] if self._points else None)
            self._lives += 1  # each life draws others: fresh idempotency keys must stay fresh
            environment = PausedEnvironment(self._seed * 1_000_003 + self._lives, start_ns)
            settings = Settings(
                suspend_after_s=0.0,
                write_behind_s=None,
                writer_class=trap.writer_class(),
                performer=self._performer,
            )
            try:
                return Life(Runtime.over(engine, environment, settings), environment, engine, trap)
            except GolemError:
                if trap.survivor is None:
                    raise
            self.crashes += 1
            self._end(trap, environment)
            engine, start_ns = trap.survivor, environment.moment_ns


def _wake_all(life: Life) -> None:
    kernel = life.kernel
    for metadata in list(life.runtime.agents()):
        if metadata.status is AgentStatus.FAILED:
            continue
        with kernel.holding(metadata.agent_type, metadata.agent_id) as actor:
            if actor.session is None and not actor.queue:
                actor.session = load_session(kernel, actor)
        actor.wake()


def _check(life: Life) -> None:
    for error in life.kernel._failures.values():
        if isinstance(error, DivergenceError):
            raise error
