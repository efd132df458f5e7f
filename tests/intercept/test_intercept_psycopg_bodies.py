"""What functions decorated with @durable do with a connection of psycopg of their agent."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from golem_sdk import durable
from golem_sdk.errors import NotDurableError
from intercept.replaying import run, run_async
from intercept.suite.cases_psycopg import Postgres
from intercept.test_intercept_psycopg import lines
from intercept.test_intercept_sqlite import error

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def database() -> Iterator[Postgres]:
    with Postgres() as database:
        yield database


def test_a_durable_function_uses_the_agents_connection(database: Postgres) -> None:
    connections: list[psycopg.Connection[Any]] = []

    @durable
    def note() -> None:
        connections[-1].execute("INSERT INTO log VALUES ('inside')")
        connections[-1].commit()

    def body() -> None:
        connections.append(psycopg.connect(database.conninfo))
        note()
        connections[-1].close()

    runs = run(body)
    assert [name for name in runs.calls if name.startswith("psycopg")] == ["psycopg.connect"]
    assert lines(database) == ["inside"]


def test_a_durable_function_ends_its_transactions(database: Postgres) -> None:
    connections: list[psycopg.Connection[Any]] = []

    @durable
    def note(line: str) -> None:
        connections[-1].execute("INSERT INTO log VALUES (%s)", [line])

    @durable
    def look() -> int:
        (count,) = connections[-1].execute("SELECT count(*) FROM log").fetchall()[0]
        return int(count)

    def body() -> list[Any]:
        connections.append(connection := psycopg.connect(database.conninfo))
        told: list[Any] = [str(error(lambda: note("left open")))]
        told += [look(), connection.info.transaction_status.name]
        connection.execute("INSERT INTO log VALUES ('kept')")
        told += [str(error(lambda: note("in it"))), look()]
        connection.commit()
        connection.close()
        return told

    runs = run(body)
    left_open, *found, in_it, seen = runs.live
    assert "has left a transaction open" in left_open
    assert found == [0, "IDLE"]
    assert "a transaction that the agent's code has begun" in in_it
    assert seen == 1
    assert runs.replayed == runs.live
    assert lines(database) == ["kept"]


def test_an_async_durable_function_ends_its_transactions(database: Postgres) -> None:
    connections: list[psycopg.AsyncConnection[Any]] = []

    @durable
    async def note(*, whole: bool) -> None:
        await connections[-1].execute("INSERT INTO log VALUES (%s)", [whole])
        if whole:
            await connections[-1].commit()

    async def body() -> list[Any]:
        connections.append(await psycopg.AsyncConnection.connect(database.conninfo))
        await note(whole=True)
        with pytest.raises(NotDurableError, match="has left a transaction open"):
            await note(whole=False)
        status = connections[-1].info.transaction_status.name
        await connections[-1].close()
        return [status]

    runs = run_async(body)
    assert runs.live == runs.replayed == ["IDLE"]
    assert lines(database) == ["true"]


def test_what_a_durable_function_closes_is_open_afterwards(database: Postgres) -> None:
    connections: list[psycopg.Connection[Any]] = []

    @durable
    def note(line: str) -> bool:
        with connections[-1] as connection:  # commits, and closes it
            connection.execute("INSERT INTO log VALUES (%s)", [line])
        with pytest.raises(psycopg.OperationalError, match="closed"):
            connection.execute("SELECT 1")
        return connection.closed

    @durable
    def drop() -> None:
        connections[-1].execute("INSERT INTO log VALUES ('dropped')")
        connections[-1].close()

    @durable
    def drop_it() -> None:
        connections[-1].close()

    def body() -> list[Any]:
        connections.append(connection := psycopg.connect(database.conninfo))
        told: list[Any] = [note("kept"), connection.closed]
        drop()
        told += connection.execute("SELECT line FROM log").fetchall()
        told.append(str(error(drop_it)))
        connection.commit()
        connection.close()
        return [*told, connection.closed]

    runs = run(body)
    *told, refused, closed = runs.live
    assert told == [True, False, ("kept",)]
    assert "closes a connection on which the agent's code has begun a transaction" in refused
    assert closed
    assert runs.replayed == runs.live
    assert lines(database) == ["kept"]


def test_a_durable_function_that_has_committed_may_read_on(database: Postgres) -> None:
    connections: list[psycopg.Connection[Any]] = []

    @durable
    def counted() -> int:
        connections[-1].execute("INSERT INTO log VALUES ('one')")
        connections[-1].commit()
        (count,) = connections[-1].execute("SELECT count(*) FROM log").fetchall()[0]
        return int(count)

    def body() -> list[Any]:
        connections.append(connection := psycopg.connect(database.conninfo))
        found = [counted(), connection.info.transaction_status.name]
        connection.close()
        return found

    runs = run(body)
    assert runs.live == runs.replayed == [1, "IDLE"]
    assert lines(database) == ["one"]


def test_what_a_durable_function_sets_holds_as_long_as_it_runs(database: Postgres) -> None:
    connections: list[psycopg.Connection[Any]] = []

    @durable
    def note(line: str) -> str:
        connections[-1].autocommit = True
        connections[-1].execute("SET application_name TO 'noting'")
        connections[-1].execute("INSERT INTO log VALUES (%s)", [line])
        return str(connections[-1].execute("SHOW application_name").fetchall()[0][0])

    def body() -> list[Any]:
        connections.append(connection := psycopg.connect(database.conninfo))
        connection.execute("SET application_name TO 'agent'")
        connection.commit()
        found: list[Any] = [note("kept"), connection.autocommit]
        found += connection.execute("SHOW application_name").fetchall()[0]
        connection.execute("INSERT INTO log VALUES ('dropped')")
        connection.rollback()
        connection.close()
        return found

    runs = run(body)
    assert runs.live == runs.replayed == ["noting", False, "agent"]
    assert lines(database) == ["kept"]


def test_a_durable_function_fails_with_its_own_error(database: Postgres) -> None:
    connections: list[psycopg.Connection[Any]] = []

    @durable
    def note(line: object) -> None:
        connections[-1].execute("INSERT INTO log VALUES ('begun')")
        connections[-1].execute("INSERT INTO items VALUES (%s)", [line])
        connections[-1].commit()

    def body() -> list[Any]:
        connections.append(connection := psycopg.connect(database.conninfo))
        with pytest.raises(psycopg.errors.InvalidTextRepresentation) as caught:
            note("no number")
        found = [caught.value.__notes__, connection.info.transaction_status.name]
        connection.close()
        return found

    runs = run(body)
    rolled_back = "The transaction that it left open was rolled back."
    assert runs.live == runs.replayed == [[rolled_back], "IDLE"]
    assert lines(database) == []


def test_a_transaction_is_not_ended_by_who_has_no_part_in_it(database: Postgres) -> None:
    connections: list[psycopg.AsyncConnection[Any]] = []
    begun, ended = asyncio.Event(), asyncio.Event()

    @durable
    async def note() -> None:
        await connections[-1].execute("INSERT INTO log VALUES ('kept')")
        begun.set()
        await ended.wait()
        await connections[-1].commit()

    @durable
    async def look_on() -> None:
        await begun.wait()

    @durable
    async def end() -> None:
        ended.set()

    async def body() -> None:
        connections.append(await psycopg.AsyncConnection.connect(database.conninfo))
        noting = asyncio.create_task(note())
        await look_on()
        await end()
        await noting
        await connections[-1].close()

    run_async(body)
    assert lines(database) == ["kept"]


def test_the_last_function_at_a_connection_ends_its_transaction(database: Postgres) -> None:
    connections: list[psycopg.AsyncConnection[Any]] = []
    begun, left = asyncio.Event(), asyncio.Event()

    @durable
    async def note() -> None:
        await connections[-1].execute("INSERT INTO log VALUES ('kept')")
        begun.set()
        await left.wait()
        await connections[-1].commit()

    @durable
    async def look() -> int:
        await begun.wait()
        found = await connections[-1].execute("SELECT count(*) FROM log")
        (count,) = await found.fetchall()
        return int(count[0])

    @durable
    async def leave() -> None:
        left.set()

    async def body() -> list[Any]:
        connections.append(await psycopg.AsyncConnection.connect(database.conninfo))
        noting = asyncio.create_task(note())
        found: list[Any] = [await look()]
        await leave()
        await noting
        found.append(connections[-1].info.transaction_status.name)
        await connections[-1].close()
        return found

    runs = run_async(body)
    assert runs.live == runs.replayed == [1, "IDLE"]
    assert lines(database) == ["kept"]


def test_statements_at_once_open_one_connection(database: Postgres) -> None:
    connections: list[psycopg.AsyncConnection[Any]] = []

    @durable
    async def note() -> None:
        (connection,) = connections
        connection._link.drop()  # type: ignore[attr-defined]  # as if after a crash
        await asyncio.gather(
            *(connection.execute("INSERT INTO log VALUES (%s)", [line]) for line in "ab")
        )
        await connection.commit()

    async def body() -> None:
        connections[:] = [await psycopg.AsyncConnection.connect(database.conninfo)]
        await note()
        await connections[-1].close()

    run_async(body)
    assert sorted(lines(database)) == ["a", "b"]


def test_a_thread_of_a_durable_function_is_refused_the_agents_connection(
    database: Postgres,
) -> None:
    connections: list[psycopg.Connection[Any]] = []

    @durable
    def note() -> list[str]:
        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(error, lambda: connections[-1].execute("DELETE FROM items"))
            pool.submit(connections[-1].close).result()
        return [str(told.result())]

    def body() -> list[Any]:
        connections.append(connection := psycopg.connect(database.conninfo))
        connection.execute("INSERT INTO log VALUES ('kept')")
        told: list[Any] = [*note(), connection.closed]
        connection.commit()
        connection.close()
        return told

    runs = run(body)
    refused, closed = runs.live
    assert "neither its code nor a function" in refused
    assert not closed
    assert runs.replayed == runs.live
    assert lines(database) == ["kept"]
