"""Writes that must not be made twice: what is announced, announced again, and noted as over."""

from __future__ import annotations

import asyncio
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import (
    FunctionType,
    RetryPolicy,
    Runtime,
    agent,
    atomically,
    durable,
    idempotence_mode,
    retry_policy,
)
from golem_sdk.core.entries import BeginRemoteWrite, EndRemoteWrite
from golem_sdk.core.plan import fold_plan
from golem_sdk.durability import begin_durable_function, end_durable_function
from golem_sdk.errors import (
    AgentFencedSignal,
    RuntimeClosedError,
    UndecidedError,
    UnknownOutcomeError,
    UsageError,
)
from golem_sdk.runtime.announcing import Announcements
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.environment import VirtualEnvironment

if TYPE_CHECKING:
    from golem_sdk.core.entries import OplogIndex

SENT: list[str] = []
HANGS = Event()


@durable
def announce_it(what: str) -> int:
    SENT.append(what)
    return len(what)


@durable
async def announce_and_hang(what: str) -> str:
    SENT.append(what)
    if HANGS.is_set():
        await asyncio.Event().wait()
    return what


@agent
def announces(name: str, length: int) -> int:
    with idempotence_mode(False):
        return announce_it("x" * length)


@agent
async def gives_up_writing(name: str) -> str:
    with idempotence_mode(False):
        try:
            async with asyncio.timeout(0.01):
                return await announce_and_hang(name)
        except TimeoutError:
            return "given up"


@agent
def announces_in_a_region(name: str) -> str:
    with retry_policy(RetryPolicy(max_attempts=3)), atomically():
        with idempotence_mode(False):
            announce_it(name)
        raise ConnectionError("after the write")


@agent
def announces_in_parts(name: str) -> int:
    with idempotence_mode(False):
        begin = begin_durable_function(FunctionType.WRITE_REMOTE_BATCHED)
        length = announce_it(name)
        end_durable_function(FunctionType.WRITE_REMOTE_BATCHED, begin)
    return length


@agent
async def ends_in_two_tasks(name: str) -> str:
    with idempotence_mode(False):
        begin = begin_durable_function(FunctionType.WRITE_REMOTE_BATCHED)

        async def end() -> None:
            end_durable_function(FunctionType.WRITE_REMOTE_BATCHED, begin)

        await asyncio.create_task(end())
        try:
            await end()
        except UsageError as error:
            return str(error)
    return "it was ended twice"


@durable
async def announce_and_fail(what: str) -> str:
    SENT.append(what)
    if len(SENT) == 1:
        raise UndecidedError("nobody knows yet")
    return what


@agent
async def writes_in_an_hour_again(name: str) -> str:
    hourly = RetryPolicy(min_delay=3600, max_delay=3600, retry_on=UndecidedError)
    with idempotence_mode(False), retry_policy(hourly):
        return await announce_and_fail(name)


@pytest.fixture(autouse=True)
def fresh() -> None:
    SENT.clear()
    HANGS.clear()


def opened(engine: MemoryEngine) -> Runtime:
    return Runtime.over(engine, VirtualEnvironment(), Settings(write_behind_s=None))


class TimelessEnvironment(VirtualEnvironment):
    """No timer is ever due."""

    def _may_pass_to(self, when_ns: int) -> bool:
        return False


def killed(writes: Announcements, call: object) -> None:
    """In place of `Announcements.performed`: the process ends before it is noted."""
    session = writes.operations.session
    session.end(AgentFencedSignal(RuntimeClosedError("it was killed")))
    session.check()


def interrupted(target: Any, *args: Any) -> MemoryEngine:
    """A store whose process was killed between a write and the note of it."""
    engine = MemoryEngine()
    with pytest.MonkeyPatch.context() as patch, opened(engine) as runtime:
        patch.setattr(Announcements, "performed", killed)
        runtime.trigger(target, *args)
        runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
        return engine.snapshot()


def kinds(runtime: Runtime, agent_id: str) -> list[type]:
    wanted = (BeginRemoteWrite, EndRemoteWrite)
    return [type(entry) for _, entry in runtime.oplog(agent_id) if isinstance(entry, wanted)]


def open_begins(runtime: Runtime, agent_id: str) -> list[OplogIndex]:
    return list(fold_plan(runtime.oplog(agent_id)).open_begins)


def test_a_long_request_is_announced_and_found_again() -> None:
    engine = MemoryEngine()
    for _ in range(2):  # made, and replayed
        with opened(engine) as runtime:
            assert runtime.run(announces, "x", 3_000_000) == 3_000_000
        engine = engine.snapshot()
    assert len(SENT) == 1


def test_a_region_with_an_announced_write_is_not_run_again() -> None:
    with opened(MemoryEngine()) as runtime, pytest.raises(ConnectionError, match="after the write"):
        runtime.run(announces_in_a_region, "x")
    assert SENT == ["x"]


def test_a_write_in_parts_is_over_when_it_was_ended() -> None:
    with opened(MemoryEngine()) as runtime:
        assert runtime.run(announces_in_parts, "x") == 1
        agent_id = 'announces_in_parts("x")'
        begins, ends = [BeginRemoteWrite] * 2, [EndRemoteWrite] * 2  # of all of it, and of its part
        assert kinds(runtime, agent_id) == begins + ends
        assert open_begins(runtime, agent_id) == []


def test_a_write_in_parts_ends_once() -> None:
    with opened(MemoryEngine()) as runtime:
        refused = runtime.run(ends_in_two_tasks, "x")
        assert "it was ended already, or never begun" in refused
        assert kinds(runtime, 'ends_in_two_tasks("x")') == [BeginRemoteWrite, EndRemoteWrite]


def test_a_write_that_was_announced_again_is_unknown_again() -> None:
    engine = interrupted(announces, "x", 1)
    agent_id = 'announces("x", 1)'
    with opened(engine) as runtime:
        with pytest.raises(UnknownOutcomeError) as first:
            runtime.run(announces, "x", 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Announcements, "performed", killed)
            runtime.resume(agent_id, happened=False)
            runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
        engine = engine.snapshot()
    assert SENT == ["x", "x"]
    with opened(engine) as runtime:
        with pytest.raises(UnknownOutcomeError) as second:
            runtime.run(announces, "x", 1)
        assert second.value.index > first.value.index
        assert "announce_it" in second.value.call
        assert open_begins(runtime, agent_id) == [second.value.index]
    assert SENT == ["x", "x"], "and is not made a third time"


def test_a_write_that_was_announced_again_can_be_given_up() -> None:
    engine = interrupted(gives_up_writing, "x")
    HANGS.set()
    with Runtime.over(engine, RealEnvironment(), Settings()) as runtime:  # time passes meanwhile
        handle = runtime.trigger(gives_up_writing, "x")
        with pytest.raises(UnknownOutcomeError):
            handle.result(30)
        runtime.resume(handle, happened=False)
        assert handle.result(30) == "given up"
        assert open_begins(runtime, handle.agent_id) == []
        assert kinds(runtime, handle.agent_id) == [BeginRemoteWrite, EndRemoteWrite] * 2


def test_a_write_that_is_announced_again_waits_until_it_is_to_be_made_again() -> None:
    engine = MemoryEngine()
    for resumed in (False, True):
        frozen = TimelessEnvironment()
        with Runtime.over(engine, frozen, Settings(write_behind_s=None)) as runtime:
            handle = runtime.trigger(writes_in_an_hour_again, "x")
            if resumed:
                with pytest.raises(UnknownOutcomeError):
                    handle.result(30)
                runtime.resume(handle, happened=False)
            frozen.rest(30)
            assert SENT == ["x"]
        engine = engine.snapshot()
    with opened(engine) as runtime:
        with pytest.raises(UnknownOutcomeError):
            runtime.run(writes_in_an_hour_again, "x")
        assert kinds(runtime, handle.agent_id) == [
            BeginRemoteWrite,
            EndRemoteWrite,
            BeginRemoteWrite,
        ]
