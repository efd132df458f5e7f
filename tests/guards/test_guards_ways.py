"""The way back: sagas, checkpoints, levels, batches and calls go in replay the way that they went live."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Any

import pytest

from golem_sdk import (
    FunctionType,
    PersistenceLevel,
    agent,
    atomically,
    checkpoint,
    durable,
    generate_idempotency_key,
    get,
    idempotence_mode,
    persistence_level,
    saga,
    set_oplog_persistence_level,
)
from golem_sdk.durability import (
    begin_durable_function,
    end_durable_function,
    is_live,
)
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive
from guards.everywhere import (
    RUNS,
    SENT,
    begin,
    crashed_everywhere,
    ended,
    fails_first,
    pay,
    send,
)

pytestmark = pytest.mark.usefixtures("fresh")

# --- sagas and checkpoints ------------------------------------------------------------------------


async def trip() -> None:
    async with saga() as s:
        for what in ("flight", "hotel"):
            await s.step(partial(send, what), undo)
        raise LookupError


async def undo(what: str) -> None:
    await asyncio.sleep(3)
    await send(f"no {what}")


@agent
async def gives_up_on_a_trip(name: str) -> str:
    try:
        async with asyncio.timeout(2):
            await trip()
    except TimeoutError:
        return "ok"
    return "in time"


def test_p2_a_cancellation_does_not_stop_a_saga_from_being_undone() -> None:
    for where in crashed_everywhere(gives_up_on_a_trip):
        assert {"flight", "hotel", "no hotel", "no flight"} == set(SENT), where
        assert SENT.index("no hotel") < SENT.index("no flight")


@agent
async def keeps_time(name: str) -> str:
    async def heart() -> None:
        while True:
            await asyncio.sleep(10)

    beating = asyncio.create_task(heart())
    try:
        async with saga(infallible=True) as s:
            await s.step(lambda: fails_first("trip"), print)
    finally:
        beating.cancel()
    return "ok"


def test_a_timer_of_another_task_is_no_obstacle_to_running_again() -> None:
    for _ in crashed_everywhere(keeps_time):
        assert SENT.count("trip") >= 1


@agent
async def tries_again(name: str) -> str:
    start = checkpoint(3)
    return str(await start.run_or_revert(lambda: fails_first("ok")))


def test_run_or_revert_takes_coroutines() -> None:
    for _ in crashed_everywhere(tries_again):
        assert SENT


@agent
async def pays_less(name: str) -> str:
    start = checkpoint()
    RUNS["offers"] += 1
    await pay("first" if RUNS["offers"] == 1 else "second", str(generate_idempotency_key()))
    start.assert_or_revert(RUNS["offers"] > 1)
    return "ok"


def test_p3_what_is_done_after_going_back_has_keys_of_its_own() -> None:
    ended(drive([Step(pays_less, ("x",))], suspend_after_s=1e9), "ok")
    (first, _), (second, _) = SENT
    assert (first, second) == ("first", "second")
    assert SENT[0][1] != SENT[1][1]


@agent
def saga_in_a_region(name: str) -> str:
    with atomically(), saga() as s:
        s.step(lambda: SENT.append("step"), print)
    return "ok"


def test_no_saga_in_a_region() -> None:
    end = drive([Step(saga_in_a_region, ("x",))])
    assert "a saga cannot begin here" in end.results[0][2][0]
    assert SENT == []


# --- levels ---------------------------------------------------------------------------------------


@durable
def write(what: str) -> str:
    SENT.append(what)
    return what


@agent
def dice_in_a_zone(name: str) -> str:
    for level in (PersistenceLevel.PERSIST_NOTHING, PersistenceLevel.PERSIST_REMOTE_SIDE_EFFECTS):
        with persistence_level(level):
            if is_live():
                random.random()
    write(str(random.random()))
    write("end")
    return "ok"


@agent
def guards_in_a_zone(name: str) -> str:
    with persistence_level(PersistenceLevel.PERSIST_NOTHING):
        if is_live():
            with atomically(), persistence_level(PersistenceLevel.SMART):
                write("1")
    write("2")
    return "ok"


@agent
def level_set_in_a_block(name: str) -> str:
    with persistence_level(PersistenceLevel.PERSIST_NOTHING):
        set_oplog_persistence_level(PersistenceLevel.SMART)
        write("1")
    write("2")
    return "ok"


@pytest.mark.parametrize("target", [dice_in_a_zone, guards_in_a_zone, level_set_in_a_block])
def test_p2_replay_goes_the_way_that_was_gone_live(target: Any) -> None:
    for _ in crashed_everywhere(target):
        pass


# --- batches --------------------------------------------------------------------------------------


@durable
async def write_later(what: str, turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
    SENT.append(what)


@agent
async def mixed_batch(name: str) -> str:
    async def batch() -> None:
        begun = begin_durable_function(FunctionType.WRITE_REMOTE_BATCHED)
        await write_later("1", 2)
        await write_later("2", 40)
        await write_later("3", 2)
        end_durable_function(FunctionType.WRITE_REMOTE_BATCHED, begun)

    if name == "pure":
        await batch()
    else:
        await asyncio.gather(batch(), write_later("foreign", 20))
    return "ok"


@pytest.mark.parametrize(("name", "parks"), [("pure", False), ("mixed", True)])
def test_a_batch_with_a_foreign_write_in_it_does_not_run_again(name: str, parks: bool) -> None:
    steps = [Step(mixed_batch, (name,))]
    appends = drive(steps, suspend_after_s=1e9).appends
    ends = set()
    for append in range(1, appends + 1):
        begin()
        end = drive(steps, [CrashPoint(append, CrashMoment.DURABLE)], suspend_after_s=1e9)
        ends.add(end.results[0][1])
    assert ends == ({"ok", "UnknownOutcomeError"} if parks else {"ok"})


# --- calls of other agents ------------------------------------------------------------------------


@agent
class GivingTill:
    def __init__(self, name: str) -> None:
        self.taken: list[str] = []

    async def take(self, what: str) -> None:
        self.taken.append(what)

    def list(self) -> list[str]:
        return self.taken


@agent
def asks_once(name: str) -> list[str]:
    with idempotence_mode(False):
        return get(GivingTill, name).list()


def test_a_call_that_was_not_made_is_made_when_the_operator_says_so() -> None:
    from golem_sdk import Runtime
    from golem_sdk.errors import GolemError, UnknownOutcomeError
    from golem_sdk.runtime.settings import Settings
    from golem_sdk.storage.memory import MemoryEngine
    from golem_sdk.testing.crash import Trap
    from golem_sdk.testing.environment import VirtualEnvironment

    asked = 0
    for append in range(3, 12):
        engine = MemoryEngine()
        trap = Trap(engine, CrashPoint(append, CrashMoment.DURABLE))
        settings = Settings(write_behind_s=None, writer_class=trap.writer_class())
        environment = VirtualEnvironment()
        try:
            with Runtime.over(engine, environment, settings) as runtime:
                runtime.run(asks_once, "t")
        except GolemError:
            pass
        environment.join(60)
        if trap.survivor is None:
            continue
        with Runtime.over(trap.survivor, VirtualEnvironment(1), Settings()) as runtime:
            try:
                assert runtime.run(asks_once, "t") == []
            except UnknownOutcomeError as error:
                runtime.resume(error.agent_id, happened=False)
                assert runtime.run(asks_once, "t") == []
                asked += 1
    assert asked
