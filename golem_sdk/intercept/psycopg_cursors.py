"""Cursors of psycopg inside agents."""
# methods that psycopg documents

from __future__ import annotations

import sys
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

from attrs import frozen

from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.links import Made
from golem_sdk.intercept.psycopg_ranges import lowered, raised
from golem_sdk.intercept.statements import function_type_of, kept, keyword_of, told
from golem_sdk.steps import Steps, run, run_async

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Cursors", "cursor_class", "refusal", "refusing", "text_of"]

_IDLE = 0

_DEFINES = frozenset({"ALTER", "CREATE", "DROP"})
_IS_THERE = frozenset({"42701", "42710", "42723", "42P04", "42P06", "42P07"})
_IS_GONE = frozenset({"3D000", "3F000", "42703", "42704", "42883", "42P01"})
"""States of errors: what a definition makes is there already, or what it takes away is gone."""


class Cursors(Enum):
    """The two kinds."""

    BLOCKING = 0
    ASYNC = 1


@cache
def cursor_class(cls: Any, kind: Cursors) -> Callable[..., Any]:
    """The driver's class of cursors, with those that are recorded."""
    recorded = _BlockingCursor if kind is Cursors.BLOCKING else _AsyncCursor
    return type(cls.__name__, (recorded, cls), {"__module__": cls.__module__})


def text_of(query: Any) -> str:
    """The statement's text."""
    if isinstance(query, bytes):
        return query.decode()
    return query if isinstance(query, str) else str(query.as_string(None))


@frozen
class _Result:
    """Stands for libpq's: what the driver's row factories and descriptions ask it for."""

    columns: list[list[Any]] | None
    rows: list[list[Any]]
    count: int
    message: str | None

    @property
    def nfields(self) -> int:
        return len(self.columns or ())

    @property
    def ntuples(self) -> int:
        return len(self.rows)

    @property
    def status(self) -> Any:
        statuses = sys.modules["psycopg"].pq.ExecStatus
        return statuses.COMMAND_OK if self.columns is None else statuses.TUPLES_OK

    def fname(self, i: int) -> bytes:
        assert self.columns is not None
        name: str = self.columns[i][0]
        return name.encode()

    def ftype(self, i: int) -> Any:
        return self.columns and self.columns[i][1]

    def fmod(self, i: int) -> Any:
        return self.columns and self.columns[i][2]

    def fsize(self, i: int) -> Any:
        return self.columns and self.columns[i][3]


class _Cursor:
    """What both kinds have in common. The driver's own part of them is never initialised."""

    _encoding = "utf-8"

    def __init__(self, connection: Any, *, row_factory: Any = None) -> None:
        self._conn = connection
        self._row_factory = row_factory or connection.row_factory
        self._adapters: Any = None
        self.arraysize = 1
        self._closed = False
        self._clear()

    def _clear(self) -> None:
        self._results: list[Any] = []
        self.pgresult: Any = None
        self._pos = self._iresult = 0
        self._rowcount = -1
        self._statusmessage: bytes | None = None

    @property
    def adapters(self) -> Any:
        return self._adapters or sys.modules["psycopg"].adapters

    @property
    def row_factory(self) -> Any:
        return self._row_factory

    @row_factory.setter
    def row_factory(self, factory: Any) -> None:
        self._row_factory = factory
        if self.pgresult is not None:
            self._make_row = factory(self)

    def executed(self, how: str, query: Any, params: Any, options: dict[str, Any]) -> Steps[Any]:
        """Execute it, and show the first of its results."""
        connection = self._conn
        driver: Any = sys.modules["psycopg"]
        if self._closed:
            raise driver.InterfaceError("the cursor is closed")
        self._clear()
        text, binary = text_of(query), getattr(self, "format", 0) == 1
        kind = function_type_of(text)

        def perform(real: Any) -> Steps[Any]:
            return _made(real, how, query, params, options, binary)

        def again(real: Any) -> Steps[Any]:
            try:
                return (yield from perform(real))
            except driver.Error as error:
                if error.sqlstate not in _IS_THERE | _IS_GONE:
                    raise
                return [[None, [], -1, _tag(text)]]

        performing = again if connection.in_doubt and keyword_of(text) in _DEFINES else perform
        sets = yield from connection.ask(f"psycopg.{how}", kind, [text, told(params)], performing)
        made = None
        if kind is FunctionType.WRITE_REMOTE:
            made = Made(perform, lambda found: bool(found == sets), text)
        connection._link.after(made, in_transaction=connection.status != _IDLE)
        connection.settle(query, params)
        self._results = [
            _Result(columns, raised(columns, rows), count, message)
            for columns, rows, count, message in sets
        ]
        self._select(0)
        return self

    def _select(self, number: int) -> None:
        self._iresult, self._pos = number, 0
        result = self.pgresult = self._results[number]
        self._rowcount = result.count
        self._statusmessage = result.message.encode() if result.message else None
        self._make_row = self._row_factory(self)

    def nextset(self) -> bool | None:
        if self._iresult + 1 >= len(self._results):
            return None
        self._select(self._iresult + 1)
        return True

    def _taken(self, size: int | None) -> list[Any]:
        """The next rows; ``None``: all there are."""
        driver: Any = sys.modules["psycopg"]
        self._conn.check()
        if self._closed:
            raise driver.InterfaceError("the cursor is closed")
        result = self.pgresult
        if result is None:
            raise driver.ProgrammingError("no result available")
        if result.columns is None:
            detail = f" (command status: {result.message})" if result.message else ""
            raise driver.ProgrammingError(f"the last operation didn't produce records{detail}")
        end = result.ntuples if size is None else min(self._pos + size, result.ntuples)
        rows = [self._make_row(tuple(row)) for row in result.rows[self._pos : end]]
        self._pos = end
        return rows

    def _close(self) -> None:
        self._closed = True  # SQLAlchemy closes them by this

    def _scrolled(self, value: int, mode: str) -> None:
        position = value if mode == "absolute" else self._pos + value
        if not 0 <= position < self.pgresult.ntuples:
            raise IndexError("position out of bound")
        self._pos = position

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of an agent>"


class _BlockingCursor(_Cursor):
    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        return run(self.executed("execute", query, kept(params), options))

    def executemany(self, query: Any, params_seq: Iterable[Any], **options: Any) -> None:
        run(self.executed("executemany", query, [*map(kept, params_seq)], options))

    def fetchone(self) -> Any:
        return next(iter(self._taken(1)), None)

    def fetchmany(self, size: int = 0) -> list[Any]:
        return self._taken(size or self.arraysize)

    def fetchall(self) -> list[Any]:
        return self._taken(None)

    def scroll(self, value: int, mode: str = "relative") -> None:
        self._scrolled(value, mode)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        for row in self._taken(1):
            return row
        raise StopIteration

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True

    def close(self) -> None:
        self._closed = True


class _AsyncCursor(_Cursor):
    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        return await run_async(self.executed("execute", query, kept(params), options))

    async def executemany(self, query: Any, params_seq: Iterable[Any], **options: Any) -> None:
        await run_async(self.executed("executemany", query, [*map(kept, params_seq)], options))

    async def fetchone(self) -> Any:
        return next(iter(self._taken(1)), None)

    async def fetchmany(self, size: int = 0) -> list[Any]:
        return self._taken(size or self.arraysize)

    async def fetchall(self) -> list[Any]:
        return self._taken(None)

    async def scroll(self, value: int, mode: str = "relative") -> None:
        self._scrolled(value, mode)

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        for row in self._taken(1):
            return row
        raise StopAsyncIteration

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True

    async def close(self) -> None:
        self._closed = True


def _tag(statement: str) -> str:
    """What the server has said when it made a definition, as far as one can tell: ``CREATE INDEX``."""
    words = statement[statement.upper().index(keyword_of(statement)) :].upper().split()
    return " ".join([each for each in words if each not in {"UNIQUE", "UNLOGGED"}][:2])


def _made(
    real: Any, how: str, query: Any, params: Any, options: dict[str, Any], binary: bool
) -> Steps[list[Any]]:
    """Execute it on a real connection; gives columns, rows, count and status of each of its results."""
    driver: Any = sys.modules["psycopg"]
    cursor = real.cursor(binary=binary, row_factory=driver.rows.tuple_row)
    yield getattr(cursor, how)(query, params, **options)
    sets: list[Any] = []
    while True:
        result, columns, rows = cursor.pgresult, None, []
        if cursor.description is not None:
            columns = [
                [column.name, result.ftype(i), result.fmod(i), result.fsize(i)]
                for i, column in enumerate(cursor.description)
            ]
            rows = lowered(columns, [list(row) for row in (yield cursor.fetchall())])
        sets.append([columns, rows, cursor.rowcount, cursor.statusmessage])
        if not cursor.nextset():
            break
    yield cursor.close()
    return sets


def refusal(what: str) -> NotDurableError:
    """Why an agent must not use this of psycopg's."""
    return NotDurableError(
        f"psycopg's {what} is not recorded, so an agent must not use it as it is. Put the code that needs"
        " it, with a connection of its own, into a function decorated with @durable"
    )


def refusing(what: str) -> Callable[..., Any]:
    """A method that refuses itself by this name."""

    def refuse(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        raise refusal(f"{what}()")

    return refuse


for _name in ("copy", "stream", "results", "set_result"):
    setattr(_Cursor, _name, refusing(f"Cursor.{_name}"))
