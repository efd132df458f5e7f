"""The outside callers of a simulation: each makes its call again in the next process until it is answered."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from golem_sdk.codec.values import encode
from golem_sdk.core.ids import agent_id
from golem_sdk.errors import (
    RuntimeClosedError,
    StoreError,
    UnknownOutcomeError,
    UsageError,
)
from golem_sdk.runtime.definitions import definition_of
from golem_sdk.stores.invocations import InvocationStatus, load_result
from golem_sdk.testing.checkers import Told
from golem_sdk.testing.driver import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from golem_sdk.app import Runtime
    from golem_sdk.testing.simulation.baton import Baton
    from golem_sdk.testing.simulation.disk import Disk
    from golem_sdk.testing.simulation.machine import Machine
    from golem_sdk.testing.simulation.world import World

__all__ = ["Callers"]

_PATIENCE_S = 2.0
"""At most; the runtime itself tries a full store again after one second."""


class Callers:
    """Makes the calls of a workload, in whatever process there is.

    Attributes:
        told: every answer that any caller got.
        resolved: names of the effects of which an operator said whether they had happened.
    """

    def __init__(
        self,
        baton: Baton,
        world: World,
        disk: Disk,
        steps: Sequence[Step | Sequence[Step]],
        never_twice: Sequence[str],
    ) -> None:
        self.told: list[Told] = []
        self.resolved: list[str] = []
        self._baton = baton
        self._world = world
        self._disk = disk
        numbers = count()
        self._callers = [
            [
                (f"step-{next(numbers)}", step)
                for step in ([each] if isinstance(each, Step) else each)
            ]
            for each in steps
        ]
        self._never_twice = never_twice
        self._answered: set[str] = set()

    @property
    def are_content(self) -> bool:
        """Whether every call was answered."""
        return len(self._answered) == sum(map(len, self._callers))

    def call(self, machine: Machine, runtime: Runtime) -> None:
        """Make the calls that were not answered yet, each caller's from a strand of its own."""
        for calls in self._callers:
            left = [(name, step) for name, step in calls if name not in self._answered]
            if left:
                self._spawn(machine, runtime, left)

    def _spawn(self, machine: Machine, runtime: Runtime, left: list[tuple[str, Step]]) -> None:
        def calls() -> None:
            for name, step in left:
                self._make(machine, runtime, name, step)
                if name not in self._answered:
                    return  # another process is to make it

        self._baton.spawn(machine, calls, f"call {left[0][0]}")

    def _make(self, machine: Machine, runtime: Runtime, name: str, step: Step) -> None:
        self._baton.sleep(machine.draw.choice((0.0, machine.draw.uniform(0.0, 5.0))))
        while True:
            try:
                outcome = self._ask(machine, runtime, name, step)
            except (StoreError, RuntimeClosedError):
                if runtime._kernel.closed is not None:
                    self._baton.wake(self._baton.driver)  # another process is needed
                    return
                self._baton.sleep(machine.draw.uniform(0.0, _PATIENCE_S))
                continue
            if outcome:
                break
        if machine.alive:
            self._told(machine, name, step, outcome)

    def _ask(self, machine: Machine, runtime: Runtime, name: str, step: Step) -> tuple[Any, ...]:
        """The answer; an empty one: ask again."""
        if step.method is None:
            handle = runtime.trigger(step.agent, *step.identity)
        else:
            method = getattr(runtime.get(step.agent, *step.identity), step.method)
            handle = runtime.trigger(method, *step.arguments, key=name)
        try:
            return "result", handle.result()
        except (StoreError, RuntimeClosedError):
            raise
        except UnknownOutcomeError as error:
            self._mend(machine, runtime, error)
            return ()
        except Exception as error:
            return "error", type(error).__name__, str(error)

    def _told(self, machine: Machine, name: str, step: Step, outcome: tuple[Any, ...]) -> None:
        agent = str(agent_id(definition_of(step.agent).name, step.identity, encode))
        key = name if step.method is not None else f"run {agent}"
        result = load_result(self._disk.content, agent, key)
        on_disk = result is not None and result.status is InvocationStatus.COMPLETED
        self._baton.trace.note("told", machine.number, name, outcome)
        self.told.append(Told(name, outcome, on_disk))
        self._answered.add(name)
        if self.are_content:
            self._baton.wake(self._baton.driver)

    def _mend(self, machine: Machine, runtime: Runtime, error: UnknownOutcomeError) -> None:
        """An operator looks at the world: has the write happened of which nobody knows?"""
        names = [name for name in self._never_twice if repr(name) in error.call]
        if len(names) != 1:
            raise error
        name = names[0]
        happened = self._world.settle(name)
        machine.tally.hit("unknown outcome")
        self._baton.trace.note("resume", machine.number, name, happened)
        self.resolved.append(name)
        with suppress(UsageError):  # in a process that has taken over somebody has said so before
            runtime.resume(
                error.agent_id, happened=happened, result=f"{name} done" if happened else None
            )
