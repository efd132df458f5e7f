from __future__ import annotations

import asyncio
import logging
import math
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk.errors import AgentSuspendedSignal, NotDurableError
from golem_sdk.runtime import loop as loop_module
from golem_sdk.runtime.loop import all_tasks, as_completed
from golem_sdk.runtime.tasks import AgentTask
from runtime.programs import program
from runtime.pumping import World

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

pytestmark = pytest.mark.filterwarnings("error")


def run(main: Callable[[World], Coroutine[Any, Any, Any]]) -> tuple[World, asyncio.Task[Any]]:
    world = World()
    return world, world.run(main(world))


# --- what agent code sees -------------------------------------------------------------------------


def test_names_numbers_and_current_task() -> None:
    async def main(world: World) -> None:
        first = asyncio.create_task(asyncio.sleep(0))
        second = asyncio.create_task(asyncio.sleep(0), name="mine")
        me = asyncio.current_task()
        assert isinstance(me, AgentTask)
        assert asyncio.get_running_loop() is world.loop
        assert isinstance(first, AgentTask)
        assert hash(first) == first.number
        assert first != second
        assert (me.number, me.get_name(), first.get_name()) == (1, "task-1", "task-2")
        world.note(me.get_name(), first.get_name(), second.get_name())
        assert all_tasks() == {me, first, second}
        await first

    traces = []
    for _ in range(2):
        world, task = run(main)
        task.result()
        traces.append(world.trace)
    assert traces[0] == traces[1]
    assert traces[0][0].endswith(" mine")


def test_others_can_ask_for_all_tasks() -> None:
    world = World()
    assert world.loop.is_running() is False

    async def main() -> None:
        assert world.loop.is_running() is True
        await world.effect("wait")

    task = world.loop.start_main(main())
    world.run_ready()
    assert all_tasks(world.loop) == {task}


def test_all_tasks_leaves_out_what_is_over_and_what_is_not_the_agent_s_own() -> None:
    async def main(world: World) -> None:
        over = asyncio.create_task(asyncio.sleep(0))
        background = asyncio.create_task(forever(world))
        assert isinstance(background, AgentTask)
        background.is_background = True

        async def looks() -> None:
            assert over.done()  # in this very turn
            assert all_tasks() == {me, asyncio.current_task()}

        me = asyncio.current_task()
        await asyncio.sleep(0)
        await asyncio.create_task(looks())

    async def forever(world: World) -> None:
        await world.effect("wait")

    world = World()
    task = world.loop.start_main(main(world))
    world.run_ready()
    task.result()


def test_all_tasks_iterates_by_creation_whatever_other_loops_do() -> None:
    async def main(world: World) -> None:
        for number in (7, 15, 23):  # hashes that collide in a small table
            while world.loop.create_future().number < number - 1:
                pass
            world.keep.append(asyncio.create_task(asyncio.sleep(0)))
        world.note(*[task.get_name() for task in all_tasks()])

    first, _ = run(main)

    async def outer() -> World:
        others = [asyncio.create_task(asyncio.sleep(0)) for _ in range(50)]
        assert all_tasks() == {*others, asyncio.current_task()}
        second, _ = await asyncio.to_thread(run, main)
        return second

    assert asyncio.run(outer()).trace == first.trace


def test_sets_of_futures_iterate_by_creation() -> None:
    async def main(world: World) -> None:
        futures = [world.loop.create_future() for _ in range(40)]
        for future in futures:
            future.set_result(None)
        done, _ = await asyncio.wait(futures)
        assert list(done) == list(dict.fromkeys(sorted(done, key=hash)))
        assert sorted(map(hash, done)) == [future.number for future in futures]

    run(main)[1].result()


def test_as_completed_starts_in_order_and_once_each() -> None:
    async def one(world: World, number: int) -> None:
        world.note("starts", number)

    async def main(world: World) -> None:
        coroutines = [one(world, number) for number in range(20)]
        for each in as_completed([*coroutines, coroutines[0]]):
            await each
        with pytest.raises(TypeError, match=r"expects? an iterable"):
            list(as_completed(asyncio.create_task(asyncio.sleep(0))))

    world, task = run(main)
    task.result()
    assert world.trace == [f"starts {number}" for number in range(20)]


def test_time_is_that_of_the_last_delivery() -> None:
    async def main(world: World) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        assert loop.time() == before
        await asyncio.sleep(2.5)
        world.note(loop.time() - before >= 2.5)

    world, task = run(main)
    task.result()
    assert world.trace == ["True"]
    assert [each.request for each in world.journal] == ["sleep 2.5"]


def test_no_delay_needs_no_timer_and_keeps_the_order() -> None:
    async def main(world: World) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(world.note, "a")
        loop.call_later(0, world.note, "b")
        loop.call_at(loop.time() - 5, world.note, "c")
        loop.call_soon(world.note, "d")
        loop.call_later(0, world.note, "never").cancel()
        loop.call_soon(world.note, "never").cancel()
        loop.call_soon_threadsafe(world.note, "never").cancel()
        await asyncio.sleep(0)

    world, _ = run(main)
    assert world.trace == ["a", "b", "c", "d"]
    assert world.started == 0


def test_cancelling_a_timer_withdraws_its_call() -> None:
    async def main(world: World) -> None:
        handle = asyncio.get_running_loop().call_later(1, world.note, "never")
        assert handle.when() == world.loop.time() + 1
        assert list(world.calls) == [1]
        handle.cancel()
        handle.cancel()
        assert not world.calls

    run(main)[1].result()


def test_cancelling_what_needs_no_timer_withdraws_nothing() -> None:
    async def main(world: World) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(1, world.note, "fires")
        loop.call_later(0, world.note, "never").cancel()
        assert list(world.calls) == [1]

    run(main)[1].result()


def test_sleeping_forever_takes_no_timer() -> None:
    async def main(world: World) -> None:
        world.loop.call_later(3e9, world.note, "never")
        async with asyncio.timeout(1):
            await asyncio.sleep(math.inf)

    world, task = run(main)
    assert isinstance(task.exception(), TimeoutError)
    assert world.started == 1


def test_polling_without_waiting_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "_MOST_CALLBACKS", 1000)

    async def main(world: World) -> None:
        effect = asyncio.create_task(world.effect("slow"))
        while not effect.done():
            await asyncio.sleep(0)

    world = World()
    with pytest.raises(NotDurableError, match=r"asyncio.sleep\(0\)"):
        world.run(main(world))
    world.crash()


def test_context_variables_stay_inside() -> None:
    variable = ContextVar("variable", default="outside")

    async def child(world: World) -> None:
        world.note("child", variable.get())
        variable.set("child's")

    async def main(world: World) -> None:
        variable.set("main's")
        await asyncio.create_task(child(world))
        await world.effect("x")
        world.note("main", variable.get())

    world = World()
    world.variables[variable] = "agent's"
    variable.set("driver's")
    world.run(main(world)).result()
    assert world.trace == ["child main's", "main main's"]
    assert variable.get() == "driver's"
    assert world.context()[variable] == "agent's"


def test_the_driver_keeps_its_own_loop_and_hooks(caplog: pytest.LogCaptureFixture) -> None:
    async def outer() -> None:
        hooks = sys.get_asyncgen_hooks()
        world = World(3)
        world.run(program(world, 3))
        assert asyncio.get_running_loop() is mine
        assert sys.get_asyncgen_hooks() == hooks
        assert asyncio.current_task() is not None
        world.crash()

    caplog.set_level(logging.CRITICAL)
    mine = asyncio.new_event_loop()
    mine.run_until_complete(outer())
    mine.close()


def test_exit_is_the_outcome_of_its_task() -> None:
    async def main(world: World) -> None:
        other = asyncio.create_task(world.effect("goes on"))
        with pytest.raises(SystemExit):
            await asyncio.create_task(leave())
        world.note(await other)
        sys.exit(3)

    async def leave() -> None:
        sys.exit(2)

    world, task = run(main)
    assert repr(task.exception()) == "SystemExit(3)"
    assert world.trace == ["goes on"]


def test_uncaught_errors_reach_the_handler_or_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main(world: World) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)
        loop.set_exception_handler(lambda _, context: world.note(repr(context["exception"])))
        assert loop.get_exception_handler() is not None
        loop.call_soon(lambda: [][1])
        await asyncio.sleep(0)
        loop.set_exception_handler(lambda _, context: 1 / 0)
        loop.call_soon(lambda: [][1])
        await asyncio.sleep(0)
        loop.set_exception_handler(None)
        loop.call_exception_handler({"message": "in a library's own words"})
        loop.call_exception_handler({})

    world, task = run(main)
    task.result()
    assert {record.name for record in caplog.records} == {"asyncio"}
    messages = [record.message for record in caplog.records if not record.exc_info]
    assert messages == ["in a library's own words", "unhandled exception"]
    assert world.trace == ["IndexError('list index out of range')"]
    errors = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert errors == [ZeroDivisionError, ZeroDivisionError]


def test_the_handler_runs_in_the_agents_context() -> None:
    variable = ContextVar("variable", default="outside")

    async def main(world: World) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: world.note(variable.get()))
        loop.call_soon(lambda: 1 / 0)

    world = World()
    world.variables[variable] = "agent's"
    world.run(main(world)).result()
    assert world.trace == ["agent's"]


def test_control_signals_are_nobodys_unhandled_error(caplog: pytest.LogCaptureFixture) -> None:
    async def ended() -> None:
        raise AgentSuspendedSignal("over")

    async def main(world: World) -> None:
        asyncio.create_task(ended())  # noqa: RUF006  # nobody asks for its outcome
        await asyncio.sleep(0)

    run(main)
    assert not caplog.records
