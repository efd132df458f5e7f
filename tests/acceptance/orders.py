"""An agent in which everything races, and a trace of the order in which its code saw things.

Run as a script with ``record STORE SEED`` or ``replay STORE SEED``, it prints the trace.
"""

from __future__ import annotations

import asyncio
import random
import sys
from typing import TYPE_CHECKING

from golem_sdk import FunctionType, RetryPolicy, Runtime, agent, durable, retry_policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["PERFORMED", "Race"]

PERFORMED: list[str] = []

_order = random.Random()


@durable(function_type=FunctionType.READ_REMOTE)
async def effect(name: str) -> str:
    """Completes after a random number of turns of the host loop; one in ten fails."""
    PERFORMED.append(name)
    for _ in range(_order.randrange(12)):
        await asyncio.sleep(0)
    if _order.random() < 0.1:
        raise ConnectionError(name)
    return name


@durable(function_type=FunctionType.READ_REMOTE)
def blocking(name: str) -> str:
    """The same for a thread of the agent."""
    PERFORMED.append(name)
    return name


@agent
class Race:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.trace: list[str] = []
        self.shared = 0

    async def play(self) -> list[str]:
        _order.seed(self.seed)
        plan = random.Random(self.seed)
        for part in plan.sample(
            [self.gathered, self.grouped, self.waited, self.queued, self.mixed], 5
        ):
            with retry_policy(RetryPolicy(min_delay=0, max_delay=0)):
                await part(plan.randrange(2, 6))
        return self.trace

    def look(self) -> list[str]:
        return self.trace

    async def one(self, name: str) -> str:
        self.shared += 1
        try:
            got = await effect(name)
        except ConnectionError:
            got = f"{name} failed"
        self.trace.append(f"{got} {self.shared}")
        return got

    async def gathered(self, count: int) -> None:
        got = await asyncio.gather(*(self.one(f"gather {n}") for n in range(count)))
        self.trace.append(" ".join(got))
        for finished in asyncio.as_completed({self.one(f"as completed {n}") for n in range(1)}):
            self.trace.append(await finished)

    async def grouped(self, count: int) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(count):
                    group.create_task(effect(f"group {number}"))
        except* ConnectionError as errors:
            self.trace.append(f"{len(errors.exceptions)} failed")

    async def waited(self, count: int) -> None:
        left = {asyncio.create_task(self.one(f"wait {n}")) for n in range(count)}
        while left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            self.trace += ["cut" if task.cancelled() else task.result() for task in done]
            if len(left) == 1:
                next(iter(left)).cancel()
        shielded = asyncio.shield(asyncio.ensure_future(self.one("shielded")))
        self.trace.append(await asyncio.wait_for(shielded, 30))

    async def queued(self, count: int) -> None:
        queue: asyncio.Queue[str] = asyncio.Queue(2)
        lock, allowed, go = asyncio.Lock(), asyncio.Semaphore(2), asyncio.Event()

        async def produce(number: int) -> None:
            await go.wait()
            async with allowed:
                await queue.put(await self.one(f"made {number}"))
            async with lock:
                await self.one(f"locked {number}")

        makers = [asyncio.create_task(produce(number)) for number in range(count)]
        go.set()
        for _ in range(count):
            self.trace.append(f"got {await queue.get()}")
        await asyncio.gather(*makers)

    async def mixed(self, count: int) -> None:
        async def numbers() -> None:
            async for name in self._stream(count):
                self.trace.append(name)

        def in_thread(number: int) -> str:
            self.shared += 1
            first = blocking(f"thread {number}")
            self.trace.append(f"{first} {self.shared}")
            return blocking(f"{first} again")

        threads = (asyncio.to_thread(in_thread, number) for number in range(count))
        self.trace += map(str, await asyncio.gather(numbers(), *threads))
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(60)
        except (
            TimeoutError,
            asyncio.CancelledError,
        ):
            # In early releases of 3.11 it is the latter after a TaskGroup that has failed (gh-102780).
            self.trace.append("timeout")

    async def _stream(self, count: int) -> AsyncIterator[str]:
        for number in range(count):
            yield await self.one(f"streamed {number}")


def main() -> None:
    what, store, seed = sys.argv[1:]
    with Runtime(store) as runtime:
        race = runtime.get(Race, int(seed))
        trace = runtime.trigger(race.play).result() if what == "record" else race.look()
        print(*trace, len(PERFORMED) if what == "replay" else "", sep="\n")


if __name__ == "__main__":
    main()
