"""The agents that are simulated: every way to act, wait and talk that the runtime offers."""

from __future__ import annotations

import asyncio
import functools
import random
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from golem_sdk import (
    FunctionType,
    RetryPolicy,
    agent,
    atomically,
    durable,
    get,
    idempotence_mode,
    retry_policy,
    run,
    saga,
    schedule,
    trigger,
)
from golem_sdk.testing.driver import Step
from golem_sdk.testing.simulation import world

__all__ = ["NEVER_TWICE", "ORDERED", "STEPS"]

DAY = 86_400.0


@durable
def write(name: str) -> str:
    return world().write(name)


@durable
def write_once(name: str) -> str:
    return world().write(name, certain=True)


@durable(function_type=FunctionType.READ_REMOTE)
def read(number: int) -> tuple[int, bytes]:
    return number * 2, bytes([number])


@durable
async def awrite(name: str) -> str:
    return await world().awrite(name)


@agent
class SimLedger:
    """State, effects and long waits, one after the other."""

    def __init__(self, name: str) -> None:
        self.name, self.lines = name, [write(f"{name} opens")]

    def post(self, number: int) -> int:
        doubled, raw = read(number)
        world().observe("read", (doubled, raw))
        self.lines.append(write(f"{self.name} posts {number}"))
        time.sleep(5 * DAY)
        self.lines.append(write(f"{self.name} posted {number}"))
        world().observe("posted", self.lines)
        return len(self.lines) + doubled

    async def post_many(self, tag: str) -> list[str]:
        made = await asyncio.gather(*(self._one(f"{self.name} {tag} {n}") for n in range(4)))
        await asyncio.sleep(DAY)
        return made

    async def _one(self, name: str) -> str:
        done = await awrite(name)
        world().observe(name, done)
        return done

    def refuse(self) -> None:
        write(f"{self.name} refuses")
        raise LookupError(f"{self.name} has no funds")


@agent
def sim_bank(clients: int) -> list[Any]:
    """Synchronous calls, messages, a scheduled one and one that is cancelled."""
    ledger = get(SimLedger, "bank")
    handles = [trigger(ledger.post, number) for number in range(clients)]
    later = schedule(timedelta(days=30), ledger.post, 50)
    never = schedule(timedelta(days=400), ledger.post, 60)
    cancelled = never.cancel()
    try:
        ledger.refuse()
    except LookupError as error:
        refused = str(error)
    scheduled = later.result()  # asked for while the ledger is busy
    return [*(h.result() for h in handles), scheduled, cancelled, refused, run(sim_leaf, 1)]


@agent
def sim_leaf(number: int) -> str:
    return write(f"leaf {number}")


@agent
async def sim_peers(count: int) -> list[Any]:
    """Asynchronous calls to several agents at once."""
    peers = [get(SimLedger, f"peer {number}") for number in range(count)]
    made = await asyncio.gather(*(peer.post_many("asked") for peer in peers))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(peer.post_many("again")) for peer in peers]
    return [made, [task.result() for task in tasks]]


@agent
async def sim_races(count: int) -> list[Any]:
    """Time-outs, threads, and tasks that are cancelled."""

    def body(number: int) -> str:
        first = write(f"thread {number}")
        time.sleep(3)
        world().observe(f"thread {number}")
        return first

    threads = await asyncio.gather(*(asyncio.to_thread(body, n) for n in range(count)))
    world().observe("threads", threads)
    try:
        async with asyncio.timeout(20 * DAY):
            await asyncio.sleep(90 * DAY)
    except TimeoutError:
        threads.append("timeout")
    task = asyncio.create_task(asyncio.sleep(9))
    await asyncio.sleep(1)
    task.cancel()
    return [*threads, await awrite("races end")]


@agent
def sim_trip(name: str) -> str:
    """A saga that is undone."""

    def book(what: str) -> str:
        if what == "car":
            raise LookupError("no car left")
        return write(f"{name} books {what}")

    def undo(booking: str) -> None:
        write(f"{name} undoes {booking}")

    try:
        with saga() as s:
            for what in ("flight", "hotel", "car"):
                s.step(functools.partial(book, what), undo)
    except LookupError as error:
        return f"no trip: {error}"
    return "booked"


@agent
def sim_orders(count: int) -> list[str]:
    """Atomic regions and retry policies."""
    done = []
    for number in range(count):
        with (
            retry_policy(RetryPolicy(max_attempts=6, min_delay=60.0, max_delay=9000.0)),
            atomically(),
        ):
            done += [write(f"order {number} reserved"), write(f"order {number} paid")]
        time.sleep(DAY)
    return done


@agent
def sim_payment(number: int) -> list[str]:
    """Writes that are never sent twice."""
    with idempotence_mode(False):
        first = write_once(f"payment {number} first")
    time.sleep(DAY)
    with idempotence_mode(False):
        second = write_once(f"payment {number} second")
    return [first, second, write(f"payment {number} noted")]


@agent
def sim_impure(name: str) -> bool:
    """Clock, entropy and identifiers."""
    seen = [
        time.time(),
        random.random(),
        uuid.uuid4(),
        datetime.now(UTC),
        time.monotonic_ns(),
        uuid.uuid1(),
    ]
    world().observe("first", seen)
    write(f"impure {name}")
    time.sleep(40)
    world().observe("later", [datetime.now(UTC), random.randbytes(4)])
    return True


def _ledger(name: str, method: str, *arguments: Any) -> Step:
    return Step(SimLedger, (name,), method, arguments)


STEPS = [
    _ledger("a", "post", 1),
    _ledger("b", "post_many", "many"),
    _ledger("c", "refuse"),
    Step(sim_bank, (2,)),
    Step(sim_peers, (2,)),
    Step(sim_races, (2,)),
    Step(sim_trip, ("Ada",)),
    Step(sim_orders, (2,)),
    Step(sim_payment, (1,)),
    Step(sim_payment, (2,)),
    Step(sim_impure, ("x",)),
]

NEVER_TWICE = [f"payment {n} {which}" for n in (1, 2) for which in ("first", "second")]

ORDERED = ['SimLedger("a")', 'sim_trip("Ada")']
