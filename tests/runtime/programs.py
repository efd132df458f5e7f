"""Random asyncio programs that note what they see. They are functions of seed and delivery order."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

from golem_sdk.runtime.loop import all_tasks, as_completed
from runtime.pumping import EffectError, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine


class Program:
    """A number of workers that do random things with shared objects.

    Choices are drawn while it runs, from one generator: whatever runs in another order makes everything
    after it different.
    """

    def __init__(self, world: World, seed: int, workers: int = 16, actions: int = 4) -> None:
        self.world = world
        self.note = world.note
        self.random = Random(seed + 1_000_003)
        self.workers, self.actions = workers, actions
        self.count = 0
        self.lock = asyncio.Lock()
        self.semaphore = asyncio.Semaphore(2)
        self.event = asyncio.Event()
        self.condition = asyncio.Condition()
        self.queue: asyncio.Queue[int] = asyncio.Queue(2)
        self.set: set[asyncio.Task[Any]] = set()

    async def __call__(self) -> int:
        consumer = asyncio.create_task(self.consume())
        spare = asyncio.create_task(self.forever())
        workers = [asyncio.create_task(self.worker(n)) for n in range(self.workers)]
        results = await asyncio.gather(*workers, return_exceptions=True)
        self.note("workers", [type(each).__name__ for each in results])
        self.event.set()
        consumer.cancel()
        self.note("set", [task.get_name() for task in self.set])
        self.note("all", [task.get_name() for task in all_tasks()], spare.done())
        return self.count

    async def worker(self, number: int) -> None:
        for _ in range(self.actions):
            action = self.random.choice(ACTIONS)
            self.note(number, "begins", action.__name__)
            try:
                await action(self)
            except (EffectError, TimeoutError, ExceptionGroup) as error:
                self.note(number, "sees", repr(error))
            self.count += 1
            self.note(number, "goes on at", self.world.loop.time())

    async def job(self, *, fail: float = 0.1) -> str:
        self.count += 1
        request = f"job {self.count}"
        kind = self.random.random()
        if kind < 0.15:
            await asyncio.sleep(self.random.choice([0, 0.05, 0.2]))
        if kind > 0.9:
            return await asyncio.to_thread(self.body, request)
        result = await self.world.effect(request, failing=self.random.random() < fail)
        self.note("did", result)
        return result

    def body(self, request: str) -> str:
        self.note("lane", request)
        first = self.world.lane_effect(request)
        self.count += 1
        return first + self.world.lane_effect(
            f"{request}, {self.count}", failing=self.count % 7 == 0
        )

    def jobs(self, most: int = 5) -> list[Coroutine[Any, Any, str]]:
        return [self.job() for _ in range(self.random.randint(1, most))]

    async def forever(self) -> None:
        try:
            while True:
                await asyncio.sleep(0.3)
                self.note("tick")
        finally:
            self.note("cancelled", await self.world.effect("clean up"))

    async def consume(self) -> None:
        while True:
            item = await self.queue.get()
            self.note("got", item)
            await asyncio.gather(self.job(), return_exceptions=True)

    async def gather(self) -> None:
        self.note(await asyncio.gather(*self.jobs(), return_exceptions=self.random.random() < 0.5))

    async def group(self) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.job(fail=0.3)) for _ in range(3)]
        self.note("group", [task.result() for task in tasks])

    async def wait(self) -> None:
        tasks = {asyncio.create_task(job) for job in self.jobs()}
        when = self.random.choice([asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION])
        done, pending = await asyncio.wait(tasks, timeout=0.3, return_when=when)
        for task in done:
            self.note("done", task.get_name(), repr(task.exception()))
        for task in pending:
            self.note("pending", task.get_name())
            if self.random.random() < 0.5:
                task.cancel()
        self.set |= done

    async def completed(self) -> None:
        timeout = self.random.choice([None, 0.3])
        for each in as_completed(self.jobs(), timeout=timeout):
            self.note("completed", await each)

    async def timeout(self) -> None:
        async with asyncio.timeout(0.1):
            await self.job()
            async with asyncio.timeout(5):
                await self.job()

    async def wait_for(self) -> None:
        self.note(await asyncio.wait_for(self.job(), 0.1))

    async def shield(self) -> None:
        inner = asyncio.create_task(self.job())
        outer = asyncio.create_task(self.shielded(inner))
        await self.world.effect("before the cancel")
        outer.cancel()
        self.note(await asyncio.gather(outer, inner, return_exceptions=True))

    async def shielded(self, inner: asyncio.Task[str]) -> str:
        return await asyncio.shield(inner)

    async def put(self) -> None:
        self.count += 1
        await self.queue.put(self.count)

    async def locked(self) -> None:
        async with self.lock:
            before = self.count
            await self.job()
            self.note("locked", before, self.count)

    async def limited(self) -> None:
        async with self.semaphore:
            await self.job()

    async def wait_event(self) -> None:
        if self.event.is_set() or self.random.random() < 0.5:
            self.event.set()
            self.event.clear()
        else:
            async with asyncio.timeout(1):
                await self.event.wait()

    async def conditional(self) -> None:
        async with self.condition:
            if self.random.random() < 0.6:
                self.condition.notify_all()
            else:
                async with asyncio.timeout(1):
                    await self.condition.wait()

    async def iterate(self) -> None:
        async for each in self.stream():
            if self.random.random() < 0.3:
                break  # the generator is abandoned
            self.note("streamed", each)

    async def stream(self) -> AsyncIterator[str]:
        try:
            for _ in range(3):
                yield await self.job()
        finally:
            self.note("stream closed", await self.world.effect("close"))

    async def keep_stream(self) -> None:
        stream = self.stream()
        self.world.keep.append(stream)
        self.note("kept", await anext(stream))

    async def thread(self) -> None:
        self.count += 1
        self.note(await asyncio.to_thread(self.body, f"body {self.count}"))

    async def cancel(self) -> None:
        task = asyncio.create_task(self.job())
        await self.world.effect("before")
        self.note("cancelled", task.cancel())
        self.note(await asyncio.gather(task, return_exceptions=True))

    async def later(self) -> None:
        loop = asyncio.get_running_loop()
        handle = loop.call_later(0.2, self.note, "later")
        await self.job()
        if self.random.random() < 0.5:
            handle.cancel()


ACTIONS: list[Callable[[Program], Coroutine[Any, Any, None]]] = [
    Program.gather,
    Program.group,
    Program.wait,
    Program.completed,
    Program.timeout,
    Program.wait_for,
    Program.shield,
    Program.put,
    Program.locked,
    Program.limited,
    Program.wait_event,
    Program.conditional,
    Program.iterate,
    Program.keep_stream,
    Program.thread,
    Program.cancel,
    Program.later,
]


async def program(world: World, seed: int, workers: int = 16) -> int:
    return await Program(world, seed, workers)()
