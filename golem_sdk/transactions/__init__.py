"""Database transactions whose effect happens exactly once, crash or not.

The outcome of the call rides in the user's own transaction, as one row under the call's idempotency key. A
call that is made again, because a crash left its fate unknown, finds the row and gives what it says; without
a row nothing of the first try has happened. Works with sqlite3, psycopg and SQLAlchemy.

Example:
    >>> import sqlite3, tempfile
    >>> from golem_sdk import Runtime, agent
    >>> from golem_sdk.transactions import transaction
    >>> file = tempfile.NamedTemporaryFile(suffix=".db")
    >>> def bank() -> sqlite3.Connection:
    ...     return sqlite3.connect(file.name)
    >>> with bank() as setup:
    ...     _ = setup.execute("CREATE TABLE account (name TEXT PRIMARY KEY, cents INTEGER)")
    ...     _ = setup.execute("INSERT INTO account VALUES ('ada', 500), ('bob', 0)")
    >>> setup.close()
    >>> @transaction(bank)
    ... def move(tx: sqlite3.Connection, cents: int, source: str, target: str) -> int:
    ...     change = "UPDATE account SET cents = cents + ? WHERE name = ? RETURNING cents"
    ...     (left,) = tx.execute(change, (-cents, source)).fetchone()
    ...     tx.execute(change, (cents, target)).fetchone()
    ...     return left
    >>> @agent
    ... def deposit(cents: int) -> int:
    ...     return move(cents, "ada", "bob")
    >>> with Runtime.memory() as runtime:
    ...     runtime.run(deposit, 200)
    300
"""

from __future__ import annotations

import functools
import inspect
import re
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from golem_sdk import durability, originals
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import UsageError
from golem_sdk.transactions.outcomes import Call, delete_older, perform, perform_async

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

__all__ = ["forget_outcomes", "transaction"]

P = ParamSpec("P")
R = TypeVar("R")

_TABLE = "golem_outcomes"


def transaction(
    connect: Callable[[], Any], *, table: str = _TABLE
) -> Callable[[Callable[Concatenate[Any, P], R]], Callable[P, R]]:
    """Make a function one durable database transaction, whose effect happens exactly once.

    Each call opens a connection, begins a transaction, runs the function with that connection as its first
    argument (callers leave it out), commits and closes the connection. An exception rolls everything back
    and is the call's outcome. Nothing inside the function is journaled by itself, as with `durable`.

    After a crash the call is made again, also under `idempotence_mode(False)`: it asks the database first.
    In an atomic region that runs again, a transaction that was committed is not run again, and gives what it
    gave. Outside agents the function runs in a transaction, without a row.

    Does not make two databases agree: each transaction is one of its own.

    Args:
        connect: gives a new connection: of ``sqlite3``, ``psycopg`` (also asynchronous), or SQLAlchemy (a
            connection or an engine, also asynchronous). Functions that are ``async def`` need asynchronous
            ones. How isolated transactions are is the connection's business.
        table: the name of the table that keeps the outcomes; it is made when it is missing.

    Raises:
        UsageError: ``connect`` is no function or gives no such connection; the table's name is no
            identifier; the function is a generator; or it has ended the transaction by itself.
        EncodingError: an argument, or (everything is rolled back) the result cannot be stored.
    """
    if not callable(connect):
        raise UsageError(f"transaction(connect) takes a function that connects, not {connect!r}")
    _check_table(table)

    def decorate(function: Callable[..., Any]) -> Any:
        return _transaction(function, connect, table)

    return decorate


def forget_outcomes(
    connect: Callable[[], Any], older_than: timedelta, *, table: str = _TABLE
) -> int:
    """Delete the outcomes of transactions committed longer ago than that; gives how many there were.

    An outcome is needed until its agent has recorded it, which takes a moment unless the agent's process
    has died: choose an age within which every store was opened again.

    Args:
        connect: gives a new synchronous connection.
        older_than: the age.
        table: as given to `transaction`.
    """
    _check_table(table)
    before_ns = originals.time_ns() - round(older_than.total_seconds() * 1e9)
    return delete_older(connect, table, before_ns)


def _transaction(function: Callable[..., Any], connect: Callable[[], Any], table: str) -> Any:
    if not inspect.isfunction(function) or (
        inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    ):
        raise UsageError(
            f"@transaction goes on a function that is no generator, not on {function!r}"
        )
    name = f"{function.__module__}.{function.__qualname__}"

    def call_of(session: durability.Session, args: Any, kwargs: Any) -> Call:
        key = str(durability.upcoming_idempotency_key(session))
        return Call(key, str(session.agent_id), table, connect, _bound(function, args, kwargs))

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            session = durability.current()
            if session is None:
                call = Call(None, "", table, connect, _bound(function, args, kwargs))
                return await perform_async(call)
            call = call_of(session, args, kwargs)
            return await durability.durable_call_async(
                session, name, _TYPE, [list(args), kwargs], lambda: perform_async(call)
            )

        return run_async

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        session = durability.current()
        if session is None:
            return perform(Call(None, "", table, connect, _bound(function, args, kwargs)))
        call = call_of(session, args, kwargs)
        return durability.durable_call(
            session, name, _TYPE, [list(args), kwargs], lambda: perform(call)
        )

    return run


_TYPE = FunctionType.WRITE_REMOTE_TRANSACTION


def _bound(
    function: Callable[..., Any], args: Any, kwargs: Any
) -> Callable[[Any], Any | Awaitable[Any]]:
    return lambda connection: function(connection, *args, **kwargs)


def _check_table(table: object) -> None:
    name = r"[A-Za-z_]\w{0,62}"
    if not isinstance(table, str) or not re.fullmatch(rf"({name}\.)?{name}", table, re.ASCII):
        raise UsageError(f"the table of outcomes must be named by an identifier, not {table!r}")
