"""What an agent's loop refuses, and how it ends an invocation."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk.errors import NotDurableError, UsageError
from runtime.programs import program
from runtime.pumping import World, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

pytestmark = pytest.mark.filterwarnings("error")


def run(main: Callable[[World], Coroutine[Any, Any, Any]]) -> tuple[World, asyncio.Task[Any]]:
    world = World()
    return world, world.run(main(world))


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "create_connection",  # golem_sdk.intercept records it, but this loop has no session
        "create_server",
        "add_reader",
        "subprocess_exec",
        "getaddrinfo",
        "sock_recv",
    ],
)
def test_d2_what_is_not_recorded_is_refused(name: str) -> None:
    async def main(world: World) -> None:
        assert getattr(world.loop, name).__name__ == name
        with pytest.raises(NotDurableError, match=rf"{name}\(\).*@durable"):
            await getattr(asyncio.get_running_loop(), name)("localhost", 80)

    run(main)[1].result()


@pytest.mark.parametrize(
    "name", ["run_until_complete", "run_forever", "stop", "close", "set_task_factory", "set_debug"]
)
def test_what_only_the_runtime_may_is_refused(name: str) -> None:
    async def main(world: World) -> None:
        with pytest.raises(UsageError, match=rf"refuses {name}\(\)"):
            getattr(asyncio.get_running_loop(), name)()

    run(main)[1].result()


def test_eager_tasks_are_refused() -> None:
    async def main(world: World) -> None:
        coroutine = asyncio.sleep(0)
        with pytest.raises(UsageError, match="eager"):
            world.loop.create_task(coroutine, eager_start=True)
        await coroutine
        assert getattr(world.loop, "get_task_factory")() is None  # noqa: B009  # mypy knows the answer
        assert world.loop.get_debug() is False

    run(main)[1].result()


ACTS: dict[str, Callable[[World, Any], object]] = {
    "call_soon": lambda world, future: world.loop.call_soon(world.note),
    "call_soon_threadsafe": lambda world, future: world.loop.call_soon_threadsafe(world.note),
    "call_later": lambda world, future: world.loop.call_later(1, world.note),
    "set_result": lambda world, future: future.set_result(1),
    "set_exception": lambda world, future: future.set_exception(ValueError()),
    "cancel": lambda world, future: future.cancel(),
    "cancel the task": lambda world, future: world.keep[0].cancel(),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("running", [True, False])
def test_d2_nobody_else_can_wake_the_agent(act: str, running: bool) -> None:
    world = World()
    future = world.loop.create_future()

    async def sleeper() -> None:
        await world.effect("wait")

    async def main() -> None:
        world.keep.append(asyncio.create_task(sleeper()))
        if running:
            world.keep.append(in_thread(lambda: ACTS[act](world, future)))
        await world.effect("wait")

    world.loop.start_main(main())
    world.run_ready()
    if not running:
        world.keep.append(in_thread(lambda: ACTS[act](world, future)))
    assert isinstance(world.keep[1], NotDurableError)
    assert not future.done()
    assert len(world.calls) == 2
    world.crash()


def test_d2_what_is_refused_has_left_no_trace() -> None:
    async def main(world: World) -> None:
        loop, coroutine = world.loop, asyncio.sleep(0)
        timer = loop.call_later(1, world.note, "fires")
        before = loop.create_future().number
        acts: list[Callable[[], object]] = [
            lambda: loop.create_task(coroutine),
            lambda: loop.run_in_executor(None, world.note, "never"),
            timer.cancel,
        ]
        for act in acts:
            assert isinstance(in_thread(act), NotDurableError)
        coroutine.close()
        assert loop.create_future().number == before + 1, "names and hashes stay the same"
        assert not loop.lanes
        await asyncio.sleep(2)

    world, task = run(main)
    task.result()
    assert world.trace == ["fires"]


# --- the end of an invocation ---------------------------------------------------------------------


def test_leftovers_are_cancelled_in_the_order_of_creation() -> None:
    async def leftover(world: World, number: int) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await world.effect("clean")
            world.note("ended", number)

    async def main(world: World) -> str:
        for number in range(5):
            world.keep.append(asyncio.create_task(leftover(world, number)))
        await asyncio.sleep(0)
        return "done"

    world, task = run(main)
    assert task.result() == "done"
    assert sorted(world.trace) == [f"ended {number}" for number in range(5)]
    assert world.loop.is_quiet()
    assert not world.calls


def test_leftovers_of_leftovers_are_cancelled_too() -> None:
    async def background(world: World) -> None:
        try:
            await asyncio.sleep(math.inf)
        finally:
            world.note("background ended")

    async def leftover(world: World) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            world.keep.append(asyncio.create_task(background(world)))
            await asyncio.create_task(world.effect("clean"))
            world.note("leftover ended")

    async def main(world: World) -> None:
        world.keep.append(asyncio.create_task(leftover(world)))
        await asyncio.sleep(0)

    world, _ = run(main)
    assert world.trace == ["leftover ended", "background ended"]
    assert world.loop.is_quiet()


def test_leftovers_of_threads_are_cancelled_too() -> None:
    async def background(world: World) -> None:
        try:
            await asyncio.sleep(math.inf)
        finally:
            world.note("background ended")

    def body(world: World) -> None:
        world.lane_effect("x")
        world.loop.call_soon_threadsafe(lambda: world.loop.create_task(background(world)))

    async def main(world: World) -> None:
        asyncio.get_running_loop().run_in_executor(None, body, world)
        await asyncio.sleep(0)

    world, _ = run(main)
    assert world.loop.is_quiet()


def test_timers_end_with_their_invocation() -> None:
    async def main(world: World) -> None:
        asyncio.get_running_loop().call_later(50, world.note, "never")

    world, _ = run(main)
    assert not world.calls


def test_generators_left_half_way_are_closed_in_the_order_of_first_use() -> None:
    async def generator(world: World, number: int) -> Any:
        try:
            yield number
        finally:
            await world.effect("close")
            world.note("closed", number)
            if number == 1:
                raise ValueError(number)

    async def main(world: World, *, shut_down: bool = False) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: world.keep.append(context))
        made = [generator(world, number) for number in range(3)]
        world.keep += made
        for each in reversed(made):
            await anext(each)
        if shut_down:
            await loop.shutdown_asyncgens()
            world.note("main ends")

    closed = ["closed 2", "closed 1", "closed 0"]
    world, _ = run(main)
    assert world.trace == closed
    shut_down, _ = run(partial(main, shut_down=True))
    assert shut_down.trace == [*closed, "main ends"]
    for each in (world, shut_down):
        (told,) = each.keep[3:]
        assert repr(told["exception"]) == "ValueError(1)"
        assert "closing of asynchronous generator" in told["message"]


def test_a_generator_that_is_dropped_is_closed_at_once() -> None:
    async def generator(world: World) -> Any:
        try:
            yield 1
        finally:
            await world.effect("close")
            world.note("closed")

    async def main(world: World) -> None:
        for _ in range(100):
            async for _ in generator(world):
                break
        while world.trace.count("closed") < 100:
            await world.effect("closing goes on meanwhile")
        world.note("main ends")

    world, _ = run(main)
    assert world.trace == [*100 * ["closed"], "main ends"]


def test_generators_that_finish_are_not_remembered() -> None:
    async def generator() -> Any:
        yield 1

    async def main(world: World) -> None:
        for _ in range(1000):
            world.note(*[each async for each in generator()])
        generators = world.loop._generators
        assert generators is not None
        assert len(generators._begun) < 100

    run(main)[1].result()


def test_a_generator_that_the_collector_finds_is_closed_at_the_end() -> None:
    async def generator(world: World, number: int) -> Any:
        try:
            yield number
        finally:
            world.note("closed", number)

    async def main(world: World) -> None:
        for number in (0, 1):
            cycle: list[Any] = [generator(world, number)]
            cycle.append(cycle)
            await anext(cycle[0])
            del cycle
        world.keep.append(generator(world, 2))
        await anext(world.keep[0])
        gc.collect(1)
        await asyncio.sleep(0)
        world.note("main ends")

    world, _ = run(main)
    assert world.trace == ["main ends", "closed 0", "closed 1", "closed 2"]


def test_the_next_invocation_starts_afresh(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    world = World(1)
    first = world.run(program(world, 1, 3))
    second = world.run(program(world, 2, 3))
    assert first.done()
    assert second.done()
    assert world.loop.is_quiet()
    assert not world.loop._ready
    assert not world.calls
