"""Agents that do what they are told, on a store that refuses when it is told to."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING

from golem_sdk import Runtime, agent, durable, get
from golem_sdk.errors import AgentFailedError, StoreFullError
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from golem_sdk.runtime.actor import Actor
    from golem_sdk.storage.base import Batch, Row, Space
    from golem_sdk.testing.environment import VirtualEnvironment

GATE, REACHED = Event(), Event()
SEEN: list[str] = []
ENGINE: list[Refusing] = []


class Refusing(MemoryEngine):
    """Refuses the next commit, or the next scan, when it is told to."""

    refusal: Exception | None = None
    unreadable: Exception | None = None

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        refusal, self.refusal = self.refusal, None
        if refusal is not None:
            raise refusal
        return super().commit(batches)

    def scan(
        self, space: Space, lo: bytes, hi: bytes | None, *, limit: int, reverse: bool = False
    ) -> list[Row]:
        unreadable, self.unreadable = self.unreadable, None
        if unreadable is not None:
            raise unreadable
        return super().scan(space, lo, hi, limit=limit, reverse=reverse)


@durable
async def wait_outside() -> str:
    REACHED.set()
    await asyncio.to_thread(GATE.wait, 30)
    return "waited"


@agent
class Acting:
    def __init__(self, name: str) -> None:
        self.value = 0

    def add(self, by: int) -> int:
        self.value += by
        return self.value

    def block(self) -> int:
        REACHED.set()
        GATE.wait(30)
        SEEN.append("block")
        return self.value

    async def wait(self) -> str:
        try:
            return await wait_outside()
        finally:
            SEEN.append("unwound")

    async def doze(self) -> None:
        try:
            await asyncio.sleep(30)
        finally:
            SEEN.append("unwound")

    async def nap(self, days: int) -> int:
        await asyncio.sleep(days * 86400)
        return days

    def fill(self) -> int:
        ENGINE[0].refusal = StoreFullError("no room")
        self.value += 1
        return self.value


@agent
class Patient:
    def __init__(self, name: str) -> None:
        self.name = name

    async def ask(self, days: int) -> int:
        days_slept: int = await get(Acting, self.name).nap(days)
        return days_slept


@agent
def asks_who_fails(name: str) -> str:
    try:
        return str(get(Acting, name).add(1))
    except AgentFailedError as error:
        return f"caught: {error}"


@agent
def acts_once(name: str) -> str:
    return name


@contextmanager
def acting(environment: VirtualEnvironment, engine: Refusing) -> Iterator[Runtime]:
    """A runtime in which no time passes until a test leaves the environment."""
    for event in (GATE, REACHED):
        event.clear()
    SEEN.clear()
    ENGINE[:] = [engine]
    environment.enter()
    settings = Settings(suspend_after_s=60.0, max_loaded=1, write_behind_s=None)
    with Runtime.over(engine, environment, settings) as opened:
        yield opened
        GATE.set()
    environment.join(30)  # what was blocked notes nothing in the next test


def actor_of(runtime: Runtime, name: str) -> Actor:
    return runtime._kernel.actor("Acting", f'Acting("{name}")')
