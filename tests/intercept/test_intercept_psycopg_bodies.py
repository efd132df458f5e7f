"""What functions decorated with @durable do with a connection of psycopg of their agent."""

from __future__ import annotations

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
