"""What the database libraries have in common, told apart by the type of a connection.

Each adapter's methods give a value, or an awaitable of it: whoever drives a transaction knows which. None of
the libraries is imported here: whoever has such a connection has imported it.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol

from golem_sdk.errors import UsageError

__all__ = ["Connection", "adapted"]

Parameters = dict[str, Any]


class Connection(Protocol):
    """One open connection.

    Attributes:
        raw: what the user's function gets.
        is_async: whether the methods give awaitables.
    """

    raw: Any
    is_async: bool

    def begin(self) -> Any:
        """Begin a transaction, if none has begun by itself."""
        ...

    def execute(self, sql: str, parameters: Parameters) -> Any:
        """A cursor over what one statement gives; ``{name}`` stands for a parameter."""
        ...

    def row(self, cursor: Any) -> Any:
        """The cursor's first row, or ``None``."""
        ...

    def commit(self) -> Any:
        """Commit."""
        ...

    def rollback(self) -> Any:
        """Roll back; harmless when nothing has begun."""
        ...

    def close(self) -> Any:
        """Close the connection."""
        ...

    @property
    def bytes_type(self) -> str:
        """The database's name for the type of bytes."""
        ...


class _Sqlite:
    is_async = False
    bytes_type = "BLOB"

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def begin(self) -> None:
        if not self.raw.in_transaction:
            self.raw.execute("BEGIN IMMEDIATE")  # so that two never wait for each other's promotion

    def execute(self, sql: str, parameters: Parameters) -> Any:
        cursor = self.raw.cursor()
        cursor.row_factory = None  # the user's may give anything
        return cursor.execute(sql.format_map(_Named(":{}")), parameters)

    def row(self, cursor: Any) -> Any:
        return cursor.fetchone()

    def commit(self) -> None:
        self.raw.execute("COMMIT")  # commit() does nothing on connections that commit by themselves

    def rollback(self) -> None:
        if self.raw.in_transaction:
            self.raw.execute("ROLLBACK")

    def close(self) -> None:
        self.raw.close()


class _Committing:
    """Of libraries whose methods say it all, and are asynchronous where the connection is."""

    raw: Any

    def commit(self) -> Any:
        return self.raw.commit()

    def rollback(self) -> Any:
        return self.raw.rollback()

    def close(self) -> Any:
        return self.raw.close()


class _Psycopg(_Committing):
    bytes_type = "BYTEA"

    def __init__(self, raw: Any, is_async: bool) -> None:
        self.raw = raw
        self.is_async = is_async

    def begin(self) -> Any:
        if self.is_async:
            return self.raw.set_autocommit(False)
        self.raw.autocommit = False
        return None

    def execute(self, sql: str, parameters: Parameters) -> Any:
        cursor = self.raw.cursor(row_factory=sys.modules["psycopg.rows"].tuple_row)
        return cursor.execute(sql.format_map(_Named("%({})s")), parameters)

    def row(self, cursor: Any) -> Any:
        return cursor.fetchone()


class _SqlAlchemy(_Committing):
    def __init__(self, raw: Any, is_async: bool) -> None:
        self.raw = raw
        self.is_async = is_async
        self._is_sqlite = raw.dialect.name == "sqlite"
        self._text = sys.modules["sqlalchemy"].text
        self.bytes_type = "BYTEA" if raw.dialect.name == "postgresql" else "BLOB"

    def begin(self) -> Any:
        if self._is_sqlite:  # its driver begins with the first write only, after it has read
            return self.raw.exec_driver_sql("BEGIN IMMEDIATE")
        return None

    def execute(self, sql: str, parameters: Parameters) -> Any:
        return self.raw.execute(self._text(sql.format_map(_Named(":{}"))), parameters)

    def row(self, cursor: Any) -> Any:
        return cursor.fetchone() if cursor.returns_rows else None


class _Named(dict[str, str]):
    """Gives every name in the placeholder style of a library."""

    def __init__(self, style: str) -> None:
        super().__init__()
        self._style = style

    def __missing__(self, name: str) -> str:
        return self._style.format(name)


def adapted(connected: Any) -> Any:
    """The adapter of what the user's ``connect`` gave; an awaitable that gives one, if it is to be awaited.

    Raises:
        UsageError: it is no connection of a library that is known, or one that commits by itself.
    """
    kinds = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(connected).__mro__}
    if ("sqlite3", "Connection") in kinds:
        return _Sqlite(connected)
    if ("psycopg", "Connection") in kinds:
        return _Psycopg(connected, is_async=False)
    if ("psycopg", "AsyncConnection") in kinds:
        return _Psycopg(connected, is_async=True)
    if ("sqlalchemy", "Engine") in kinds:
        return adapted(connected.connect())
    if ("sqlalchemy", "Connection") in kinds:
        _refuse_autocommit(connected)
        return _SqlAlchemy(connected, is_async=False)
    if ("sqlalchemy", "AsyncEngine") in kinds:
        return _started(connected.connect())
    if ("sqlalchemy", "AsyncConnection") in kinds:
        return _started(connected)
    raise UsageError(
        f"connect() gave {connected!r}: a connection of sqlite3, psycopg or SQLAlchemy is needed. Nothing was"
        " done"
    )


async def _started(connection: Any) -> Connection:
    if connection.sync_connection is None:
        await connection.start()
    await connection.run_sync(_refuse_autocommit)
    return _SqlAlchemy(connection, is_async=True)


def _refuse_autocommit(connection: Any) -> None:
    try:
        refused = connection.dialect.detect_autocommit_setting(
            connection.connection.dbapi_connection
        )
    except NotImplementedError:  # this dialect cannot tell: the level may
        refused = connection.get_isolation_level() == "AUTOCOMMIT"
        connection.rollback()
    if refused:
        connection.close()
        raise UsageError(
            "connect() gave a connection that commits each statement by itself (AUTOCOMMIT): its outcome"
            " could not be kept together with what it did. Nothing was done"
        )
