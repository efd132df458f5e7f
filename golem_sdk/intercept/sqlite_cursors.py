"""Cursors of `sqlite3` inside agents."""
# ruff: noqa: D102  # methods that sqlite3 documents

from __future__ import annotations

import sqlite3
from collections import deque
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.links import Made, MadeBeforeError
from golem_sdk.intercept.sqlite_doubts import COMMITS, ENDS, script_again, was_made
from golem_sdk.intercept.statements import function_type_of, is_full, kept, keyword_of, told
from golem_sdk.steps import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from golem_sdk.steps import Steps

__all__ = ["RecordedCursor", "closed", "cursor_class", "note_state"]

_AT_ONCE = 100
_LOST = (
    "the rows that the agent was reading when it crashed cannot be read on: the statement gives others now."
    " Execute it again"
)


def closed(what: str) -> sqlite3.ProgrammingError:
    """The error of something that is closed."""
    return sqlite3.ProgrammingError(f"Cannot operate on a closed {what}.")


def note_state(real: sqlite3.Connection) -> list[Any]:
    """What a connection knows of itself after a statement."""
    return [real.in_transaction, real.total_changes]


@cache
def cursor_class(factory: type) -> Callable[[Any], Any]:
    """The factory's class, with cursors that are recorded."""
    if factory is sqlite3.Cursor:
        return RecordedCursor
    return type(factory.__name__, (factory, RecordedCursor), {"__module__": factory.__module__})


@cache
def _scratch() -> sqlite3.Connection:
    """An empty database, of which cursors learn the names of columns."""
    return sqlite3.connect(":memory:", check_same_thread=False)


class RecordedCursor(sqlite3.Cursor):
    """A cursor of an agent.

    Its C part belongs to an empty database: there it knows the columns, which ``sqlite3.Row`` asks it for.
    """

    def __init__(self, connection: Any) -> None:
        super().__init__(_scratch())
        self._connection = connection
        self._names: list[str] | None = None
        self._rows: deque[list[Any]] = deque()
        self._more = self._is_closed = self._dressed = False
        self._seen = 0
        self._real: Any = None
        self._query: tuple[str, Any] = ("", ())
        self._count, self._lastrowid, self._arraysize = -1, None, 1
        self._factory: Any = None
        self._looked = [False]

    # --- statements -------------------------------------------------------------------------------

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        return self._execute("execute", sql, _kept(parameters))

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        return self._execute("executemany", sql, [_kept(each) for each in parameters])

    def executescript(self, sql_script: str, /) -> Any:
        return self._execute("executescript", sql_script, None)

    def _execute(self, how: str, sql: Any, parameters: Any) -> Any:
        self._check()
        connection = self._connection
        self._forget()
        if not isinstance(sql, str):
            raise TypeError(f"{how}() argument 1 must be str, not {type(sql).__name__}")
        kind = function_type_of(sql) if how == "execute" else FunctionType.WRITE_REMOTE
        self._query = sql, parameters
        request = [sql, _told(parameters)] if how != "executescript" else [sql]
        doubts = connection._in_doubt()
        names, rows, more, found, state = connection._call(
            f"sqlite3.{how}", kind, request, lambda: self._perform(how, kind, doubts)
        )
        self._names, self._more = names, more
        if how != "executescript":
            self._count = found[0]
        self._rows.extend(rows)
        connection._state = state
        self._lastrowid = self._lastrowid if found[1] is None else found[1]
        looked = self._looked = [False]
        made = None
        if kind is FunctionType.WRITE_REMOTE:
            made = _made(how, sql, parameters, found, looked)
        connection._link.after(made, in_transaction=state[0])
        connection.settle(sql, parameters)
        return self

    def _perform(self, how: str, kind: FunctionType, doubts: bool) -> list[Any]:
        """``doubts``: whether it may have been performed before."""
        link, statement = self._connection._link, self._query[0]
        commits = doubts and (how == "executescript" or keyword_of(statement) in COMMITS)
        compares = not commits and keyword_of(statement) not in ENDS
        try:
            real = run(link.connected(compares=compares, doubts=commits))
        except MadeBeforeError:
            if how != "executescript":
                return [None, [], False, [-1, None], [False, self._connection._state[1]]]
            link.made.clear()
            real = run(link.connected())
        free = not real.in_transaction
        try:
            cursor = _started(real, how, *self._query, doubts=doubts)
            names = [column[0] for column in cursor.description] if cursor.description else None
            rows, more = _taken(cursor, whole=kind is FunctionType.WRITE_REMOTE)
        except sqlite3.Error as error:
            if doubts and free and was_made(statement, error):
                return [None, [], False, [-1, None], note_state(real)]
            error.golem_state = note_state(real)  # type: ignore[attr-defined]  # kept with the error
            raise
        self._real = cursor if more else None
        return [names, rows, more, [cursor.rowcount, cursor.lastrowid], note_state(real)]

    def _read_on(self) -> list[Any]:
        """More rows, of a statement that a crash, or a body of a durable function, may have ended."""
        link = self._connection._link
        if self._real is None or self._real.connection is not link.real:
            real = run(link.connected())
            self._real = _started(real, "execute", *self._query)
            if len(self._real.fetchmany(self._seen)) < self._seen:
                raise sqlite3.OperationalError(_LOST)
        rows, more = _taken(self._real)
        return [rows, more]

    # --- rows -------------------------------------------------------------------------------------

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        row = self._next()
        if row is None:
            raise StopIteration
        return self._shaped(row)

    def fetchone(self) -> Any:
        row = self._next()
        return None if row is None else self._shaped(row)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        rows: list[Any] = []
        while len(rows) < (self._arraysize if size is None else size):
            row = self._next()
            if row is None:
                break
            rows.append(self._shaped(row))
        return rows

    def fetchall(self) -> list[Any]:
        return list(self)

    def _next(self) -> list[Any] | None:
        self._check()
        if not self._rows and self._more:
            rows, self._more = self._connection._call(
                "sqlite3.fetch", FunctionType.READ_REMOTE, self._seen, self._read_on
            )
            self._rows.extend(rows)
        if not self._rows:
            return None
        self._seen += 1
        return self._rows.popleft()

    def _shaped(self, row: list[Any]) -> Any:
        factory = self._factory
        if factory is None:
            return tuple(row)
        if not self._dressed and self._names:
            names = (name.replace('"', '""') for name in self._names)
            super().execute("SELECT " + ", ".join(f'NULL AS "{name}"' for name in names))
            self._dressed = True
        return factory(self, tuple(row))

    # --- what it knows of itself ------------------------------------------------------------------

    def close(self) -> None:
        self._forget()
        self._is_closed = True

    def _forget(self) -> None:
        real, self._real = self._real, None
        if real is not None:
            with suppress(sqlite3.ProgrammingError):  # its connection was closed, by a body
                real.close()
        self._rows.clear()
        self._names, self._more, self._dressed, self._seen = None, False, False, 0

    def _check(self) -> None:
        self._connection._check()
        if self._is_closed:
            raise closed("cursor")

    @property
    def connection(self) -> Any:
        return self._connection

    @property
    def description(self) -> Any:
        if self._names is None:
            return None
        return tuple((name, *[None] * 6) for name in self._names)

    @property
    def rowcount(self) -> int:
        return self._count

    @property
    def lastrowid(self) -> int | None:
        self._looked[0] = True
        return self._lastrowid

    @property
    def arraysize(self) -> int:
        return self._arraysize

    @arraysize.setter
    def arraysize(self, size: int) -> None:
        self._arraysize = size

    @property
    def row_factory(self) -> Any:
        return self._factory

    @row_factory.setter
    def row_factory(self, factory: Any) -> None:
        self._factory = factory


def _started(real: Any, how: str, sql: str, parameters: Any, *, doubts: bool = False) -> Any:
    cursor = real.cursor()
    if doubts and how == "executescript":
        script_again(real, sql)
        return cursor
    getattr(cursor, how)(*([sql] if how == "executescript" else [sql, parameters]))
    return cursor


def _taken(cursor: Any, *, whole: bool = False) -> tuple[list[list[Any]], bool]:
    """Rows, and whether there may be more. What writes is not made again for the rest of its rows."""
    rows: list[list[Any]] = []
    while cursor.description and (whole or not is_full(rows)):
        some = cursor.fetchmany(_AT_ONCE)
        rows.extend(map(list, some))
        if len(some) < _AT_ONCE:
            return rows, False
    return rows, bool(cursor.description)


def _made(how: str, sql: str, parameters: Any, found: list[Any], looked: list[bool]) -> Made:
    def again(real: Any) -> Steps[list[Any]]:
        if how == "executescript":  # it committed some of it, and nobody knows how much
            return [None, None]
        cursor = _started(real, how, sql, parameters)
        _taken(cursor, whole=True)
        yield None
        return [cursor.rowcount, cursor.lastrowid]

    def is_found(result: list[Any]) -> bool:
        return result[0] == found[0] and (not looked[0] or result[1] == found[1])

    return Made(again, is_found, sql)


def _kept(parameters: Any) -> Any:
    """As they are now. Other sequences, like ``sqlite3.Row``, are taken for what is in them."""
    if not isinstance(parameters, list | tuple | dict) and hasattr(parameters, "__getitem__"):
        parameters = [parameters[i] for i in range(len(parameters))]
    return kept(parameters)


def _told(parameters: Any) -> Any:
    return told(parameters, _adapted)


def _adapted(value: Any) -> Any:
    found = sqlite3.adapt(value, sqlite3.PrepareProtocol, None)
    if found is not None:
        return told(found)
    try:
        return told(memoryview(value))
    except TypeError:  # the statement says so
        return f"<{type(value).__name__}>"
