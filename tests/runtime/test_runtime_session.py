"""How an agent waits: in memory or unloaded, until when, and what of it is on disk."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from threading import Condition, Event
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import (
    FunctionType,
    PersistenceLevel,
    RetryPolicy,
    Runtime,
    agent,
    durability,
    durable,
    get,
    get_oplog_index,
    persistence_level,
    retry_policy,
    set_oplog_index,
)
from golem_sdk.codec.values import decode
from golem_sdk.core.entries import Entry, Error, ImportedFunctionInvoked, Suspend, TimerSet
from golem_sdk.core.ids import storage_key
from golem_sdk.core.status import AgentStatus
from golem_sdk.durability import begin_durable_function, end_durable_function
from golem_sdk.errors import AgentFailedError
from golem_sdk.oplog.reader import read_entries
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.driver import End, Step, drive
from golem_sdk.testing.environment import START_NS, VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from golem_sdk.storage.base import Batch

SEEN: list[Any] = []
DONE = Event()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    SEEN.clear()
    DONE.clear()
    yield
    DONE.set()


def log(end: End, agent_type: str, *kinds: type[Entry]) -> list[Any]:
    (oplog,) = [oplog for name, oplog in end.oplogs.items() if name.startswith(agent_type)]
    return [entry for _, entry in oplog if isinstance(entry, kinds)]


# --- how long ---------------------------------------------------------------------------------------


@agent
def sleeps_for(seconds: float) -> None:
    time.sleep(seconds)


@agent
async def sleeps_for_async(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return asyncio.get_running_loop().time()


@agent
async def sleeps_in_a_thread(seconds: float) -> float:
    await asyncio.to_thread(time.sleep, seconds)
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("target", [sleeps_for_async, sleeps_in_a_thread])
def test_logical_time_is_that_of_the_last_entry(target: Any) -> None:
    end = drive([Step(target, (10.0,))])
    (timer,) = log(end, target.__name__, TimerSet)
    (slept,) = log(end, target.__name__, ImportedFunctionInvoked)
    assert slept.function_name == "golem:clock/sleep", "other versions look for it"
    assert timer.due - timer.timestamp == decode(slept.request) == 10_000_000_000
    assert end.results == (("result", slept.timestamp / 1e9),)
    assert slept.timestamp >= timer.due


def test_no_time_at_all_is_recorded_as_such() -> None:
    (slept,) = log(drive([Step(sleeps_for, (0,))]), "sleeps_for", ImportedFunctionInvoked)
    assert decode(slept.request) == 0


@pytest.mark.parametrize(
    ("seconds", "suspend_after_s", "unloaded"),
    [(4.0, 5.0, False), (6.0, 5.0, True), (1e6 + 0.0005, 1e6, True), (1e6 - 0.0005, 1e6, False)],
)
def test_who_is_to_wait_too_long_is_unloaded_at_once(
    seconds: float, suspend_after_s: float, unloaded: bool
) -> None:
    end = drive([Step(sleeps_for, (seconds,))], suspend_after_s=suspend_after_s)
    suspended = log(end, "sleeps_for", Suspend)
    assert len(suspended) == unloaded
    (timer,) = log(end, "sleeps_for", TimerSet)
    for each in suspended:
        assert each.wake_at == timer.due
        assert each.timestamp - timer.timestamp < 1_000_000, "before it has waited"


@agent
class Asks:
    def __init__(self, name: str) -> None:
        pass

    def other(self) -> None:
        get(Sleeper, "s").sleep(60.0)

    async def other_async(self) -> None:
        await get(Sleeper, "s").sleep_async(60.0)


@agent
class Sleeper:
    def __init__(self, name: str) -> None:
        pass

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@pytest.mark.parametrize("method", ["other", "other_async"])
def test_who_waits_for_another_agent_is_woken_by_its_answer_only(method: str) -> None:
    end = drive([Step(Asks, ("x",), method)])
    assert end.results == (("result", None),)
    assert {each.wake_at for each in log(end, "Asks", Suspend)} == {0}
    (timer,) = log(end, "Sleeper", TimerSet)
    assert {each.wake_at for each in log(end, "Sleeper", Suspend)} == {timer.due}


@agent
async def asks_for_ten_seconds(name: str) -> float:
    with suppress(TimeoutError):
        async with asyncio.timeout(10):
            await get(Sleeper, "s").sleep_async(1e6)
    return asyncio.get_running_loop().time()


def test_who_waits_for_another_agent_for_so_long_only_is_woken_in_time() -> None:
    end = drive([Step(asks_for_ten_seconds, ("x",))])
    assert {each.wake_at for each in log(end, "asks_for", Suspend)} == {0}, "not after a restart"
    [(_, given_up)] = end.results
    assert 10 <= given_up - START_NS / 1e9 < 11


@agent
async def sleeps_where_nothing_is_kept(name: str) -> str:
    with persistence_level(PersistenceLevel.PERSIST_NOTHING):
        time.sleep(1)
        await asyncio.sleep(1)
    return "slept"


def test_one_can_sleep_where_nothing_is_kept() -> None:
    end = drive([Step(sleeps_where_nothing_is_kept, ("x",))], suspend_after_s=1e9)
    assert end.results == (("result", "slept"),)
    assert not log(end, "sleeps_where", TimerSet)


@pytest.mark.parametrize(
    ("seconds", "suspend_after_s", "noted"),
    [(0.05, 1e9, 0), (0.1, 1e9, 1), (0.05, 0.0, 1), (0.05, 0.04, 1)],
)
def test_a_short_wait_that_unloads_nobody_needs_no_note(
    seconds: float, suspend_after_s: float, noted: int
) -> None:
    end = drive([Step(sleeps_for, (seconds,))], suspend_after_s=suspend_after_s)
    assert len(log(end, "sleeps_for", TimerSet)) == noted


@agent
def works_after_its_sleep(name: str) -> None:
    time.sleep(10)
    session = durability.current()
    assert session is not None
    SEEN.append(session.status.status)


def test_s1_who_has_slept_runs_again() -> None:
    drive([Step(works_after_its_sleep, ("x",))])
    assert SEEN == [AgentStatus.RUNNING]


@agent
async def sleeps_twice_at_once(name: str) -> None:
    await asyncio.gather(asyncio.sleep(20), asyncio.sleep(10))


def test_a_call_that_replay_has_begun_again_is_recorded_with_its_line_and_task() -> None:
    def calls(suspend_after_s: float) -> list[tuple[int, int, int]]:
        end = drive([Step(sleeps_twice_at_once, ("x",))], suspend_after_s=suspend_after_s)
        slept = log(end, "sleeps_twice_at_once", ImportedFunctionInvoked)
        return [(each.call, each.site, each.task) for each in slept]

    assert calls(0.0) == calls(1e9)
    assert all(site and task for _, site, task in calls(0.0))


# --- what nobody waits for any more -----------------------------------------------------------------


@durable
async def send(what: str) -> str:
    SEEN.append(what)
    return what


@agent
async def needs_no_timeout(name: str) -> None:
    async with asyncio.timeout(1e6):
        await send("in time")


@agent
async def ends_while_it_sleeps(name: str) -> None:
    task = asyncio.create_task(asyncio.sleep(1e6))
    SEEN.append(task)
    await send("begun")
    begin = begin_durable_function(FunctionType.READ_REMOTE)
    end_durable_function(FunctionType.READ_REMOTE, begin)


@agent
async def sends_from_a_thread(name: str) -> None:
    await asyncio.to_thread(lambda: [send_sync("one"), send_sync("two")])


@durable
def send_sync(what: str) -> str:
    SEEN.append(what)
    return what


@pytest.mark.parametrize("target", [needs_no_timeout, ends_while_it_sleeps, sends_from_a_thread])
def test_time_does_not_pass_for_what_nobody_waits_for(target: Any) -> None:
    environment, engine = VirtualEnvironment(), MemoryEngine()
    settings = Settings(suspend_after_s=1e9, write_behind_s=None)
    with Runtime.over(engine, environment, settings) as runtime:
        handle = runtime.trigger(target, "x")
        if target is ends_while_it_sleeps:
            with pytest.raises(AgentFailedError, match="without being persisted"):
                handle.result(timeout=30)
        else:
            handle.result(timeout=30)
        environment.rest(30)
        assert environment.now_ns() < START_NS + 10**9
        calls = [e for _, e in runtime.oplog(handle) if isinstance(e, ImportedFunctionInvoked)]
        assert len(calls) == len([each for each in SEEN if isinstance(each, str)])


@durable(function_type=FunctionType.READ_LOCAL)
async def look() -> str:
    SEEN.append("looked")
    return "looked"


@agent
async def ends_before_its_effects_begin(name: str) -> None:
    task = asyncio.create_task(look())
    SEEN.append(task)
    await asyncio.sleep(0)
    begin = begin_durable_function(FunctionType.READ_REMOTE)
    with suppress(BaseException):
        end_durable_function(FunctionType.READ_REMOTE, begin)
    await asyncio.Event().wait()


def test_nothing_begins_once_the_agent_is_parked() -> None:
    settings = Settings(suspend_after_s=1e9, write_behind_s=None)
    with Runtime.over(MemoryEngine(), VirtualEnvironment(), settings) as runtime:
        with pytest.raises(AgentFailedError, match="without being persisted"):
            runtime.trigger(ends_before_its_effects_begin, "x").result(timeout=30)
        assert "looked" not in SEEN


@agent
async def jumps_over_a_cancelled_call(name: str) -> str:
    place = get_oplog_index()
    task = asyncio.create_task(send("never"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    if "jumped" not in SEEN:
        SEEN.append("jumped")
        set_oplog_index(place)
    return "done"


def test_a_cancelled_call_is_not_under_way() -> None:
    end = drive([Step(jumps_over_a_cancelled_call, ("x",))], suspend_after_s=1e9)
    assert end.results == (("result", "done"),)


# --- what is on disk meanwhile ----------------------------------------------------------------------


class Watched(MemoryEngine):
    """Tells who waits for it that something was committed."""

    def __init__(self) -> None:
        super().__init__()
        self.committed = Condition()

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        done = super().commit(batches)
        with self.committed:
            self.committed.notify_all()
        return done

    def has(self, kind: type[Entry], agent_id: str) -> bool:
        """Whether an agent's oplog has such an entry on disk, before long."""
        key = storage_key(agent_id)

        def found() -> bool:
            return any(isinstance(entry, kind) for _, entry in read_entries(self, key))

        with self.committed:
            return self.committed.wait_for(found, 30)


@durable
def fails() -> None:
    raise ConnectionError("down")


@agent
def waits_to_try_again(name: str) -> None:
    with retry_policy(RetryPolicy(max_attempts=2, min_delay=1e6, max_delay=1e6)):
        fails()


@agent
def waits_for_long(name: str) -> None:
    time.sleep(1e6)


@agent
def sends_and_waits(name: str) -> None:
    send_sync("one")
    wait_for_the_end()


@durable(function_type=FunctionType.READ_LOCAL)
def wait_for_the_end() -> None:
    DONE.wait(30)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (waits_to_try_again, Error),
        (waits_for_long, TimerSet),
        (sends_and_waits, ImportedFunctionInvoked),
    ],
)
def test_what_is_waited_for_is_soon_on_disk(target: Any, kind: type[Entry]) -> None:
    engine = Watched()
    settings = Settings(suspend_after_s=1e8)
    with Runtime.over(engine, RealEnvironment(), settings) as runtime:
        handle = runtime.trigger(target, "x")
        assert engine.has(kind, str(handle.agent_id))
        DONE.set()


@agent
def shows_what_runs_it(secret: str) -> None:
    session = durability.current()
    assert session is not None
    SEEN.append(repr(session) + repr(session.kernel.actor("", session.agent_id)))


def test_what_runs_an_agent_is_shown_without_what_the_agent_was_given() -> None:
    with Runtime.memory() as runtime:  # tools that report errors show the variables of each frame
        runtime.run(shows_what_runs_it, "a secret")
    [shown] = SEEN
    assert "Session object" in shown
    assert "Actor object" in shown
    assert "secret" not in shown
