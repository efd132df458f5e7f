"""Idempotency keys: other systems have seen them, so no version of the SDK may derive others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid5

import pytest

from golem_sdk import (
    FunctionType,
    PersistenceLevel,
    Runtime,
    agent,
    durable,
    generate_idempotency_key,
    get_oplog_index,
    persistence_level,
    saga,
    set_oplog_index,
)
from golem_sdk.core.ids import invocation_namespace
from golem_sdk.durability import current, is_live, upcoming_idempotency_key
from golem_sdk.runtime.keys import Keys
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.driver import Step, drive
from golem_sdk.testing.environment import VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from golem_sdk.core.machine import StartedCall
    from golem_sdk.core.scopes import Scope
    from golem_sdk.durability import Session

NOTHING = PersistenceLevel.PERSIST_NOTHING
KEYS: list[tuple[str, str]] = []
JUMPS: list[int] = []


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    KEYS.clear()
    JUMPS.clear()
    yield
    KEYS.clear()


def upcoming() -> str:
    session = current()
    assert session is not None
    return str(upcoming_idempotency_key(session))


def derive(where: str) -> None:
    if not is_live():
        return
    KEYS.append((f"{where}, call", upcoming()[:8]))
    KEYS.append((f"{where}, generated", str(generate_idempotency_key())[:8]))


@durable(function_type=FunctionType.READ_LOCAL)
def look() -> None:
    pass


@agent
class KeysEverywhere:
    """Derives keys wherever they are derived in another way."""

    def __init__(self, name: str) -> None:
        pass

    async def run(self) -> None:
        derive("main")
        look()
        for zone in ("first zone", "second zone"):
            with persistence_level(NOTHING):
                derive(zone)
                if is_live():
                    look()
                derive(f"{zone} later")
        for name in ("first saga", "second saga"):
            with saga(infallible=True):
                derive(name)
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(self.task(name) for name in ("first task", "second task")))
        for name in ("first thread", "second thread"):
            await loop.run_in_executor(None, derive, name)
        place = get_oplog_index()
        derive(f"jumped {len(JUMPS)} times")
        if not JUMPS:
            JUMPS.append(place)
            set_oplog_index(place)
        look()
        derive("end")

    async def task(self, name: str) -> None:
        derive(name)


DERIVED = {
    "main, call": "1087ebe2",
    "main, generated": "8265073e",
    "first zone, call": "dd7dd959",
    "first zone, generated": "144d0d57",
    "first zone later, call": "17b41462",
    "first zone later, generated": "88581d73",
    "second zone, call": "34eb4ecc",
    "second zone, generated": "65d61bdf",
    "second zone later, call": "1c562be9",
    "second zone later, generated": "08e33291",
    "first saga, call": "277f5720",
    "first saga, generated": "a9484baa",
    "second saga, call": "147e65a7",
    "second saga, generated": "26a76188",
    "first task, call": "36137fc7",
    "first task, generated": "3de1ad5e",
    "second task, call": "86d417d7",
    "second task, generated": "eb39c4a9",
    "first thread, call": "0f21dabd",
    "first thread, generated": "87208214",
    "second thread, call": "4890dca3",
    "second thread, generated": "9d8d300e",
    "jumped 0 times, call": "6dd16204",
    "jumped 0 times, generated": "c2586a03",
    "jumped 1 times, call": "9f34c5dd",
    "jumped 1 times, generated": "9d83ea60",
    "end, call": "aea4e701",
    "end, generated": "4ed87b3b",
}


def test_keys_stay_as_they_were() -> None:
    drive([Step(KeysEverywhere, ("x",), "run")], suspend_after_s=1e9)
    assert dict(KEYS) == DERIVED
    assert len(set(DERIVED.values())) == len(DERIVED)


@agent
class KeysOfThreads:
    """A thread's keys do not depend on what others do meanwhile."""

    def __init__(self, name: str) -> None:
        pass

    async def run(self, more: int) -> list[str]:
        loop = asyncio.get_running_loop()
        first = loop.run_in_executor(None, self.generate, more)
        second = loop.run_in_executor(None, self.generate, 1)
        return [*await second, str(generate_idempotency_key()), (await first)[0]]

    def generate(self, count: int) -> list[str]:
        return [str(generate_idempotency_key()) for _ in range(count)]


def test_each_thread_derives_its_own() -> None:
    one, three = (
        drive([Step(KeysOfThreads, ("x",), "run", (more,))]).results[0][1] for more in (1, 3)
    )
    assert one == three
    assert len(set(one)) == 3


class Told:
    """Notes the key of each call that is performed."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def perform(
        self, session: Session, call: StartedCall, scope: Scope, action: Callable[[], Any]
    ) -> Any:
        self.keys.append(str(session.keys.key(call.place, scope)))
        return action()

    def perform_async(
        self,
        session: Session,
        call: StartedCall,
        scope: Scope,
        action: Callable[[], Awaitable[Any]],
    ) -> Callable[[], Awaitable[Any]]:
        return action


@agent
def looks_everywhere(name: str) -> list[str]:
    asked = []
    for level in (PersistenceLevel.SMART, NOTHING, NOTHING):
        with persistence_level(level):
            for _ in range(2):
                asked.append(upcoming())
                look()
    return asked


def test_a_call_has_the_key_that_was_upcoming() -> None:
    told = Told()
    settings = Settings(write_behind_s=None, performer=told)
    with Runtime.over(MemoryEngine(), VirtualEnvironment(), settings) as runtime:
        asked = runtime.trigger(looks_everywhere, "x").result(timeout=30)
    assert told.keys == asked
    assert len(set(asked)) == 6


def test_keys_are_derived_however_many_tasks_have_begun_one_another() -> None:
    strand, namespace = Keys('chain("x")', "run").child(), invocation_namespace('chain("x")', "run")
    for _ in range(10_000):
        strand, namespace = strand.child(), uuid5(namespace, "task 1")
    assert strand.namespace == uuid5(namespace, "task 1")
