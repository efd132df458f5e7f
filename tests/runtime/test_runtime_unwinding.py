"""Coroutines that never ran, held by torn-down code: nobody is to blame; and code that cannot be unwound."""

from __future__ import annotations

import gc
import subprocess
import sys
import warnings
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from runtime.pumping import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator


async def never() -> None:
    """What is held."""


def generator(held: object) -> Iterator[object]:
    yield held


async def async_generator(held: object) -> AsyncIterator[object]:
    yield held


HOLDERS: dict[str, Callable[[Any], object]] = {
    "list": lambda held: [held],
    "tuple": lambda held: (held, 1),
    "dict": lambda held: {"x": held},
    "set": lambda held: {held},
    "frozenset": lambda held: frozenset([held]),
    "deque": lambda held: deque([held]),
    "generator": generator,
    "async generator": async_generator,
}


async def holds(world: World, how: str) -> None:
    held = HOLDERS[how](never())
    await world.effect("wait")
    world.keep.append(held)


async def coroutine_holds(world: World, held: object) -> None:
    await world.effect("wait")
    world.keep.append(held)


async def in_a_coroutine(world: World) -> None:
    await coroutine_holds(world, [never()])


class Wrapped:
    """Waits through the wrapper that ``coroutine.__await__()`` gives."""

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, None]:
        return self.coroutine.__await__()


async def in_a_wrapper(world: World) -> None:
    await Wrapped(coroutine_holds(world, [never()]))


async def iterated(world: World, held: object) -> AsyncIterator[object]:
    try:
        await world.effect("wait")
        yield held
    finally:
        pass


async def in_an_iteration(world: World) -> None:
    """Nothing but what is awaited holds the generator."""
    world.keep.append(await anext(iterated(world, [never()])))


async def closed(world: World, held: object) -> AsyncIterator[object]:
    try:
        yield 1
    finally:
        await world.effect("wait")
        world.keep.append(held)


async def in_a_closing(world: World) -> None:
    """Nothing but what is awaited holds the generator."""
    numbers: list[Any] = [closed(world, [never()])]
    await anext(numbers[0])
    await numbers.pop().aclose()


WAITERS = [in_a_coroutine, in_a_wrapper, in_an_iteration, in_a_closing]


def tear_down(main: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    world = World()
    world.loop.start_main(main(world))
    world.run_ready()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        world.crash()
        del world
        gc.collect(1)
    assert [str(warning.message) for warning in warned] == []


@pytest.mark.parametrize("how", HOLDERS)
def test_it_is_closed_whatever_holds_it(how: str) -> None:
    tear_down(lambda world: holds(world, how))


@pytest.mark.parametrize("main", WAITERS)
def test_it_is_closed_however_its_holder_waits(main: Any) -> None:
    tear_down(main)


STUBBORN = """
import asyncio
from golem_sdk import Runtime, agent

@agent
async def stubborn(name: str) -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except BaseException:
            pass

with Runtime.memory() as runtime:
    runtime.trigger(stubborn, "x")
    runtime.trigger(stubborn, "y")
print("closed", flush=True)
"""


def test_a_program_ends_whatever_its_agents_catch() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", STUBBORN], capture_output=True, text=True, check=False, timeout=60
    )
    assert (finished.returncode, finished.stdout) == (0, "closed\n"), finished.stderr
