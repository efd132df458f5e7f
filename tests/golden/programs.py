"""The agents whose histories are golden. A release's golden store holds what they did: never change them.

New shapes of agents are added as new agents, with their calls in `CALLS`.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from functools import partial
from typing import Any

from golden.sample import VALUES
from golem_sdk import (
    FunctionType,
    PersistenceLevel,
    RetryPolicy,
    agent,
    atomically,
    checkpoint,
    durable,
    get,
    get_oplog_index,
    idempotence_mode,
    persistence_level,
    retry_policy,
    saga,
    set_oplog_index,
)
from golem_sdk.transactions import transaction

__all__ = ["CALLS", "DIE", "EFFECTS", "LATER_S", "PARKED", "RESULTS", "UNFINISHED"]

EFFECTS: list[str] = []
"""What was really done in this process."""

DIE = "GOLDEN_DIE"
"""The effect named by this variable kills the process."""

LATER_S = 30 * 24 * 3600


@durable
def golden_effect(what: str) -> str:
    EFFECTS.append(what)
    if os.environ.get(DIE) == what:
        os._exit(9)
    return f"{what} done"


@durable
async def golden_effect_async(what: str) -> str:
    await asyncio.sleep(0)
    EFFECTS.append(what)
    return f"{what} done"


@durable(function_type=FunctionType.READ_REMOTE)
def golden_flaky(what: str) -> str:
    EFFECTS.append(what)
    if EFFECTS.count(what) < 2:
        raise ConnectionError(f"{what} is down")
    return f"{what} works"


@durable
def golden_value(name: str) -> Any:
    return VALUES[name]


@transaction(lambda: sqlite3.connect(os.environ["GOLDEN_DATABASE"]))
def golden_note(tx: sqlite3.Connection, text: str) -> int:
    tx.execute("CREATE TABLE IF NOT EXISTS notes (text TEXT)")
    tx.execute("INSERT INTO notes VALUES (?)", (text,))
    count: int = tx.execute("SELECT count(*) FROM notes").fetchone()[0]
    return count


@agent
class GoldenSync:
    def __init__(self, name: str) -> None:
        self.done = [golden_effect(f"open {name}")]

    def add(self, what: str) -> list[str]:
        print(f"adding {what}")
        self.done.append(golden_effect(what))
        return self.done

    def fail(self) -> None:
        raise LookupError("golden failure", {"code": 7})

    def long(self) -> str:
        return golden_effect("x" * 70_000)

    def nap(self) -> list[str]:
        time.sleep(LATER_S)
        return self.add("after the nap")

    def all(self) -> list[str]:
        return [text[:20] for text in self.done]


@agent
class GoldenValues:
    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def keep(self, name: str) -> Any:
        self.kept[name] = golden_value(name)
        return self.kept[name]

    def give(self, name: str) -> Any:
        return self.kept[name]


@agent
async def golden_async(names: list[str]) -> list[str]:
    async def one(name: str) -> str:
        return await golden_effect_async(name)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(name)) for name in names]
    return [task.result() for task in tasks]


@agent
async def golden_sleeper(name: str) -> str:
    await golden_effect_async(f"{name} lies down")
    await asyncio.sleep(LATER_S)
    return await golden_effect_async(f"{name} wakes")


@agent
def golden_guards(name: str) -> list[Any]:
    with atomically():
        first = golden_effect("atomic one")
        second = golden_effect("atomic two")
    with retry_policy(RetryPolicy(max_attempts=3, min_delay=0.01, max_delay=0.01)):
        third = golden_flaky("flaky")
    with idempotence_mode(False):
        fourth = golden_effect("once")
    with persistence_level(PersistenceLevel.PERSIST_NOTHING):
        pass
    again = checkpoint()
    begin = get_oplog_index()
    if golden_effect("try") and EFFECTS.count("try") == 1:
        set_oplog_index(begin)
    return [first, second, third, fourth, again is not None]


@agent
def golden_observed(name: str) -> str:
    with persistence_level(PersistenceLevel.PERSIST_NOTHING):
        golden_effect("observed")
    return golden_effect("recorded")


def golden_undo(done: str) -> None:
    golden_effect(f"undo {done}")


@agent
def golden_saga(plan: list[str]) -> str:
    try:
        with saga() as steps:
            for what in plan:
                steps.step(partial(golden_effect, what), golden_undo)
            raise ValueError("sold out")
    except ValueError as error:
        return f"undone: {error}"


@agent
def golden_ledger(day: str) -> list[int]:
    return [golden_note(f"{day} begins"), golden_note(f"{day} ends")]


@agent
def golden_caller(name: str) -> list[str]:
    other = get(GoldenSync, f"called by {name}")
    other.add("a call")
    return other.all()


@agent
def golden_payout(cents: int) -> str:
    with idempotence_mode(False):
        return golden_effect(f"wire {cents}")


@agent
def golden_interrupted(name: str) -> str:
    golden_effect("first half")
    return golden_effect("second half")


Call = tuple[Any, tuple[Any, ...], str | None, tuple[Any, ...]]

CALLS: dict[str, Call] = {
    "add": (GoldenSync, ("a",), "add", ("book",)),
    "fail": (GoldenSync, ("a",), "fail", ()),
    "long": (GoldenSync, ("a",), "long", ()),
    "async": (golden_async, (["x", "y", "z"],), None, ()),
    "guards": (golden_guards, ("g",), None, ()),
    "observed": (golden_observed, ("o",), None, ()),
    "saga": (golden_saga, (["seat", "room"],), None, ()),
    "ledger": (golden_ledger, ("Monday",), None, ()),
    "caller": (golden_caller, ("c",), None, ()),
    **{f"value {name}": (GoldenValues, (), "keep", (name,)) for name in VALUES},
}
"""Finished in the golden store, in this order: agent, identity, method, arguments."""

UNFINISHED: dict[str, Call] = {
    "nap": (GoldenSync, ("sleeper",), "nap", ()),
    "queued": (GoldenSync, ("sleeper",), "add", ("queued",)),
    "sleeper": (golden_sleeper, ("Ada",), None, ()),
    "interrupted": (golden_interrupted, ("i",), None, ()),
}
"""Begun or queued in the golden store."""

PARKED: Call = (golden_payout, (5,), None, ())
"""Nobody knows whether its write happened."""

RESULTS: dict[str, Any] = {
    "add": ["open a done", "book done"],
    "long": "x" * 70_000 + " done",
    "async": ["x done", "y done", "z done"],
    "guards": ["atomic one done", "atomic two done", "flaky works", "once done", True],
    "observed": "recorded done",
    "saga": "undone: sold out",
    "ledger": [1, 2],
    "caller": ["open called by c done"[:20], "a call done"],
    "nap": ["open sleeper done", "after the nap done"],
    "queued": ["open sleeper done", "after the nap done", "queued done"],
    "sleeper": "Ada wakes done",
    "interrupted": "second half done",
    "scheduled": ["open later done", "on time done"],
}
"""What the calls give, whoever asks and whenever."""
