"""A Restate service at the same work, as its documentation writes it. Hypercorn serves `app`."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import restate

from benchmarks.peers.worker import Life
from benchmarks.row import ROW, Row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

life = Life(os.environ["PEER_LIFE"])
peer = restate.Service("peer")


async def step(number: int) -> Row:
    return ROW


async def remembered_step(number: int) -> Row:
    life.performs(number)
    return ROW


async def last_step() -> None:
    if life.performs_last():
        await asyncio.Event().wait()


@peer.handler()
async def many(ctx: restate.Context, steps: int) -> int:
    count = 0
    for number in range(steps):
        row = await ctx.run_typed("step", step, number=number)
        count += bool(row["paid"])
    return count


@peer.handler()
async def flow(ctx: restate.Context, run: int) -> object:
    row = await ctx.run_typed("step", step, number=run)
    return row["id"]


@peer.handler()
async def together(ctx: restate.Context, steps: int) -> int:
    calls = [ctx.run_typed("step", step, number=number) for number in range(steps)]
    done = await restate.gather(*calls)
    return len([await call for call in done])


@peer.handler()
async def killed(ctx: restate.Context, steps: int) -> int:
    count = 0
    for number in range(steps):
        row = await ctx.run_typed("step", remembered_step, number=number)
        count += bool(row["paid"])
    await ctx.run_typed("last", last_step)
    return count


served = restate.app(services=[peer])


async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
    """The service. A replay begins with the request that brings the journal."""
    life.replays()
    await served(scope, receive, send)
