"""The kinds of database connections: each is an adapter of a few lines over what its driver offers.

No driver is imported: a connection of a driver can exist only where somebody else has imported it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping  # noqa: TC003  # the protocol is read at run time, too
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen

from golem_sdk.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.transactions.steps import Steps

__all__ = ["Answer", "Connection", "opened", "recognised", "sql_state"]

_SAVEPOINT = "SAVEPOINT golem_body"
_RELEASE = "RELEASE SAVEPOINT golem_body"
_PLACEHOLDER = re.compile(r":(\w+)")
_ENDED_STATES = {"3B001", "25P01"}  # no such savepoint; no transaction
_DIALECTS = {"sqlite", "postgresql"}


@frozen
class Answer:
    """What a statement gave: the number of rows it changed, and its first row, if it gives rows."""

    count: int
    row: tuple[Any, ...] | None


class Connection(Protocol):
    """An open connection in which one transaction is made.

    Attributes:
        raw: the user's connection.
        is_async: whether its steps have to be awaited.
    """

    raw: Any
    is_async: bool

    def begin(self) -> Steps[None]:
        """Open a transaction.

        Raises:
            UsageError: a transaction is open already, or the connection commits every statement and cannot
                be told not to.
        """
        ...

    def execute(self, statement: str, values: Mapping[str, object]) -> Steps[Answer]:
        """Execute one statement, which names its values ``:name``."""
        ...

    def protect(self) -> Steps[None]:
        """From here on the user's function has the connection, and must not end the transaction."""
        ...

    def reclaim(self, error: BaseException | None) -> Steps[None]:
        """The user's function is over, with ``error`` if it raised one.

        Raises:
            UsageError: it has ended the transaction, or tried to.
        """
        ...

    def commit(self) -> Steps[None]:
        """Commit. An error does not say whether it happened."""
        ...

    def rollback(self) -> Steps[None]:
        """Roll back."""
        ...

    def close(self) -> Steps[None]:
        """Close it; an open transaction is rolled back."""
        ...


class _Plain:
    """What all drivers have in common."""

    is_async = False

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def commit(self) -> Steps[None]:
        yield self._end("commit")

    def rollback(self) -> Steps[None]:
        yield self._end("rollback")

    def close(self) -> Steps[None]:
        yield self.raw.close()

    def _end(self, how: str) -> object:
        return getattr(self.raw, how)()


class _Sqlite(_Plain):
    """``sqlite3.Connection``. SQLite itself is told to refuse what would end the transaction."""

    _tried = False

    def begin(self) -> Steps[None]:
        if getattr(self.raw, "autocommit", True) is False:  # since Python 3.12
            return  # a transaction is always open
        if self.raw.in_transaction:
            raise _pending()
        if self.raw.isolation_level is None:
            self.raw.isolation_level = (
                ""  # so that after an INSERT OR ROLLBACK nothing commits by itself
            )
        yield self.raw.execute("BEGIN IMMEDIATE")

    def _end(self, how: str) -> object:
        if (
            self.raw.in_transaction
        ):  # the method does nothing on connections that commit by themselves
            self.raw.execute(how.upper())
        return None

    def execute(self, statement: str, values: Mapping[str, object]) -> Steps[Answer]:
        cursor = self.raw.cursor()
        try:
            cursor.row_factory = None
            yield cursor.execute(statement, values)
            return Answer(cursor.rowcount, cursor.fetchone() if cursor.description else None)
        finally:
            cursor.close()

    def protect(self) -> Steps[None]:
        yield from self.execute(_SAVEPOINT, {})
        self.raw.set_authorizer(self._judge)

    def reclaim(self, error: BaseException | None) -> Steps[None]:
        with suppress(Exception):  # it was closed
            self.raw.set_authorizer(None)
        if self._tried:
            raise _ended() from error
        if error is None:
            yield from _released(self)

    def _judge(self, action: int, *_: object) -> int:
        if action != sys.modules["sqlite3"].SQLITE_TRANSACTION:
            return int(sys.modules["sqlite3"].SQLITE_OK)
        self._tried = True
        return int(sys.modules["sqlite3"].SQLITE_DENY)


class _Psycopg(_Plain):
    """``psycopg.Connection`` and ``AsyncConnection``. Inside a block psycopg refuses to commit."""

    def __init__(self, raw: Any) -> None:
        super().__init__(raw)
        self._driver = sys.modules["psycopg"]
        self.is_async = isinstance(raw, self._driver.AsyncConnection)
        self._block: Any = None

    def begin(self) -> Steps[None]:
        if self._is_open():
            raise _pending()
        if self.raw.autocommit:
            yield self.raw.set_autocommit(False)

    def execute(self, statement: str, values: Mapping[str, object]) -> Steps[Answer]:
        make = self._driver.AsyncCursor if self.is_async else self._driver.Cursor
        cursor = make(self.raw, row_factory=self._driver.rows.tuple_row)
        yield cursor.execute(_PLACEHOLDER.sub(r"%(\1)s", statement), values)
        count, row = cursor.rowcount, None
        if cursor.description:
            row = yield cursor.fetchone()
        yield cursor.close()
        return Answer(count, row)

    def protect(self) -> Steps[None]:
        if not self._is_open():
            yield from self.execute("SELECT 1", {})
        self._block = self.raw.transaction()
        yield self._block.__aenter__() if self.is_async else self._block.__enter__()

    def reclaim(self, error: BaseException | None) -> Steps[None]:
        leave = self._block.__aexit__ if self.is_async else self._block.__exit__
        if error is not None:
            with suppress(Exception):  # the connection is lost, which the function's error shows
                yield leave(type(error), error, error.__traceback__)
            return
        if self.raw.closed and not self.raw.broken:
            raise _ended()
        try:
            yield leave(None, None, None)
        except Exception as refusal:
            if _ends(refusal):
                raise _ended() from refusal
            raise

    def _is_open(self) -> bool:
        return bool(self.raw.info.transaction_status)


class _Sqlalchemy(_Plain):
    """SQLAlchemy's ``Connection`` and ``AsyncConnection``, over SQLite or PostgreSQL."""

    _tried = False

    def __init__(self, raw: Any) -> None:
        super().__init__(raw)
        self._library = sys.modules["sqlalchemy"]
        self._blocking = getattr(raw, "sync_connection", raw)
        self.is_async = self._blocking is not raw

    def begin(self) -> Steps[None]:
        if self.raw.dialect.name not in _DIALECTS:
            raise UsageError(
                f"@transaction works with SQLite and PostgreSQL, not with {self.raw.dialect.name}"
            )
        if self.raw.in_transaction():
            raise _pending()
        driver = self._blocking.connection.driver_connection
        level = self._blocking.get_execution_options().get("isolation_level")
        if level == "AUTOCOMMIT" or getattr(driver, "autocommit", None) is True:
            raise UsageError(
                "connect() gave @transaction a connection that commits every statement by itself, so that"
                ' nothing could be rolled back: leave out isolation_level="AUTOCOMMIT"'
            )
        yield self.raw.begin()
        if self.raw.dialect.name == "sqlite" and not driver.in_transaction:
            yield self.raw.exec_driver_sql("BEGIN IMMEDIATE")

    def execute(self, statement: str, values: Mapping[str, object]) -> Steps[Answer]:
        result = yield self.raw.execute(self._library.text(statement), values)
        row = result.first() if result.returns_rows else None
        return Answer(result.rowcount, None if row is None else tuple(row))

    def protect(self) -> Steps[None]:
        yield from self.execute(_SAVEPOINT, {})
        self._library.event.listen(self._blocking, "commit", self._refuse)

    def reclaim(self, error: BaseException | None) -> Steps[None]:
        self._library.event.remove(self._blocking, "commit", self._refuse)
        if self._tried:
            raise _ended() from error
        if error is None:
            yield from _released(self)

    def _refuse(self, _: object) -> None:
        self._tried = True
        raise _ended()


_KINDS: tuple[tuple[str, str, Callable[[Any], Connection]], ...] = (
    ("sqlite3", "Connection", _Sqlite),
    ("psycopg", "Connection", _Psycopg),
    ("psycopg", "AsyncConnection", _Psycopg),
    ("sqlalchemy", "Connection", _Sqlalchemy),
    ("sqlalchemy.ext.asyncio", "AsyncConnection", _Sqlalchemy),
)
_ENGINES = (("sqlalchemy", "Engine"), ("sqlalchemy.ext.asyncio", "AsyncEngine"))


def opened(connect: Callable[[], Any]) -> Steps[Connection]:
    """Open a connection.

    Raises:
        UsageError: ``connect`` gives something else.
        Exception: what ``connect`` raises.
    """
    raw = yield connect()
    if any(_is_a(raw, *kind) for kind in _ENGINES):
        raw = yield raw.connect()
    return recognised(raw)


def recognised(raw: object) -> Connection:
    """The adapter for a user's connection.

    Raises:
        UsageError: it is none of a known driver.
    """
    for module, name, kind in _KINDS:
        if _is_a(raw, module, name):
            return kind(raw)
    raise UsageError(
        f"{type(raw).__module__}.{type(raw).__qualname__} is no database connection that @transaction"
        " knows: connect() has to give a sqlite3.Connection, a psycopg (3) connection, or an Engine or"
        " Connection of SQLAlchemy (its asynchronous ones, too), not a cursor, a session or a pool"
    )


def sql_state(error: BaseException) -> str:
    """PostgreSQL's code of an error, whoever wrapped it; of an error of SQLite its text."""
    original = getattr(error, "orig", None) or error
    state = getattr(original, "sqlstate", None)
    return state if isinstance(state, str) else str(original)


def _is_a(raw: object, module: str, name: str) -> bool:
    found = getattr(sys.modules.get(module), name, None)
    return isinstance(found, type) and isinstance(raw, found)


def _released(connection: Connection) -> Steps[None]:
    """The savepoint set before the user's function is still there only in the same transaction."""
    try:
        yield from connection.execute(_RELEASE, {})
    except Exception as refusal:
        if _ends(refusal):
            raise _ended() from refusal
        raise


def _ends(refusal: Exception) -> bool:
    state = sql_state(refusal)
    gone = ("no such savepoint", "closed database", "Connection is closed")
    return state in _ENDED_STATES or any(text in state for text in gone)


def _ended() -> UsageError:
    return UsageError(
        "the function of a @transaction ends its transaction itself. Leave out commit(), rollback(),"
        " close() and `with` around the connection: the decorator commits when the function returns, and"
        " rolls back when it raises"
    )


def _pending() -> UsageError:
    return UsageError(
        "connect() gave @transaction a connection with an open transaction: commit or roll back what"
        " connect() does with it, and give every call a connection of its own"
    )
