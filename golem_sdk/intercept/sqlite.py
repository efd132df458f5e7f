"""`sqlite3` inside agents, statement by statement.

``sqlite3.connect`` gives a connection whose every statement is one durable call: reads with their rows,
a thousand at a time; writes with their counts and row ids. By type it is a ``sqlite3.Connection`` or the
given factory; the database is opened when something is performed and not in replay. What a connection is
told about itself (factories, functions, ``PRAGMA name = value``, ``ATTACH``) is told again to one that is
opened after a crash, and an open transaction is made again: see `golem_sdk.intercept.links`. Parameters
are in the oplog, long ones as a hash.

A database in memory, or in the agent's own directory (`golem_sdk.workspace`), is the agent's own: it is left
alone, and replay makes it again with the same statements. What SQL asks the clock or a die for is another
there, then: pass it as a parameter.

Does not cover: connections that were opened outside agents or by ``sqlite3.Connection(...)``, and what
`golem_sdk.intercept.links` names. Backups, blob handles and serialisation are refused.
"""

from __future__ import annotations

import os
import re
import sqlite3
import sys
import weakref
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import AgentControlSignal, NotDurableError
from golem_sdk.intercept.links import Link, MadeBeforeError, Visits
from golem_sdk.intercept.patching import Patch, replacement_of
from golem_sdk.intercept.paths import is_own
from golem_sdk.intercept.sqlite_cursors import closed, cursor_class, note_state
from golem_sdk.intercept.sqlite_doubts import is_sign
from golem_sdk.intercept.sqlite_modes import autocommit, setting_of, tried
from golem_sdk.intercept.statements import keyword_of
from golem_sdk.steps import run

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from types import MethodType, ModuleType

__all__ = ["sqlite_patches"]

_NAME = "sqlite3"
_OPTIONS = (
    "timeout",
    "detect_types",
    "isolation_level",
    "check_same_thread",
    "factory",
    "cached_statements",
    "uri",
)
_THREAD = 1 + _OPTIONS.index("check_same_thread")
_REFUSED = ("backup", "blobopen", "serialize", "deserialize")
_TOLD = (
    "create_function",
    "create_aggregate",
    "create_window_function",
    "create_collation",
    "set_authorizer",
    "set_progress_handler",
    "set_trace_callback",
    "enable_load_extension",
    "load_extension",
    "setlimit",
    "setconfig",
)
_LOADING = frozenset({"enable_load_extension", "load_extension"})
"""What does more than tell the connection something: it is not tried before."""

_ERRORS = [
    "DataError",
    "DatabaseError",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Warning",
]
_SETS = re.compile(r"\s*PRAGMA\s+([\w.]+)\s*[=(]", re.IGNORECASE)
_LASTING_PRAGMAS = frozenset({"user_version", "application_id", "schema_version"})


def sqlite_patches(module: ModuleType) -> list[Patch]:
    """The patches of `sqlite3`, and of `sqlite3.dbapi2`, which has the same function.

    The latter is imported by the former, at whose end both are whole.
    """
    return [
        Patch(module, "connect", _connect, spread=True),
        Patch(module.dbapi2, "connect", _connect),
    ]


def _connect(original: Callable[..., sqlite3.Connection]) -> MethodType:
    def connect(_home: object, /, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        session = durability.current_since(_NAME)
        if session is None:
            return original(*args, **kwargs)
        if _is_private(session, *args, **kwargs):
            if len(args) <= _THREAD:  # an agent runs on one thread at a time, on any
                kwargs["check_same_thread"] = False
            return original(*args, **kwargs)
        factory = kwargs.get("factory", args[5] if len(args) > 5 else sqlite3.Connection)
        if not isinstance(factory, type) or not issubclass(factory, sqlite3.Connection):
            raise NotDurableError(
                f"sqlite3.connect(factory={factory!r}) makes connections that an agent cannot record:"
                " give it a class that is derived from sqlite3.Connection"
            )
        make: Any = factory  # mypy takes C types for unhashable
        made: sqlite3.Connection = connection_class(make)(*args, **kwargs)
        return made

    return replacement_of(original, connect, "sqlite3")


def _is_private(
    session: durability.Session, database: Any = None, *args: Any, **kwargs: Any
) -> bool:
    """Whether it is a database that only this connection, or the agent, will ever see; or none at all."""
    name = kwargs.get("database", database)
    if isinstance(name, str) and (kwargs.get("uri") or args[6:7] == (True,)):
        if ":memory:" in name or "mode=memory" in name:
            return "cache=shared" not in name
        name = unquote(urlsplit(name).path)
    if name is None or name in (":memory:", ""):
        return True
    return isinstance(name, str | bytes | os.PathLike) and is_own(session, name, follows=True)


@cache
def connection_class(factory: Any) -> Callable[..., Any]:
    """The factory's class, with connections that are recorded."""
    if factory is sqlite3.Connection:
        return RecordedConnection
    return type(factory.__name__, (factory, RecordedConnection), {"__module__": factory.__module__})


class RecordedConnection(sqlite3.Connection):
    """A connection of an agent. The C part of it is never initialised: `_link` has the real one."""

    def __init__(self, database: Any, *args: Any, **kwargs: Any) -> None:
        options = dict(zip(_OPTIONS, args, strict=False)) | kwargs
        options.pop("factory", None)
        options["check_same_thread"] = False

        def open_it() -> sqlite3.Connection:
            # The name is that of the replaced function, which does what the original does in here.
            opened: sqlite3.Connection = sqlite3.connect(database, **options)
            return opened

        self._link = Link(
            open_it, sqlite3.OperationalError, sqlite3.Connection.close, is_sign=is_sign
        )
        weakref.finalize(self, self._link.drop)
        self._visits = Visits(self)
        durability.hold(durability.current_since(_NAME), self._link)
        self._state: list[Any] = [False, 0]
        self._level: str | None = options.get("isolation_level", "")
        self._mode = options.get("autocommit", -1)
        self._row_factory: Any = None
        self._text_factory: Any = str
        name = database if isinstance(database, str) else repr(database)
        opened = self._call("sqlite3.connect", FunctionType.READ_REMOTE, [name], self._ask)
        self._state = opened

    def _ask(self) -> list[Any]:
        return note_state(run(self._link.connected()))

    def _call(self, name: str, kind: FunctionType, request: Any, perform: Callable[[], Any]) -> Any:
        """Make one durable call; outside agent code (in a ``@durable`` function, say) just do it."""
        self._check()
        session = durability.current_since(_NAME)
        if session is None:
            self._visits.begin(
                changes=kind is FunctionType.WRITE_REMOTE or name == "sqlite3.rollback"
            )
            return self._link.used(perform)
        try:
            using = partial(self._link.used, perform)
            return durability.durable_call(session, name, kind, request, using)
        except AgentControlSignal:
            self._link.drop()
            raise
        except sqlite3.Error as error:
            self._state = getattr(error, "golem_state", self._state)
            self._link.after(None, in_transaction=self._state[0])
            raise

    def _check(self) -> None:
        """Raises the driver's error if it is closed."""
        if self._visits.is_closed:
            raise closed("database")

    def _in_doubt(self) -> bool:
        """Whether the next call may have been made before."""
        session = durability.current_since(_NAME)
        return session is not None and durability.may_have_been_made(session)

    # --- statements -------------------------------------------------------------------------------

    def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
        self._check()
        if not isinstance(factory, type) or not issubclass(factory, sqlite3.Cursor):
            raise NotDurableError(
                f"a cursor is made by a class of sqlite3.Cursor, not by {factory!r}"
            )
        cursor = cursor_class(factory)(self)
        if self._row_factory is not None:
            cursor.row_factory = self._row_factory
        return cursor

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:
        return self.cursor().executemany(sql, parameters)

    def executescript(self, sql_script: str, /) -> Any:
        return self.cursor().executescript(sql_script)

    def commit(self) -> None:
        self._end("commit", FunctionType.WRITE_REMOTE)

    def rollback(self) -> None:
        self._end("rollback", FunctionType.READ_REMOTE)

    def _end(self, how: str, kind: FunctionType) -> None:
        self._check()
        if not self._state[0]:  # nothing is open: the original does nothing, either
            return
        again = self._in_doubt()

        def perform() -> list[Any]:
            if how == "rollback" and self._link.real is None:
                return [False, self._state[1]]  # it went with the connection
            try:
                real = run(self._link.connected(compares=not again, doubts=again))
            except MadeBeforeError:
                return [False, self._state[1]]
            try:
                getattr(real, how)()
            except sqlite3.Error as error:
                error.golem_state = note_state(real)  # type: ignore[attr-defined]  # kept with the error
                raise
            return note_state(real)

        self._state = self._call(f"sqlite3.{how}", kind, None, perform)
        self._link.made.clear()  # a new one may have begun at once
        self._link.after(None, in_transaction=self._state[0])

    def close(self) -> None:
        if self._visits.close():
            self._state = [False, self._state[1]]
            self._link.made.clear()
        self._link.drop()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> Any:
        if isinstance(error, AgentControlSignal):
            self._link.drop()
        elif error is not None:
            self.rollback()
        else:
            try:
                self.commit()
            except sqlite3.Error:
                self.rollback()
                raise
        return False

    def iterdump(self, **options: Any) -> Generator[str, None, None]:
        from sqlite3.dump import _iterdump  # type: ignore[attr-defined]  # as the original does it

        return _iterdump(self, **options)  # type: ignore[no-any-return]  # of strings

    def interrupt(self) -> None:
        if self._link.real is not None:
            self._link.real.interrupt()

    def getlimit(self, category: int, /) -> Any:
        self._check()
        told = self._link.settings.get(("setlimit", category, ()))

        def limit(connection: Any) -> Any:
            if told is not None:
                told(connection)
            return connection.getlimit(category)

        return tried(limit)

    def settle(self, sql: str, parameters: Any) -> None:
        """A statement was executed that holds for this connection only: for others it is made again."""
        pragma = _SETS.match(sql)
        if pragma and pragma[1].lower() not in _LASTING_PRAGMAS:
            key = "pragma", pragma[1]
        elif keyword_of(sql) in ("ATTACH", "DETACH"):
            key = "attach", str(len(self._link.settings))
        else:
            return
        self._link.settings[key] = lambda real: real.execute(sql, parameters).close()

    # --- what it knows of itself ------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        self._check()
        return bool(self._state[0])

    @property
    def total_changes(self) -> int:
        self._check()
        return int(self._state[1])

    @property
    def isolation_level(self) -> Any:
        return self._level

    @isolation_level.setter
    def isolation_level(self, level: Any) -> None:
        setting = setting_of("isolation_level", level)
        found = tried(setting)
        if level is None:
            self.commit()
        self._level = found
        self._link.set("isolation_level", setting)

    @property
    def row_factory(self) -> Any:
        return self._row_factory

    @row_factory.setter
    def row_factory(self, factory: Any) -> None:
        self._row_factory = factory

    @property
    def text_factory(self) -> Any:
        return self._text_factory

    @text_factory.setter
    def text_factory(self, factory: Any) -> None:
        self._text_factory = factory
        self._link.set("text_factory", lambda real: setattr(real, "text_factory", factory))


def _telling(name: str) -> Callable[..., Any]:
    def tell(self: RecordedConnection, /, *args: Any, **kwargs: Any) -> Any:
        self._check()

        def setting(real: Any) -> Any:
            return getattr(real, name)(*args, **kwargs)

        what = args[0] if args and isinstance(args[0], str | int) else None
        result = None if name in _LOADING else tried(setting)
        if name == "setlimit":
            result = self.getlimit(args[0])
        self._link.set((name, what, args[1:2] if name.startswith("create") else ()), setting)
        return result

    tell.__name__ = name
    return tell


def _refusing(name: str) -> Callable[..., Any]:
    def refuse(self: RecordedConnection, /, *args: Any, **kwargs: Any) -> Any:
        raise NotDurableError(
            f"sqlite3.Connection.{name}() is not recorded, so an agent must not call it as it is. Put the"
            " code that needs it, with a connection of its own, into a function decorated with @durable"
        )

    refuse.__name__ = name
    return refuse


if sys.version_info >= (3, 12):
    RecordedConnection.autocommit = autocommit  # type: ignore[assignment,method-assign]  # as it is
for _method in _ERRORS:  # the C part has them for each connection
    setattr(RecordedConnection, _method, getattr(sqlite3, _method))
for _method in _TOLD:
    setattr(RecordedConnection, _method, _telling(_method))
for _method in _REFUSED:
    setattr(RecordedConnection, _method, _refusing(_method))
