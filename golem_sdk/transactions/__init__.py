"""Database transactions with exactly-once effect, for sqlite3, psycopg and SQLAlchemy.

The outcome of each call is a row in the user's own database, written in the same transaction as what the
call does. After a crash the call is simply made again: the database knows whether it was done.

Exactly once is what happens in that database. What else a function does (files, mails, queues) is done
again with it. Exceptions are not kept in the database, since nothing happened.

The row's key is the call's idempotency key, which is derived from the agent's id, too. An agent of the same
id that makes the same call in another store finds the outcome: that keeps the promise when a store is lost
or put back from a backup. Stores that share a database and must not know each other need tables of their own.

Where the database user must not create tables, create the table beforehand: ``call_key TEXT PRIMARY KEY,
call TEXT NOT NULL, request BYTEA NOT NULL, outcome BYTEA, agent TEXT NOT NULL, created_ns BIGINT NOT NULL``.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from golem_sdk.core.function_type import FunctionType
from golem_sdk.durability import (
    current,
    durable_call,
    durable_call_async,
    may_have_been_made,
    upcoming_idempotency_key,
)
from golem_sdk.errors import UsageError
from golem_sdk.modules import lasting_name
from golem_sdk.transactions.outcomes import DEFAULT_TABLE, Claim, checked_table, forget_outcomes
from golem_sdk.transactions.perform import RUNNING, Fate, Work, transact, transact_plainly
from golem_sdk.transactions.steps import run, run_async

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.durability import Session
    from golem_sdk.transactions.steps import Steps

__all__ = ["forget_outcomes", "transaction"]

P = ParamSpec("P")
R = TypeVar("R")


def transaction(
    connect: Callable[[], Any], *, table: str = DEFAULT_TABLE
) -> Callable[[Callable[Concatenate[Any, P], R]], Callable[P, R]]:
    """Make a function one database transaction whose effect happens exactly once per call of an agent.

    The function's first argument is the open connection; callers leave it out. It is committed when the
    function returns and rolled back when it raises. Inside an agent each call is one durable call: its
    result is also a row of ``table`` in the same database, so if a crash hides whether it was committed,
    the call is made again and finds it there; under `idempotence_mode(False)`, too. Nothing inside the
    function is recorded by itself. Outside agents it is a plain transaction, without a row.

    Args:
        connect: opens a connection for every call, which is always closed: of ``sqlite3``, psycopg, or
            SQLAlchemy (over SQLite or PostgreSQL; an engine is fine, and is how to have a pool). An
            `async def` function needs an asynchronous one.
        table: a plain identifier, or ``schema.table``; created if it is missing (a schema is not). It grows
            with every call: `forget_outcomes`.

    Raises:
        UsageError: what is given or decorated is none of these; when it is called: the function commits by
            itself, or a transaction is called inside another one.
        EncodingError: when called: the result cannot be stored; it was rolled back.
        OutcomeRowError: when called: the row is not the outcome of this call.
        CommitUnknownError: when called: the connection was lost during the commit, and the database cannot
            be asked. Agents never see it: the call stays open and is made again, however long that takes.

    Example:
        >>> import sqlite3, tempfile
        >>> from golem_sdk import Runtime, agent
        >>> from golem_sdk.transactions import transaction
        >>> file = tempfile.NamedTemporaryFile(suffix=".db")
        >>> @transaction(lambda: sqlite3.connect(file.name))
        ... def note(tx: sqlite3.Connection, text: str) -> int:
        ...     tx.execute("CREATE TABLE IF NOT EXISTS notes (text TEXT)")
        ...     tx.execute("INSERT INTO notes VALUES (?)", (text,))
        ...     return tx.execute("SELECT count(*) FROM notes").fetchone()[0]
        >>> @agent
        ... def diary(day: str) -> int:
        ...     note(f"dear diary, it is {day}")
        ...     return note("good night")
        >>> with Runtime.memory() as runtime:
        ...     runtime.run(diary, "Monday")
        2
        >>> file.close()
    """
    if not callable(connect):
        raise UsageError(
            f"@transaction wants a function that opens a connection, not {connect!r}:"
            " @transaction(lambda: sqlite3.connect(path)), or @transaction(engine.connect)"
        )
    name = checked_table(table)
    return lambda function: _transaction(function, connect, name)


def _transaction(function: Any, connect: Callable[[], Any], table: str) -> Any:
    if isinstance(function, staticmethod):
        return staticmethod(_transaction(function.__func__, connect, table))
    _check(function)
    call = _Call(function, connect, table)
    if call.is_async:

        @functools.wraps(function)
        async def perform_async(*args: Any, **kwargs: Any) -> Any:
            call.refuse_nesting()
            session = current()
            steps = call.bind(session, args, kwargs)
            if session is None:
                return await run_async(steps())
            return await durable_call_async(
                session, call.name, _TYPE, [list(args), kwargs], lambda: run_async(steps())
            )

        return _without_connection(perform_async, function)

    @functools.wraps(function)
    def perform(*args: Any, **kwargs: Any) -> Any:
        call.refuse_nesting()
        session = current()
        steps = call.bind(session, args, kwargs)
        if session is None:
            return run(steps())
        return durable_call(session, call.name, _TYPE, [list(args), kwargs], lambda: run(steps()))

    return _without_connection(perform, function)


_TYPE = FunctionType.WRITE_REMOTE_TRANSACTION


class _Call:
    """One decorated function."""

    def __init__(self, function: Any, connect: Callable[[], Any], table: str) -> None:
        self.name = f"{lasting_name(function.__module__)}.{function.__qualname__}"
        self.is_async = inspect.iscoroutinefunction(function)
        self._function = function
        self._connect = connect
        self._table = table

    def bind(
        self, session: Session | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Callable[[], Steps[Any]]:
        """What makes the steps of one call; its key is that of the next durable call."""
        work = Work(
            self.name,
            self._connect,
            self.is_async,
            lambda connection: self._function(connection, *args, **kwargs),
        )
        if session is None:
            return lambda: transact_plainly(work)
        key, agent = upcoming_idempotency_key(session), session.agent_id
        fate = Fate(may_have_been_made(session))

        def steps() -> Steps[Any]:
            claim = Claim.of(self._table, key, self.name, [list(args), kwargs], agent)
            return transact(work, claim, fate)

        return steps

    def refuse_nesting(self) -> None:
        """Raises `UsageError` inside another transaction."""
        outer = RUNNING.get()
        if outer:
            raise UsageError(
                f"{self.name} is called inside the transaction of {outer}, but would commit on a"
                " connection of its own, whatever becomes of that one. Make what both need a plain function"
                " that takes the connection"
            )


def _check(function: Any) -> None:
    if not inspect.isfunction(function):
        raise UsageError(f"@transaction(connect) goes on a function, not on {function!r}")
    plain = inspect.unwrap(function)
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise UsageError(
            f"{function.__qualname__} is a generator, which runs when its transaction is over: return a"
            " list instead"
        )
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind not in _FIRST:
        raise UsageError(
            f"{function.__qualname__} has no first argument for the connection:"
            f" def {function.__name__}(tx, ...)"
        )
    if parameters[0].name in {"self", "cls"}:
        raise UsageError(
            f"{function.__qualname__} is a method, whose object could not be recorded: make it a function"
            " or a static method that gets what it needs as arguments"
        )


_FIRST = {
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
}


def _without_connection(wrapper: Any, function: Any) -> Any:
    """The wrapper, with the signature that callers see."""
    signature = inspect.signature(function)
    first, *others = signature.parameters.values()
    if first.kind is inspect.Parameter.VAR_POSITIONAL:
        others = [first, *others]
    wrapper.__signature__ = signature.replace(parameters=others)
    return wrapper
