"""The agents that are measured. Every step gives a dict of about 200 bytes."""

from __future__ import annotations

import asyncio
import time

from benchmarks.latencies import between
from benchmarks.row import ROW, Row
from golem_sdk import FunctionType, agent, durable, originals

__all__ = [
    "CALL_S",
    "PERFORMED",
    "TAKEN_S",
    "clocks",
    "each_clock",
    "each_read",
    "each_together",
    "flow",
    "many",
    "many_timed",
    "reads",
    "together",
]

CALL_S: list[float] = []
"""Seconds per call, as `reads` and `clocks` measured them around nothing but their calls."""

TAKEN_S: list[list[float]] = []
"""Seconds of each single step or call of the last agent that measured them."""

PERFORMED: list[int] = []
"""The numbers of the steps that were really performed in this process."""


@durable
def step(number: int) -> Row:
    PERFORMED.append(number)
    return ROW


@durable(function_type=FunctionType.READ_REMOTE)
def read(number: int) -> Row:
    return ROW


@durable
async def concurrent_step(number: int) -> Row:
    return ROW


@agent
def many(run: int, steps: int) -> int:
    """W1: sequential steps that write to the outside."""
    return sum(bool(step(number)["paid"]) for number in range(steps))


@agent
def many_timed(run: int, steps: int) -> int:
    """The same, with the time that each of them takes."""
    stamps, paid = [originals.perf_counter()], 0
    for number in range(steps):
        paid += bool(step(number)["paid"])
        stamps.append(originals.perf_counter())
    TAKEN_S.append(between(stamps))
    return paid


@agent
def flow(run: int) -> object:
    """W2: a workflow of one step."""
    return step(run)["id"]


@agent
async def together(run: int, steps: int) -> int:
    """W3: steps that run at the same time."""
    return len(await asyncio.gather(*(concurrent_step(number) for number in range(steps))))


@agent
async def each_together(run: int, steps: int) -> None:
    """The same: how long each of them takes since they have begun."""
    begin, taken_s = originals.perf_counter(), list[float]()

    async def one(number: int) -> None:
        await concurrent_step(number)
        taken_s.append(originals.perf_counter() - begin)

    await asyncio.gather(*map(one, range(steps)))
    TAKEN_S.append(taken_s)


@agent
def reads(run: int, calls: int) -> None:
    """W1r: sequential reads, nothing of which has to be on disk before the next."""
    begin = originals.perf_counter()
    for number in range(calls):
        read(number)
    CALL_S.append((originals.perf_counter() - begin) / calls)


@agent
def clocks(run: int, calls: int) -> None:
    """W1r: a clock that is read again and again."""
    begin = originals.perf_counter()
    for _ in range(calls):
        time.time()
    CALL_S.append((originals.perf_counter() - begin) / calls)


@agent
def each_read(run: int, calls: int) -> None:
    """W1r again: each read by itself, which measuring makes a little slower."""
    stamps = [originals.perf_counter()]
    for number in range(calls):
        read(number)
        stamps.append(originals.perf_counter())
    TAKEN_S.append(between(stamps))


@agent
def each_clock(run: int, calls: int) -> None:
    """The same of a clock."""
    stamps = [originals.perf_counter()]
    for _ in range(calls):
        time.time()
        stamps.append(originals.perf_counter())
    TAKEN_S.append(between(stamps))
