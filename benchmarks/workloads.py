"""The agents that are measured. Every step gives a dict of about 200 bytes."""

from __future__ import annotations

import asyncio
import time

from benchmarks.row import ROW, Row
from golem_sdk import FunctionType, agent, durable
from golem_sdk.originals import perf_counter

__all__ = ["CALL_S", "PERFORMED", "clocks", "flow", "many", "reads", "together"]

CALL_S: list[float] = []
"""Seconds per call, as `reads` and `clocks` measured them around nothing but their calls."""

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
def flow(run: int) -> object:
    """W2: a workflow of one step."""
    return step(run)["id"]


@agent
async def together(run: int, steps: int) -> int:
    """W3: steps that run at the same time."""
    return len(await asyncio.gather(*(concurrent_step(number) for number in range(steps))))


@agent
def reads(run: int, calls: int) -> None:
    """W1r: sequential reads, nothing of which has to be on disk before the next."""
    begin = perf_counter()
    for number in range(calls):
        read(number)
    CALL_S.append((perf_counter() - begin) / calls)


@agent
def clocks(run: int, calls: int) -> None:
    """W1r: a clock that is read again and again."""
    begin = perf_counter()
    for _ in range(calls):
        time.time()
    CALL_S.append((perf_counter() - begin) / calls)
