"""What begins and ends in the oplog: when it ends, what hinders it, and what replay says of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import (
    FunctionType,
    PersistenceLevel,
    RetryPolicy,
    agent,
    atomically,
    durable,
    get_oplog_index,
    idempotence_mode,
    mark_begin_operation,
    mark_end_operation,
    retry_policy,
    saga,
    set_oplog_index,
)
from golem_sdk.core.entries import (
    BeginAtomicRegion,
    EndAtomicRegion,
    EndRemoteWrite,
    Entry,
    ExportedFunctionInvoked,
    ImportedFunctionInvoked,
    Jump,
)
from golem_sdk.durability import (
    begin_durable_function,
    current,
    end_durable_function,
    persist_durable_function_invocation,
)
from golem_sdk.errors import UsageError
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import End, Step, drive

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = FunctionType.WRITE_REMOTE_BATCHED
DONE: list[Any] = []


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    DONE.clear()


@durable
def send(what: str) -> str:
    DONE.append(what)
    return what


@durable
async def send_async(what: str) -> str:
    DONE.append(what)
    return what


def log(end: End, *kinds: type[Entry]) -> list[tuple[int, Any]]:
    (oplog,) = end.oplogs.values()
    return [(index, entry) for index, entry in oplog if isinstance(entry, kinds)]


# --- regions ----------------------------------------------------------------------------------------


@agent
async def region_over_a_task(name: str) -> str:
    with atomically():
        send("first")
        slow = asyncio.create_task(send_async("second"))
        await asyncio.sleep(0)
    return await slow


@agent
async def region_beside_a_task(name: str) -> str:
    async def once() -> str:
        with idempotence_mode(False):
            return await send_async("once")

    slow = asyncio.create_task(once())
    with atomically():
        await asyncio.sleep(0)
    return await slow


@pytest.mark.parametrize("target", [region_over_a_task, region_beside_a_task])
def test_only_a_write_begun_in_it_that_must_not_be_made_twice_keeps_a_region_open(
    target: Any,
) -> None:
    assert drive([Step(target, ("x",))], suspend_after_s=1e9).results[0][0] == "result"


@agent
async def leaves_a_task_and_a_region(name: str) -> str:
    async def leftover() -> None:
        try:
            await asyncio.sleep(1e6)
        finally:
            await send_async("cleaned up")

    mark_begin_operation()
    task = asyncio.create_task(leftover())
    DONE.append(task)
    await send_async("in the region")
    return "done"


def test_a_region_ends_with_the_code_of_the_invocation_not_with_that_of_its_leftovers() -> None:
    end = drive([Step(leaves_a_task_and_a_region, ("x",))], suspend_after_s=1e9)
    assert end.results == (("result", "done"),)
    entries = log(end, BeginAtomicRegion, EndAtomicRegion, ImportedFunctionInvoked)
    assert [type(entry) for _, entry in entries] == [
        BeginAtomicRegion,
        ImportedFunctionInvoked,
        EndAtomicRegion,
        ImportedFunctionInvoked,
    ]


@agent
def fails_in_an_operation(name: str) -> str:
    with retry_policy(RetryPolicy(max_attempts=3, min_delay=0.1)):
        begin = mark_begin_operation()
        send("first")
        down()
        mark_end_operation(begin)
    return "done"


@durable
def down() -> None:
    DONE.append("down")
    if DONE.count("down") == 1:
        raise ConnectionError("down")


def test_a_call_in_an_operation_that_is_ended_by_hand_is_not_made_again_alone() -> None:
    end = drive([Step(fails_in_an_operation, ("x",))], suspend_after_s=1e9)
    assert end.results == (("result", "done"),)
    assert DONE == ["first", "down", "first", "down"]


@agent
def region_first(name: str) -> str:
    with atomically():
        send("inside")
    return "done"


def test_nothing_is_dropped_from_a_region_in_which_nothing_was_done() -> None:
    ((begin, _), *_) = log(drive([Step(region_first, ("x",))]), BeginAtomicRegion)
    end = drive([Step(region_first, ("x",))], [CrashPoint(begin, CrashMoment.DURABLE)])
    assert end.results == (("result", "done"),)
    assert log(end, Jump) == []


@agent
def region_in_an_announced_batch(name: str) -> str:
    with idempotence_mode(False):
        begin = begin_durable_function(BATCH)
        try:
            with atomically():
                persist_durable_function_invocation("part", None, None, BATCH)
                DONE.append("tried")
                raise ValueError("once more")
        except ValueError as error:
            end_durable_function(BATCH, begin)
            return str(error)


def test_a_region_in_a_batch_that_is_never_made_again_is_not_run_again() -> None:
    """Replay would come to the batch, and nobody would know what became of it."""
    end = drive([Step(region_in_an_announced_batch, ("x",))])
    assert end.results == (("result", "once more"),)
    assert DONE == ["tried"]


# --- places -----------------------------------------------------------------------------------------


@agent
def jumps_to_its_own_begin(name: str) -> str:
    send("once")
    if DONE.count("once") == 1:
        set_oplog_index(2)
    return "done"


def test_the_begin_of_the_invocation_can_be_jumped_to() -> None:
    end = drive([Step(jumps_to_its_own_begin, ("x",))])
    assert [index for index, _ in log(end, ExportedFunctionInvoked)] == [2]
    assert end.results == (("result", "done"),)
    assert DONE == ["once", "once"]


@agent
def jumps_behind_a_write(name: str) -> str:
    with idempotence_mode(False):
        send("once")
    session = current()
    assert session is not None
    if not DONE.count("jumped"):
        DONE.append("jumped")
        send("dropped")
        set_oplog_index(DONE_AT[0])
    return send("after")


DONE_AT = [0]


def test_one_can_jump_to_the_end_of_a_write_that_is_never_made_again() -> None:
    DONE.append("jumped")
    ((ended, _),) = log(drive([Step(jumps_behind_a_write, ("x",))]), EndRemoteWrite)
    DONE_AT[0] = ended
    DONE.clear()
    assert drive([Step(jumps_behind_a_write, ("x",))]).results == (("result", "after"),)
    assert DONE == ["once", "jumped", "dropped", "after"]
    DONE_AT[0] = ended - 1
    DONE.clear()
    end = drive([Step(jumps_behind_a_write, ("x",))])
    assert end.results[0][:2] == ("error", "UsageError")


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        act()
    return str(caught.value)


@agent
def is_refused_a_jump(name: str) -> str:
    with atomically():
        place = get_oplog_index()
        said = refusal(lambda: set_oplog_index(place))
    return send(said)


def test_a_jump_is_refused_in_replay_as_it_was_live() -> None:
    calm = drive([Step(is_refused_a_jump, ("x",))])
    assert "is always run again" in calm.results[0][1]
    ((sent, _),) = log(calm, ImportedFunctionInvoked)
    point = CrashPoint(sent, CrashMoment.LOST)
    assert drive([Step(is_refused_a_jump, ("x",))], [point]).results == calm.results


@agent
def saga_in_a_whole_region(name: str) -> str:
    def begin() -> None:
        with saga(infallible=True):
            pass

    with atomically():
        return refusal(begin)


def test_it_is_told_what_cannot_begin_in_a_region() -> None:
    end = drive([Step(saga_in_a_whole_region, ("x",))])
    assert end.results[0][1].startswith("saga(infallible=True) cannot begin here. What began at ")


@agent
def ends_what_was_never_begun(name: str) -> list[str]:
    session = current()
    assert session is not None
    operations = session.operations
    return [
        refusal(lambda: operations.end_region(99)),
        refusal(lambda: operations.change_level(PersistenceLevel.SMART, 99)),
    ]


def test_what_was_never_begun_cannot_end() -> None:
    end = drive([Step(ends_what_was_never_begun, ("x",))])
    missing = ["no atomic region that is open", "no change of the persistence level"]
    assert end.results[0][1] == [
        f"99 is {what}: it was ended already, or never begun" for what in missing
    ]
    assert log(end, EndAtomicRegion) == []


VERSION = [1]


@agent
def announces_thrice(name: str) -> str:
    with idempotence_mode(False):
        return send("cup") if VERSION[0] == 1 else send("plate")


def test_d1_another_write_is_not_taken_for_the_one_that_was_announced() -> None:
    VERSION[0] = 1
    ((ended, _),) = log(drive([Step(announces_thrice, ("x",))]), EndRemoteWrite)
    end = drive(
        [Step(announces_thrice, ("x",))],
        [CrashPoint(ended, CrashMoment.DURABLE)],
        on_crash=lambda crashes: VERSION.__setitem__(0, 2),
    )
    assert end.results[0][:2] == ("error", "DivergenceError")
    assert "recorded : BeginRemoteWrite" in end.results[0][2][1]
