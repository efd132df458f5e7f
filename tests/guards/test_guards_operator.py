"""What an operator can say about a write of which nobody knows whether it happened."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from golem_sdk import (
    FunctionType,
    PersistenceLevel,
    Runtime,
    agent,
    atomically,
    durable,
    idempotence_mode,
    persistence_level,
)
from golem_sdk.core.entries import EndRemoteWrite
from golem_sdk.core.plan import fold_plan
from golem_sdk.core.status import AgentStatus
from golem_sdk.durability import begin_durable_function, end_durable_function
from golem_sdk.errors import AgentNotFoundError, UnknownOutcomeError, UsageError
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.crash import (
    CrashMoment,
    CrashPoint,
    MortalEngine,
    SimulatedCrashError,
    Trap,
)
from golem_sdk.testing.driver import Step, drive
from golem_sdk.testing.environment import VirtualEnvironment

SENT: list[str] = []


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    SENT.clear()


@durable
def send(what: str) -> str:
    SENT.append(what)
    return f"{what} sent"


@agent
def well_known(what: str) -> str:
    return send(what)


@durable
def wire(cents: int) -> str:
    SENT.append(f"wire {cents}")
    return f"sent {cents}"


@durable
async def wire_async(cents: int) -> str:
    SENT.append(f"wire {cents}")
    return f"sent {cents}"


@agent
def pay_out(cents: int) -> list[str]:
    with idempotence_mode(False):
        first = wire(cents)
    return [first, send("receipt")]


@agent
async def pay_out_async(cents: int) -> list[str]:
    with idempotence_mode(False):
        first, _ = await asyncio.gather(wire_async(cents), asyncio.sleep(3))
    return [first, send("receipt")]


def parked_store(target: Any) -> MortalEngine:
    """A store whose agent was interrupted between its write and the note of it."""
    (oplog,) = drive([Step(target, (5,))]).oplogs.values()
    position = next(at for at, entry in oplog if isinstance(entry, EndRemoteWrite))
    engine = MemoryEngine()
    trap = Trap(engine, CrashPoint(position, CrashMoment.BEFORE))
    settings = Settings(suspend_after_s=0, write_behind_s=None, writer_class=trap.writer_class())
    with (
        Runtime.over(engine, VirtualEnvironment(), settings) as runtime,
        pytest.raises(SimulatedCrashError),
    ):
        runtime.trigger(target, 5).result(timeout=60)
    assert trap.survivor is not None
    SENT.clear()
    return trap.survivor


@pytest.mark.parametrize("target", [pay_out, pay_out_async])
@pytest.mark.parametrize("happened", [True, False])
def test_an_operator_says_what_happened(target: Any, happened: bool) -> None:
    engine = parked_store(target)
    with Runtime.over(engine, VirtualEnvironment(), Settings()) as runtime:
        handle = runtime.trigger(target, 5)
        with pytest.raises(UnknownOutcomeError) as caught:
            handle.result(timeout=60)
        assert runtime.metadata(handle).status is AgentStatus.FAILED
        with pytest.raises(
            UnknownOutcomeError
        ):  # who asks again learns it, too, and is not kept waiting
            runtime.run(target, 5)
        runtime.resume(
            caught.value.agent_id, happened=happened, result="by hand" if happened else None
        )
        expected = ["by hand" if happened else "sent 5", "receipt sent"]
        assert handle.result(timeout=60) == expected
        with pytest.raises(UsageError, match="no write with an unknown outcome"):
            runtime.resume(handle, happened=True)
        survivor = engine.snapshot()
    assert (["receipt"] if happened else ["wire 5", "receipt"]) == SENT
    with Runtime.over(survivor, VirtualEnvironment(), Settings()) as runtime:
        assert runtime.trigger(target, 5).result(timeout=60) == expected


@pytest.mark.parametrize("target", [pay_out, pay_out_async])
def test_an_operator_reverts_to_before_the_write(target: Any) -> None:
    with Runtime.over(parked_store(target), VirtualEnvironment(), Settings()) as runtime:
        handle = runtime.trigger(target, 5)
        with pytest.raises(UnknownOutcomeError):
            handle.result(timeout=60)
        begin = min(fold_plan(runtime.oplog(handle)).open_begins)
        with pytest.raises(UsageError, match="inside the write, made with idempotence_mode"):
            runtime.revert(handle, to_index=begin)
        runtime.revert(handle, to_index=begin - 1)
        assert handle.result(timeout=60) == ["sent 5", "receipt sent"]
    assert SENT == ["wire 5", "receipt"]


@agent
def pay_in_parts(cents: int) -> str:
    with idempotence_mode(False):
        begin = begin_durable_function(FunctionType.WRITE_REMOTE_BATCHED)
        sent = send(f"first {cents}")
        end_durable_function(FunctionType.WRITE_REMOTE_BATCHED, begin)
    return sent


def test_a_batch_has_no_one_result_to_tell() -> None:
    with Runtime.over(parked_store(pay_in_parts), VirtualEnvironment(), Settings()) as runtime:
        handle = runtime.trigger(pay_in_parts, 5)
        with pytest.raises(UnknownOutcomeError):
            handle.result(timeout=60)
        for happened in (True, False):
            with pytest.raises(UsageError, match="several parts"):
                runtime.resume(handle, happened=happened)
        runtime.revert(handle, to_index=min(fold_plan(runtime.oplog(handle)).open_begins) - 1)
        assert handle.result(timeout=60) == "first 5 sent"


@agent
def pay_in_a_region(cents: int) -> list[str]:
    with atomically(), idempotence_mode(False):
        return [wire(cents)]


@agent
def pay_at_a_level(cents: int) -> list[str]:
    with (
        persistence_level(PersistenceLevel.PERSIST_REMOTE_SIDE_EFFECTS),
        idempotence_mode(False),
    ):
        return [wire(cents)]


@pytest.mark.parametrize("happened", [True, False])
def test_a_region_would_run_again_whatever_an_operator_says(happened: bool) -> None:
    with Runtime.over(parked_store(pay_in_a_region), VirtualEnvironment(), Settings()) as runtime:
        handle = runtime.trigger(pay_in_a_region, 5)
        with pytest.raises(UnknownOutcomeError):
            handle.result(timeout=60)
        with pytest.raises(UsageError, match="part of an atomic region that was interrupted"):
            runtime.resume(handle, happened=happened)


def test_another_level_hinders_no_operator() -> None:
    with Runtime.over(parked_store(pay_at_a_level), VirtualEnvironment(), Settings()) as runtime:
        handle = runtime.trigger(pay_at_a_level, 5)
        with pytest.raises(UnknownOutcomeError):
            handle.result(timeout=60)
        runtime.resume(handle, happened=True, result="by hand")
        assert handle.result(timeout=60) == ["by hand"]


@pytest.mark.parametrize("target", [pay_out, pay_out_async])
def test_a_later_life_gets_the_same_error(target: Any) -> None:
    found = []
    engine = parked_store(target)
    for _ in range(2):
        with Runtime.over(engine, VirtualEnvironment(), Settings()) as runtime:
            with pytest.raises(UnknownOutcomeError) as caught:
                runtime.trigger(target, 5).result(timeout=60)
            found.append((caught.value.agent_id, caught.value.index, caught.value.call))
            engine = engine.snapshot()
    assert found[0] == found[1]
    assert "wire" in found[0][2]


def test_what_an_operator_cannot_say() -> None:
    with Runtime.memory() as runtime:
        runtime.run(well_known, "x")
        with pytest.raises(UsageError, match="True or False"):
            runtime.resume('well_known("x")', happened="yes")  # type: ignore[arg-type]  # that is the mistake
        with pytest.raises(UsageError, match="has no result"):
            runtime.resume('well_known("x")', happened=False, result=1)
        with pytest.raises(AgentNotFoundError):
            runtime.resume('well_known("y")', happened=False)
