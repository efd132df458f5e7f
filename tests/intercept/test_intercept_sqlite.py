"""What the suite's cases of sqlite3 do not show: crashes in transactions, and all that a connection knows."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import durable
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.statements import function_type_of, keyword_of, told
from golem_sdk.transactions import transaction
from intercept.replaying import crashed, run
from intercept.suite.cases_sqlite import DatabaseFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def file() -> Iterator[DatabaseFile]:
    with DatabaseFile() as file:
        yield file


class Pause:
    """Where an agent waits to be crashed, the first time that it comes by.

    What was recorded before is on disk then: a durable function with a remote write sees to it.

    Args:
        meanwhile: what somebody else does while the agent is down.
    """

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.waits, self.go_on = threading.Event(), threading.Event()
        self.meanwhile = meanwhile

    def __call__(self) -> None:
        pause(self)

    def crashed(self, body: Callable[[], Any]) -> Any:
        """What the body gives that is crashed in its pause."""
        return crashed(body, self.waits, self.go_on)


PAUSES: list[Pause] = []


@durable
def wait_for_crash() -> None:
    which = PAUSES[-1]
    if which.waits.is_set():  # the agent is back, and has nothing open yet
        which.meanwhile()
    which.waits.set()
    which.go_on.wait(60)


def pause(which: Pause) -> None:
    PAUSES[:] = [which]
    wait_for_crash()


def lines(file: DatabaseFile) -> list[str]:
    with closing(sqlite3.connect(file.path)) as connection:
        return [line for (line,) in connection.execute("SELECT line FROM log ORDER BY rowid")]


def change(file: DatabaseFile, sql: str) -> None:
    """Somebody else changes something."""
    with closing(sqlite3.connect(file.path)) as connection, connection:
        connection.execute(sql)


# --- crashes ------------------------------------------------------------------------------------------


def test_an_open_transaction_is_made_again(file: DatabaseFile) -> None:
    stop = Pause()

    def body() -> list[Any]:
        with closing(sqlite3.connect(file.path)) as connection, connection:
            cursor = connection.execute("INSERT INTO log VALUES ('before')")
            row = cursor.lastrowid
            stop()
            connection.execute("INSERT INTO log VALUES ('after')")
            return [row, connection.in_transaction]

    assert stop.crashed(body) == [1, True]
    assert lines(file) == ["before", "after"]


def test_a_transaction_that_gives_something_else_is_over(file: DatabaseFile) -> None:
    stop = Pause(lambda: change(file, "INSERT INTO log VALUES ('theirs')"))

    def body() -> str:
        with closing(sqlite3.connect(file.path)) as connection:
            row = connection.execute("INSERT INTO log VALUES ('mine')").lastrowid
            stop()
            try:
                connection.execute("UPDATE items SET size = ?", (row,))
            except sqlite3.OperationalError as error:
                connection.rollback()
                connection.execute("INSERT INTO log VALUES ('again')")
                connection.commit()
                return str(error)
            return ""

    assert "does not give what it gave" in stop.crashed(body)
    assert lines(file) == ["theirs", "again"]


def test_a_row_id_nobody_looked_at_may_be_another(file: DatabaseFile) -> None:
    stop = Pause(lambda: change(file, "INSERT INTO log VALUES ('theirs')"))

    def body() -> None:
        with closing(sqlite3.connect(file.path)) as connection, connection:
            connection.execute("INSERT INTO log VALUES ('mine')")
            stop()
            connection.execute("INSERT INTO log VALUES ('too')")

    stop.crashed(body)
    assert lines(file) == ["theirs", "mine", "too"]


def test_a_rollback_needs_no_lost_transaction(file: DatabaseFile) -> None:
    stop = Pause()

    def body() -> bool:
        with closing(sqlite3.connect(file.path)) as connection:
            connection.execute("INSERT INTO log VALUES ('never')")
            stop()
            connection.rollback()
            return connection.in_transaction

    assert stop.crashed(body) is False
    assert lines(file) == []


def test_settings_are_told_again(file: DatabaseFile) -> None:
    stop = Pause(lambda: change(file, "PRAGMA user_version = 4"))

    def body() -> list[Any]:
        with closing(sqlite3.connect(file.path)) as connection:
            connection.text_factory = bytes
            connection.isolation_level = None
            connection.create_function("twice", 1, lambda x: 2 * x)
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA user_version = 3")
            connection.execute("ATTACH ? AS other", (":memory:",))
            stop()
            connection.execute("CREATE TABLE other.t (x)")
            found = connection.execute("SELECT name, twice(4) FROM items WHERE id = 1").fetchone()
            pragmas = [connection.execute(f"PRAGMA {n}").fetchone()[0] for n in PRAGMAS]
            return [found, pragmas, connection.in_transaction]

    assert stop.crashed(body) == [(b"one", 8), [1, 4], False]


PRAGMAS = ("foreign_keys", "user_version")


def test_rows_are_read_on(file: DatabaseFile) -> None:
    stop = Pause()

    def body() -> list[int]:
        with closing(sqlite3.connect(file.path)) as connection:
            numbers = []
            for (number,) in connection.execute(SERIES):
                if number == 1500:
                    stop()
                numbers.append(number)
            return numbers

    assert stop.crashed(body) == list(range(1, 2501))


SERIES = (
    "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 2500) SELECT n FROM s"
)


# --- what a connection is -----------------------------------------------------------------------------


class Named(sqlite3.Connection):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.row_factory = sqlite3.Row
        self.execute("PRAGMA foreign_keys = ON")

    def names(self) -> list[str]:
        return [row["name"] for row in self.execute("SELECT name FROM items ORDER BY id")]


def test_a_factory_is_kept(file: DatabaseFile) -> None:
    def body() -> list[Any]:
        connection = sqlite3.connect(file.path, factory=Named)
        assert isinstance(connection, Named)
        names = connection.names()
        connection.close()
        return names

    runs = run(body)
    assert runs.live == runs.replayed == ["one", "two"]
    assert runs.calls == ["sqlite3.connect", "sqlite3.execute", "sqlite3.execute"]


def test_row_factories(file: DatabaseFile) -> None:
    def body() -> list[Any]:
        with closing(sqlite3.connect(file.path)) as connection:
            connection.row_factory = lambda cursor, row: {
                column[0]: value for column, value in zip(cursor.description, row, strict=True)
            }
            first = connection.execute('SELECT id AS "a ""b""", name FROM items').fetchone()
            cursor = connection.cursor()
            cursor.row_factory = sqlite3.Row
            row = cursor.execute('SELECT id AS "a ""b""", size FROM items').fetchmany(1)[0]
            return [first, row.keys(), tuple(row), row["size"]]

    runs = run(body)
    assert (
        runs.live
        == runs.replayed
        == [{'a "b"': 1, "name": "one"}, ['a "b"', "size"], (1, 1.5), 1.5]
    )


def test_what_is_closed_stays_closed(file: DatabaseFile) -> None:
    def body() -> list[str]:
        connection = sqlite3.connect(file.path)
        cursor = connection.execute("SELECT 1")
        cursor.close()
        with pytest.raises(sqlite3.ProgrammingError) as of_cursor:
            cursor.fetchone()
        connection.close()
        connection.close()
        texts = [str(of_cursor.value)]
        for use in (connection.commit, connection.cursor, lambda: connection.execute("SELECT 1")):
            with pytest.raises(sqlite3.ProgrammingError) as caught:
                use()
            texts.append(str(caught.value))
        return texts

    original = body()
    assert run(body).live == original


def test_a_failed_statement_leaves_the_transaction_open(file: DatabaseFile) -> None:
    def body() -> list[Any]:
        with closing(sqlite3.connect(file.path)) as connection:
            with suppress(sqlite3.IntegrityError):
                connection.execute("INSERT INTO items VALUES (1, 'one', 0, NULL)")
            inside = connection.in_transaction
            connection.rollback()
            return [inside, connection.in_transaction, connection.total_changes]

    original = body()
    runs = run(body)
    assert runs.live == runs.replayed == original == [True, False, 0]


def test_a_database_in_memory_is_made_again() -> None:
    def body() -> list[Any]:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("CREATE TABLE t (x)")
            connection.execute("INSERT INTO t VALUES (1)")
            return connection.execute("SELECT * FROM t").fetchall()

    runs = run(body)
    assert runs.live == runs.replayed == [(1,)]
    assert runs.calls == []


@pytest.mark.parametrize("name", ["backup", "blobopen", "serialize", "deserialize"])
def test_what_is_not_recorded_is_refused(file: DatabaseFile, name: str) -> None:
    def body() -> str:
        with closing(sqlite3.connect(file.path)) as connection:
            with pytest.raises(NotDurableError) as caught:
                getattr(connection, name)()
            return str(caught.value)

    assert f"sqlite3.Connection.{name}()" in run(body).live


def test_a_dump_is_made_of_statements(file: DatabaseFile) -> None:
    def body() -> list[str]:
        with closing(sqlite3.connect(file.path)) as connection:
            return list(connection.iterdump())

    original = body()
    runs = run(body)
    assert runs.live == runs.replayed == original


def test_a_transaction_is_journaled_once(file: DatabaseFile) -> None:
    @transaction(lambda: sqlite3.connect(file.path))
    def note(connection: sqlite3.Connection, line: str) -> int:
        assert type(connection) is sqlite3.Connection
        connection.execute("INSERT INTO log VALUES (?)", (line,))
        return connection.execute("SELECT count(*) FROM log").fetchone()[0]  # type: ignore[no-any-return]  # a count

    runs = run(lambda: note("once"))
    assert len(runs.calls) == 1
    assert runs.live == runs.replayed == 1


def test_a_durable_function_uses_the_agents_connection(file: DatabaseFile) -> None:
    connections: list[sqlite3.Connection] = []

    @durable
    def note() -> None:
        with connections[-1] as connection:
            connection.execute("INSERT INTO log VALUES ('inside')")

    def body() -> None:
        connections.append(sqlite3.connect(file.path))
        note()
        connections[-1].close()

    runs = run(body)
    assert [name for name in runs.calls if name.startswith("sqlite3")] == ["sqlite3.connect"]
    assert lines(file) == ["inside"]


def test_a_durable_function_ends_its_transactions(file: DatabaseFile) -> None:
    connections: list[sqlite3.Connection] = []

    @durable
    def note(line: str) -> int:
        return connections[-1].execute("INSERT INTO log VALUES (?)", (line,)).rowcount

    def body() -> list[Any]:
        connections.append(sqlite3.connect(file.path))
        told = [str(error(lambda: note("left open")))]
        with connections[-1] as connection:
            connection.execute("INSERT INTO log VALUES ('kept')")
            told.append(str(error(lambda: note("in it"))))
            found = connection.in_transaction, connection.total_changes
        connection.close()
        return [*told, *found]

    runs = run(body)
    left_open, in_it, *found = runs.live
    assert "has left a transaction open" in left_open
    assert "a transaction that the agent's code has begun" in in_it
    assert found == [True, 1]
    assert runs.replayed == runs.live
    assert lines(file) == ["kept"]


def error(call: Callable[[], object]) -> Exception:
    with pytest.raises(NotDurableError) as caught:
        call()
    return caught.value


# --- statements ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "keyword", "kind"),
    [
        ("select 1", "SELECT", "read-remote"),
        ("-- why\n /* so */ (SELECT 1)", "SELECT", "read-remote"),
        ("WITH x AS (SELECT 1) SELECT * FROM x", "WITH", "read-remote"),
        ("WITH x AS (SELECT 1) DELETE FROM y", "WITH", "write-remote"),
        ("SELECT nextval('s')", "SELECT", "write-remote"),
        ("PRAGMA table_info(t)", "PRAGMA", "read-remote"),
        ("PRAGMA user_version = 1", "PRAGMA", "write-remote"),
        ("INSERT INTO t VALUES (1)", "INSERT", "write-remote"),
        ("", "", "write-remote"),
    ],
)
def test_kinds_of_statements(statement: str, keyword: str, kind: str) -> None:
    assert keyword_of(statement) == keyword
    assert function_type_of(statement).label == kind


def test_long_values_are_told_by_their_hash() -> None:
    method, digest, size = told("x" * 5000)
    assert (method, len(digest), size) == ("sha256", 64, 5000)
    assert told([b"x", bytearray(b"y"), {"a": memoryview(b"z")}]) == [b"x", b"y", {"a": b"z"}]
    assert told(object(), lambda value: "adapted") == "adapted"
