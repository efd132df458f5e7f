"""What `sqlite3` is given in agents: parameters, and what a connection is told."""

from __future__ import annotations

import sqlite3
from array import array
from collections import UserList
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from intercept.replaying import run
from intercept.suite.cases_sqlite import DatabaseFile
from intercept.test_intercept_sqlite import Pause, lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def file() -> Iterator[DatabaseFile]:
    with DatabaseFile() as file:
        yield file


def test_parameters_are_those_of_the_call(file: DatabaseFile) -> None:
    """Agent code may use one list for all its rows: what is made again has its own."""
    stop = Pause()

    def body() -> None:
        with closing(sqlite3.connect(file.path)) as connection, connection:
            row: list[Any] = [""]
            named, data = {"line": ""}, bytearray(b"")
            for number in range(2):
                row[0], named["line"], data[:] = f"a{number}", f"b{number}", b"c%d" % number
                connection.execute("INSERT INTO log VALUES (?)", row)
                connection.execute("INSERT INTO log VALUES (:line)", named)
                connection.execute("INSERT INTO log VALUES (CAST(? AS TEXT))", (data,))
            stop()

    stop.crashed(body)
    assert lines(file) == ["a0", "b0", "c0", "a1", "b1", "c1"]


def test_parameters_of_all_kinds(file: DatabaseFile) -> None:
    def one_list() -> Iterator[list[str]]:
        row = [""]
        for word in ("a", "b"):
            row[0] = word
            yield row

    def body() -> list[Any]:
        with closing(sqlite3.connect(file.path)) as connection, connection:
            connection.row_factory = sqlite3.Row
            connection.executemany("INSERT INTO log VALUES (?)", one_list())
            rows = connection.execute("SELECT line FROM log").fetchall()
            connection.execute("INSERT INTO log VALUES (? || '1')", rows[0])
            connection.executemany("INSERT INTO log VALUES (? || '2')", rows)
            connection.execute("INSERT INTO log VALUES (?)", UserList("c"))
            return [tuple(row) for row in connection.execute("SELECT line FROM log")]

    runs = run(body)
    assert runs.live == runs.replayed == [("a",), ("b",), ("a1",), ("a2",), ("b2",), ("c",)]


def test_what_is_told_wrongly_is_refused_in_replay_too(file: DatabaseFile) -> None:
    def body() -> list[Any]:
        said: list[Any] = []
        with closing(sqlite3.connect(file.path)) as connection:
            tells: list[Callable[[], Any]] = [
                lambda: setattr(connection, "isolation_level", "nonsense"),
                lambda: setattr(connection, "isolation_level", 5),
                lambda: setattr(connection, "isolation_level", "exclusive"),
                lambda: connection.isolation_level,
                lambda: connection.create_function("f", 999, None),
                lambda: connection.create_collation("c", 5),  # type: ignore[arg-type]  # what is tested
                lambda: connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 100) > 100,
                lambda: connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 5) > 5,
                lambda: connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 90),
                lambda: connection.getlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH),
                lambda: connection.execute("SELECT " + "1" * 100).fetchall(),
                lambda: connection.execute("SELECT ?", (object(),)),
                lambda: connection.execute("SELECT ?", (array("b", b"ab"),)).fetchall(),
                lambda: connection.execute("SELECT ?", iter([1])),  # type: ignore[arg-type]  # as above
                connection.close,
                lambda: connection.in_transaction,
            ]
            for tell in tells:
                try:
                    said.append(tell())
                except (TypeError, ValueError, connection.Error) as error:
                    said.append([type(error).__name__, str(error)])
        return said

    expected = body()
    runs = run(body)
    assert runs.live == runs.replayed == expected


def test_a_script_leaves_the_count_as_it_was(file: DatabaseFile) -> None:
    def body() -> list[int]:
        with closing(sqlite3.connect(file.path)) as connection:
            cursor = connection.execute("UPDATE items SET size = 1")
            return [cursor.rowcount, cursor.executescript("DELETE FROM log").rowcount]

    expected = body()
    runs = run(body)
    assert runs.live == runs.replayed == expected
