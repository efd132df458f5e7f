"""Test agents of many shapes, each with the calls that the outside makes: the table of scenarios."""

from __future__ import annotations

import asyncio
import datetime
import logging
import random
import secrets
import time
import uuid
from typing import TYPE_CHECKING, Any

from attrs import frozen

from golem_sdk import FunctionType, agent, durable, get, run, schedule, trigger
from golem_sdk.testing.driver import Step
from golem_sdk.testing.interpreter import WORLD, run_program, run_program_async
from golem_sdk.testing.witness import observe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["SCENARIOS", "Scenario"]


@durable
def write(what: str) -> dict[str, str]:
    return {"done": what}


@durable(function_type=FunctionType.READ_REMOTE)
def read(number: int) -> int:
    return number * 2


@durable
async def awrite(what: str, fail: bool = False) -> str:
    await asyncio.sleep(0)
    if fail:
        raise KeyError(what)
    return what.upper()


class DeclinedError(Exception):
    def __init__(self, card: str, cents: int) -> None:
        super().__init__(card, cents)
        self.card = card


@agent
class Account:
    def __init__(self, name: str) -> None:
        self.value = 0
        write(f"open {name}")

    def add(self, by: int) -> int:
        write(f"add {by}")
        self.value += read(by)
        time.sleep(3)
        write(f"added {by}")
        return self.value

    async def add_many(self, by: int) -> int:
        done = await asyncio.gather(*(awrite(f"many {by} {number}") for number in range(4)))
        self.value += len("".join(done))
        await asyncio.sleep(5)
        return self.value

    def decline(self, cents: int) -> None:
        write("decline")
        try:
            raise LookupError("no funds")
        except LookupError as cause:
            error = DeclinedError("card-7", cents)
            error.add_note("ask again tomorrow")
            raise error from cause

    def ask_peer(self, by: int) -> int:
        return get(Account, "peer").add(by) + 1

    async def ask_peers(self, by: int) -> list[int]:
        peers = get(Account, "peer"), get(Account, "other")
        return list(await asyncio.gather(*(peer.add_many(by) for peer in peers)))

    async def ask_one(self, by: int) -> list[int]:
        peer = get(Account, "peer")
        early = peer.add_many(by)
        both = await asyncio.gather(peer.add_many(by + 1), peer.add_many(by + 2))
        return [*both, await early]

    def look(self) -> int:
        return self.value


@agent
class Unborn:
    def __init__(self, name: str) -> None:
        write("try")
        raise RuntimeError("cannot be made")

    def look(self) -> int:
        return 1


@agent
def chain(length: int) -> list[Any]:
    return [] if length == 0 else [run(chain, length - 1), write(f"link {length}")]


@agent
def caught(times: int) -> list[str]:
    seen = []
    for number in range(times):
        try:
            flaky(number)
        except DeclinedError as error:
            observe("declined", [error, error.args])
            seen.append(f"{error.card} {error.args[1]}")
            write(f"compensate {number}")
    return seen


@durable
def flaky(number: int) -> None:
    raise DeclinedError("card", number)


@agent
def naps(times: int) -> int:
    for number in range(times):
        time.sleep(0.05 if number % 2 else 90)
        write(f"awake {number}")
    return times


@agent
def messages(count: int) -> list[Any]:
    account = get(Account, "inbox")
    handles = [trigger(account.add, number) for number in range(count)]
    later = schedule(datetime.timedelta(seconds=30), account.add, 9)
    return [*(handle.result() for handle in handles), later.result(), trigger(chain, 1).result()]


@agent
async def pipeline(items: int) -> list[Any]:
    out: list[Any] = []
    semaphore, lock, ready = asyncio.Semaphore(2), asyncio.Lock(), asyncio.Event()
    queue: asyncio.Queue[int] = asyncio.Queue()

    async def produce(number: int) -> None:
        await ready.wait()
        async with semaphore:
            try:
                value = await awrite(f"item {number}", fail=number == 3)
            except KeyError as error:
                value = repr(error)
            async with lock:
                observe(f"item {value}")
                out.append(value)
            await queue.put(number)

    async with asyncio.TaskGroup() as group:
        for number in range(items):
            group.create_task(produce(number))
        ready.set()
    queued = [await queue.get() for _ in range(items)]
    return [sorted(map(str, out)), sorted(queued)]


@agent
async def races(count: int) -> list[Any]:
    out: list[Any] = []
    racing = asyncio.as_completed([awrite(f"race {number}") for number in range(count)])
    for next_one in racing:
        out.append(await next_one)
        observe(f"race {out[-1]}", out)
    naps = [asyncio.create_task(asyncio.sleep(number + 1, number)) for number in range(3)]
    done, pending = await asyncio.wait(naps, timeout=1.5)
    for task in pending:
        task.cancel()
    try:
        async with asyncio.timeout(2):
            await asyncio.sleep(100)
    except TimeoutError:
        out.append("timeout")
    return [sorted(out), sorted(task.result() for task in done)]


@agent
async def broken_group(count: int) -> str:
    async def child(number: int) -> None:
        await asyncio.sleep(number)
        await awrite(f"child {number}", fail=number == 1)

    failed = 0
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(child(number))
    except* KeyError as errors:
        failed = len(errors.exceptions)
    return f"{failed} failed"


async def tokens(count: int) -> AsyncIterator[str]:
    try:
        for number in range(count):
            yield await awrite(f"token {number}")
    finally:
        await awrite("closed")


@agent
async def generator(count: int) -> list[str]:
    out = []
    async for token in tokens(count):
        out.append(token)
        if len(out) == 2:
            break
    await asyncio.sleep(1)
    task = asyncio.create_task(asyncio.sleep(50))
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        out.append("cancelled")
    return out


@agent
async def threads(count: int) -> list[Any]:
    def body(number: int) -> list[Any]:
        first, second = read(number), write(f"thread {number}")
        observe(f"thread {number}", second)
        time.sleep(1)
        return [first, second, time.time() > 0]

    return list(
        await asyncio.gather(*(asyncio.to_thread(body, n) for n in range(count)), awrite("beside"))
    )


@agent
def impure(count: int) -> list[Any]:
    values = [
        random.random(),
        uuid.uuid4().int,
        time.time(),
        secrets.randbits(60),
        random.Random().random(),
    ]
    now = datetime.datetime.now(datetime.UTC)
    observe("impure", [values, now])
    print("thinking", count)
    logging.getLogger("impure").warning("still thinking")
    write("pure")
    time.sleep(40)
    return [len(set(values)), time.time() - values[2] >= 40, now.timestamp() - values[2] >= 0]


@durable(function_type=FunctionType.READ_REMOTE)
def page(number: int) -> str:
    return f"{number}" * 70_000


@agent
def heavy(pages: int) -> list[Any]:
    texts = [page(number) for number in range(pages)]
    time.sleep(9)
    write(str(len("".join(texts))))
    return [len(text) for text in texts] + [page(9)[:3]]


@durable(function_type=FunctionType.READ_REMOTE)
async def chunk(number: int) -> bytes | None:
    return bytes([number]) * 9 if number < 4 else None


@agent
async def stream(name: str) -> bytes:
    body, number = b"", 0
    while (piece := await chunk(number)) is not None:
        body, number = body + piece, number + 1
        await asyncio.sleep(0.01)
    await awrite(f"{name} {len(body)}")
    return body


@agent
class SetKeeper:
    """Sets of texts come in another order in every process."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = set(names)

    async def meet(self, names: frozenset[str]) -> set[str]:
        met, _ = await asyncio.wait({asyncio.create_task(awrite(name)) for name in sorted(names)})
        for task in met:
            observe(f"met {task.result()}")
        self.names |= names
        return self.names


NAMES = frozenset({"ada", "bob", "cleo", "dan", "eve"})

GUARDED = [
    ["atomically", [["effect", "a"], ["flaky", "b"], ["effect", "c"]]],
    ["patient", [["flaky", "d"]]],
    ["remote", [["local", "e"], ["effect", "f"]]],
    ["try", [["saga", [["effect", "g"], ["boom", "h"]]]]],
    ["operation", [["effect", "i"], ["key", ""]]],
    ["effect", "j"],
]
GATHERED = [
    ["gather", [[["effect", "a"], ["sleep", 2]], [["atomically", [["effect", "b"]]]]]],
    ["try", [["saga", [["effect", "c"], ["effect", "d"], ["boom", "e"]]]]],
    ["sleep", 30],
    ["effect", "f"],
]


@frozen
class Scenario:
    """Calls of the outside.

    Attributes:
        waits: its agents wait for time or for each other, so that they can be unloaded.
        ordered: nothing races in it, and nothing is tried again: its oplogs are equal entry by entry.
    """

    steps: list[Step]
    waits: bool = True
    ordered: bool = False

    def begin(self) -> list[Step]:
        """Its calls, in a world in which nothing has happened."""
        WORLD.clear()
        return self.steps


def _calls(name: str, *calls: tuple[str, Any]) -> list[Step]:
    return [Step(Account, (name,), method, (argument,)) for method, argument in calls]


SCENARIOS: dict[str, Scenario] = {
    "sync-writes": Scenario(_calls("a", ("add", 1), ("add", 2)), ordered=True),
    "mixed": Scenario(_calls("a", ("add", 1), ("add_many", 2), ("decline", 3), ("add", 3))),
    "constructor-raises": Scenario(
        [Step(Unborn, ("a",), "look"), Step(Unborn, ("a",), "look")], waits=False, ordered=True
    ),
    "peers": Scenario(_calls("a", ("ask_peer", 1), ("ask_peers", 2), ("ask_peer", 3))),
    "one-peer": Scenario(_calls("a", ("ask_one", 1))),
    "chain": Scenario([Step(chain, (3,))], ordered=True),
    "exceptions": Scenario([Step(caught, (3,))], waits=False, ordered=True),
    "timers": Scenario([Step(naps, (4,))], ordered=True),
    "messages": Scenario([Step(messages, (2,))]),
    "pipeline": Scenario([Step(pipeline, (5,))], waits=False),
    "races": Scenario([Step(races, (3,))]),
    "task-group": Scenario([Step(broken_group, (3,))]),
    "generator": Scenario([Step(generator, (4,))]),
    "threads": Scenario([Step(threads, (3,))]),
    "impure": Scenario([Step(impure, (1,))]),
    "heavy": Scenario([Step(heavy, (2,))], ordered=True),
    "stream": Scenario([Step(stream, ("s",))], ordered=True),
    "sets": Scenario([Step(SetKeeper, (NAMES,), "meet", (NAMES | {"fay"},))], waits=False),
    "guards": Scenario([Step(run_program, (GUARDED,))]),
    "guards-async": Scenario([Step(run_program_async, (GATHERED,))]),
}
