"""Unwinding what a session leaves behind: every test fails on any noise Python makes about it."""

from __future__ import annotations

import asyncio
import gc
import inspect
import sys
import warnings
from contextlib import asynccontextmanager
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk.errors import AgentControlSignal, AgentFencedSignal
from runtime.programs import program
from runtime.pumping import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

variable = ContextVar("variable", default="unset")


@pytest.fixture(autouse=True)
def _no_noise(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    noise: list[str] = []
    monkeypatch.setattr(
        sys, "unraisablehook", lambda args: noise.append(f"{args.exc_value!r} {args.object!r}")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()
    assert not noise
    assert not [each for each in caplog.records if each.name == "asyncio"]


def torn_down(main: Callable[[World], Coroutine[Any, Any, Any]], *, steps: int = 0) -> list[str]:
    """What is noted while the session is ended in the middle."""
    world = World()
    world.loop.start_main(main(world))
    world.run_ready()
    for _ in range(steps):
        with world.loop.driven():
            world.deliver()
        world.run_ready()
    before = len(world.trace)
    world.crash()
    trace = world.trace[before:]
    world.loop.teardown()
    assert world.trace[before:] == trace
    assert asyncio._get_running_loop() is None
    return trace


async def forever(world: World, name: str) -> None:
    try:
        await world.effect("wait")
    finally:
        world.note("ends", name)


def test_tasks_end_in_the_order_of_their_creation() -> None:
    async def main(world: World) -> None:
        world.keep += [asyncio.create_task(forever(world, str(number))) for number in range(3)]
        world.keep.append(asyncio.create_task(forever(world, "not started")))
        await forever(world, "main")

    assert torn_down(main) == ["ends main", "ends 0", "ends 1", "ends 2", "ends not started"]


def test_a_task_that_never_ran_does_not_run() -> None:
    world = World()
    world.loop.start_main(forever(world, "main"))
    world.crash()
    assert not world.trace


def test_durable_calls_in_finally_raise_the_signal_and_nothing_is_started() -> None:
    async def main(world: World) -> None:
        try:
            try:
                await world.effect("wait")
            finally:
                world.note("inner")
                await world.effect("clean up")
        except Exception:
            world.note("never: a signal is no Exception")
        finally:
            try:
                await world.effect("clean up")
            except AgentControlSignal as signal:
                world.note("outer", type(signal).__name__)

    assert torn_down(main) == ["inner", "outer AgentSuspendedSignal"]


def test_context_variables_and_current_task_are_the_tasks_own() -> None:
    async def child(world: World) -> None:
        token = variable.set("child's")
        try:
            async with asyncio.timeout(10):
                await asyncio.Event().wait()
        finally:
            task = asyncio.current_task()
            assert task is not None
            world.note(variable.get(), task.get_name(), asyncio.get_running_loop() is world.loop)
            variable.reset(token)
            world.note(variable.get())

    async def main(world: World) -> None:
        variable.set("main's")
        await asyncio.create_task(child(world), name="child")

    assert torn_down(main) == ["child's child True", "main's"]


def test_tasks_that_share_a_context_still_do() -> None:
    async def shared(world: World, name: str) -> None:
        try:
            await world.effect("wait")
        finally:
            world.note(name, "finds", variable.get())
            variable.set(name)

    async def main(world: World) -> None:
        context = copy_context()
        for name in "ab":
            world.keep.append(world.loop.create_task(shared(world, name), context=context))
        await world.effect("wait")

    assert torn_down(main) == ["a finds unset", "b finds a"]


def test_async_with_and_generators_are_unwound() -> None:
    @asynccontextmanager
    async def manager(world: World, name: str) -> AsyncIterator[None]:
        try:
            yield
        finally:
            world.note("leaves", name)
            await world.effect("release")

    async def numbers(world: World) -> AsyncIterator[int]:
        try:
            for number in range(3):
                yield number
                await world.effect("next")
        finally:
            world.note("generator ends")

    async def main(world: World) -> None:
        async with manager(world, "outer"), manager(world, "inner"):
            async for number in numbers(world):
                world.note(number)

    assert torn_down(main, steps=1) == ["generator ends", "leaves inner", "leaves outer"]


def test_generators_left_half_way_end_in_the_order_of_first_use() -> None:
    async def numbers(world: World, name: str) -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            world.note("ends", name)
            await asyncio.sleep(1)
            world.note("never")

    async def main(world: World) -> None:
        world.keep += [numbers(world, name) for name in "abc"]
        await anext(world.keep[2])
        await anext(world.keep[0])
        await world.effect("wait")

    assert torn_down(main) == ["ends c", "ends a"]


def test_groups_locks_shields_and_timeouts_are_unwound() -> None:
    async def holder(world: World, lock: asyncio.Lock) -> None:
        async with lock:
            await forever(world, "holder")

    async def main(world: World) -> None:
        lock = asyncio.Lock()
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(holder(world, lock))
            group.create_task(holder(world, lock))
            await asyncio.shield(asyncio.gather(forever(world, "a"), forever(world, "b")))

    assert torn_down(main) == ["ends holder", "ends a", "ends b"]


def test_code_that_waits_again_and_again_is_interrupted_each_time() -> None:
    async def main(world: World) -> None:
        for number in range(20):
            try:
                await asyncio.sleep(5)
            except BaseException:
                world.note(number)

    assert torn_down(main) == [str(number) for number in range(20)]


def test_code_that_never_ends_is_reported_and_left_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(world: World) -> None:
        while True:
            try:
                await asyncio.sleep(5)
            except BaseException:
                world.keep.append(None)

    async def generator(world: World) -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await main(world)

    async def with_generator(world: World) -> None:
        world.keep.append(generator(world))
        await anext(world.keep[0])
        await world.effect("wait")

    assert torn_down(main) == []
    assert "does not end" in caplog.text
    assert [record.name for record in caplog.records] == ["golem_sdk"]
    caplog.clear()
    assert torn_down(with_generator) == []
    assert "does not end" in caplog.text


def test_tasks_made_in_finally_do_not_run() -> None:
    async def cleanup(world: World) -> None:
        world.note("never")

    async def main(world: World) -> None:
        try:
            await world.effect("wait")
        finally:
            world.keep.append(asyncio.create_task(cleanup(world)))
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(cleanup(world))
                    await asyncio.wait_for(asyncio.gather(cleanup(world), cleanup(world)), 5)
            finally:
                world.note("main ends")

    assert torn_down(main) == ["main ends"]


def test_coroutines_that_were_still_to_be_awaited_are_no_mistake() -> None:
    async def main(world: World) -> None:
        later: list[Any] = [forever(world, "later"), {"x": forever(world, "later")}]
        later.append(later)
        last = asyncio.create_task(outer(world, forever(world, "argument")))
        try:
            await world.effect("wait")
        finally:
            world.note("main ends")
        world.keep += [later, last]

    async def outer(world: World, inner: Coroutine[Any, Any, None]) -> None:
        await world.effect("wait")
        await inner

    assert torn_down(main) == ["main ends"]


def test_a_task_that_was_over_when_its_agent_was_interrupted_is_ended_like_all() -> None:
    """An interrupt comes before the loop was told that the task is over."""

    async def ends(world: World) -> None:
        later = forever(world, "later")
        try:
            raise AgentFencedSignal(RuntimeError("over"))
        finally:
            world.keep.append(later)

    async def interrupts(_: World) -> None:
        raise KeyboardInterrupt

    world = World()
    for main in (ends, interrupts):
        world.loop.start_main(main(world))
    with pytest.raises(KeyboardInterrupt):
        world.run_ready()
    world.crash()
    (later,) = world.keep
    assert inspect.getcoroutinestate(later) == inspect.CORO_CLOSED
    assert world.trace == []


def test_a_result_nobody_asked_for_is_not_reported_after_the_end() -> None:
    async def fail() -> None:
        raise ValueError("x")

    async def main(world: World) -> None:
        world.keep.append(asyncio.create_task(fail()))
        await world.effect("wait")

    assert torn_down(main) == []


def test_generators_dropped_while_unwinding_are_closed() -> None:
    async def numbers(world: World) -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            world.note("generator ends")

    async def main(world: World) -> None:
        generator = numbers(world)
        await anext(generator)
        try:
            await world.effect("wait")
        finally:
            del generator
            other = numbers(world)
            await anext(other)
            world.note("main ends")

    assert torn_down(main) == ["main ends", "generator ends", "generator ends"]


def test_generators_begun_while_unwinding_are_closed() -> None:
    async def numbers(world: World, left: int) -> AsyncIterator[int]:
        try:
            yield left
        finally:
            world.note("ends", left)
            if left:
                world.keep.append(numbers(world, left - 1))
                await anext(world.keep[-1])

    async def main(world: World) -> None:
        world.keep.append(numbers(world, 3))
        await anext(world.keep[0])
        await world.effect("wait")

    assert torn_down(main) == ["ends 3", "ends 2", "ends 1", "ends 0"]


def test_a_loop_that_is_over_stays_over() -> None:
    async def main(world: World) -> None:
        world.loop.call_later(5, world.note, "too late")
        try:
            await forever(world, "main")
        finally:
            world.loop.call_soon(world.note, "too late")

    world = World()
    world.loop.start_main(main(world))
    world.run_ready()
    assert not world.loop.is_closed()
    (timer,) = world.timers()
    world.crash()
    assert world.loop.is_closed()
    assert not world.loop.is_running()
    world.run_ready()
    timer.resume(None)
    world.run_ready()
    assert world.trace == ["ends main"]


def test_random_programs_end_quietly_wherever_they_are(fuzz_scale: int, fuzz_seed: int) -> None:
    for seed in range(fuzz_seed, fuzz_seed + 60 * fuzz_scale):
        world = World(seed)
        world.loop.set_exception_handler(lambda _, context: None)
        world.run(program(world, seed), most=World(seed).random.randrange(150))
        started = world.started
        world.crash()
        assert world.started == started
        if seed % 20 == 0:
            gc.collect()
