"""The hot paths that have a budget: each does so many of one thing, and nothing else that grows with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from attrs import frozen

from benchmarks import workloads
from golem_sdk import Runtime, agent, atomically, get

__all__ = ["PATHS", "HotPath"]

Work = Callable[[Runtime, int, int], object]


def _nothing(runtime: Runtime, run: int, size: int) -> None:
    pass


@frozen
class HotPath:
    """Something that is done often.

    Attributes:
        what: one of it.
        work: does ``size`` of them. It takes the runtime, the number of the run (new in this store) and the
            size.
        prepare: what a runtime on the same store has done before, for the same run and size.
    """

    what: str
    work: Work
    prepare: Work = _nothing


@agent
class Remembering:
    """Makes steps, and is asked about it in a later life, for which it is replayed."""

    def __init__(self, run: int) -> None:
        self.run = run

    def work(self, steps: int) -> None:
        for number in range(steps):
            workloads.step(number)

    async def work_together(self, steps: int) -> None:
        await asyncio.gather(*map(workloads.concurrent_step, range(steps)))

    def recall(self) -> int:
        return self.run


@agent
class Asked:
    """Answers other agents."""

    def __init__(self, run: int) -> None:
        self.run = run

    def answer(self, number: int) -> int:
        return number


@agent
def asking(run: int, calls: int) -> int:
    other = get(Asked, run)
    return sum(other.answer(number) for number in range(calls))


@agent
def guarding(run: int, blocks: int) -> None:
    for _ in range(blocks):
        with atomically():
            pass


def _writes(runtime: Runtime, run: int, size: int) -> None:
    runtime.run(workloads.many, run, size)


def _reads(runtime: Runtime, run: int, size: int) -> None:
    runtime.run(workloads.reads, run, size)


def _clocks(runtime: Runtime, run: int, size: int) -> None:
    runtime.run(workloads.clocks, run, size)


def _flows(runtime: Runtime, run: int, size: int) -> None:
    for number in range(size):
        runtime.run(workloads.flow, run * 10_000 + number)


def _remembered(runtime: Runtime, run: int, size: int) -> None:
    runtime.get(Remembering, run).work(size)


def _remembered_together(runtime: Runtime, run: int, size: int) -> None:
    asyncio.run(runtime.get(Remembering, run).work_together(size))


def _replayed(runtime: Runtime, run: int, size: int) -> None:
    runtime.get(Remembering, run).recall()


def _invocations(runtime: Runtime, run: int, size: int) -> None:
    asked = runtime.get(Asked, -run)
    for number in range(size):
        asked.answer(number)


def _asked(runtime: Runtime, run: int, size: int) -> None:
    runtime.run(asking, run, size)


def _guarded(runtime: Runtime, run: int, size: int) -> None:
    runtime.run(guarding, run, size)


def _outside(runtime: Runtime, run: int, size: int) -> None:
    for _ in range(size):
        time.time()


PATHS: Final = {
    "write step": HotPath("W1: a step that writes to the outside", _writes),
    "read step": HotPath("W1r: a step that reads", _reads),
    "clock": HotPath("W1r: time.time() in an agent", _clocks),
    "replay": HotPath("W4: a step that is replayed", _replayed, _remembered),
    "replay together": HotPath(
        "W3, replayed: a step beside others", _replayed, _remembered_together
    ),
    "flow": HotPath("W2: a workflow of one step", _flows),
    "invocation": HotPath("a call of an agent that is loaded", _invocations),
    "agent call": HotPath("a call from agent to agent", _asked),
    "atomically": HotPath("an empty block of atomically()", _guarded),
    "outside": HotPath("time.time() outside agents, with the loop around it", _outside),
}
