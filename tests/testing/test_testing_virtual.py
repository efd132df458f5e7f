"""The runtime for tests: crashes that nobody notices, a clock that the test holds, replay that is checked."""

from __future__ import annotations

import asyncio
import datetime as dates
import logging
import os
import random
import time
import uuid
from typing import Any

import pytest

from golem_sdk import Runtime, agent, durable, get, trigger
from golem_sdk.errors import (
    DivergenceError,
    InvocationCancelledError,
    RuntimeClosedError,
    UsageError,
)
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.stores.invocations import InvocationStatus
from golem_sdk.testing import CrashMoment, CrashPoint, VirtualRuntime
from golem_sdk.testing.clock import PausedEnvironment
from golem_sdk.testing.driver import Step, drive

HOUR = dates.timedelta(hours=1)
SENT: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_sent() -> None:
    SENT.clear()


@durable
def send(what: str) -> str:
    SENT.append(what)
    return what


@durable
async def asend(what: str) -> str:
    await asyncio.sleep(0)
    SENT.append(what)
    return what


@agent(name="VirtualPorter")
class Porter:
    def __init__(self, name: str) -> None:
        self.carried: list[str] = []

    def carry(self, what: str) -> int:
        send(what)
        time.sleep(3600)
        self.carried.append(what)
        return len(self.carried)

    async def carry_all(self, *things: str) -> list[str]:
        self.carried += await asyncio.gather(*map(asend, things))
        await asyncio.sleep(60)
        return self.carried

    def ask(self, other: str, what: str) -> int:
        return get(Porter, other).carry(what) + 1

    def tell(self, other: str, what: str) -> str:
        trigger(get(Porter, other).carry, what, key=f"told {what}")
        return "told"

    def count(self) -> int:
        return len(self.carried)

    def impure(self) -> list[Any]:
        return [
            time.time(),
            time.time_ns(),
            dates.datetime.now(dates.UTC),
            dates.datetime.now().timestamp(),  # noqa: DTZ005  # a naive one
            time.monotonic(),
            random.random(),
            uuid.uuid4().hex,
            os.urandom(4),
        ]


def scenario(runtime: VirtualRuntime) -> list[Any]:
    porter, other = runtime.get(Porter, "a"), runtime.get(Porter, "b")
    handle = runtime.trigger(other.carry, "bag", key="k1")
    results: list[Any] = [porter.carry("lamp"), porter.ask("b", "box")]
    results.append(asyncio.run(_carry(porter)))
    later = runtime.schedule(HOUR, porter.carry, "late", key="k2")
    cancelled = runtime.schedule(2 * HOUR, porter.carry, "never", key="k3")
    results += [handle.result(), cancelled.cancel(), porter.tell("b", "more"), later.result()]
    runtime.clock.advance(5 * HOUR)
    with pytest.raises(InvocationCancelledError):
        cancelled.result()
    listed = [(m.agent_id, m.completed, m.pending) for m in runtime.agents()]
    return [*results, other.count(), porter.count(), listed]


async def _carry(porter: Porter) -> list[str]:
    return await porter.carry_all("x", "y")


def test_nobody_notices_a_crash_anywhere(fuzz_scale: int) -> None:
    with VirtualRuntime() as runtime:
        expected = scenario(runtime)
        runtime.replay()
        appends = runtime.appends
    effects = sorted(SENT)
    assert appends > 60
    step, points, crashes = 1 if fuzz_scale > 1 else 3, 0, 0
    for append in range(1, appends + 1):
        for moment in list(CrashMoment)[append % 3 :: step]:
            SENT.clear()
            with VirtualRuntime(crashes=[CrashPoint(append, moment)]) as runtime:
                assert scenario(runtime) == expected, (append, moment)
                points, crashes = points + 1, crashes + runtime.crashes
            assert set(SENT) == set(effects)
            assert len(SENT) <= len(effects) + 2
    assert crashes > 0.9 * points, "on a busy machine a run may append a little less"


def test_crashes_follow_one_another() -> None:
    points = [CrashPoint(4, moment) for moment in CrashMoment]
    with VirtualRuntime(crashes=points) as runtime:
        assert runtime.get(Porter, "a").carry("lamp") == 1
        assert runtime.get(Porter, "a").carry("lamp") == 2
        assert runtime.crashes == 3


def test_a_crash_is_counted_on_through_restarts() -> None:
    with VirtualRuntime() as runtime:
        porter = runtime.get(Porter, "a")
        runtime.crash(append=13)
        assert porter.carry("lamp") == 1
        runtime.restart()
        runtime.restart()
        assert runtime.crashes == 0
        assert porter.carry("box") == 2
        assert runtime.crashes == 1


def test_what_a_crash_loses_is_lost_and_what_was_told_is_not() -> None:
    with VirtualRuntime() as runtime:
        handle = runtime.trigger(runtime.get(Porter, "a").carry, "lamp")
        runtime.crash()
        assert handle.status() in (InvocationStatus.PENDING, InvocationStatus.RUNNING)
        runtime.clock.advance()  # until it sleeps
        runtime.clock.advance(HOUR)
        assert handle.status() is InvocationStatus.COMPLETED


def test_time_stands_still_until_it_is_told_or_somebody_waits() -> None:
    with VirtualRuntime() as runtime:
        clock, porter = runtime.clock, runtime.get(Porter, "a")
        began = clock.now
        handle = runtime.trigger(porter.carry, "lamp")
        clock.advance(0.9 * HOUR)
        assert handle.status() is InvocationStatus.RUNNING
        with pytest.raises(TimeoutError, match="60 virtual seconds"):
            handle.result(timeout=60)
        assert 0.9 * HOUR < clock.now - began < 0.95 * HOUR
        assert handle.result(timeout=3600) == 1
        assert HOUR <= clock.now - began < 1.01 * HOUR
        with pytest.raises(UsageError, match="no timer is armed"):
            clock.advance_to_next_timer()
        with pytest.raises(UsageError, match="not set back"):
            clock.advance(-1)
        runtime.schedule(3 * HOUR, porter.carry, "box")
        assert 2.9 * HOUR < clock.advance_to_next_timer() <= 3 * HOUR
        assert SENT == ["lamp", "box"]


def test_timers_fire_in_their_order_and_not_too_early() -> None:
    with VirtualRuntime() as runtime:
        handles = [
            runtime.schedule(hours * HOUR, runtime.get(Porter, f"p{hours}").carry, str(hours))
            for hours in (3, 1, 2)
        ]
        for expected in (["1"], ["1", "2"], ["1", "2", "3"]):
            runtime.clock.advance(HOUR)
            assert expected == SENT
        assert [handle.status().name for handle in handles] == ["RUNNING", "COMPLETED", "COMPLETED"]


def test_agents_see_virtual_time_and_the_same_random_numbers_in_every_run() -> None:
    seen = []
    for _ in range(2):
        with VirtualRuntime() as runtime:
            runtime.clock.advance(10 * HOUR)
            now = runtime.clock.now.timestamp()
            values = runtime.get(Porter, "a").impure()
            clocks = [values[0], values[1] / 1e9, values[2].timestamp(), *values[3:5]]
            assert clocks == pytest.approx([now] * 5, abs=1e-3)
            seen.append(values)
    assert seen[0][5:] == seen[1][5:]
    with VirtualRuntime(seed=7) as runtime:
        assert runtime.get(Porter, "a").impure()[5:] != seen[0][5:]


ASKED: list[int] = []


@agent(name="VirtualOracle")
class Oracle:
    def __init__(self, name: str) -> None:
        ASKED.append(0)

    def ask(self) -> int:
        ASKED.append(1)
        return len(ASKED)


def test_replay_finds_what_is_not_journaled() -> None:
    with VirtualRuntime() as runtime:
        oracle = runtime.get(Oracle, "Delphi")
        first = oracle.ask()
        with pytest.raises(DivergenceError):
            runtime.replay()
        assert len(ASKED) > first


def test_replay_takes_up_what_sleeps_and_leaves_it_as_it_was() -> None:
    with VirtualRuntime() as runtime:
        handle = runtime.trigger(runtime.get(Porter, "a").carry, "lamp")
        runtime.clock.advance(60)
        runtime.replay()
        assert handle.status().name in ("PENDING", "RUNNING")
        assert handle.result() == 1
        assert SENT == ["lamp"]


def test_unloaded_agents_are_replayed() -> None:
    with VirtualRuntime() as runtime:
        oracle = runtime.get(Oracle, "Dodona")
        oracle.ask()
        runtime.unload()
        with pytest.raises(DivergenceError):
            oracle.ask()


def test_a_simulated_crash_is_no_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with VirtualRuntime() as runtime, caplog.at_level(logging.DEBUG, "golem_sdk"):
        runtime.crash(append=5)
        runtime.get(Porter, "a").carry("lamp")
        assert runtime.crashes == 1
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_after_close_nothing_is_taken() -> None:
    runtime = VirtualRuntime()
    porter = runtime.get(Porter, "a")
    runtime.close()
    runtime.close()
    with pytest.raises(RuntimeClosedError):
        porter.count()


def test_misuse_is_told() -> None:
    with VirtualRuntime() as runtime, pytest.raises(UsageError, match="not at 0"):
        runtime.crash(append=0)
    with pytest.raises(UsageError, match=r"write VirtualRuntime\(\)"):
        VirtualRuntime.over(MemoryEngine(), PausedEnvironment(), Settings())
    with pytest.raises(UsageError, match=r"write VirtualRuntime\(\)"):
        VirtualRuntime.memory()


def test_it_is_a_runtime() -> None:
    with VirtualRuntime() as runtime:
        assert isinstance(runtime, Runtime)
        porter = runtime.get(Porter, "a")
        porter.carry("lamp")
        porter.carry("box")
        runtime.revert(porter, invocations=1)
        runtime.crash()
        assert porter.count() == 1
        assert runtime.metadata(porter).completed == 3
        assert len(list(runtime.oplog(porter))) == runtime.metadata(porter).oplog_size


def test_unloading_at_every_wait_unloads_sleeping_synchronous_agents() -> None:
    end = drive([Step(Porter, ("a",), "carry", ("lamp",))])
    kinds = [type(entry).__name__ for _, entry in end.oplogs['VirtualPorter("a")']]
    assert "Suspend" in kinds
