"""What a call costs inside an agent, live and in replay, beside the same call without golem_sdk."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import frozen

from benchmarks.interceptors.bodies import BODIES, Body
from golem_sdk import Runtime, agent, intercept, originals
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.interceptors.places import Places

__all__ = ["Inside", "measured"]

_TAKEN_S: list[float] = []
"""Seconds per call. By a clock that is looked up where nothing is replaced: here it would be recorded."""

_WITH: list[Places] = []


@frozen
class Inside:
    """Microseconds per call, one sample per round.

    Attributes:
        body: what was called.
        original: without golem_sdk.
        live, replay: in an agent on a store in memory, so that no disk is measured.
    """

    body: Body
    original: list[float]
    live: list[float]
    replay: list[float]


@agent
class Calling:
    """Makes the calls of one body, and tells how long each took in this life."""

    def __init__(self, number: int) -> None:
        self.body = BODIES[number]

    def work(self, calls: int) -> None:
        _work(self.body, calls)

    async def work_async(self, calls: int) -> None:
        await _work_async(self.body, calls)

    def recall(self) -> None:
        """Does nothing: to answer, an agent that was unloaded is replayed."""


def _work(body: Body, calls: int) -> None:
    with body.open(_WITH[-1]) as call:
        call()  # connects
        begin = originals.perf_counter()
        for _ in range(calls):
            call()
        _TAKEN_S.append((originals.perf_counter() - begin) / calls)


async def _work_async(body: Body, calls: int) -> None:
    async with body.open(_WITH[-1]) as call:
        await call()
        begin = originals.perf_counter()
        for _ in range(calls):
            await call()
        _TAKEN_S.append((originals.perf_counter() - begin) / calls)


def measured(number: int, places: Places, calls: int, rounds: int) -> Inside:
    """One body, in rounds of original, live and replay."""
    body = BODIES[number]
    _WITH.append(places)
    result = Inside(body, [], [], [])
    for _ in range(rounds):
        intercept.uninstall()
        result.original.append(_taken_us(lambda: _without(body, calls)))
        engine = MemoryEngine()
        with _opened(engine) as runtime:
            result.live.append(_taken_us(partial(_live, runtime, number, calls)))
            left = engine.snapshot()
        with _opened(left) as runtime:
            result.replay.append(_taken_us(runtime.get(Calling, number).recall))
    _WITH.pop()
    return result


def _live(runtime: Runtime, number: int, calls: int) -> None:
    handle: Any = runtime.get(Calling, number)
    work = handle.work_async if BODIES[number].is_async else handle.work
    runtime.trigger(work, calls).result()


def _without(body: Body, calls: int) -> None:
    if body.is_async:
        asyncio.run(_work_async(body, calls))
    else:
        _work(body, calls)


def _opened(engine: MemoryEngine) -> Runtime:
    return Runtime.over(engine, RealEnvironment(), Settings())


def _taken_us(work: Callable[[], object]) -> float:
    work()
    (taken_s,) = _TAKEN_S
    _TAKEN_S.clear()
    return taken_s * 1e6
