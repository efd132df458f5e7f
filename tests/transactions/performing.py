"""Makes transactions of the test databases, in agents, outside, and under keys of the test's choice."""

from __future__ import annotations

import asyncio
import inspect
import itertools
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

from golem_sdk import Runtime, agent
from golem_sdk.transactions.outcomes import Claim
from golem_sdk.transactions.perform import Fate, Work, transact
from golem_sdk.transactions.steps import run, run_async
from transactions.databases import raw_execute, taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.transactions.steps import Steps
    from transactions.databases import Database

TELLERS = itertools.count()
"""The key of a call is the same in every store, so each test agent has a name of its own."""


def agent_over(database: Database, *calls: Callable[[], Any]) -> Any:
    """An agent that makes these calls; an exception of one becomes a text in its place."""

    @agent
    async def async_teller(name: str) -> list[Any]:
        results = []
        for call in calls:
            try:
                results.append(await call())
            except Exception as error:
                results.append(f"{type(error).__name__}: {error}")
        return results

    @agent
    def teller(name: str) -> list[Any]:
        results = []
        for call in calls:
            try:
                results.append(call())
            except Exception as error:
                results.append(f"{type(error).__name__}: {error}")
        return results

    return async_teller if database.is_async else teller


def results(database: Database, *calls: Callable[[], Any]) -> list[Any]:
    """What an agent gets from these calls."""
    with Runtime.memory() as runtime:
        found: list[Any] = runtime.run(agent_over(database, *calls), f"teller {next(TELLERS)}")
        return found


def completed(database: Database, call: Callable[[], Any]) -> Any:
    """The result of a call outside agents."""
    if database.is_async:
        return asyncio.run(call())
    return call()


def steps_of(
    database: Database, body: Callable[[Any], Any], key: str = "k", request: object = 1
) -> Steps[Any]:
    """What an agent's call performs, under a key of the test's choice."""

    async def body_async(tx: Any) -> Any:
        found = body(tx)
        return await found if inspect.isawaitable(found) else found

    work = Work(
        "pay", database.connect, database.is_async, body_async if database.is_async else body
    )
    return transact(
        work,
        Claim.of("golem_outcomes", uuid5(NAMESPACE_OID, key), "pay", request, "agent()"),
        Fate(False),
    )


def row_key() -> str:
    """The key of the row of `steps_of`."""
    return str(uuid5(NAMESPACE_OID, "k"))


def performed(database: Database, steps: Steps[Any]) -> Any:
    return asyncio.run(run_async(steps)) if database.is_async else run(steps)


def take(database: Database, cents: int) -> Callable[[Any], Any]:
    """A function that moves money and says how often it ran."""

    async def body_async(tx: Any) -> int:
        database.runs.append("take")
        for statement in taken(cents):
            await raw_execute(tx)(statement)
        return len(database.runs)

    def body(tx: Any) -> int:
        database.runs.append("take")
        for statement in taken(cents):
            raw_execute(tx)(statement)
        return len(database.runs)

    return body_async if database.is_async else body
