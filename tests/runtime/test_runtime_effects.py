"""What surrounds an effect: where it runs, how it is given up, and what is on disk when it is over."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING, Any, TypeGuard

import pytest

from golem_sdk import (
    FunctionType,
    RetryPolicy,
    Runtime,
    agent,
    atomically,
    durable,
    idempotence_mode,
    retry_policy,
)
from golem_sdk.core.entries import Entry, ImportedFunctionInvoked
from golem_sdk.core.ids import storage_key
from golem_sdk.durability import Session, current
from golem_sdk.errors import AgentFailedError, AgentFencedSignal
from golem_sdk.oplog.reader import read_entries
from golem_sdk.runtime.effects import AlarmEffect, Effect, HostEffect, TimerEffect
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.base import Space
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive
from golem_sdk.testing.environment import START_NS, VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from golem_sdk.core.machine import StartedCall
    from golem_sdk.core.scopes import Scope

CANCELLED_EFFECT = Event()
SEEN: list[Any] = []
ENGINES: list[MemoryEngine] = []


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    CANCELLED_EFFECT.clear()
    SEEN.clear()
    yield
    ENGINES.clear()


@durable
async def endless() -> None:
    SEEN.append("begun")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        CANCELLED_EFFECT.set()
        raise


@durable
async def until_it_has_begun() -> None:
    while not SEEN:
        await asyncio.sleep(0)


@agent
async def gives_up(name: str) -> str:
    task = asyncio.create_task(endless())
    await until_it_has_begun()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return "gave up"


def test_an_effect_that_nobody_waits_for_is_cancelled() -> None:
    with Runtime.memory() as runtime:
        assert runtime.trigger(gives_up, "x").result(timeout=30) == "gave up"
        assert CANCELLED_EFFECT.wait(30), "before the runtime is closed"


@durable
def inner() -> str:
    SEEN.append(current())
    return "inner"


@durable
async def outer() -> str:
    SEEN.append(current())
    return inner()


@agent
async def nests(name: str) -> str:
    return await outer()


def test_calls_of_an_effect_are_its_own_matter() -> None:
    end = drive([Step(nests, ("x",))])
    assert end.results[0][:2] == ("result", "inner")
    assert SEEN == [None, None]
    (oplog,) = end.oplogs.values()
    names = [entry.function_name for _, entry in oplog if hasattr(entry, "function_name")]
    assert [name.rpartition(".")[2] for name in names] == ["outer"]


# --- output commit --------------------------------------------------------------------------------


def chunks() -> int:
    return len(ENGINES[0].scan(Space.OPLOG, b"", None, limit=1000))


@durable
def pay() -> None:
    SEEN.append(chunks())


@durable(function_type=FunctionType.READ_LOCAL)
def look() -> None:
    SEEN.append(chunks())


@agent
def pays_once(name: str) -> None:
    look()
    with idempotence_mode(False):
        pay()
    SEEN.append(chunks())
    pay()
    SEEN.append(chunks())


def test_p3_p4_what_is_on_disk_before_and_after_a_write() -> None:
    ENGINES.append(MemoryEngine())
    settings = Settings(write_behind_s=None)
    with Runtime.over(ENGINES[0], VirtualEnvironment(), settings) as runtime:
        runtime.trigger(pays_once, "x").result(timeout=30)
    looked, paying, paid, paying_again, paid_again = SEEN
    assert looked < paying, "everything before it, and its announcement"
    assert paying < paid, "its outcome, before the agent goes on"
    assert paid == paying_again == paid_again, "nothing is left to say; what came of it may wait"


class Ends:
    """A performer that ends the session."""

    def perform(self, session: Session, *_: object) -> None:
        raise AgentFencedSignal(RuntimeError("the simulated process is gone"))

    def perform_async(self, session: Session, *_: object) -> Callable[[], Awaitable[Any]]:
        raise AssertionError("no asynchronous code runs")


@agent
def asks_for_the_end(name: str) -> None:
    with idempotence_mode(False):  # what becomes of it is on disk at once
        pay()


def test_when_a_performer_ends_the_session_that_is_no_outcome() -> None:
    engine = MemoryEngine()
    settings = Settings(write_behind_s=None, performer=Ends())
    with (
        Runtime.over(engine, VirtualEnvironment(), settings) as runtime,
        pytest.raises(AgentFailedError, match="the simulated process is gone"),
    ):
        runtime.run(asks_for_the_end, "x")
    entries = read_entries(engine.snapshot(), storage_key('asks_for_the_end("x")'))
    assert not [entry for _, entry in entries if is_outcome(entry)]


@durable
async def cancels_itself() -> None:
    raise asyncio.CancelledError


@agent
async def hears_of_it(name: str) -> str:
    try:
        await cancels_itself()
    except asyncio.CancelledError:
        return name
    return ""


def test_an_effect_that_cancels_itself_is_an_outcome() -> None:
    settings = Settings(write_behind_s=None)
    with Runtime.over(MemoryEngine(), VirtualEnvironment(), settings) as runtime:
        assert runtime.trigger(hears_of_it, "x").result(timeout=30) == "x"


@durable
async def fails() -> None:
    raise ConnectionError("down")


@agent
async def gives_up_a_retry(name: str) -> str:
    with (
        retry_policy(RetryPolicy(max_attempts=2, min_delay=1000, max_delay=1000)),
        suppress(TimeoutError),
    ):
        await asyncio.wait_for(fails(), 1)
    return name


def test_nothing_is_armed_any_more_for_a_retry_that_is_given_up() -> None:
    environment, settings = (
        VirtualEnvironment(),
        Settings(suspend_after_s=10.0, write_behind_s=None),
    )
    with Runtime.over(MemoryEngine(), environment, settings) as runtime:
        assert runtime.trigger(gives_up_a_retry, "x").result(timeout=30) == "x"
        environment.rest(30)
        assert environment.now_ns() < START_NS + 100e9, "no time passes for what nobody waits for"


class Asked:
    """A performer that notes for what it is asked."""

    def perform(
        self, session: Session, call: StartedCall, scope: Scope, action: Callable[[], Any]
    ) -> Any:
        SEEN.append((call.function_name.rpartition(".")[2], scope.idempotent))
        return action()

    def perform_async(self, session: Session, *_: object) -> Callable[[], Awaitable[Any]]:
        raise AssertionError("no asynchronous code runs")


@durable
def give_away(what: str) -> str:
    return what


@agent
async def gives_in_a_thread(name: str) -> str:
    with idempotence_mode(False):
        given = await asyncio.to_thread(give_away, name)
    await asyncio.sleep(1)  # time passes again once nothing is performed any more
    return given


def test_a_performer_is_asked_for_the_calls_of_threads_too() -> None:
    settings = Settings(write_behind_s=None, performer=Asked())
    with Runtime.over(MemoryEngine(), VirtualEnvironment(), settings) as runtime:
        assert runtime.trigger(gives_in_a_thread, "x").result(timeout=30) == "x"
    assert SEEN == [("give_away", False)]


@durable(function_type=FunctionType.READ_REMOTE)
async def alook() -> str:
    return "seen"


@durable
async def ashow(text: str) -> None:
    entries = read_entries(ENGINES[0], storage_key('shows_what_it_saw("x")'))
    SEEN.append([e.function_name.rpartition(".")[2] for _, e in entries if is_outcome(e)])


def is_outcome(entry: Entry) -> TypeGuard[ImportedFunctionInvoked]:
    return isinstance(entry, ImportedFunctionInvoked)


@agent
async def shows_what_it_saw(name: str) -> None:
    await ashow(await alook())
    await ashow("again")


def test_p4_what_asynchronous_code_was_given_is_on_disk_before_a_write() -> None:
    ENGINES.append(MemoryEngine())
    settings = Settings(write_behind_s=None)
    with Runtime.over(ENGINES[0], VirtualEnvironment(), settings) as runtime:
        runtime.trigger(shows_what_it_saw, "x").result(timeout=30)
    assert SEEN == [["alook"], ["alook", "ashow"]]


# --- logical time ---------------------------------------------------------------------------------


@durable
async def send(text: str) -> str:
    SEEN.append(text)
    return text


@agent
async def tells_the_time(name: str) -> str:
    loop = asyncio.get_running_loop()
    before = loop.time()
    with atomically():
        inside = loop.time()
    return await send(f"{before < inside < loop.time()} {before} {inside}")


def test_p2_guards_move_the_logical_clock() -> None:
    calm = drive([Step(tells_the_time, ("x",))])
    assert str(SEEN[0]).startswith("True ")
    crashed = drive([Step(tells_the_time, ("x",))], [CrashPoint(calm.appends, CrashMoment.BEFORE)])
    assert crashed.results == calm.results


@pytest.mark.parametrize(
    "make", [lambda: HostEffect(endless), lambda: TimerEffect(), lambda: AlarmEffect(5)], ids="abc"
)
def test_what_never_began_can_be_given_up(make: Callable[[], Effect]) -> None:
    """The outcome of a call may be known already when its code is run again."""
    make().cancel()
