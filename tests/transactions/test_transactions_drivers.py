"""What is special about one driver, or one place to call a transaction from."""

from __future__ import annotations

import sqlite3
import sys
import threading
from contextlib import closing, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID

import psycopg
import pytest

from golem_sdk import Runtime, agent, durable
from golem_sdk.codec.values import decode, encode
from golem_sdk.core.function_type import ANNOUNCED, FunctionType
from golem_sdk.errors import CommitUnknownError, UsageError
from golem_sdk.transactions import forget_outcomes, transaction
from golem_sdk.transactions.outcomes import Claim
from golem_sdk.transactions.perform import Fate, Work, transact
from golem_sdk.transactions.steps import run
from static.source_tree import run_python
from transactions.databases import paid, pay

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def pay_and_fail(tx: Any) -> None:
    tx.execute("INSERT INTO paid VALUES (1)")
    raise LookupError


class FailsToClose(sqlite3.Connection):
    """The connection breaks when it is closed."""

    def close(self) -> None:
        super().close()
        raise sqlite3.OperationalError("the connection was lost while it was closed")


def test_what_was_committed_has_happened_however_the_connection_ends(path: Path) -> None:
    call = transaction(lambda: sqlite3.connect(path, factory=FailsToClose))(pay)
    assert call(5) == 5
    assert paid(path) == 1


def test_a_table_in_a_schema(path: Path) -> None:
    work = Work("pay", lambda: sqlite3.connect(path), False, pay)
    for _ in range(2):
        assert (
            run(
                transact(
                    work, Claim.of("main.kept", NAMESPACE_OID, "pay", 1, "agent()"), Fate(False)
                )
            )
            == 1
        )
    assert paid(path) == 1
    with closing(sqlite3.connect(path)) as connection:
        assert forget_outcomes(connection, timedelta(days=1), table="main.kept") == 0


def test_the_users_row_factory_is_his_own(path: Path) -> None:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path)
        connection.row_factory = lambda cursor, row: {"cents": row[0]}
        connection.text_factory = bytes
        return connection

    def performed() -> Any:
        work = Work("pay", connect, False, lambda tx: tx.execute("SELECT 7").fetchone())
        return run(
            transact(work, Claim.of("kept", NAMESPACE_OID, "pay", 1, "agent()"), Fate(False))
        )

    assert performed() == performed() == {"cents": 7}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sqlite3 has autocommit= since Python 3.12")
@pytest.mark.parametrize("autocommit", [True, False])
def test_the_newer_transaction_control_of_sqlite(path: Path, autocommit: bool) -> None:
    options: dict[str, Any] = {"autocommit": autocommit}
    call = transaction(lambda: sqlite3.connect(path, **options))(pay)
    with pytest.raises(LookupError):
        transaction(lambda: sqlite3.connect(path, **options))(pay_and_fail)()
    assert paid(path) == 0
    assert call() == 1
    assert paid(path) == 1


def test_with_around_the_connection_commits_nothing(path: Path) -> None:
    @transaction(lambda: sqlite3.connect(path))
    def idiom(tx: sqlite3.Connection) -> None:
        with tx:
            pay(tx)

    with pytest.raises(UsageError, match="ends its transaction itself"):
        idiom()
    assert paid(path) == 0


def test_what_was_tried_and_hidden_is_refused_too(path: Path) -> None:
    @transaction(lambda: sqlite3.connect(path))
    def sly(tx: sqlite3.Connection) -> None:
        pay(tx)
        with suppress(sqlite3.DatabaseError):
            tx.commit()

    with pytest.raises(UsageError, match="ends its transaction itself"):
        sly()
    assert paid(path) == 0


def test_inside_a_durable_function_it_is_plain(path: Path) -> None:
    inner = transaction(lambda: sqlite3.connect(path))(pay)

    @durable
    def outer() -> int:
        return inner(5)

    @agent
    def payer(name: str) -> int:
        return outer()

    with Runtime.memory() as runtime:
        assert runtime.run(payer, "Ada") == 5
    assert paid(path) == 1


def test_two_agents_with_the_same_key_are_two(path: Path) -> None:
    inner = transaction(lambda: sqlite3.connect(path))(pay)

    @agent
    class TwoPayers:
        def __init__(self, name: str) -> None:
            self.name = name

        def pay(self) -> int:
            return inner(5)

    with Runtime.memory() as runtime:
        for name in ("Ada", "Bob"):
            runtime.trigger(runtime.get(TwoPayers, name).pay, key="order-17").result(timeout=60)
    assert paid(path) == 2


def test_a_connection_that_postgresql_ends_during_the_commit(postgres: str) -> None:
    """A deferred trigger ends its own server process: the COMMIT has no answer."""
    with psycopg.connect(postgres) as connection:
        connection.execute("DROP TABLE IF EXISTS deadly, kept")
        connection.execute("CREATE TABLE deadly (cents INT)")
        connection.execute(
            "CREATE OR REPLACE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"
        )
        connection.execute(
            "CREATE CONSTRAINT TRIGGER dying AFTER INSERT ON deadly DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION die()"
        )
    work = Work(
        "pay",
        lambda: psycopg.connect(postgres),
        False,
        lambda tx: tx.execute("INSERT INTO deadly VALUES (1)").rowcount,
    )
    claim = Claim.of("kept", NAMESPACE_OID, "pay", 1, "agent()")
    with pytest.raises(psycopg.OperationalError) as caught:
        run(transact(work, claim, Fate(False)))
    assert "was not committed" in caught.value.__notes__[0]
    with psycopg.connect(postgres) as connection:
        connection.execute("DROP TRIGGER dying ON deadly")
    assert run(transact(work, claim, Fate(False))) == run(transact(work, claim, Fate(False))) == 1
    with psycopg.connect(postgres) as connection:
        assert connection.execute("SELECT count(*) FROM deadly").fetchone() == (1,)


def test_serializable_transactions_ask_again(postgres: str) -> None:
    """The row of a duplicate that committed after this one's snapshot is met with a failure first."""

    def connect() -> Any:
        connection = psycopg.connect(postgres)
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        return connection

    def overtaken(tx: Any) -> str:
        runs.append("first")
        duplicate.start()
        with psycopg.connect(postgres, autocommit=True) as looking:
            waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
            assert any(looking.execute(waiting).fetchone() for _ in range(100_000))
        return "once"

    def perform(body: Callable[[Any], str]) -> str:
        claim = Claim.of("serialized", NAMESPACE_OID, "pay", 1, "agent()")
        result: str = run(transact(Work("pay", connect, False, body), claim, Fate(False)))
        return result

    runs: list[str] = []
    results: list[str] = []
    duplicate = threading.Thread(target=lambda: results.append(perform(lambda tx: "twice")))
    results.append(perform(overtaken))
    duplicate.join()
    assert results == ["once", "once"]
    assert runs == ["first"]


@pytest.mark.parametrize("older_than", [5, timedelta(-1), None])
def test_the_age_of_what_is_forgotten(path: Path, older_than: Any) -> None:
    with closing(sqlite3.connect(path)) as connection, pytest.raises(UsageError, match="timedelta"):
        forget_outcomes(connection, older_than)


def test_the_error_of_an_unknown_commit_survives_the_codec() -> None:
    found = decode(encode(CommitUnknownError("lost", "kept", "k")))
    assert (type(found), str(found)) == (CommitUnknownError, "lost")
    assert (found.table, found.key, found.errno) == ("kept", "k", None)


def test_transactions_are_not_announced() -> None:
    assert FunctionType.WRITE_REMOTE_TRANSACTION not in ANNOUNCED


def test_no_driver_is_imported() -> None:
    program = (
        "import sys; import golem_sdk.transactions;"
        "print([m for m in ('sqlite3', 'psycopg', 'sqlalchemy') if m in sys.modules])"
    )
    finished = run_python("-c", program)
    assert finished.stdout == "[]\n", finished.stderr
