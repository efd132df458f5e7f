"""How one transaction is made: claim its row, run the function, keep the result, commit, all in one."""

from __future__ import annotations

from collections.abc import Callable  # attrs classes are resolved at run time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from attrs import define, frozen

from golem_sdk.codec.values import encode
from golem_sdk.errors import CommitUnknownError, OutcomeRowError, UsageError
from golem_sdk.transactions.connections import opened
from golem_sdk.transactions.steps import quietly

if TYPE_CHECKING:
    from golem_sdk.transactions.connections import Connection
    from golem_sdk.transactions.outcomes import Claim, Found
    from golem_sdk.transactions.steps import Steps

__all__ = ["RUNNING", "Fate", "Work", "transact", "transact_plainly"]

RUNNING: ContextVar[str] = ContextVar("golem_transaction", default="")
"""The name of the function whose transaction is open here."""


@frozen
class Work:
    """What is to be done in one transaction.

    Attributes:
        name: the function's name, for messages.
        connect: opens the connection.
        is_async: whether the function is, and so the connection has to be.
        body: the function with its arguments, without the connection.
    """

    name: str
    connect: Callable[[], Any]
    is_async: bool
    body: Callable[[Any], Any]


@define
class Fate:
    """What is known of one call, over all its attempts.

    Attributes:
        is_open: it may have been committed, by an attempt whose end nobody has seen.
    """

    is_open: bool


def transact(work: Work, claim: Claim, fate: Fate) -> Steps[Any]:
    """Do it once; ``claim`` is how the database knows whether it was done.

    Raises:
        CommitUnknownError: it may have been committed, and the database cannot be asked.
        Exception: what the function or the database raises; then nothing of it happened.
    """
    connection, found = yield from _claimed(work, claim, fate)
    failure: Exception | None = None
    try:
        if found is not None:
            return found.result
        result = yield from _run_body(work, connection)
        yield from claim.keep(connection, encode(result))
        try:
            yield from connection.commit()
        except Exception as error:  # nobody knows yet what it means
            failure, fate.is_open = error, True
    finally:
        yield from _leave(connection)
    if failure is None:
        return result
    connection, found = yield from _claimed(work, claim, fate, failure)
    yield from _leave(connection)
    if found is None:
        failure.add_note("The database was asked: this was not committed, nothing of it happened.")
        raise failure
    return found.result


def transact_plainly(work: Work) -> Steps[Any]:
    """Do it, outside agents; raises what the function or the database raises."""
    connection = yield from _open(work)
    try:
        yield from connection.begin()
        result = yield from _run_body(work, connection)
        yield from connection.commit()
    finally:
        yield from _leave(connection)
    return result


def _claimed(
    work: Work, claim: Claim, fate: Fate, failure: Exception | None = None
) -> Steps[tuple[Connection, Found | None]]:
    """A connection that holds the claim, so that no other attempt can commit; or one that found the outcome.

    ``failure`` is that of an attempt to commit. To claim waits for one that is still under way on the server.
    """
    connection: Connection | None = None
    try:
        connection = yield from _open(work)
        found = yield from claim.make(connection)
    except BaseException as error:
        if connection is not None:
            yield from _leave(connection)
        if not fate.is_open or isinstance(error, OutcomeRowError):
            raise
        if not isinstance(error, Exception):  # it is cancelled
            raise
        raise CommitUnknownError(
            f"{work.name} may have been committed ({failure or 'before a crash'!s}), and whether it was"
            f" cannot be asked: {error!r}. It is asked again",
            claim.table,
            claim.key,
        ) from (failure or error)
    fate.is_open = False
    return connection, found


def _run_body(work: Work, connection: Connection) -> Steps[Any]:
    yield from connection.protect()
    token = RUNNING.set(work.name)
    try:
        result = yield work.body(connection.raw)
    except BaseException as error:
        yield from connection.reclaim(error)
        raise
    finally:
        RUNNING.reset(token)
    yield from connection.reclaim(None)
    return result


def _open(work: Work) -> Steps[Connection]:
    connection = yield from opened(work.connect)
    if connection.is_async == work.is_async:
        return connection
    kind = type(connection.raw).__name__
    if connection.is_async:
        raise UsageError(f"{work.name} is not asynchronous, but {kind} is: write `async def`")
    yield from quietly(connection.close())
    raise UsageError(
        f"{work.name} is asynchronous, but {kind} blocks: it would hold up every other agent. Give it a"
        " connect() with an asynchronous connection, or write `def`"
    )


def _leave(connection: Connection) -> Steps[None]:
    yield from quietly(connection.rollback())
    yield from quietly(connection.close())
