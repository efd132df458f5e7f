"""One invocation: it is over when all that it has begun is over, and its end is told as it was."""

from __future__ import annotations

import asyncio
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent, durable
from golem_sdk.codec.values import encode
from golem_sdk.errors import DecodingError
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
