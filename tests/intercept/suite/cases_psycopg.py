"""Statements through psycopg, blocking and asynchronous."""

from __future__ import annotations

import os
from contextlib import ExitStack
from datetime import date
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row, namedtuple_row

from intercept.suite.case import Case
from transactions.cluster import NoPostgresError, running

if TYPE_CHECKING:
    from typing import Self

__all__ = ["CASES", "Postgres"]

TABLES = """
DROP TABLE IF EXISTS items, log;
CREATE TABLE items (id SERIAL PRIMARY KEY, name TEXT UNIQUE, size NUMERIC, made DATE, body BYTEA, more JSONB);
INSERT INTO items (name, size, made, body, more)
    VALUES ('one', 1.5, '2026-01-02', '\\x0001ff', '{"a": [1]}'), ('two', NULL, NULL, NULL, NULL);
CREATE TABLE log (line TEXT);
"""

_SERVER = ExitStack()
"""Open until this process ends."""


@cache
def server() -> str:
    """The connection string of this process's own server; without one the test is skipped."""
    try:
        conninfo = _SERVER.enter_context(running())
    except NoPostgresError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    import atexit

    atexit.register(_SERVER.close)
    return conninfo


class Postgres:
    """Two tables, new for each run.

    Attributes:
        conninfo: how to connect.
        writes: the lines of the log, when it is over.
        trace: all that was in the tables.
    """

    def __init__(self) -> None:
        self.conninfo = ""
        self.writes: list[str] = []
        self.trace: list[object] = []

    def __enter__(self) -> Self:
        self.conninfo = server()
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(TABLES)
        return self

    def __exit__(self, *_: object) -> None:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            self.writes = [line for (line,) in connection.execute("SELECT line FROM log")]
            self.trace = [*self.writes, *connection.execute("SELECT * FROM items ORDER BY id")]
            connection.execute("DROP TABLE items, log")


def reads(database: Postgres) -> list[Any]:
    with psycopg.connect(database.conninfo) as connection:
        cursor = connection.execute("SELECT * FROM items WHERE id < %s ORDER BY id", (9,))
        types = [(column.name, column.type_code) for column in cursor.description or ()]
        first, rest = cursor.fetchone(), cursor.fetchall()
        by_name = (
            connection.cursor(row_factory=dict_row).execute("SELECT 1 AS a, 2 AS b").fetchall()
        )
        named: Any = (
            connection.cursor(row_factory=namedtuple_row).execute("SELECT 1 AS a").fetchone()
        )
        two = connection.execute("SELECT 1; SELECT 2")
        sets = [two.fetchone(), two.nextset(), two.fetchone(), two.nextset()]
        numbers = [n for (n,) in connection.execute("SELECT generate_series(1, 3)")]
        status = connection.info.transaction_status.name
        return [types, first, rest, by_name, named.a, sets, numbers, status]


def writes(database: Postgres) -> list[Any]:
    with psycopg.connect(database.conninfo) as connection:
        changed = connection.execute("UPDATE items SET size = 2 WHERE size IS NULL").rowcount
        connection.execute("INSERT INTO log VALUES (%(line)s)", {"line": "first"})
        connection.commit()
        connection.execute("INSERT INTO log VALUES ('never')")
        connection.rollback()
        with connection.transaction():
            row = connection.execute(
                "INSERT INTO items (name, size, made) VALUES (%s, %s, %s) RETURNING name, size, made",
                ("new", Decimal("0.10"), date(2026, 3, 4)),
            ).fetchone()
            with connection.transaction(force_rollback=True):
                connection.execute("DELETE FROM items")
        count = connection.execute("SELECT count(*) FROM items").fetchone()
    return [changed, row, count, connection.closed]


async def writes_async(database: Postgres) -> list[Any]:
    async with await psycopg.AsyncConnection.connect(database.conninfo) as connection:
        cursor = await connection.execute("SELECT name, more FROM items ORDER BY id")
        rows = [row async for row in cursor]
        await connection.execute("INSERT INTO log VALUES ('one')")
        async with connection.cursor() as other:
            await other.executemany("UPDATE items SET size = %s WHERE id = %s", [(1, 1), (2, 2)])
            changed = other.rowcount
    return [rows, changed, connection.closed]


def no_such_table(database: Postgres) -> object:
    with psycopg.connect(database.conninfo) as connection:
        return connection.execute("SELECT * FROM nothing")


def doubles(database: Postgres) -> object:
    with psycopg.connect(database.conninfo) as connection:
        return connection.execute("INSERT INTO items (name) VALUES ('one')")


async def no_such_server(database: Postgres) -> object:
    return await psycopg.AsyncConnection.connect("host=/nowhere/at/all")


CASES = [
    Case("psycopg-reads", "psycopg", reads, no_such_table, Postgres),
    Case("psycopg-writes", "psycopg", writes, doubles, Postgres),
    Case("psycopg-async", "psycopg", writes_async, no_such_server, Postgres),
]
