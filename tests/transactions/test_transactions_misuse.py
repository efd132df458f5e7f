"""What a function must not do with its transaction, and others with the table, on every connection."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from golem_sdk.errors import OutcomeRowError, UsageError
from golem_sdk.transactions import forget_outcomes
from transactions.databases import raw_execute, taken
from transactions.performing import completed, performed, results, row_key, steps_of, take

if TYPE_CHECKING:
    from transactions.databases import Database


def test_outside_an_agent_it_is_a_plain_transaction(database: Database) -> None:
    lock = threading.Lock()
    assert completed(database, database.transaction(*taken(5), result=lambda: lock)) is lock
    assert database.balances["b"] == 5
    assert database.rows == -1

    def refuse(_: object) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        completed(database, database.transaction(*taken(5), then=refuse))
    assert database.balances["b"] == 5


@pytest.mark.parametrize("inside", [True, False], ids=["in an agent", "outside"])
def test_a_function_must_not_commit(database: Database, inside: bool) -> None:
    call = database.transaction(*taken(5), then=lambda tx: tx.commit())
    if inside:
        (text,) = results(database, call)
    else:
        with pytest.raises(Exception, match=r"commits|forbidden") as caught:
            completed(database, call)
        text = str(caught.value)
    assert "the decorator commits" in text or "commit() forbidden" in text
    assert database.balances["b"] == 0, "it was noticed before it happened"


@pytest.mark.parametrize("statement", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("inside", [True, False], ids=["in an agent", "outside"])
def test_a_function_that_ends_the_transaction_in_sql_is_told(
    database: Database, statement: str, inside: bool
) -> None:
    call = database.transaction(*taken(5), statement)
    if inside:
        (text,) = results(database, call)
    else:
        with pytest.raises(UsageError) as caught:
            completed(database, call)
        text = f"UsageError: {caught.value}"
    assert text.startswith("UsageError: the function of a @transaction ends its transaction itself")
    committed = statement == "COMMIT" and database.kind != "sqlite3"
    assert database.balances["b"] == 5 * committed


def test_after_a_commit_of_its_own_nobody_runs_it_again(database: Database) -> None:
    """SQLite itself refuses, so that nothing was done; elsewhere somebody has to look."""
    errors = (UsageError, UsageError if database.kind == "sqlite3" else OutcomeRowError)
    for error in errors:
        with pytest.raises(error):
            performed(database, steps_of(database, lambda tx: raw_execute(tx)("COMMIT")))


def test_a_function_must_not_close(database: Database) -> None:
    (text,) = results(database, database.transaction(*taken(5), then=lambda tx: tx.close()))
    assert text.startswith("UsageError: the function of a @transaction ends its transaction itself")
    assert database.balances["b"] == 0


def test_no_transaction_inside_another(database: Database) -> None:
    inner = database.transaction(*taken(1))
    outer = database.transaction(*taken(5), then=lambda tx: inner())
    (text,) = results(database, outer)
    assert text.startswith("UsageError")
    assert "inside the transaction of" in text
    assert database.balances["b"] == 0
    assert results(database, inner) == [None], "afterwards it can be called again"


def test_a_row_of_another_call_is_not_taken_for_the_outcome(database: Database) -> None:
    performed(database, steps_of(database, take(database, 5), request=[5]))
    with pytest.raises(OutcomeRowError, match="other arguments") as caught:
        performed(database, steps_of(database, take(database, 6), request=[6]))
    assert caught.value.table == "golem_outcomes"
    assert caught.value.key == row_key()
    assert database.balances["b"] == 5


def test_a_damaged_row_is_not_taken_for_the_outcome(database: Database) -> None:
    performed(database, steps_of(database, take(database, 5)))
    database.execute("UPDATE golem_outcomes SET outcome = ?", (b"\xc1",))
    with pytest.raises(OutcomeRowError, match="can be read"):
        performed(database, steps_of(database, take(database, 5)))
    database.execute("UPDATE golem_outcomes SET outcome = NULL")
    with pytest.raises(OutcomeRowError, match="half-way"):
        performed(database, steps_of(database, take(database, 5)))
    assert database.balances["b"] == 5


def test_a_row_that_the_function_deletes_is_missed(database: Database) -> None:
    call = database.transaction(*taken(5), "DELETE FROM golem_outcomes")
    (text,) = results(database, call)
    assert "vanished" in text
    assert database.balances["b"] == 0


def test_old_outcomes_can_be_forgotten(database: Database) -> None:
    for key in ("one", "two"):
        performed(database, steps_of(database, take(database, 5), key=key))
    (old,), (new,) = database.execute("SELECT call_key FROM golem_outcomes")
    database.execute("UPDATE golem_outcomes SET created_ns = 0 WHERE call_key = ?", (old,))
    with closing(database.plain()) as connection:
        assert forget_outcomes(connection, timedelta(days=1)) == 1
        connection.commit()
    assert database.execute("SELECT call_key FROM golem_outcomes") == [(new,)]
