"""What the suite's cases of psycopg do not show: crashes in transactions, and what a connection knows."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.adapt import Dumper
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb
from psycopg.types.range import Range

from golem_sdk.errors import NotDurableError
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.transactions import transaction
from intercept.replaying import run, run_async
from intercept.suite.case import Case
from intercept.suite.cases_psycopg import Postgres, no_such_table
from intercept.suite.stage import crash
from intercept.test_intercept_sqlite import Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def database() -> Iterator[Postgres]:
    with Postgres() as database:
        yield database


def lines(database: Postgres) -> list[str]:
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        return [line for (line,) in connection.execute("SELECT line FROM log")]


def change(database: Postgres, statement: str) -> None:
    """Somebody else changes something."""
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        connection.execute(statement.encode())


# --- crashes ------------------------------------------------------------------------------------------


def commits(database: Postgres) -> list[Any]:
    with psycopg.connect(database.conninfo) as connection:
        connection.execute("INSERT INTO log VALUES ('one')")
        connection.execute("INSERT INTO log VALUES ('two')")
        connection.commit()
        with connection.transaction():
            connection.execute("INSERT INTO log VALUES ('three')")
    return []


async def commits_async(database: Postgres) -> list[Any]:
    async with (
        await psycopg.AsyncConnection.connect(database.conninfo, autocommit=True) as connection,
        connection.transaction(),
    ):
        await connection.execute("INSERT INTO log VALUES ('one')")
        async with connection.transaction("inner"):
            await connection.execute("INSERT INTO log VALUES ('two')")
    return []


@pytest.mark.once
@pytest.mark.parametrize("body", [commits, commits_async])
def test_a_crash_doubles_nothing(body: Callable[[Postgres], Any]) -> None:
    case = Case(f"exact-{body.__name__}", "psycopg", body, no_such_table, Postgres)
    end, calm = crash(case, "body")
    for append in range(1, end.appends + 1):
        _, ended = crash(case, "body", [CrashPoint(append, CrashMoment.BEFORE)])
        assert ended.writes == calm.writes, append


_DEFINITIONS = [
    "DROP TABLE IF EXISTS defined",
    "CREATE TABLE defined (one int)",
    "ALTER TABLE defined ADD COLUMN two int",
    "CREATE UNIQUE INDEX defined_once ON defined (one)",
    "ALTER TABLE defined DROP COLUMN two",
    "DROP INDEX defined_once",
    "DROP TABLE defined",
]


def defines(database: Postgres) -> list[Any]:
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        return [connection.execute(each.encode()).statusmessage for each in _DEFINITIONS]


async def defines_async(database: Postgres) -> list[Any]:
    async with await psycopg.AsyncConnection.connect(
        database.conninfo, autocommit=True
    ) as connection:
        made = [await connection.execute(each.encode()) for each in _DEFINITIONS]
    return [each.statusmessage for each in made]


@pytest.mark.once
@pytest.mark.parametrize("body", [defines, defines_async])
def test_what_was_defined_in_a_crash_is_known_to_be(body: Callable[[Postgres], Any]) -> None:
    case = Case(f"exact-{body.__name__}", "psycopg", body, no_such_table, Postgres)
    end, calm = crash(case, "body")
    tags = [" ".join(each.replace("UNIQUE ", "").split()[:2]) for each in _DEFINITIONS]
    assert calm.outcome == ["result", tags]
    for append in range(1, end.appends + 1):
        _, ended = crash(case, "body", [CrashPoint(append, CrashMoment.BEFORE)])
        assert ended.outcome == calm.outcome, append


def test_a_definition_that_fails_fails(database: Postgres) -> None:
    def body() -> list[str]:
        with psycopg.connect(database.conninfo, autocommit=True) as connection:
            said = []
            for statement in (b"CREATE TABLE log (line text)", b"DROP TABLE nothing"):
                with pytest.raises(psycopg.ProgrammingError) as raised:
                    connection.execute(statement)
                said.append(type(raised.value).__name__)
            return said

    runs = run(body)
    assert runs.live == runs.replayed == ["DuplicateTable", "UndefinedTable"]


def test_an_open_transaction_is_made_again(database: Postgres) -> None:
    stop = Pause()

    def body() -> int:
        with psycopg.connect(database.conninfo) as connection:
            connection.execute("INSERT INTO log VALUES ('before')")
            stop()
            connection.execute("INSERT INTO log VALUES ('after')")
            return connection.info.transaction_status.value

    assert stop.crashed(body) == 2
    assert lines(database) == ["before", "after"]


def test_parameters_are_those_of_the_call(database: Postgres) -> None:
    """Agent code may use one object for all its rows: what is made again has its own."""
    stop = Pause()

    def body() -> None:
        with psycopg.connect(database.conninfo) as connection:
            row, state = [""], {"n": 0}
            for number in range(2):
                row[0], state["n"] = f"a{number}", number
                connection.execute("INSERT INTO log VALUES (%s)", row)
                connection.execute("INSERT INTO log VALUES (%s::jsonb)", [Jsonb(state)])
            connection.cursor().executemany("INSERT INTO log VALUES (%s)", one_list())
            stop()

    def one_list() -> Iterator[list[str]]:
        row = [""]
        for word in ("b", "c"):
            row[0] = word
            yield row

    stop.crashed(body)
    assert lines(database) == ["a0", '{"n": 0}', "a1", '{"n": 1}', "b", "c"]


def test_a_transaction_that_gives_something_else_is_over(database: Postgres) -> None:
    stop = Pause(lambda: change(database, "UPDATE items SET size = 9"))

    def body() -> str:
        with psycopg.connect(database.conninfo) as connection:
            connection.execute("UPDATE items SET made = NULL WHERE size = 1.5 RETURNING id")
            stop()
            with pytest.raises(psycopg.OperationalError) as caught:
                connection.execute("INSERT INTO log VALUES ('after')")
            connection.execute("INSERT INTO log VALUES ('anew')")
            return str(caught.value)

    assert "does not give what it gave" in stop.crashed(body)
    assert lines(database) == ["anew"]


def test_settings_are_told_again(database: Postgres) -> None:
    stop = Pause()

    def body() -> list[Any]:
        with psycopg.connect(database.conninfo, autocommit=True) as connection:
            connection.execute("SET application_name TO 'golem'")
            connection.execute("SET search_path TO public")
            connection.autocommit = False
            connection.read_only = True
            stop()
            names = ("application_name", "search_path", "transaction_read_only")
            found = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in names]
            return [found, connection.info.transaction_status.name, connection.autocommit]

    assert stop.crashed(body) == [[("golem",), ("public",), ("on",)], "INTRANS", False]


# --- what a connection is -----------------------------------------------------------------------------


class Item:
    def __init__(self, name: str) -> None:
        self.name = name


def test_rows_and_descriptions_are_those_of_the_driver(database: Postgres) -> None:
    def body() -> list[Any]:
        with psycopg.connect(database.conninfo, row_factory=dict_row) as connection:
            assert isinstance(connection, psycopg.Connection)
            query = sql.SQL("SELECT {} FROM items ORDER BY id").format(sql.Identifier("name"))
            cursor = connection.cursor(row_factory=class_row(Item))
            cursor.execute(query)
            assert isinstance(cursor, psycopg.Cursor)
            names = [cursor.fetchone(), *cursor.fetchmany(5)]
            again = connection.execute(query)
            column = (again.description or [])[0]
            return [
                [item.name for item in names if item],
                again.fetchall(),
                [column.name, column.type_code, column.type_display, column[:2]],
                [again.rowcount, again.statusmessage, again.rownumber],
            ]

    original = body()
    runs = run(body)
    assert runs.live == runs.replayed == original


def test_errors_tell_what_the_server_told(database: Postgres) -> None:
    def body() -> list[Any]:
        with psycopg.connect(database.conninfo) as connection:
            with pytest.raises(psycopg.errors.UniqueViolation) as caught:
                connection.execute("INSERT INTO items (name) VALUES ('one')")
            with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                connection.execute("SELECT 1")
            status = connection.info.transaction_status.name
            connection.rollback()
            with pytest.raises(psycopg.ProgrammingError) as no_rows:
                connection.execute("UPDATE items SET size = 1").fetchone()
            with connection.transaction(), pytest.raises(psycopg.ProgrammingError) as forbidden:
                connection.commit()
        with pytest.raises(psycopg.OperationalError) as closed:
            connection.execute("SELECT 1")
        error = caught.value
        texts = [str(each.value).split(".")[0] for each in (no_rows, closed, forbidden)]
        return [error.sqlstate, error.diag.constraint_name, str(error), status, *texts]

    original = body()
    runs = run(body)
    assert runs.live == runs.replayed == original


def test_a_block_rolls_back(database: Postgres) -> None:
    def body() -> list[Any]:
        with psycopg.connect(database.conninfo) as connection:
            with connection.transaction() as block:
                connection.execute("INSERT INTO log VALUES ('never')")
                raise psycopg.Rollback(block)
            with connection.transaction():
                connection.execute("INSERT INTO log VALUES ('kept')")
                with suppress(KeyError), connection.transaction("inner"):
                    connection.execute("INSERT INTO log VALUES ('dropped')")
                    raise KeyError
        return []

    run(body)
    assert lines(database) == ["kept"]


def test_what_is_not_recorded_is_refused(database: Postgres) -> None:
    def body() -> list[str]:
        with psycopg.connect(database.conninfo) as connection:
            uses: list[Callable[[], Any]] = [
                connection.pipeline,
                connection.notifies,
                lambda: connection.cursor(name="server"),
                lambda: connection.cursor().copy("COPY items TO STDOUT"),
                lambda: connection.cursor().stream("SELECT 1"),
                lambda: connection.info.server_version,
            ]
            texts = []
            for use in uses:
                with pytest.raises(NotDurableError) as caught:
                    use()
                texts.append(str(caught.value))
            return texts

    assert all("@durable" in text for text in run(body).live)


def test_what_a_connection_lacks_is_told(database: Postgres) -> None:
    def body() -> list[Any]:
        with psycopg.connect(database.conninfo, prepare_threshold=2) as connection:
            with pytest.raises(
                AttributeError, match=r"psycopg's Connection\.pgconn is not recorded"
            ):
                connection.pgconn.status  # noqa: B018  # it is asked for
            connection.prepare_threshold = connection.prepare_threshold + 1  # type: ignore[operator]  # a number
            return [connection.prepare_threshold, hasattr(connection, "pgconn")]

    runs = run(body)
    assert runs.live == runs.replayed == [3, False]


class Point:
    """It is shown by its address, which is another one in each life."""


class PointDumper(Dumper):
    def dump(self, obj: Point) -> bytes:
        return b"(1,2)"


def test_parameters_of_classes_of_ones_own(database: Postgres) -> None:
    psycopg.adapters.register_dumper(Point, PointDumper)

    def body() -> Any:
        with psycopg.connect(database.conninfo) as connection:
            return connection.execute("SELECT %s::text", [Point()]).fetchone()

    runs = run(body)
    assert runs.live == runs.replayed == ("(1,2)",)


def test_a_transaction_is_journaled_once(database: Postgres) -> None:
    @transaction(lambda: psycopg.connect(database.conninfo))
    def note(connection: psycopg.Connection[Any]) -> None:
        connection.execute("INSERT INTO log VALUES ('once')")

    runs = run(note)
    assert len(runs.calls) == 1
    assert lines(database) == ["once"]


def test_settings_in_an_async_agent(database: Postgres) -> None:
    async def body() -> list[Any]:
        connection = await psycopg.AsyncConnection.connect(database.conninfo)
        await connection.set_autocommit(True)
        cursor = await connection.execute("SELECT 1")
        row, status = await cursor.fetchone(), connection.info.transaction_status.name
        await connection.close()
        return [row, status, connection.closed]

    runs = run_async(body)
    assert runs.live == runs.replayed == [(1,), "IDLE", True]


def test_ranges_are_recorded(database: Postgres) -> None:
    question = """SELECT int4range(1, 5), numrange(NULL, 2.5, '(]'), 'empty'::int8range,
        daterange('2026-01-02', NULL), NULL::int4range, ARRAY[int4range(1, 2), NULL],
        '{[1,3), [7,8)}'::int4multirange"""

    def body() -> list[Any]:
        with psycopg.connect(database.conninfo) as connection:
            connection.execute("CREATE TEMPORARY TABLE spans (span int4range)")
            made = connection.execute("INSERT INTO spans VALUES (%s) RETURNING *", [Range(1, 4)])
            return [*made.fetchone(), *connection.execute(question).fetchone()]  # type: ignore[misc]  # there is one

    with psycopg.connect(database.conninfo) as connection:
        wanted = connection.execute(question).fetchone()
    runs = run(body)
    assert runs.live == runs.replayed == [Range(1, 4), *(wanted or ())]


def test_a_transaction_that_gives_ranges_is_made_again(database: Postgres) -> None:
    stop = Pause()

    def body() -> Any:
        with psycopg.connect(database.conninfo) as connection:
            statement = "INSERT INTO log VALUES ('a') RETURNING int4range(1, 4)"
            found = connection.execute(statement).fetchone()
            stop()
            connection.execute("INSERT INTO log VALUES ('b')")
            return found

    assert stop.crashed(body) == (Range(1, 4),)
    assert lines(database) == ["a", "b"]
