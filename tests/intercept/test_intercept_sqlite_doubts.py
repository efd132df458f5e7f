"""Writes of sqlite3 that a crash leaves in doubt, and that do not work twice."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk.testing.crash import CrashMoment, CrashPoint
from intercept.replaying import only_new_objects
from intercept.suite.case import Case
from intercept.suite.cases_sqlite import DatabaseFile, no_such_table
from intercept.suite.stage import crash
from intercept.test_intercept_sqlite import Pause, change

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def file() -> Iterator[DatabaseFile]:
    with DatabaseFile() as file:
        yield file


def defines(file: DatabaseFile) -> list[Any]:
    """What does not work twice, in all the ways there are."""
    with closing(sqlite3.connect(file.path)) as connection:
        connection.execute("CREATE TABLE at_once (x)")
        connection.execute("ALTER TABLE at_once ADD COLUMN y")
        connection.execute("CREATE TABLE short (x)")
        connection.execute("DROP TABLE short")
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE by_statement (x)")
        connection.execute("COMMIT")
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE by_method (x)")
        connection.commit()
        connection.execute("SAVEPOINT outermost")
        connection.execute("INSERT INTO items VALUES (7, 'seven', 7, NULL)")
        connection.execute("RELEASE outermost")
        connection.executescript(
            "CREATE TABLE by_script (x, y); CREATE INDEX its_index ON by_script (x);"
            "CREATE TRIGGER its_trigger AFTER INSERT ON by_script BEGIN"
            " INSERT INTO log VALUES ('a'); INSERT INTO log VALUES ('b'); END;"
            "BEGIN; INSERT INTO by_script VALUES (1, ';'); CREATE TABLE together (x); COMMIT;"
        )
        connection.execute("INSERT INTO items VALUES (8, 'eight', 8, NULL)")
        connection.executescript("-- commits\nCREATE TABLE last (x)")
        tables = connection.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()
        items = connection.execute("SELECT id FROM items").fetchall()
        return [tables, items, connection.in_transaction]


@only_new_objects()
def test_what_does_not_work_twice_is_known_to_be_made() -> None:
    case = Case("defines", "sqlite3", defines, no_such_table, DatabaseFile)
    end, calm = crash(case, "body")
    assert calm.outcome[0] == "result"
    for append in range(1, end.appends + 1):
        _, ended = crash(case, "body", [CrashPoint(append, CrashMoment.BEFORE)])
        assert (ended.outcome, ended.writes) == (calm.outcome, calm.writes), append


def test_what_others_have_defined_is_in_the_way(file: DatabaseFile) -> None:
    """Only what was under way may have been made."""
    stop = Pause(lambda: change(file, "CREATE TABLE theirs (x)"))

    def body() -> str:
        with closing(sqlite3.connect(file.path)) as connection:
            stop()
            with pytest.raises(sqlite3.OperationalError) as caught:
                connection.execute("CREATE TABLE theirs (x)")
            return str(caught.value)

    assert stop.crashed(body) == "table theirs already exists"


def test_what_may_be_committed_twice_is_told(caplog: pytest.LogCaptureFixture) -> None:
    case = Case("commits", "sqlite3", commits, no_such_table, DatabaseFile)
    end, _ = crash(case, "body")
    doubled = 0
    for append in range(1, end.appends + 1):
        caplog.clear()
        _, ended = crash(case, "body", [CrashPoint(append, CrashMoment.BEFORE)])
        told = [record for record in caplog.records if "may be there twice" in record.message]
        assert len(told) == (ended.writes == ["a", "a"]), append
        doubled += len(told)
    assert doubled


def commits(file: DatabaseFile) -> None:
    with closing(sqlite3.connect(file.path)) as connection:
        connection.execute("INSERT INTO log VALUES ('a')")
        connection.commit()
