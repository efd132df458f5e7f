"""Persistence levels (GOLEM.md §2.7)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from golem_sdk import (
    FunctionType,
    PersistenceLevel,
    agent,
    durable,
    get_oplog_persistence_level,
    persistence_level,
    set_oplog_persistence_level,
)
from golem_sdk.core.entries import DescribeCallSite, ImportedFunctionInvoked, ObservedFunctionCall
from golem_sdk.durability import current, is_live
from golem_sdk.errors import UsageError
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import End, Step, drive

DONE: list[str] = []
NOTHING = PersistenceLevel.PERSIST_NOTHING


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    DONE.clear()


@durable
def send(what: str) -> str:
    DONE.append(what)
    return what


@durable(function_type=FunctionType.READ_LOCAL)
def look(what: str) -> str:
    DONE.append(what)
    return what


@agent
def zone(name: str) -> list[bool]:
    lives = []
    with persistence_level(NOTHING):
        lives.append(is_live())
        if is_live():
            send("in the zone")
    send("after")
    return [True]


@agent
def careless(name: str) -> str:
    with persistence_level(NOTHING):
        send("in the zone")
    return send("after")


@agent
def locals_only(name: str) -> str:
    with persistence_level(PersistenceLevel.PERSIST_REMOTE_SIDE_EFFECTS):
        look("local")
        send("remote")
        send("another")
    return look("recorded")


@durable(name="both", function_type=FunctionType.READ_LOCAL)
def look_at_once(what: str) -> str:
    DONE.append(what)
    return what


@durable(name="both", function_type=FunctionType.READ_LOCAL)
async def look_meanwhile(what: str) -> str:
    DONE.append(f"{what}, meanwhile")
    return what


@agent
async def looks_in_two_ways(name: str) -> None:
    with persistence_level(PersistenceLevel.PERSIST_REMOTE_SIDE_EFFECTS):
        look_at_once("same")
        await look_meanwhile("same")
    await asyncio.sleep(10)


def recorded(end: End) -> list[str]:
    (oplog,) = end.oplogs.values()
    calls = [e.function_name for _, e in oplog if isinstance(e, ImportedFunctionInvoked)]
    return [name.rpartition(".")[2] for name in calls]


def last(target: Any) -> int:
    (oplog,) = drive([Step(target, ("x",))]).oplogs.values()
    DONE.clear()
    return len(oplog)


def test_a_zone_is_told_and_not_replayed() -> None:
    end = drive([Step(zone, ("x",))], [CrashPoint(last(zone), CrashMoment.BEFORE)])
    assert DONE == ["in the zone", "after", "after"] or DONE == ["in the zone", "after"]
    assert recorded(end) == ["send"]
    (oplog,) = end.oplogs.values()
    assert sum(isinstance(entry, ObservedFunctionCall) for _, entry in oplog) == 1


@agent
def tells_where(name: str) -> int:
    with persistence_level(PersistenceLevel.PERSIST_NOTHING):
        for _ in range(2):
            send("in the zone")
    session = current()
    assert session is not None
    return len(session.unrecorded._told)


def test_what_is_told_of_a_zone_names_its_line_once() -> None:
    end = drive([Step(tells_where, ("x",))])
    assert end.results == (("result", 0),), "what was told costs no memory"
    (oplog,) = end.oplogs.values()
    entries = [e for _, e in oplog if isinstance(e, ObservedFunctionCall | DescribeCallSite)]
    site, first, second = entries
    assert isinstance(site, DescribeCallSite)
    assert site.source == 'send("in the zone")'
    assert isinstance(first, ObservedFunctionCall)
    assert isinstance(second, ObservedFunctionCall)
    assert first.site == second.site == site.site


def test_a_raw_effect_in_the_replay_of_a_zone_is_an_error_that_helps() -> None:
    at = last(careless)
    end = drive([Step(careless, ("x",))], [CrashPoint(at - 1, CrashMoment.LOST)])
    assert end.results[0][:2] == ("error", "NotDurableError")
    assert "is_live()" in end.results[0][2][0]


def test_a_crash_inside_a_zone_runs_it_again() -> None:
    (oplog,) = drive([Step(careless, ("x",))]).oplogs.values()
    told = next(at for at, entry in oplog if isinstance(entry, ObservedFunctionCall))
    DONE.clear()
    end = drive([Step(careless, ("x",))], [CrashPoint(told, CrashMoment.LOST)])
    assert end.results == (("result", "after"),)
    assert DONE == ["in the zone", "in the zone", "after"]


def test_local_calls_are_made_again_where_only_remote_ones_are_recorded() -> None:
    end = drive([Step(locals_only, ("x",))], [CrashPoint(last(locals_only), CrashMoment.LOST)])
    assert end.results == (("result", "recorded"),)
    assert recorded(end) == ["send", "send", "look"]
    assert DONE.count("local") == 2
    assert DONE.count("remote") == 1


@agent
async def sleeps_where_remote_ones_are_recorded(name: str) -> None:
    with persistence_level(PersistenceLevel.PERSIST_REMOTE_SIDE_EFFECTS):
        time.sleep(1)
        await asyncio.sleep(1)


def test_waits_are_recorded_at_every_level_but_none() -> None:
    end = drive([Step(sleeps_where_remote_ones_are_recorded, ("x",))])
    assert recorded(end) == ["golem:clock/sleep", "golem:clock/sleep"]


def test_the_level_is_that_of_the_block() -> None:
    seen: list[PersistenceLevel] = []

    @agent
    def levels(name: str) -> None:
        seen.append(get_oplog_persistence_level())
        with persistence_level(NOTHING):
            seen.append(get_oplog_persistence_level())
        set_oplog_persistence_level(NOTHING)
        seen.append(get_oplog_persistence_level())
        set_oplog_persistence_level(PersistenceLevel.SMART)
        send("recorded")

    end = drive([Step(levels, ("x",))])
    assert seen == [PersistenceLevel.SMART, NOTHING, NOTHING]
    assert recorded(end) == ["send"]


@pytest.mark.parametrize("use", [persistence_level, set_oplog_persistence_level])
def test_a_level_is_one_of_three(use: Any) -> None:
    with pytest.raises(UsageError, match="PERSIST_NOTHING"):
        use(2)


LEVEL = {"now": PersistenceLevel.PERSIST_REMOTE_SIDE_EFFECTS}


@agent
def level_that_changes(name: str) -> str:
    with persistence_level(LEVEL["now"]):
        DONE.append("inside")
    return send("after")


def test_d1_another_level_than_recorded_is_refused_where_it_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calm = drive([Step(level_that_changes, ("x",))])
    DONE.clear()
    end = drive(
        [Step(level_that_changes, ("x",))],
        [CrashPoint(calm.appends, CrashMoment.BEFORE)],
        on_crash=lambda _: monkeypatch.setitem(LEVEL, "now", NOTHING),
    )
    assert end.results[0][:2] == ("error", "DivergenceError")
    assert "the persistence level becomes PERSIST_NOTHING" in str(end.results[0])
    assert DONE == ["inside", "after"], "nothing of the block ran again"


def test_what_is_not_recorded_is_not_taken_for_what_was_recorded_next() -> None:
    """What is awaited is recorded also where local reads are not, for its place among the others."""
    end = drive([Step(looks_in_two_ways, ("x",))])  # it is unloaded while it sleeps, and replayed
    assert recorded(end) == ["both", "golem:clock/sleep"]
    assert DONE[:2] == ["same", "same, meanwhile"]
    assert set(DONE[2:]) == {"same"}, "once more in each replay"
