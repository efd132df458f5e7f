"""What a runtime keeps in memory is bounded by what is under way, not by what it has ever seen."""

from __future__ import annotations

import asyncio
import gc
import time
from datetime import timedelta
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent, durability, trigger
from golem_sdk.core.entries import Suspend
from golem_sdk.errors import AgentControlSignal, StoreCorruptError
from golem_sdk.runtime import actor as actors
from golem_sdk.runtime.recovery import Sleepers
from golem_sdk.runtime.session import Session
from golem_sdk.runtime.settings import Settings
from golem_sdk.runtime.timers import Timer
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.stores.invocations import InvocationStatus, load_scheduled, pending_agents
from golem_sdk.testing.environment import VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MANY = 20
PATIENCE_S = 60


@agent
class KeptForLater:
    def __init__(self, number: int) -> None:
        self.ticks = 0

    def tick(self) -> int:
        self.ticks += 1
        return self.ticks

    async def nap(self) -> int:
        await asyncio.sleep(86_400)
        return self.tick()


class Stuck:
    """What cannot be let go."""

    def drop(self) -> None:
        DROPPED.append(self)
        raise OSError("not now")


DROPPED: list[Stuck] = []
LEFT: list[Stuck] = []


@agent
class KeepsSomethingOpen:
    def __init__(self, number: int) -> None:
        self.opened = Stuck()

    def open(self) -> None:
        durability.hold(durability.current(), self.opened)


@agent
def leaves_something_open() -> None:
    LEFT.append(Stuck())
    durability.hold(durability.current(), LEFT[-1])


@agent
def sleeps_with_two_stuck(number: int) -> int:
    two = Stuck(), Stuck()
    for each in two:
        durability.hold(durability.current(), each)
    time.sleep(86_400)
    return number * len(two)


@agent
def opens_while_it_is_unloaded(number: int) -> int:
    try:
        time.sleep(86_400)
    except AgentControlSignal:
        durability.hold(durability.current(), Stuck())
        DROPPED.append(Stuck())  # it was not refused
        raise
    return number


@agent
class MadeSlowly:
    def __init__(self, number: int) -> None:
        time.sleep(86_400)
        self.number = number

    def ask(self) -> int:
        return self.number


@agent
async def sleeps_long(number: int) -> int:
    await asyncio.sleep(86_400)
    return number


@agent
def sleeps_long_in_place(number: int) -> int:
    time.sleep(86_400)
    return number


@agent
async def waits_for_sleeper(number: int) -> int:
    slept: int = await trigger(sleeps_long, number)
    return slept


@pytest.fixture
def environment() -> VirtualEnvironment:
    made = VirtualEnvironment()
    made.enter()  # no time passes until a test leaves
    return made


@pytest.fixture
def runtime(environment: VirtualEnvironment) -> Iterator[Runtime]:
    settings = Settings(max_loaded=1, write_behind_s=None)
    with Runtime.over(MemoryEngine(), environment, settings) as opened:
        yield opened


def loaded(runtime: Runtime) -> int:
    return sum(actor.session is not None for actor in runtime._kernel._actors.values())


def test_agents_are_unloaded_that_have_something_scheduled(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    handles = []
    for number in range(MANY):
        kept = runtime.get(KeptForLater, number)
        handles.append(runtime.schedule(timedelta(days=1), kept.tick))
        assert kept.tick() == 1
    environment.join(60)
    assert loaded(runtime) == 1
    assert {handle.status() for handle in handles} == {InvocationStatus.SCHEDULED}
    environment.leave()
    assert [handle.result(60) for handle in handles] == [2] * MANY
    environment.join(60)
    assert loaded(runtime) == 1
    assert len(runtime._kernel._actors) == 1


def test_what_was_delivered_or_cancelled_is_no_longer_scheduled_on_disk(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    tick, engine = runtime.get(KeptForLater, 0).tick, runtime._kernel.engine
    first = runtime.schedule(timedelta(days=1), tick, key="first")
    second = runtime.schedule(timedelta(days=2), tick, key="second")
    used = runtime.schedule(timedelta(days=3), tick, key="used")
    assert len([*load_scheduled(engine)]) == 3
    assert second.cancel()
    environment.leave()
    assert first.result(60) == 1
    assert used.result(60) == 2
    environment.join(60)
    runtime._kernel.accepted()
    assert [*load_scheduled(engine)] == []
    assert [*pending_agents(engine)] == []


def test_asking_about_agents_keeps_none_of_them(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    handles = [
        runtime.trigger(runtime.get(KeptForLater, number).tick, key="k") for number in range(MANY)
    ]
    assert [handle.result(60) for handle in handles] == [1] * MANY
    environment.join(60)
    assert len(runtime._kernel._actors) == 1
    assert {handle.status() for handle in handles} == {InvocationStatus.COMPLETED}
    assert [handle.result(60) for handle in handles] == [1] * MANY
    assert len(runtime._kernel._actors) == 1


def test_what_was_scheduled_and_taken_back_keeps_nothing(runtime: Runtime) -> None:
    for number in range(MANY):
        later = runtime.schedule(timedelta(days=1), runtime.get(KeptForLater, number).tick)
        assert later.cancel()
    assert len(runtime._kernel._actors) == 0


def test_what_an_agent_was_made_with_is_not_kept_by_those_loaded_again(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    for number in (1, 2, 1):
        runtime.get(KeptForLater, number).tick()
        environment.join(60)
    actor = runtime._kernel.actor("KeptForLater", "KeptForLater(1)")
    assert actor.session is not None
    assert actor.session.arguments == b""


def test_of_sleepers_nothing_is_kept_but_who_they_are(
    runtime: Runtime, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Callable[[], None]] = []
    with monkeypatch.context() as patch:  # one is kept that sleeps before its trigger has returned
        patch.setattr(environment, "spawn", jobs.append)
        handles = [runtime.trigger(sleeps_long, number) for number in range(MANY)]
    for job in jobs:
        environment.spawn(job)
    environment.join(60)
    assert not runtime._kernel._actors
    gc.collect()
    kept = (each.kernel for each in gc.get_objects() if type(each) is Session)
    assert runtime._kernel not in kept
    environment.leave()
    assert [handle.result(60) for handle in handles] == [*range(MANY)]


def test_sleepers_are_not_kept_after_a_restart_either(environment: VirtualEnvironment) -> None:
    engine, settings = MemoryEngine(), Settings(write_behind_s=None)
    with Runtime.over(engine, environment, settings) as runtime:
        handles = [runtime.trigger(sleeps_long, number) for number in range(MANY)]
        environment.join(60)
        survives = engine.snapshot()
    again = VirtualEnvironment(start_ns=environment.now_ns())
    again.enter()
    with Runtime.over(survives, again, settings) as runtime:
        again.join(60)
        assert len(runtime._kernel._actors) == 0
        handles = [runtime.trigger(sleeps_long, number) for number in range(MANY)]
        assert {handle.status() for handle in handles} == {InvocationStatus.RUNNING}
        again.join(60)
        assert loaded(runtime) == 0, "who asks does not wake them"
        again.leave()
        assert [handle.result(60) for handle in handles] == [*range(MANY)]


@pytest.mark.parametrize("sleeper", [sleeps_long, sleeps_long_in_place])
def test_sleepers_have_one_timer_each_however_often_a_full_store_is_tried_again(
    sleeper: Any, runtime: Runtime, environment: VirtualEnvironment
) -> None:
    handles = [runtime.trigger(sleeper, number) for number in range(MANY)]
    environment.join(60)
    for _ in range(5):
        runtime._kernel._retry()
    environment.join(60)
    armed = [timer for _, _, timer in environment._timers._heap if timer.callback is not None]
    assert len(armed) == MANY
    environment.leave()
    environment.join(60)
    assert [handle.result(60) for handle in handles] == [*range(MANY)]
    assert len(runtime._kernel.sleepers) == 0


class Hasty:
    """Stands for a kernel and its environment: before who sets a timer goes on, something happens."""

    def __init__(self, *happens: Callable[[Callable[[], None]], object]) -> None:
        self.environment = self
        self.sleepers = Sleepers(self)  # type: ignore[arg-type]  # it is as much of one as they need
        self.happens = [*happens]
        self.set: list[Timer] = []

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Timer:
        timer = Timer(callback)
        self.set.append(timer)
        if self.happens:
            self.happens.pop(0)(callback)
        return timer

    def spawn(self, job: Callable[[], None]) -> None:
        pass


def test_a_sleeper_that_is_due_at_once_is_not_kept() -> None:
    hasty = Hasty(lambda now: now())  # on another thread, which has not gone on yet either
    hasty.sleepers.add("sleeps_long", "sleeps_long(1)", 1)
    assert len(hasty.sleepers) == 0


def test_a_sleeper_that_is_added_by_two_at_once_is_kept_until_both_timers_have_fired() -> None:
    """By its own thread, and by one that takes up everything after a full store."""
    hasty = Hasty(lambda _: hasty.sleepers.add("sleeps_long", "sleeps_long(1)", 2))
    hasty.sleepers.add("sleeps_long", "sleeps_long(1)", 1)
    for timer in hasty.set:
        assert len(hasty.sleepers) == 1
        timer.fire()
    assert len(hasty.sleepers) == 0


def test_who_waits_for_a_sleeper_is_told(runtime: Runtime, environment: VirtualEnvironment) -> None:
    """Whoever has begun to wait before it fell asleep, an agent or a thread, waits for the same one."""
    told: list[int] = []
    waiting = Thread(target=lambda: told.append(runtime.run(waits_for_sleeper, 7)))
    waiting.start()
    thread = Thread(target=lambda: told.append(runtime.run(sleeps_long, 7)))
    thread.start()
    environment.leave()
    waiting.join(60)
    thread.join(60)
    assert told == [7, 7]


def test_an_agent_whose_constructor_sleeps_wakes_for_a_new_call_after_a_restart(
    environment: VirtualEnvironment,
) -> None:
    """The first call was taken back: with nothing queued, no timer was set when the store was opened."""
    engine, settings = MemoryEngine(), Settings(write_behind_s=None)
    with Runtime.over(engine, environment, settings) as runtime:
        first = runtime.trigger(runtime.get(MadeSlowly, 7).ask, key="first")
        environment.join(60)
        assert first.cancel()
        survives = engine.snapshot()
    again = VirtualEnvironment(start_ns=environment.now_ns())
    with Runtime.over(survives, again, settings) as runtime:
        assert runtime.trigger(runtime.get(MadeSlowly, 7).ask, key="second").result(PATIENCE_S) == 7


def test_what_is_queued_for_a_sleeper_waits_until_it_is_awake(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    kept = runtime.get(KeptForLater, 0)
    first = runtime.trigger(kept.nap)
    environment.join(60)
    second = runtime.trigger(kept.tick)
    environment.join(60)
    assert loaded(runtime) == 0
    assert (first.status(), second.status()) == (InvocationStatus.RUNNING, InvocationStatus.PENDING)
    entries = [entry for _, entry in runtime.oplog(first.agent_id)]
    assert sum(isinstance(entry, Suspend) for entry in entries) == 1, "it was not loaded meanwhile"
    environment.leave()
    assert (first.result(60), second.result(60)) == (1, 2)


def test_a_sleeper_that_cannot_be_loaded_any_more_keeps_nobody_waiting(
    runtime: Runtime, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = runtime.trigger(sleeps_long, 0)
    environment.join(60)

    def damaged(*_: object) -> None:
        raise StoreCorruptError("it is damaged", "OPLOG", b"")

    monkeypatch.setattr(actors, "load_session", damaged)
    environment.leave()  # it is woken, and nobody waits for it
    environment.join(60)
    with pytest.raises(StoreCorruptError, match="it is damaged"):
        handle.result(60)


def test_agents_wake_again_that_have_opened_what_cannot_be_let_go(
    runtime: Runtime, environment: VirtualEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    DROPPED.clear()
    handle = runtime.trigger(sleeps_with_two_stuck, 7)
    environment.join(60)
    assert len(set(DROPPED)) == 2
    assert caplog.text.count("what an agent has opened could not be let go") == 2
    assert caplog.text.count("OSError: not now") == 2
    assert {record.name for record in caplog.records} == {"golem_sdk"}
    environment.leave()
    assert handle.result(PATIENCE_S) == 14


def test_what_an_idle_agent_has_opened_is_let_go_when_it_is_unloaded(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    DROPPED.clear()
    for number in range(2):
        runtime.get(KeepsSomethingOpen, number).open()
        environment.join(60)
        assert len(DROPPED) == number, "one may stay in memory"


def test_what_an_agent_that_runs_once_leaves_open_is_let_go(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    DROPPED.clear()
    LEFT.clear()
    runtime.run(leaves_something_open)
    environment.join(60)
    assert DROPPED == LEFT != []


def test_an_agent_opens_nothing_any_more_while_it_is_unloaded(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    DROPPED.clear()
    handle = runtime.trigger(opens_while_it_is_unloaded, 7)
    environment.join(60)
    assert DROPPED == []
    environment.leave()
    assert handle.result(PATIENCE_S) == 7
