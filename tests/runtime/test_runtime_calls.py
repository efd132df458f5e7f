"""What is recorded of calls, and what is none of the agent's own."""

from __future__ import annotations

import asyncio
import gc
import time
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import (
    FunctionType,
    RetryPolicy,
    Runtime,
    agent,
    durable,
    retry_policy,
)
from golem_sdk.codec.values import decode
from golem_sdk.core.entries import DescribeCallSite, Entry, ImportedFunctionInvoked, NoOp
from golem_sdk.durability import agent_random, current
from golem_sdk.errors import AgentFailedError, AgentFencedSignal, NotDurableError
from golem_sdk.testing.driver import End, Step, drive

if TYPE_CHECKING:
    from collections.abc import Iterator


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


@durable
async def send(what: str) -> str:
    SEEN.append(what)
    return what


@durable
def send_sync(what: str) -> str:
    SEEN.append(what)
    return what


@agent
async def sends_in_tasks(name: str) -> None:
    await send("main")
    await asyncio.create_task(send("task"))


@agent
def sends_alone(name: str) -> None:
    send_sync("alone")


def test_the_task_of_a_call_is_recorded() -> None:
    (alone,) = log(drive([Step(sends_alone, ("x",))]), "sends", ImportedFunctionInvoked)
    end = drive([Step(sends_in_tasks, ("x",))])
    main, task = log(end, "sends", ImportedFunctionInvoked)
    assert (alone.task, main.task) == (0, 1)
    assert task.task > 1


@agent
async def sends_and_sleeps(name: str) -> None:
    await asyncio.gather(send("one"), asyncio.sleep(60))


@pytest.mark.parametrize("suspend_after_s", [1e9, 0.0])
def test_of_a_call_that_is_begun_in_replay_the_same_is_recorded(suspend_after_s: float) -> None:
    end = drive([Step(sends_and_sleeps, ("x",))], suspend_after_s=suspend_after_s)
    sent, slept = log(end, "sends", ImportedFunctionInvoked)
    assert (sent.task, slept.task) == (2, 3)
    (oplog,) = end.oplogs.values()
    sites = {e.site: e.source for _, e in oplog if isinstance(e, DescribeCallSite)}
    assert sites[sent.site] == sites[slept.site]


@agent
def is_ended(name: str) -> None:
    session = current()
    assert session is not None
    session.end(AgentFencedSignal(ValueError("over")))
    try:
        session.append(NoOp(1))
    except ValueError as error:
        SEEN.append(str(error))


def test_who_is_ended_records_nothing() -> None:
    with Runtime.memory() as runtime, pytest.raises(AgentFailedError, match="over"):
        runtime.run(is_ended, "x")
    assert SEEN == ["over"]


@agent
def waits_until_the_end(name: str) -> None:
    SEEN.append("waits")
    try:
        time.sleep(1e6)
    finally:
        DONE.set()


def test_who_waits_when_the_runtime_is_closed_is_told() -> None:
    with Runtime.memory(suspend_after=1e8) as runtime:
        runtime.trigger(waits_until_the_end, "x")
        while not SEEN:
            runtime.agents()
    assert DONE.wait(30)


@durable
def large() -> bytes:
    return b"x" * (2 << 20)


@agent
def takes_something_large(name: str) -> int:
    size = len(large())
    time.sleep(60)
    return size


def test_a_large_outcome_is_the_same_live_and_in_replay() -> None:
    for suspend_after_s in (0.0, 1e9):
        end = drive([Step(takes_something_large, ("x",))], suspend_after_s=suspend_after_s)
        assert end.results == (("result", 2 << 20),)


@agent
def fails_once(name: str) -> str:
    session = current()
    assert session is not None
    with retry_policy(RetryPolicy(max_attempts=2, min_delay=0.1)):
        down_once()
    return str(session.status.status.value)


@durable
def down_once() -> None:
    SEEN.append("tried")
    if len(SEEN) == 1:
        raise ConnectionError("down")


def test_what_succeeds_at_last_is_running_again() -> None:
    end = drive([Step(fails_once, ("x",))], suspend_after_s=1e9)
    assert end.results == (("result", "running"),)


@agent
class Draws:
    def __init__(self, name: str) -> None:
        pass

    def draw(self) -> list[float]:
        session = current()
        assert session is not None
        return [agent_random(session).random(), agent_random(session).random()]


def test_each_invocation_draws_from_one_seed_of_its_own() -> None:
    end = drive([Step(Draws, ("x",), "draw"), Step(Draws, ("x",), "draw")])
    seeds = log(end, "Draws", ImportedFunctionInvoked)
    assert [seed.function_name for seed in seeds] == 2 * ["golem:random/seed"]
    assert {len(decode(seed.outcome)) for seed in seeds} == {32}
    assert len({number for _, numbers in end.results for number in numbers}) == 4


# --- what is not the agent's own --------------------------------------------------------------------


async def look_and_fail(error: BaseException) -> None:
    SEEN.append(current())
    DONE.set()
    raise error


@agent
def leaves_something_to_close(name: str) -> None:
    session = current()
    assert session is not None
    error = ValueError("no") if name == "fails" else asyncio.CancelledError()
    session.on_host(lambda: look_and_fail(error))


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
def test_what_runs_aside_is_not_the_agent_s_and_may_fail(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Runtime.memory() as runtime:
        runtime.trigger(leaves_something_to_close, how).result(timeout=30)
        assert DONE.wait(30)
    gc.collect()
    assert SEEN == [None]
    assert not caplog.records


@durable(function_type=FunctionType.READ_LOCAL)
async def look() -> str:
    SEEN.append("looked")
    return "looked"


def on_a_loop_of_its_own() -> str:
    with pytest.raises(NotDurableError, match=r"instead of using asyncio.run\(\)"):
        asyncio.run(look())
    return "refused"


@agent
def runs_a_loop(name: str) -> str:
    return on_a_loop_of_its_own()


@agent
async def runs_a_loop_in_a_thread(name: str) -> str:
    return await asyncio.to_thread(on_a_loop_of_its_own)


@pytest.mark.parametrize("target", [runs_a_loop, runs_a_loop_in_a_thread])
def test_d2_durable_calls_on_another_loop_are_refused(target: Any) -> None:
    assert drive([Step(target, ("x",))]).results == (("result", "refused"),)
