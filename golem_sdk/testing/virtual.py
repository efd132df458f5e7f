"""A runtime for tests: in memory, on a virtual clock, and able to crash and to come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, cast

from golem_sdk.app import Runtime
from golem_sdk.errors import InvocationNotFoundError, RuntimeClosedError, StoreError, UsageError
from golem_sdk.testing.clock import VirtualClock
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.lives import Lives

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from golem_sdk.core.entries import Entry, OplogIndex
    from golem_sdk.core.ids import AgentId
    from golem_sdk.runtime.completion import Completion
    from golem_sdk.runtime.intake import Intake, Request
    from golem_sdk.runtime.kernel import Kernel
    from golem_sdk.runtime.performing import Performer
    from golem_sdk.stores.invocations import InvocationStatus
    from golem_sdk.testing.lives import Life
    from golem_sdk.viewer import AgentMetadata, Viewer

__all__ = ["VirtualRuntime"]


class VirtualRuntime(Runtime):
    """A runtime for tests. It needs no file, no time and no second process.

    It stands for your program together with what starts it again: when it crashes, it is opened anew on
    what was on disk, and calls that were not answered yet are made again under their idempotency keys.
    Handles stay good, so a test reads the same with and without crashes. Agents are dropped from memory at
    every wait and brought back by replay, so code that cannot be replayed is found at once.

    Time stands still, but passes while the test waits for a result; see `VirtualClock`. A ``timeout`` is in
    virtual seconds. Random numbers of agents are the same in every run.

    Args:
        seed: of the random numbers of agents.
        crashes: where it crashes: the first point is counted from the beginning, each other one from the
            crash before.
        performer: what performs durable calls in place of the real world.

    Attributes:
        clock: its time.

    Example:
        >>> from golem_sdk import agent
        >>> from golem_sdk.testing import CrashMoment, VirtualRuntime
        >>> @agent
        ... class Purse:
        ...     def __init__(self, owner: str) -> None:
        ...         self.cents = 0
        ...
        ...     def put(self, cents: int) -> int:
        ...         self.cents += cents
        ...         return self.cents
        >>> with VirtualRuntime() as runtime:
        ...     purse = runtime.get(Purse, "ada")
        ...     purse.put(100)
        ...     runtime.crash()
        ...     runtime.crash(append=2, moment=CrashMoment.LOST)
        ...     purse.put(10)
        ...     runtime.crashes
        100
        110
        2
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        crashes: Sequence[CrashPoint] = (),
        performer: Performer | None = None,
    ) -> None:
        self._lives = Lives(seed, crashes, performer)
        self._kernel = cast("Kernel", _Kernel(self._lives))
        self._viewer = cast("Viewer", _Viewer(self._lives))
        self._owner = None
        self.clock = VirtualClock(self._lives)

    @classmethod
    def over(cls, *_: object, **__: object) -> NoReturn:
        """Not for this class, which has an engine and an environment of its own."""
        raise UsageError(f"a {cls.__name__} makes its own store and clock: write {cls.__name__}()")

    @property
    def appends(self) -> int:
        """How many oplog entries have been appended, over all agents and lives."""
        return self._lives.appends

    @property
    def crashes(self) -> int:
        """How many crashes there were."""
        return self._lives.crashes

    def crash(self, append: int | None = None, moment: CrashMoment = CrashMoment.LOST) -> None:
        """Kill the process, as ``kill -9`` would, and open it again.

        Args:
            append: not now, but when the ``append``-th oplog entry from now is appended, by whichever
                agent. Takes the place of a crash that has not come yet.
            moment: when exactly, around that append.

        Raises:
            UsageError: ``append`` is less than 1.
        """
        if append is None:
            self._lives.crash()
        elif append < 1:
            raise UsageError(
                f"crash at the first append from now or a later one, not at {append!r}"
            )
        else:
            self._lives.arm(append, moment)

    def restart(self) -> None:
        """Close the runtime in good order, and open it again."""
        self._lives.restart()

    def unload(self) -> None:
        """Drop agents from memory that have nothing to do: their next invocation begins with a replay."""
        self._lives.settle()
        self._lives.unload()

    def replay(self) -> None:
        """Restart, and replay every agent against its whole oplog.

        Raises:
            DivergenceError: an agent does other things now than those that were recorded.
        """
        self._lives.restart()
        self._lives.replay()

    def close(self) -> None:
        """Stop at once. Idempotent."""
        self._lives.close()


class _Kernel:
    """The kernel of the life that is on: to handles it looks as if there were one only."""

    def __init__(self, lives: Lives) -> None:
        self._lives = lives
        self.intake = _Intake(lives)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lives.life.kernel, name)

    def resolve(self, *args: Any) -> None:
        self._lives.surviving(lambda life: life.kernel.resolve(*args))

    def revert(self, *args: Any, **kwargs: Any) -> OplogIndex:
        return self._lives.surviving(lambda life: life.kernel.revert(*args, **kwargs))


class _Intake:
    """As `Intake`, over all lives."""

    def __init__(self, lives: Lives) -> None:
        self._lives = lives

    def enqueue(self, request: Request, writer: Any = None) -> Any:
        if writer is not None:
            return self._lives.life.kernel.intake.enqueue(request, writer)
        return self._ask(lambda intake: intake.enqueue(request))

    def trigger(self, request: Request) -> None:
        self._lives.surviving(lambda life: life.kernel.intake.trigger(request))

    def schedule(self, request: Request, due_ns: int, writer: Any = None) -> None:
        self._lives.surviving(lambda life: life.kernel.intake.schedule(request, due_ns, writer))

    def find(self, agent: AgentId, key: str) -> Any:
        def find(intake: Intake) -> Completion:
            found = intake.find(agent, key)
            if found is None:
                raise InvocationNotFoundError(f"{agent} knows no invocation with key {key!r}")
            return found

        try:
            return _Answer(self._lives, find)
        except InvocationNotFoundError:
            return None

    def cancel(self, agent: AgentId, key: str) -> bool:
        return self._lives.surviving(lambda life: life.kernel.intake.cancel(agent, key))

    def _ask(self, ask: Callable[[Intake], Completion]) -> Any:
        answer = _Answer(self._lives, ask)
        self._lives.asked.append(answer.ask)
        return answer


class _Answer:
    """As `Completion`, over all lives: what a crash has left unanswered is asked for again."""

    def __init__(self, lives: Lives, ask: Callable[[Intake], Completion]) -> None:
        self._lives = lives
        self._ask = ask
        self._life, self._completion = self._asked()

    def ask(self, kernel: Kernel) -> object:
        return self._ask(kernel.intake)

    @property
    def status(self) -> InvocationStatus:
        return self._present()[1].status

    def listen(self, listener: Callable[[bytes, bool], None]) -> None:
        self._completion.listen(listener)

    def when_done(self, callback: Callable[[], None]) -> None:
        life, completion = self._present()
        life.environment.let_pass_until(completion.when_done, callback)

    def withdraw(self, callback: Callable[[], None]) -> None:
        """Called back late, nobody is disturbed."""

    def outcome(self, timeout_s: float | None = None) -> tuple[bytes, bool]:
        due_ns = None
        if timeout_s is not None:
            due_ns = self._lives.moment_ns() + round(max(0.0, timeout_s) * 1e9)
        while True:
            life, completion = self._present()
            life.environment.wait_outside(completion.when_done, due_ns)
            try:
                outcome = completion.outcome(0)
            except (StoreError, RuntimeClosedError):
                if not self._lives.survived(life):
                    raise
                continue
            except TimeoutError:
                raise TimeoutError(
                    f"invocation {completion.key} of {completion.agent_id} is not finished after {timeout_s}"
                    " virtual seconds; it goes on, ask again later"
                ) from None
            if self.ask in self._lives.asked:
                self._lives.asked.remove(self.ask)
            return outcome

    def _present(self) -> tuple[Life, Completion]:
        if self._lives.survived(self._life):
            self._life, self._completion = self._asked()
        return self._life, self._completion

    def _asked(self) -> tuple[Life, Completion]:
        return self._lives.surviving(lambda life: (life, self._ask(life.kernel.intake)))


class _Viewer:
    """As `Viewer`, over all lives."""

    def __init__(self, lives: Lives) -> None:
        self._lives = lives

    def agents(
        self, passes: Callable[[AgentMetadata], bool] | None = None
    ) -> Iterator[AgentMetadata]:
        return iter(self._lives.surviving(lambda life: list(life.runtime.agents(passes))))

    def metadata(self, agent_id: str) -> AgentMetadata:
        return self._lives.surviving(lambda life: life.runtime.metadata(agent_id))

    def oplog(self, agent_id: str, *, start: OplogIndex = 1) -> Iterator[tuple[OplogIndex, Entry]]:
        return iter(
            self._lives.surviving(lambda life: list(life.runtime.oplog(agent_id, start=start)))
        )
