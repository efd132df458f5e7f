"""Who waits for a call is told also when its end is lost."""

from __future__ import annotations

from contextlib import suppress
from threading import Event
from typing import Any

import pytest

from golem_sdk import Runtime, agent
from golem_sdk.errors import StoreError, StoreFullError
from golem_sdk.runtime.settings import Settings
from golem_sdk.testing.environment import VirtualEnvironment
from storage.gates import Gate, acquire, claim, join, run

REACHED, GO_ON = Event(), Event()


@agent
class Losing:
    def __init__(self, name: str) -> None:
        self.count = 0

    def add(self) -> int:
        self.count += 1
        return self.count

    def finish_late(self) -> int:
        REACHED.set()
        assert GO_ON.wait(30)
        return self.add()


def over(engine: Gate) -> Runtime:
    settings = Settings(suspend_after_s=1e6, write_behind_s=None)
    return Runtime.over(engine, VirtualEnvironment(), settings)


def test_who_waits_for_an_end_that_is_lost_is_told_also_if_the_agent_was_interrupted() -> None:
    """The end was under way when an operator reverted the agent: its next actor does not know of it."""
    engine = Gate()
    REACHED.clear()
    GO_ON.clear()
    told: list[Any] = []
    with over(engine) as runtime:
        losing, kernel = runtime.get(Losing, "late"), runtime._kernel
        assert losing.add() == 1
        handle = runtime.trigger(losing.finish_late)
        assert REACHED.wait(30)

        def ask() -> None:
            try:
                told.append(handle.result(30))
            except (StoreError, TimeoutError) as error:
                told.append(type(error))

        def fail() -> None:
            with suppress(StoreError):
                kernel.committer.wait(kernel.committer.submit(claim(b"leader")))

        def revert() -> None:
            with pytest.raises(StoreFullError):
                runtime.revert(losing, invocations=99)

        waiting = handle._completion()
        caller = run(ask)
        while not waiting._others:
            pass
        acquire(engine.entered, len(engine.flushes))
        engine.open.clear()
        leader = run(fail)
        acquire(engine.entered)
        GO_ON.set()
        kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
        engine.failure = StoreFullError("no room")
        actor = kernel._actors['Losing("late")']
        operator = run(revert)
        while not actor.retired or actor.agent_id in kernel._actors:
            pass
        engine.open.set()
        join([*leader, *operator])
        engine.failure = None
        join(caller)
    assert told == [StoreFullError]
