"""One face for all kinds of connections: the same test programs run on each."""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import Callable
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy
from attrs import define, field
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from golem_sdk.transactions import transaction
from golem_sdk.transactions.outcomes import DEFAULT_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = [
    "sqlite3",
    "psycopg",
    "psycopg-async",
    "sqlalchemy-sqlite",
    "sqlalchemy-postgresql",
    "sqlalchemy-postgresql-async",
]


@define
class Database:
    """One database behind one kind of connection.

    Attributes:
        connect: what is given to `transaction`.
        plain: opens a connection of the driver, to look in from outside.
        runs: the names of the calls whose function has run, in order.
    """

    kind: str
    connect: Callable[[], Any]
    plain: Callable[[], Any]
    runs: list[str] = field(factory=list)

    @property
    def is_async(self) -> bool:
        return self.kind.endswith("-async")

    @property
    def is_sqlite(self) -> bool:
        return "sqlite" in self.kind

    def reset(self) -> None:
        self.runs.clear()
        self.execute(f"DROP TABLE IF EXISTS {DEFAULT_TABLE}")
        self.execute("DROP TABLE IF EXISTS accounts")
        self.execute("CREATE TABLE accounts (name TEXT PRIMARY KEY, cents BIGINT NOT NULL)")
        self.execute("INSERT INTO accounts VALUES ('a', 1000), ('b', 0)")

    def execute(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """From outside, at once."""
        with closing(self.plain()) as connection:
            marked = statement if self.is_sqlite else statement.replace("?", "%s")
            cursor = connection.execute(marked, values)
            rows = cursor.fetchall() if cursor.description else []
            connection.commit()
            return rows

    @property
    def balances(self) -> dict[str, int]:
        return dict(self.execute("SELECT name, cents FROM accounts"))

    @property
    def rows(self) -> int:
        """How many outcomes are kept; -1: there is no table."""
        try:
            return int(self.execute(f"SELECT count(*) FROM {DEFAULT_TABLE}")[0][0])
        except (sqlite3.OperationalError, psycopg.errors.UndefinedTable):
            return -1

    def transaction(
        self,
        *statements: str,
        name: str = "work",
        then: Callable[[Any], object] = lambda tx: None,
        result: Callable[[], object] = lambda: None,
        connect: Callable[[], Any] | None = None,
    ) -> Callable[[], Any]:
        """A decorated function that executes statements; ``then`` may do more, and be awaited."""

        def sync(tx: Any) -> object:
            self.runs.append(name)
            for statement in statements:
                raw_execute(tx)(statement)
            then(tx)
            return result()

        async def not_sync(tx: Any) -> object:
            self.runs.append(name)
            for statement in statements:
                await raw_execute(tx)(statement)
            more = then(tx)
            if inspect.isawaitable(more):
                await more
            return result()

        return transaction(connect or self.connect)(not_sync if self.is_async else sync)


def raw_execute(tx: Any) -> Callable[[str], Any]:
    """How this kind of connection executes a statement."""
    execute: Callable[[str], Any] = getattr(tx, "exec_driver_sql", None) or tx.execute
    return execute


def taken(cents: int) -> tuple[str, str]:
    """The statements that move money from a to b."""
    return (
        f"UPDATE accounts SET cents = cents - {cents} WHERE name = 'a'",
        f"UPDATE accounts SET cents = cents + {cents} WHERE name = 'b'",
    )


@contextmanager
def open_database(kind: str, path: Path, conninfo: str) -> Iterator[Database]:
    def plain() -> Any:
        return psycopg.connect(conninfo) if conninfo else sqlite3.connect(path)

    engine: sqlalchemy.Engine | None = None
    connect: Callable[[], Any] = plain
    if kind == "psycopg-async":

        async def connect_async() -> Any:
            return await psycopg.AsyncConnection.connect(conninfo)

        connect = connect_async
    elif kind.startswith("sqlalchemy"):
        url = "sqlite://" if "sqlite" in kind else "postgresql+psycopg://"
        if kind.endswith("-async"):
            parts = dict(part.split("=") for part in conninfo.split())
            asynchronous = create_async_engine(url, connect_args=parts, poolclass=NullPool)
            connect, engine = asynchronous.connect, asynchronous.sync_engine
        else:
            engine = sqlalchemy.create_engine(url, creator=plain, poolclass=NullPool)
            connect = engine.connect
    database = Database(kind, connect, plain)
    database.reset()
    yield database
    if engine is not None:
        engine.dispose()


# --- payments in one file: for what is special about a place or a driver ---------------------------


def paid(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute("SELECT count(*) FROM paid").fetchone()[0]
        return found


def pay(tx: Any, cents: int = 1) -> int:
    tx.execute("INSERT INTO paid VALUES (?)", (cents,))
    return cents
