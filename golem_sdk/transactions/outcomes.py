"""One transaction, step by step: ask for the outcome, or run the user's function and keep it.

The steps are written once, as a generator of calls to the database: `perform` takes them in synchronous code,
`perform_async` in asynchronous code.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

from attrs import frozen

from golem_sdk import originals
from golem_sdk.codec.values import decode, encode
from golem_sdk.errors import DecodingError, StoreCorruptError, UsageError
from golem_sdk.transactions.connections import Connection, adapted

__all__ = ["Call", "delete_older", "perform", "perform_async"]

Steps = Generator[Callable[[], Any], Any, Any]
"""Calls whose values, awaited if need be, are sent back."""

_CREATE = (
    "CREATE TABLE IF NOT EXISTS {table}"
    " (key VARCHAR(36) PRIMARY KEY, outcome {bytes} NOT NULL, agent TEXT NOT NULL, at BIGINT NOT NULL)"
)
_LOOK = "SELECT outcome FROM {table} WHERE key = {{key}}"
_KEEP = (
    "INSERT INTO {table} (key, outcome, agent, at) VALUES ({{key}}, {{outcome}}, {{agent}}, {{at}})"
)
_FORGET = "DELETE FROM {table} WHERE at < {{at}}"
_MARK = "SAVEPOINT golem_transaction"
_RELEASE = "RELEASE SAVEPOINT golem_transaction"


@frozen
class Call:
    """One call of a transactional function.

    Attributes:
        key: its idempotency key; ``None``: outside agents, nothing is kept.
        agent: the agent's id, as text, for whoever looks into the table.
        table: where outcomes are kept.
        connect: opens a connection.
        body: the user's function, which wants the connection.
    """

    key: str | None
    agent: str
    table: str
    connect: Callable[[], Any]
    body: Callable[[Any], Any]


@frozen
class _Found:
    value: Any


class _UncertainError(Exception):
    """Keeping the outcome, or committing, has failed: nobody knows yet what became of it."""


def perform(call: Call) -> Any:
    """Make the call, or give what it gave before.

    Raises:
        BaseException: what the function or the database raised: nothing of it happened.
    """
    return _taken(_attempts(call, is_async=False))


async def perform_async(call: Call) -> Any:
    """The same in asynchronous code."""
    return await _taken_async(_attempts(call, is_async=True))


def delete_older(connect: Callable[[], Any], table: str, before_ns: int) -> int:
    """Delete the outcomes kept before that time (nanoseconds since the epoch); gives how many."""

    def steps() -> Steps:
        connection = yield from _connected(connect, is_async=False)
        try:
            yield connection.begin
            cursor = yield lambda: connection.execute(
                _FORGET.format(table=table), {"at": before_ns}
            )
            yield connection.commit
            return cursor.rowcount
        finally:
            connection.close()

    count: int = _taken(steps())
    return count


def _taken(steps: Steps) -> Any:
    step, result = _next(steps)
    while step is not None:
        sent, error = None, None
        try:
            sent = step()
            if inspect.isawaitable(sent):
                _dismiss(sent)
                raise UsageError(_ASYNC_IN_SYNC)
        except BaseException as raised:  # it is for the steps to deal with
            error = raised
        step, result = _next(steps, sent, error)
    return result


async def _taken_async(steps: Steps) -> Any:
    step, result = _next(steps)
    while step is not None:
        sent, error = None, None
        try:
            sent = step()
            if inspect.isawaitable(sent):
                sent = await sent
        except BaseException as raised:  # it is for the steps to deal with
            error = raised
        step, result = _next(steps, sent, error)
    return result


def _next(
    steps: Steps, sent: object = None, error: BaseException | None = None
) -> tuple[Callable[[], Any] | None, Any]:
    """The step that follows what the last one gave or raised; or ``None``, and what all of them give."""
    try:
        return (steps.send(sent) if error is None else steps.throw(error)), None
    except StopIteration as end:
        return None, end.value


_ASYNC_IN_SYNC = (
    "the connection is asynchronous and the function is not: write `async def`, or connect synchronously."
    " Nothing was done"
)
_SYNC_IN_ASYNC = (
    "the function is `async def` and its connection is synchronous: it would hold up all agents. Use an"
    " asynchronous connection, or a plain function (in an async agent with asyncio.to_thread). Nothing was"
    " done"
)


def _dismiss(awaitable: Any) -> None:
    if inspect.iscoroutine(awaitable):
        awaitable.close()


def _connected(connect: Callable[[], Any], *, is_async: bool) -> Steps:
    opened = yield connect
    connection: Connection = yield lambda: adapted(opened)
    if is_async and not connection.is_async:
        yield connection.close
        raise UsageError(_SYNC_IN_ASYNC)
    if connection.is_async and not is_async:
        raise UsageError(_ASYNC_IN_SYNC)
    return connection


def _attempts(call: Call, *, is_async: bool) -> Steps:
    """Make it; if nobody knows what became of it, ask the database once more."""
    try:
        return (yield from _on_connection(call, _transact, is_async=is_async))
    except _UncertainError as uncertain:
        cause = uncertain.__cause__
        assert cause is not None, "it is raised from what failed"
    found = yield from _on_connection(call, _ask, is_async=is_async)
    if found is None:
        raise cause
    return found.value


def _on_connection(
    call: Call, steps: Callable[[Connection, Call], Steps], *, is_async: bool
) -> Steps:
    connection: Connection = yield from _connected(call.connect, is_async=is_async)
    try:
        result = yield from steps(connection, call)
    except BaseException:
        with suppress(Exception):  # the connection may be gone, and what it had begun with it
            yield connection.rollback
        with suppress(Exception):
            yield connection.close
        raise
    with suppress(Exception):  # what was committed has happened, however the connection ends
        yield connection.close
    return result


def _transact(connection: Connection, call: Call) -> Steps:
    if call.key is None:
        yield connection.begin
        result = yield lambda: call.body(connection.raw)
        yield connection.commit
        return result
    found = yield from _ask(connection, call)
    if found is not None:
        return found.value
    yield connection.begin
    yield lambda: connection.execute(_MARK, {})
    result = yield lambda: call.body(connection.raw)
    kept = {
        "key": call.key,
        "outcome": encode(result),
        "agent": call.agent,
        "at": originals.time_ns(),
    }
    try:
        yield lambda: connection.execute(_RELEASE, {})
    except Exception as error:
        raise UsageError(
            "the function has ended its transaction by itself (a commit, a rollback, or a statement that"
            " implies one): what it did before is not undone, and its outcome cannot be kept with it. Leave"
            " that to @transaction"
        ) from error
    try:
        yield lambda: connection.execute(_KEEP.format(table=call.table), kept)
        yield connection.commit
    except Exception as error:  # or another process has just made the same call
        raise _UncertainError from error
    return result


def _ask(connection: Connection, call: Call) -> Steps:
    """What the call gave when it was made before, ``None`` if nothing is known of it."""
    look, key = _LOOK.format(table=call.table), {"key": call.key}
    try:
        yield connection.begin
        cursor = yield lambda: connection.execute(look, key)
    except Exception:  # there may be no table yet
        yield connection.rollback
        yield from _create(connection, call.table)
        yield connection.begin
        cursor = yield lambda: connection.execute(look, key)
    row = yield lambda: connection.row(cursor)
    yield connection.rollback
    return None if row is None else _Found(_read(row[0], call))


def _create(connection: Connection, table: str) -> Steps:
    create = _CREATE.format(table=table, bytes=connection.bytes_type)
    try:
        yield connection.begin
        yield lambda: connection.execute(create, {})
        yield connection.commit
    except Exception:  # somebody else may have made it at the same time: looking again will tell
        yield connection.rollback


def _read(data: Any, call: Call) -> Any:
    try:
        return decode(bytes(data))
    except (DecodingError, TypeError) as error:
        raise StoreCorruptError(
            f"the outcome kept in table {call.table} under key {call.key} cannot be read: {error}. The"
            " transaction was committed, and is not made again",
            call.table,
            str(call.key).encode(),
        ) from error
