"""The threads of a session that is over: unwound in order, reported if they do not end, and let go."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

import pytest

from golem_sdk.runtime import lanes as lanes_module
from golem_sdk.runtime.lanes import Lane, MainLane, current_lane
from runtime.pumping import World

pytestmark = pytest.mark.filterwarnings("error")


def test_idle_threads_end_with_their_session() -> None:
    threads: list[threading.Thread] = []

    async def main(world: World) -> None:
        await asyncio.to_thread(lambda: threads.append(threading.current_thread()))
        await world.effect("wait")

    world = World()
    world.loop.start_main(main(world))
    world.run_ready()
    assert threads[0].is_alive()
    world.crash()
    threads[0].join(30)
    assert not threads[0].is_alive()


def test_parked_lanes_are_unwound_in_order(caplog: pytest.LogCaptureFixture) -> None:
    threads: list[threading.Thread] = []

    def body(world: World, number: int) -> None:
        threads.append(threading.current_thread())
        try:
            world.lane_effect("a")
        finally:
            world.note("finally", number)
            world.lane_effect("never")
            world.note("never")

    async def main(world: World) -> None:
        await asyncio.gather(*(asyncio.to_thread(body, world, number) for number in range(3)))

    world = World()
    world.loop.start_main(main(world))
    world.run_ready()
    world.crash()
    assert world.trace == ["finally 0", "finally 1", "finally 2"]
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert world.loop.is_quiet()
    world.crash()
    assert not caplog.records


def test_a_lane_that_parks_again_is_told_again() -> None:
    def body(world: World) -> None:
        lane = current_lane()
        assert lane is not None
        for _ in range(5):
            try:
                lane.park()
            except BaseException as error:
                world.note(type(error).__name__)

    world = World()
    world.loop.start_main(asyncio.to_thread(body, world))
    world.run_ready()
    world.crash()
    assert world.trace == 5 * ["AgentFencedSignal"]


def test_a_lane_that_does_not_end_is_reported_and_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lanes_module, "_LAST_WORDS_S", 0.25)
    stands, release = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []
    waited: list[float | None] = []
    lanes: list[Lane] = []

    class Late(SimpleQueue[None]):
        """The baton does not come back in time, of which as much passes as the lane needs to stand there."""

        def get(self, block: bool = True, timeout: float | None = None) -> None:
            waited.append(timeout)
            assert stands.wait(30)
            raise Empty

    def body(world: World) -> None:
        threads.append(threading.current_thread())
        lane = current_lane()
        assert lane is not None
        lanes.append(lane)
        world.lane_effect("it has performed something before")
        try:
            world.lane_effect("a")
        finally:
            stands.set()
            release.wait()

    world = World()
    world.loop.start_main(asyncio.to_thread(body, world))
    world.run_ready()
    with world.loop.driven():
        world.deliver()
    lanes[0]._baton_back = Late()
    world.crash()
    assert waited == [0.25]
    assert [record.name for record in caplog.records] == ["golem_sdk"]
    assert "does not end: it is at" in caplog.text
    place = caplog.text.partition("does not end: it is at ")[2].partition(" ")[0]
    file, _, line = place.rstrip(".").rpartition(":")
    assert file in {__file__, threading.__file__}
    assert line.isdigit()
    release.set()
    threads[0].join(30)
    assert not threads[0].is_alive()
    assert lanes[0].whereabouts() == lanes[0].waits_at() == "nowhere"


def test_a_lane_in_the_middle_of_an_effect_is_not_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = threading.Event()
    threads: list[threading.Thread] = []

    def effect() -> None:
        release.wait()

    def body(world: World) -> None:
        threads.append(threading.current_thread())
        try:
            world.lane_effect("slow")
        finally:
            world.note("unwound")

    world = World()
    world.loop.start_main(asyncio.to_thread(body, world))
    world.run_ready()
    lane = world.calls[1].lane
    assert lane is not None
    lane.perform(effect)
    world.crash()
    assert not world.trace
    assert not caplog.records
    release.set()
    threads[0].join(30)
    assert world.trace == ["unwound"]


def test_an_invocation_that_is_over_waits_nowhere() -> None:
    lanes = World().loop.lanes
    main = MainLane(lanes)
    lanes.baton.holder = None
    [line] = lanes.waiting_at()
    assert line.startswith(f"{__file__}:")
    main.end()
    assert lanes.waiting_at() == []


def test_lanes_that_wait_for_a_thread_are_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    def body(world: World, number: int) -> None:
        world.note(number)
        world.lane_effect("a")

    async def main(world: World) -> None:
        loop, single = asyncio.get_running_loop(), ThreadPoolExecutor(1)
        await asyncio.gather(*(loop.run_in_executor(single, body, world, n) for n in range(3)))

    world = World()
    world.loop.start_main(main(world))
    world.run_ready()
    world.crash()
    assert world.trace == ["0"]
    assert world.loop.is_quiet()
    assert not caplog.records
