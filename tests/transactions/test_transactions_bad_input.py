"""What goes wrong with a transaction, and what is said then."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.pool import NullPool

from golem_sdk import RetryPolicy, Runtime, agent, retry_policy
from golem_sdk.errors import EncodingError, StoreCorruptError, UsageError
from golem_sdk.transactions import forget_outcomes, transaction
from transactions.banks import BANK, BANKS, connect, move, move_async, pay, query_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from transactions.banks import Bank

START = {"ada": 500, "bob": 0}
MOVED = {"ada": 490, "bob": 10}


def test_outside_agents_it_is_a_plain_transaction(bank: Bank) -> None:
    if bank.is_async:
        assert asyncio.run(move_async(10)) == 490
        with pytest.raises(LookupError):
            asyncio.run(move_async(10, fails=True))
    else:
        assert move(10) == 490
        with pytest.raises(LookupError):
            move(10, fails=True)
    assert BANK.balances() == MOVED
    with pytest.raises((sqlite3.OperationalError, psycopg.errors.UndefinedTable)):
        BANK.outcomes()


class LosesCommit(sqlite3.Connection):
    """The connection breaks while it commits, before or after the database has."""

    lost: str = ""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "COMMIT" and LosesCommit.lost and self.in_transaction:
            lost, LosesCommit.lost = LosesCommit.lost, ""
            if lost == "after":
                super().execute(sql)
            raise sqlite3.OperationalError(f"the connection was lost {lost} the commit")
        return super().execute(sql, *parameters)


def connect_losing() -> sqlite3.Connection:
    return sqlite3.connect(BANK.where, factory=LosesCommit)


@transaction(connect_losing)
def move_losing(tx: Any, cents: int) -> str:
    LosesCommit.lost = HOW[0]
    tx.execute(f"UPDATE account SET cents = cents - {cents} WHERE name = 'ada'")
    tx.execute(f"UPDATE account SET cents = cents + {cents} WHERE name = 'bob'")
    return "moved"


HOW = [""]


@agent
def losing(policy: str) -> str:
    attempts = 3 if policy == "again" else 1
    with retry_policy(
        RetryPolicy(max_attempts=attempts, min_delay=0.001, retry_on=sqlite3.OperationalError)
    ):
        return move_losing(10)


@pytest.mark.parametrize(
    ("how", "policy", "result", "balances"),
    [
        ("after", "once", "moved", MOVED),
        ("before", "once", "the connection was lost before the commit", START),
        ("before", "never-again", "the connection was lost before the commit", START),
        ("after", "again", "moved", MOVED),
    ],
)
def test_p3_a_connection_that_is_lost_while_it_commits(
    sqlite: Bank, how: str, policy: str, result: str, balances: dict[str, int]
) -> None:
    # the table is made first, so that the only commit that is lost is the one that matters
    with Runtime.memory() as runtime:
        runtime.run(pay, 0)
        HOW[0] = how
        try:
            got = runtime.run(losing, policy)
        except sqlite3.OperationalError as error:
            got = str(error)
    assert got == result
    assert BANK.balances() == balances


class FailsToClose(sqlite3.Connection):
    """The connection breaks when it is closed."""

    def close(self) -> None:
        super().close()
        raise sqlite3.OperationalError("the connection was lost while it was closed")


@transaction(lambda: sqlite3.connect(BANK.where, factory=FailsToClose))
def move_and_lose(tx: Any, cents: int) -> str:
    tx.execute(f"UPDATE account SET cents = cents - {cents} WHERE name = 'ada'")
    tx.execute(f"UPDATE account SET cents = cents + {cents} WHERE name = 'bob'")
    return "moved"


def test_what_was_committed_has_happened_however_the_connection_ends(sqlite: Bank) -> None:
    assert move_and_lose(10) == "moved"
    assert BANK.balances() == MOVED


def dictionaries() -> Any:
    connection = BANK.connect()
    connection.row_factory = (
        psycopg.rows.dict_row if BANK.bank.is_postgres else lambda cursor, row: {"only": row}
    )
    return connection


@transaction(dictionaries)
def move_with_dictionaries(tx: Any) -> str:
    tx.execute("UPDATE account SET cents = cents - 10 WHERE name = 'ada'")
    tx.execute("UPDATE account SET cents = cents + 10 WHERE name = 'bob'")
    return "moved"


@agent
def pay_with_dictionaries(name: str) -> str:
    return move_with_dictionaries()


@pytest.mark.parametrize("bank", [BANKS[0], BANKS[2]], ids=lambda b: b.name, indirect=True)
def test_p3_rows_of_the_users_own_kind(bank: Bank) -> None:
    with Runtime.memory() as runtime:
        assert runtime.run(pay_with_dictionaries, "x") == "moved"
        runtime.revert('pay_with_dictionaries("x")', to_index=1)  # made again: it asks the database
        assert runtime.run(pay_with_dictionaries, "x") == "moved"
    assert BANK.balances() == MOVED


def test_a_database_that_goes_away_raises_its_own_error(sqlite: Bank) -> None:
    BANK.where += "/nowhere"
    with (
        Runtime.memory() as runtime,
        pytest.raises(sqlite3.OperationalError, match="unable to open"),
    ):
        runtime.run(pay, 1)


def ends(tx: Any) -> None:
    tx.execute("UPDATE account SET cents = 1")
    tx.commit()


def not_encodable(tx: Any) -> object:
    tx.execute("UPDATE account SET cents = 1")
    return object()


BODIES: dict[str, Callable[..., Any]] = {
    "ends": transaction(connect)(ends),
    "not-encodable": transaction(connect)(not_encodable),
    "number": transaction(lambda: 42)(ends),
    "async": transaction(lambda: asyncio.sleep(0))(ends),
}


@agent
def wrong(body: str) -> None:
    BODIES[body]()


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        ("ends", UsageError, "ended its transaction by itself"),
        ("not-encodable", EncodingError, "cannot be stored"),
        ("number", UsageError, r"connect\(\) gave 42"),
        ("async", UsageError, "the connection is asynchronous and the function is not"),
    ],
)
def test_wrong_bodies_and_connections(
    sqlite: Bank, body: str, error: type[Exception], says: str
) -> None:
    with Runtime.memory() as runtime, pytest.raises(error, match=says):
        runtime.run(wrong, body)
    assert BANK.balances() == ({"ada": 1, "bob": 1} if body == "ends" else START)


def test_a_blocking_connection_in_an_async_function(sqlite: Bank) -> None:
    with pytest.raises(UsageError, match="its connection is synchronous"):
        asyncio.run(move_async(10))
    assert BANK.balances() == START


def test_a_connection_that_commits_by_itself_is_refused(postgres: str) -> None:
    engine = sqlalchemy.create_engine(
        sqlalchemy.URL.create("postgresql+psycopg", query=query_of(postgres)),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
    )
    with pytest.raises(UsageError, match="AUTOCOMMIT"):
        transaction(lambda: engine)(ends)()


def test_a_damaged_outcome_is_reported_and_nothing_is_moved_again(sqlite: Bank) -> None:
    with Runtime.memory() as runtime:
        runtime.run(pay, 1)
        before = BANK.balances()
        with closing(BANK.plain()) as connection:
            connection.execute("UPDATE golem_outcomes SET outcome = x'c1'")
        runtime.revert("pay(1)", invocations=1)
        with pytest.raises(StoreCorruptError, match="cannot be read"):
            runtime.run(pay, 1)
    assert BANK.balances() == before


@pytest.mark.parametrize(
    "table", ["", "x; DROP TABLE account", "9lives", "a.b.c", "tür", 7, "x" * 99]
)
def test_table_names(table: Any) -> None:
    with pytest.raises(UsageError, match="identifier"):
        transaction(connect, table=table)


def test_what_is_no_function() -> None:
    with pytest.raises(UsageError, match="a function that connects"):
        transaction(42)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(UsageError, match="no generator"):

        @transaction(connect)
        def items(tx: Any) -> Any:
            yield tx


def test_old_outcomes_are_forgotten(bank: Bank) -> None:
    if bank.is_async:
        BANK.bank = next(b for b in BANKS if not b.is_async and b.is_postgres)
    with Runtime.memory() as runtime:
        runtime.run(pay, 3)
    assert forget_outcomes(connect, timedelta(hours=1)) == 0
    assert forget_outcomes(connect, timedelta(hours=-1)) == 3
    assert BANK.outcomes() == 0
