"""Statements through sqlite3."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intercept.suite.case import Case

if TYPE_CHECKING:
    from typing import Self

__all__ = ["CASES", "DatabaseFile"]

SHM = "/dev/shm"  # a directory of its own is made in it
TABLES = """
CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT UNIQUE, size REAL, body BLOB);
INSERT INTO items VALUES (1, 'one', 1.5, x'0001ff'), (2, 'two', NULL, NULL);
CREATE TABLE log (line TEXT);
"""


class DatabaseFile:
    """A database in a file of its own, with two items and an empty log.

    Attributes:
        path: of the file.
        writes: the lines of the log, when it is over.
        trace: all that was in it.
    """

    def __init__(self) -> None:
        # In memory where that is possible: what is synced is not the point.
        self._directory = tempfile.TemporaryDirectory(dir=SHM if Path(SHM).is_dir() else None)
        self.path = str(Path(self._directory.name) / "items.db")
        self.writes: list[str] = []
        self.trace: list[object] = []

    def __enter__(self) -> Self:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(TABLES)
        return self

    def __exit__(self, *_: object) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            self.writes = [line for (line,) in connection.execute("SELECT line FROM log")]
            self.trace = list(connection.iterdump())
        self._directory.cleanup()


def reads(file: DatabaseFile) -> list[Any]:
    with closing(sqlite3.connect(file.path)) as connection:
        cursor = connection.execute("SELECT id, name, size, body FROM items ORDER BY id")
        names = [column[0] for column in cursor.description or ()]
        first, rest = cursor.fetchone(), cursor.fetchall()
        connection.row_factory = sqlite3.Row
        by_name = [
            dict(row)
            for row in connection.execute("SELECT name AS n, size FROM items WHERE id=?", [1])
        ]
        connection.row_factory = None
        series = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n<2500) SELECT n FROM s"
        many = sum(n for (n,) in connection.execute(series))
        none = connection.execute("SELECT 1 WHERE 0").fetchone()
        return [names, first, rest, by_name, many, none, cursor.rowcount]


def writes(file: DatabaseFile) -> list[Any]:
    connection = sqlite3.connect(file.path)
    with connection:
        changed = connection.execute("UPDATE items SET size = 2 WHERE size IS NULL").rowcount
        connection.execute("INSERT INTO log VALUES (?)", ("first",))
    inside = connection.in_transaction
    connection.execute("INSERT INTO log VALUES ('never')")
    connection.rollback()
    cursor = connection.cursor()
    cursor.executemany(
        "INSERT OR REPLACE INTO items VALUES (:id, :name, 0, :body)",
        ({"id": n, "name": f"n{n}", "body": bytes([n])} for n in (7, 8)),
    )
    connection.commit()
    found = connection.execute("SELECT count(*), max(id) FROM items").fetchone()
    connection.close()
    return [changed, inside, cursor.rowcount, found]


def autocommits(file: DatabaseFile) -> list[Any]:
    with closing(sqlite3.connect(file.path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.executescript("CREATE TABLE IF NOT EXISTS more (x); DROP TABLE IF EXISTS other;")
        (row,) = connection.execute("INSERT INTO log VALUES ('once') RETURNING line").fetchall()
        connection.execute("BEGIN")
        connection.execute("UPDATE items SET size = 3")
        inside = connection.in_transaction
        connection.execute("COMMIT")
        return [row, inside, connection.execute("PRAGMA foreign_keys").fetchone()]


def no_such_table(file: DatabaseFile) -> object:
    with closing(sqlite3.connect(file.path)) as connection:
        return connection.execute("SELECT * FROM nothing")


def doubles(file: DatabaseFile) -> object:
    with closing(sqlite3.connect(file.path)) as connection, connection:
        return connection.execute("INSERT INTO items VALUES (9, 'one', 0, NULL)")


def no_such_directory(file: DatabaseFile) -> object:
    return sqlite3.connect("/nowhere/at/all.db")


CASES = [
    Case("sqlite3-reads", "sqlite3", reads, no_such_table, DatabaseFile),
    Case("sqlite3-writes", "sqlite3", writes, doubles, DatabaseFile),
    Case("sqlite3-autocommits", "sqlite3", autocommits, no_such_directory, DatabaseFile),
]
