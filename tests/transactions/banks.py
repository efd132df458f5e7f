"""The same bank in every database, and agents that move money between its accounts."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from attrs import frozen
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from golem_sdk import agent, atomically, idempotence_mode
from golem_sdk.transactions import transaction

__all__ = ["BANK", "BANKS", "Bank", "pay", "pay_async", "pay_carefully", "pay_together", "query_of"]


@frozen
class Bank:
    """A database with accounts.

    Attributes:
        is_async: whether it connects asynchronously.
        is_postgres: whether it needs the server.
    """

    name: str
    is_async: bool
    is_postgres: bool


BANKS = [
    Bank("sqlite3", False, False),
    Bank("sqlalchemy-sqlite", False, False),
    Bank("psycopg", False, True),
    Bank("sqlalchemy-postgres", False, True),
    Bank("psycopg-async", True, True),
    Bank("sqlalchemy-async", True, True),
]


class World:
    """Where the bank of the present test is."""

    bank = BANKS[0]
    where = ""
    bodies = 0

    def connect(self) -> Any:
        match self.bank.name:
            case "sqlite3":
                return sqlite3.connect(self.where)
            case "sqlalchemy-sqlite":
                return sqlalchemy.create_engine(f"sqlite:///{self.where}", poolclass=NullPool)
            case "psycopg":
                return psycopg.connect(self.where)
            case "psycopg-async":
                return psycopg.AsyncConnection.connect(self.where)
        url = sqlalchemy.URL.create("postgresql+psycopg", query=query_of(self.where))
        if self.bank.is_async:
            return create_async_engine(url, poolclass=NullPool)
        return sqlalchemy.create_engine(url, poolclass=NullPool)

    def plain(self) -> Any:
        """A synchronous connection that commits by itself, to look from outside."""
        if self.bank.is_postgres:
            return psycopg.connect(self.where, autocommit=True)
        return sqlite3.connect(self.where, isolation_level=None)

    def open(self, bank: Bank, where: str) -> None:
        self.bank, self.where, self.bodies = bank, where, 0
        if not bank.is_postgres:
            Path(where).unlink(missing_ok=True)
        with closing(self.plain()) as connection:
            for statement in (
                "DROP TABLE IF EXISTS account",
                "DROP TABLE IF EXISTS golem_outcomes",
                "CREATE TABLE account (name VARCHAR(9) PRIMARY KEY, cents INTEGER)",
                "INSERT INTO account VALUES ('ada', 500), ('bob', 0)",
            ):
                connection.execute(statement)

    def balances(self) -> dict[str, int]:
        with closing(self.plain()) as connection:
            return dict(connection.execute("SELECT name, cents FROM account").fetchall())

    def outcomes(self) -> int:
        with closing(self.plain()) as connection:
            (count,) = connection.execute("SELECT count(*) FROM golem_outcomes").fetchone()
            return int(count)


def query_of(where: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in where.split(" "))


BANK = World()


def connect() -> Any:
    return BANK.connect()


def statement(sql: str) -> Any:
    return sqlalchemy.text(sql) if "sqlalchemy" in BANK.bank.name else sql


def change(name: str, by: int) -> Any:
    return statement(
        f"UPDATE account SET cents = cents + {by} WHERE name = '{name}' RETURNING cents"
    )


@transaction(connect)
def move(tx: Any, cents: int, fails: bool = False) -> int:
    BANK.bodies += 1
    (left,) = tx.execute(change("ada", -cents)).fetchone()
    if fails:
        raise LookupError("no bob")
    tx.execute(change("bob", cents)).fetchone()
    return int(left)


@transaction(connect)
async def move_async(tx: Any, cents: int, fails: bool = False) -> int:
    BANK.bodies += 1
    cursor = await tx.execute(change("ada", -cents))
    row = cursor.fetchone()
    (left,) = await row if asyncio.iscoroutine(row) else row
    if fails:
        raise LookupError("no bob")
    await tx.execute(change("bob", cents))
    return int(left)


@agent
def pay(times: int) -> list[Any]:
    paid: list[Any] = [move(10 * number) for number in range(1, times + 1)]
    try:
        move(1, fails=True)
    except LookupError as error:
        paid.append(str(error))
    return paid


@agent
async def pay_async(times: int) -> list[Any]:
    paid: list[Any] = []
    if BANK.bank.is_async:
        paid += [await move_async(10 * number) for number in range(1, times + 1)]
        try:
            await move_async(1, fails=True)
        except LookupError as error:
            paid.append(str(error))
    else:
        paid += [await asyncio.to_thread(move, 10 * number) for number in range(1, times + 1)]
        try:
            await asyncio.to_thread(move, 1, fails=True)
        except LookupError as error:
            paid.append(str(error))
    return paid


@agent
def pay_carefully(times: int) -> list[Any]:
    """Asking the database is never forbidden."""
    with idempotence_mode(False):
        return [move(10 * number) for number in range(1, times + 1)]


@agent
def pay_together(times: int) -> list[Any]:
    """A region that runs again finds what was committed."""
    with atomically():
        return [move(10 * number) for number in range(1, times + 1)]
