from __future__ import annotations

import asyncio
import threading
import weakref
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import ContextVar
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk.errors import NotDurableError
from golem_sdk.runtime.lanes import Lane, current_lane
from runtime.pumping import EffectError, World, result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

pytestmark = pytest.mark.filterwarnings("error")


def run(
    main: Callable[[World], Coroutine[Any, Any, Any]], seed: int = 0
) -> tuple[World, asyncio.Task[Any]]:
    world = World(seed)
    return world, world.run(main(world))


def test_a_lane_has_the_baton_before_it_is_told_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []

    class Messages(SimpleQueue[Any]):
        lane: Lane

        def put(self, item: Any, *_: Any, **__: Any) -> None:
            effect, _, _ = item
            if effect is None:  # which is performed without the baton
                told.append(self.lane._lanes.baton.holder == self.lane.ident)
            super().put(item)

    begin = Lane.begin

    def watched(lane: Lane, lanes: Any, thread: Any) -> None:
        lane._messages = messages = Messages()
        messages.lane = lane
        begin(lane, lanes, thread)

    async def main(world: World) -> None:
        world.note(await asyncio.to_thread(world.lane_effect, "a"))

    monkeypatch.setattr(Lane, "begin", watched)
    run(main)
    assert told
    assert all(told)


def test_a_lane_returns_raises_and_knows_itself() -> None:
    def body(world: World) -> str:
        lane = current_lane()
        assert isinstance(lane, Lane)
        assert threading.get_ident() != driver
        assert world.lane_effect("a") == "a"
        with pytest.raises(EffectError):
            world.lane_effect("b", failing=True)
        assert current_lane() is lane
        assert threading.current_thread().daemon, "the interpreter does not wait for it"
        return threading.current_thread().name

    async def main(world: World) -> None:
        world.note(await asyncio.to_thread(body, world))
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        with pytest.raises(RuntimeError, match="StopIteration") as caught:
            await asyncio.to_thread(next, iter(()))
        assert isinstance(caught.value.__cause__, StopIteration)
        with pytest.raises(SystemExit):
            await asyncio.to_thread(exit_now)

    def exit_now() -> None:
        raise SystemExit(1)

    driver = threading.get_ident()
    world, task = run(main)
    task.result()
    assert current_lane() is None
    assert world.performed == ["a", "b"]


def test_real_effects_run_on_the_lanes_own_thread_without_the_baton() -> None:
    seen: list[int] = []

    def body() -> None:
        lane = current_lane()
        assert lane is not None
        number = world.start("effect", lane.resume)

        def effect() -> None:
            seen.append(threading.get_ident())
            with pytest.raises(NotDurableError):
                world.loop.call_soon_threadsafe(world.note, "not journaled")

        world.calls[number].lane = lane
        world.effects["effect"] = effect
        lane.park()
        seen.append(threading.get_ident())
        world.loop.call_soon_threadsafe(world.note, "with the baton it may")

    world = World()
    world.run(asyncio.to_thread(body)).result()
    assert len(seen) == 2
    assert len(set(seen)) == 1
    assert world.trace == ["with the baton it may"]


def test_lanes_never_run_in_parallel_and_replay_alike() -> None:
    running: list[int] = []

    def body(world: World, number: int) -> str:
        text = ""
        for step in range(4):
            running.append(number)
            assert running == [number]
            world.note(number, step)
            running.remove(number)
            text += world.lane_effect(f"{number}.{step}")
        return text

    async def mixed(world: World, number: int) -> None:
        for step in range(3):
            world.note("task", number, await world.effect(f"task {number}.{step}"))

    async def main(world: World) -> None:
        lanes = [asyncio.to_thread(body, world, number) for number in range(6)]
        tasks = [mixed(world, number) for number in range(6)]
        world.note(await asyncio.gather(*lanes, *tasks))

    for seed in range(20):
        world, task = run(main, seed)
        task.result()
        twin = World(-1, world.journal)
        twin.run(main(twin)).result()
        assert twin.trace == world.trace
        assert not twin.performed


def test_it_is_counted_how_often_lanes_get_the_baton() -> None:
    seen: list[int] = []

    def body(world: World) -> None:
        for _ in range(3):
            seen.append(world.loop.lanes.baton.turns)
            world.lane_effect("a")

    run(lambda world: asyncio.to_thread(body, world))
    assert seen == [1, 2, 3], "else code that comes back to a line seems to stand still there"


def test_a_resumed_lane_can_be_thrown_at() -> None:
    lanes: list[Lane] = []

    def body() -> str:
        lane = current_lane()
        assert lane is not None
        lanes.append(lane)
        try:
            return str(lane.park())
        except KeyError as error:
            return f"caught {error}"

    world = World()
    main = world.loop.start_main(asyncio.to_thread(body))
    world.run_ready()
    with world.loop.driven():
        lanes[0].throw(KeyError("x"))
    world.run_ready()
    assert result_of(main) == repr("caught 'x'")


def test_context_variables_reach_the_lane_and_stay_there() -> None:
    variable = ContextVar("variable", default="outside")

    def body(world: World) -> None:
        world.note(variable.get())
        variable.set("lane's")

    async def main(world: World) -> None:
        variable.set("main's")
        await asyncio.to_thread(body, world)
        await asyncio.get_running_loop().run_in_executor(None, body, world)
        world.note(variable.get())

    world, task = run(main)
    task.result()
    assert world.trace == ["main's", "main's", "main's"]


def test_cancelling_whoever_waits_does_not_end_the_lane() -> None:
    def body(world: World) -> None:
        world.lane_effect("a")
        world.note("lane goes on")
        world.lane_effect("b")
        world.note("lane ends")

    async def main(world: World) -> None:
        waiter = asyncio.create_task(asyncio.to_thread(body, world))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.wait([waiter])
        world.note("main ends", waiter.cancelled())

    world, task = run(main)
    task.result()
    assert world.trace == ["main ends True", "lane goes on", "lane ends"]
    assert world.loop.is_quiet()


def test_a_lane_cancelled_before_its_turn_never_runs() -> None:
    async def main(world: World) -> None:
        future = asyncio.get_running_loop().run_in_executor(None, world.note, "ran")
        future.cancel()
        await asyncio.sleep(0)

    world, task = run(main)
    task.result()
    assert not world.trace
    assert world.loop.is_quiet()


def test_an_executor_says_how_many_run_at_once_and_on_which_threads() -> None:
    names: list[str] = []

    def body(world: World, number: int) -> None:
        names.append(threading.current_thread().name)
        world.note("begins", number)
        world.lane_effect(str(number))
        world.note("ends", number)

    async def main(world: World) -> None:
        loop = asyncio.get_running_loop()
        single = ThreadPoolExecutor(1)
        await asyncio.gather(*(loop.run_in_executor(single, body, world, n) for n in range(4)))
        loop.set_default_executor(single)
        await asyncio.to_thread(body, world, 4)
        await asyncio.gather(asyncio.to_thread(body, world, 5), asyncio.to_thread(body, world, 6))

    world, task = run(main)
    task.result()
    expected = [f"{word} {number}" for number in range(7) for word in ("begins", "ends")]
    assert world.trace == expected
    assert names == 7 * ["golem-lane-1"]


def test_the_default_executor_has_a_fixed_size() -> None:
    async def main(world: World) -> None:
        def body(number: int) -> None:
            world.note(number)
            world.lane_effect(str(number))

        jobs = asyncio.gather(*(asyncio.to_thread(body, number) for number in range(40)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        world.note("mark")
        await jobs

    world, task = run(main)
    task.result()
    assert world.trace == [*map(str, range(32)), "mark", *map(str, range(32, 40))]


def test_threads_are_reused_and_let_go() -> None:
    def body(world: World, threads: list[threading.Thread]) -> None:
        threads.append(threading.current_thread())
        world.lane_effect("x")

    async def main(world: World) -> None:
        for _ in range(10):
            await asyncio.to_thread(body, world, threads)

    threads: list[threading.Thread] = []
    world = World()
    for _ in range(2):
        world.run(main(world)).result()
    assert [thread.name for thread in threads] == 20 * ["golem-lane-1"]
    assert len(set(threads)) == 2
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


class Thing:
    """Something large that a thread is given."""


def test_an_idle_thread_keeps_nothing_of_what_it_did() -> None:
    gone = threading.Event()

    def body(thing: Thing) -> None:
        weakref.finalize(thing, gone.set)

    async def main(world: World) -> None:
        await asyncio.to_thread(body, Thing())
        assert gone.wait(30), "before the invocation ends"

    run(main)[1].result()


class OtherExecutor(Executor):
    """Not a pool of threads."""


@pytest.mark.parametrize(
    "executor",
    [OtherExecutor(), ThreadPoolExecutor(1, initializer=print)],
    ids=["other", "prepared"],
)
def test_d2_executors_that_are_no_lanes_are_refused(executor: Executor) -> None:
    async def main(world: World) -> None:
        with pytest.raises(NotDurableError, match="Nothing was started"):
            await asyncio.get_running_loop().run_in_executor(executor, world.note, "ran")

    world, task = run(main)
    task.result()
    assert not world.trace
    assert world.loop.is_quiet()


def test_shutting_the_executor_down_waits_for_lanes() -> None:
    def body(world: World) -> None:
        world.lane_effect("a")
        world.note("lane ends")

    async def main(world: World) -> None:
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, body, world)
        await loop.shutdown_default_executor()
        world.note("main ends")

    world, task = run(main)
    task.result()
    assert world.trace == ["lane ends", "main ends"]
