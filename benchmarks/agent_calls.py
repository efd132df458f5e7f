"""Calls from agent to agent in one store."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.figures import Figure
from golem_sdk import Runtime, agent, get, originals

if TYPE_CHECKING:
    from benchmarks.__main__ import Plan

__all__ = ["agent_calls"]


@agent
class Answering:
    """Answers other agents."""

    def __init__(self, run: int) -> None:
        self.run = run

    def answer(self, number: int) -> int:
        return number


@agent
def caller(run: int, calls: int) -> int:
    other = get(Answering, run)
    return sum(other.answer(number) for number in range(calls))


def agent_calls(plan: Plan) -> list[Figure]:
    """Microseconds per call whose answer is waited for, one after the other."""
    samples = []
    with TemporaryDirectory(dir=plan.directory) as scratch, Runtime(scratch) as runtime:
        runtime.run(caller, 0, 1)
        for run in range(1, plan.rounds + 1):
            begin = originals.perf_counter()
            runtime.run(caller, run, plan.size)
            samples.append((originals.perf_counter() - begin) / plan.size * 1e6)
    return [Figure("agent call", samples)]
