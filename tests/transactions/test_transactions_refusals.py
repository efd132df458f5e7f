"""What `transaction` refuses, with what it says."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy

from golem_sdk import Runtime, agent
from golem_sdk.errors import UsageError
from golem_sdk.transactions import forget_outcomes, transaction
from transactions.databases import paid, pay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


# --- where it is decorated ------------------------------------------------------------------------


@pytest.mark.parametrize("connect", [None, "bank.db", sqlite3])
def test_connect_is_called(connect: Any) -> None:
    with pytest.raises(UsageError, match="a function that opens a connection"):
        transaction(connect)


@pytest.mark.parametrize(
    "table", ["", "two words", "x;y", 'a"b', "a.b.c", "schema.", "x" * 64, "tä", 5]
)
def test_the_table_is_an_identifier(table: Any) -> None:
    with pytest.raises(UsageError, match="plain identifier"):
        transaction(lambda: None, table=table)
    with pytest.raises(UsageError, match="plain identifier"):
        forget_outcomes(None, timedelta(1), table=table)


def test_what_is_decorated_is_a_function_with_a_connection() -> None:
    decorate: Callable[[Any], Any] = transaction(lambda: None)

    def items(tx: Any) -> Iterator[int]:
        yield 1

    class Teller:
        def move(self, tx: Any) -> None: ...

    with pytest.raises(UsageError, match="is a generator"):
        decorate(items)
    with pytest.raises(UsageError, match="is a method"):
        decorate(Teller.move)
    with pytest.raises(UsageError, match="no first argument"):
        decorate(lambda: None)
    with pytest.raises(UsageError, match="goes on a function"):
        decorate(Teller)


def test_callers_do_not_see_the_connection(path: Path) -> None:
    decorated = transaction(lambda: sqlite3.connect(path))(pay)
    assert str(inspect.signature(decorated)) == "(cents: 'int' = 1) -> 'int'"
    assert decorated(cents=5) == 5
    static: Any = transaction(lambda: sqlite3.connect(path))(staticmethod(pay))
    assert static.__func__(6) == 6
    assert paid(path) == 2


# --- what connect() gives -------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, "bank.db", object()])
def test_only_connections_are_taken(given: object) -> None:
    with pytest.raises(UsageError, match="no database connection that @transaction knows"):
        transaction(lambda: given)(pay)()


def test_a_cursor_is_no_connection(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        with pytest.raises(UsageError, match=r"sqlite3\.Cursor"):
            transaction(connection.cursor)(pay)()
        with pytest.raises(UsageError, match="no database connection"):
            forget_outcomes(connection.cursor(), timedelta(1))


def test_a_connection_that_commits_by_itself_is_refused(path: Path, postgres: str) -> None:
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(postgres),
        poolclass=sqlalchemy.pool.NullPool,
        isolation_level="AUTOCOMMIT",
    )
    for connect in (
        engine.connect,
        lambda: engine.connect().execution_options(isolation_level="AUTOCOMMIT"),
    ):
        with pytest.raises(UsageError, match="commits every statement by itself"):
            transaction(connect)(pay)()
    engine.dispose()


def pay_and_fail(tx: Any) -> None:
    tx.execute("INSERT INTO paid VALUES (1)")
    raise LookupError


def test_or_is_told_not_to(path: Path, postgres: str) -> None:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, isolation_level=None)

    with pytest.raises(LookupError):
        transaction(connect)(pay_and_fail)()
    assert paid(path) == 0
    transaction(connect)(pay)()
    assert paid(path) == 1

    def connect_to_server() -> Any:
        return psycopg.connect(postgres, autocommit=True)

    with closing(connect_to_server()) as server:
        server.execute("DROP TABLE IF EXISTS paid")
        server.execute("CREATE TABLE paid (cents INTEGER)")
        with pytest.raises(LookupError):
            transaction(connect_to_server)(pay_and_fail)()
        assert server.execute("SELECT count(*) FROM paid").fetchone() == (0,)
        server.execute("DROP TABLE paid")


def test_an_open_transaction_is_refused(path: Path, postgres: str) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=sqlalchemy.pool.NullPool)

    def begun(connection: Any, statement: Any) -> Any:
        connection.execute(statement)
        return connection

    for connect in (
        lambda: begun(sqlite3.connect(path), "INSERT INTO paid VALUES (1)"),
        lambda: begun(psycopg.connect(postgres), "SELECT 1"),
        lambda: begun(engine.connect(), sqlalchemy.text("SELECT 1")),
    ):
        with pytest.raises(UsageError, match="with an open transaction"):
            transaction(connect)(pay)()
    assert paid(path) == 0
    engine.dispose()


def test_other_databases_are_refused() -> None:
    engine = sqlalchemy.create_mock_engine("mysql://", lambda *_: None)

    class Mysql(sqlalchemy.Connection):
        dialect = engine.dialect

        def __init__(self) -> None: ...

        def rollback(self) -> None: ...

        def close(self) -> None: ...

    with pytest.raises(UsageError, match="not with mysql"):
        transaction(Mysql)(pay)()


def test_blocking_and_asynchronous_are_not_mixed(path: Path, postgres: str) -> None:
    @transaction(lambda: sqlite3.connect(path))
    async def pay_async(tx: Any) -> None:
        pay(tx)

    with pytest.raises(UsageError, match="blocks: it would hold up"):
        asyncio.run(pay_async())
    blocking = transaction(lambda: psycopg.AsyncConnection.connect(postgres))(pay)
    with pytest.raises(UsageError, match="write `async def`"):
        blocking()
    assert paid(path) == 0


def test_what_connect_raises_is_the_outcome(path: Path) -> None:
    missing = transaction(lambda: sqlite3.connect(path / "nothing"))(pay)

    @agent
    def careful(name: str) -> str:
        try:
            missing()
        except sqlite3.OperationalError as error:
            return str(error)
        return "paid"

    with Runtime.memory() as runtime:
        assert runtime.run(careful, "Ada") == "unable to open database file"
