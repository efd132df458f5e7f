"""What functions decorated with @durable do with a connection of sqlite3 of their agent, several at once."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import durable
from intercept.replaying import run, run_async
from intercept.suite.cases_sqlite import DatabaseFile
from intercept.test_intercept_sqlite import error, lines

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_transaction_is_not_ended_by_a_function_on_another_thread() -> None:
    connections: list[sqlite3.Connection] = []
    begun, ended = threading.Event(), threading.Event()

    @durable
    def note() -> None:
        with connections[-1] as connection:
            connection.execute("INSERT INTO log VALUES ('kept')")
            begun.set()
            assert ended.wait(60)

    @durable
    def look_on() -> None:
        assert begun.wait(60)

    @durable
    def end() -> None:
        ended.set()

    def body() -> None:
        connections.append(sqlite3.connect(file.path))
        with ThreadPoolExecutor(2) as pool:
            noting = pool.submit(note)
            try:
                pool.submit(look_on).result()
            finally:
                pool.submit(end).result()
            noting.result()
        connections[-1].close()

    with DatabaseFile() as file:
        run(body)
        assert lines(file) == ["kept"]


def test_what_a_durable_function_closes_is_open_afterwards() -> None:
    connections: list[sqlite3.Connection] = []

    @durable
    def note() -> None:
        with connections[-1] as connection:
            connection.execute("INSERT INTO log VALUES ('kept')")
        connection.execute("INSERT INTO log VALUES ('dropped')")
        connection.close()
        with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
            connection.execute("SELECT 1")

    @durable
    def close() -> None:
        connections[-1].close()

    def body() -> list[Any]:
        connections.append(connection := sqlite3.connect(file.path))
        note()
        told: list[Any] = connection.execute("SELECT line FROM log").fetchall()
        connection.execute("INSERT INTO log VALUES ('the agent')")
        told.append(str(error(close)))
        connection.commit()
        connection.close()
        return told

    with DatabaseFile() as file:
        runs = run(body)
        assert lines(file) == ["kept", "the agent"]
    found, refused = runs.live
    assert found == ("kept",)
    assert "closes a connection on which the agent's code has begun" in refused
    assert runs.replayed == runs.live


def is_closed(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError as error:
        return "closed database" in str(error)
    return False


def test_what_agent_code_has_closed_stays_closed() -> None:
    connections: list[sqlite3.Connection] = []

    @durable
    def close() -> None:
        connections[-1].close()

    def body() -> bool:
        connections.append(connection := sqlite3.connect(file.path))
        connection.close()
        close()
        return is_closed(connection)

    with DatabaseFile() as file:
        runs = run(body)
    assert runs.replayed == runs.live
    assert runs.live


def test_what_a_durable_function_closes_is_open_for_agent_code_beside_it() -> None:
    connections: list[sqlite3.Connection] = []
    closed, was_used = threading.Event(), threading.Event()

    @durable
    async def close() -> bool:
        connections[-1].close()
        closed.set()
        await asyncio.to_thread(was_used.wait, 30)
        return is_closed(connections[-1])

    @durable
    async def until_it_is_closed() -> None:
        await asyncio.to_thread(closed.wait, 30)

    async def beside() -> Any:
        await until_it_is_closed()
        found = connections[-1].execute("SELECT 1").fetchone()
        connections[-1].close()
        was_used.set()
        return found

    async def body() -> list[Any]:
        connections.append(connection := sqlite3.connect(file.path))
        told = await asyncio.gather(close(), beside())
        return [*told, is_closed(connection)]

    with DatabaseFile() as file:
        runs = run_async(body)
    assert runs.replayed == runs.live == [True, (1,), True]


def test_a_cursor_goes_on_when_a_durable_function_has_closed_its_connection() -> None:
    connections: list[sqlite3.Connection] = []
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i FROM n"

    @durable
    def close() -> None:
        connections[-1].close()

    def body() -> list[Any]:
        connections.append(connection := sqlite3.connect(file.path))
        first, second = connection.execute(numbers), connection.execute(numbers)
        told = [next(first), next(second)]
        close()
        told.append(second.execute("SELECT 'anew'").fetchone())
        return [*told, len(first.fetchall())]

    with DatabaseFile() as file:
        runs = run(body)
    assert runs.replayed == runs.live == [(1,), (1,), ("anew",), 4999]


def test_a_thread_of_a_durable_function_is_refused_the_agents_connection() -> None:
    connections: list[sqlite3.Connection] = []
    behind: list[asyncio.Task[Any]] = []
    over = asyncio.Event()

    def in_a_thread(work: Callable[[], Any]) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(work).result()

    @durable
    async def note() -> list[str]:
        connection = connections[-1]
        told = in_a_thread(lambda: error(lambda: connection.execute("DELETE FROM log")))
        in_a_thread(connection.close)
        await asyncio.to_thread(connection.execute, "INSERT INTO log VALUES ('kept')")
        connection.commit()

        async def late() -> str:
            await over.wait()
            return str(error(lambda: connection.execute("DELETE FROM log")))

        behind.append(asyncio.create_task(late()))
        return [str(told)]

    @durable
    async def look() -> str:
        over.set()
        late: str = await behind[-1]
        return late

    async def body() -> list[Any]:
        connections.append(connection := sqlite3.connect(file.path))
        return [*await note(), await look(), connection.execute("SELECT * FROM log").fetchall()]

    with DatabaseFile() as file:
        runs = run_async(body)
        assert lines(file) == ["kept"]
    *refused, found = runs.live
    assert ["neither its code nor a function" in each for each in refused] == [True, True]
    assert found == [("kept",)]
    assert runs.replayed == runs.live
