"""One invocation: it is over when all that it has begun is over, and its end is told as it was."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent, durable
from golem_sdk.codec.values import encode
from golem_sdk.core.entries import ExportedFunctionCompleted
from golem_sdk.core.ids import storage_key
from golem_sdk.durability import current
from golem_sdk.errors import AgentFailedError, AgentFencedSignal, DecodingError
from golem_sdk.oplog.reader import read_entries
from golem_sdk.runtime.execution import unpack_arguments
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.environment import VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

ENDED: list[str] = []


GATE = Event()


@durable
async def note_end(what: str) -> None:
    await asyncio.to_thread(GATE.wait, 30)
    ENDED.append(what)


@agent
async def leaves_a_task(name: str) -> str:
    async def last_words() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await note_end("task")

    task = asyncio.create_task(last_words())
    await asyncio.sleep(0)
    assert not task.done()
    return name


@agent
async def leaves_a_task_that_says_much(name: str) -> str:
    async def last_words() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for number in range(3):
                await note_end(str(number))

    KEPT_TASKS.append(asyncio.create_task(last_words()))
    await asyncio.sleep(0)
    return name


def test_last_words_are_not_cut_short() -> None:
    ENDED.clear()
    GATE.set()
    with Runtime.over(MemoryEngine(), VirtualEnvironment(), Settings()) as runtime:
        assert runtime.trigger(leaves_a_task_that_says_much, "x").result(30) == "x"
    KEPT_TASKS.clear()
    assert ENDED == ["0", "1", "2"]


KEPT_TASKS: list[asyncio.Task[None]] = []
KEPT: list[AsyncGenerator[int, None]] = []


@agent
async def leaves_a_generator(name: str) -> str:
    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await note_end("generator")

    generator = numbers()
    await anext(generator)
    KEPT.append(generator)
    return name


@agent
async def gives_itself_up(name: str) -> str:
    raise asyncio.CancelledError(name)


@pytest.mark.parametrize(
    ("target", "ended"), [(leaves_a_task, "task"), (leaves_a_generator, "generator")]
)
def test_the_end_waits_for_the_last_words_of_what_was_left(target: Any, ended: str) -> None:
    ENDED.clear()
    GATE.clear()
    environment = VirtualEnvironment()
    with Runtime.over(MemoryEngine(), environment, Settings()) as runtime:
        handle = runtime.trigger(target, "x")
        environment.join(30)  # the agent's thread has gone home
        with pytest.raises(TimeoutError):
            handle.result(0)
        GATE.set()
        assert handle.result(30) == "x"
    KEPT.clear()
    assert [ended] == ENDED


def test_an_agent_that_cancels_itself_ends_so() -> None:
    with Runtime.memory() as runtime, pytest.raises(asyncio.CancelledError):
        runtime.run(gives_itself_up, "x")


def test_arguments_are_positional_and_by_name() -> None:
    assert unpack_arguments(encode([[1], {"by": 2}])) == ([1], {"by": 2})
    others: list[object] = [[[1]], {"by": 2}, [{}, []], None]
    for other in others:
        with pytest.raises(DecodingError, match="are not"):
            unpack_arguments(encode(other))


@agent
class NeverBegins:
    def __init__(self, name: str) -> None:
        ENDED.append("constructor")
        raise LookupError(name)

    def ask(self) -> str:
        raise AssertionError("there is no agent")

    async def wait(self) -> str:
        raise AssertionError("there is no agent")


def test_what_a_constructor_raised_every_invocation_raises_in_this_life_and_the_next() -> None:
    engine = MemoryEngine()
    for life in (1, 2):
        ENDED.clear()
        with Runtime.over(engine, VirtualEnvironment(), Settings(write_behind_s=None)) as runtime:
            never = runtime.get(NeverBegins, "x")
            for method in (never.ask, never.wait, never.ask):
                with pytest.raises(LookupError, match="x"):
                    runtime.trigger(method, key=f"{life} {len(ENDED)} {method!r}").result(30)
            assert ENDED == ["constructor"]
        engine = engine.snapshot()


@agent
def hears_nothing(name: str) -> str:
    session = current()
    assert session is not None
    with suppress(BaseException):
        raise session.end(AgentFencedSignal(RuntimeError("the simulated process is gone")))
    if name == "raises":
        raise ValueError(name)
    return name


@pytest.mark.parametrize("name", ["returns", "raises"])
def test_code_that_catches_the_end_of_its_session_has_no_outcome(name: str) -> None:
    engine = MemoryEngine()
    with (
        Runtime.over(engine, VirtualEnvironment(), Settings()) as runtime,
        pytest.raises(AgentFailedError, match="the simulated process is gone"),
    ):
        runtime.trigger(hears_nothing, name).result(30)
    entries = read_entries(engine.snapshot(), storage_key(f'hears_nothing("{name}")'))
    assert not [entry for _, entry in entries if isinstance(entry, ExportedFunctionCompleted)]
