"""Statements through asyncpg. Pools and the like are in `test_intercept_asyncpg`: cases run too often."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import asyncpg

from intercept.suite.case import Case
from intercept.suite.cases_psycopg import Postgres

__all__ = ["CASES", "LOST", "address"]

LOST = (ConnectionError, asyncpg.ConnectionDoesNotExistError, asyncpg.InterfaceError)
"""What a crash is to code that uses asyncpg."""


def address(database: Postgres) -> dict[str, str]:
    """How to connect."""
    words = dict(word.split("=") for word in database.conninfo.split())
    return {"host": words["host"], "user": words["user"], "database": words["dbname"]}


async def statements(database: Postgres) -> list[Any]:
    done: list[Any] = []
    while True:
        connection = await asyncpg.connect(**address(database))
        try:
            if not done:
                done.append(await connection.fetchval("SELECT $1::numeric + 1", Decimal("0.1")))
            done.append(await connection.execute("INSERT INTO log VALUES ('one')"))
            return done
        except LOST:  # in a crash
            continue
        finally:
            await connection.close()


async def no_such_table(database: Postgres) -> object:
    connection = await asyncpg.connect(**address(database))
    try:
        return await connection.fetch("SELECT * FROM nothing")
    finally:
        await connection.close()


CASES = [Case("asyncpg", "asyncpg", statements, no_such_table, Postgres)]
