"""Calls from agent to agent in one store."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.figures import Figure
from benchmarks.latencies import between, percentiles_us
from golem_sdk import Runtime, agent, get, originals

if TYPE_CHECKING:
    from benchmarks.__main__ import Plan

__all__ = ["agent_calls"]

_TAKEN_S: list[list[float]] = []


@agent
class Answering:
    """Answers other agents."""

    def __init__(self, run: int) -> None:
        self.run = run

    def answer(self, number: int) -> int:
        return number


@agent
def caller(run: int, calls: int) -> int:
    other, stamps, answered = get(Answering, run), [originals.perf_counter()], 0
    for number in range(calls):
        answered += other.answer(number)
        stamps.append(originals.perf_counter())
    _TAKEN_S.append(between(stamps))
    return answered


def agent_calls(plan: Plan) -> list[Figure]:
    """Microseconds per call whose answer is waited for, one after the other."""
    samples, each_us = [], []
    with TemporaryDirectory(dir=plan.directory) as scratch, Runtime(scratch) as runtime:
        runtime.run(caller, 0, 1)
        for run in range(1, plan.rounds + 1):
            begin = originals.perf_counter()
            runtime.run(caller, run, plan.size)
            samples.append((originals.perf_counter() - begin) / plan.size * 1e6)
            each_us.append(percentiles_us(_TAKEN_S.pop()))
    return [Figure("agent call", samples, each_us=each_us)]
