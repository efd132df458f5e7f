"""The table of outcomes: one row for each transaction of an agent, written in that transaction itself.

The row is inserted first, without an outcome, which is also the question whether it is there: a second
performer of the same call waits at this row until the first is over. It gets its outcome last.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from attrs import frozen

from golem_sdk import originals
from golem_sdk.codec.values import decode, encode
from golem_sdk.errors import DecodingError, OutcomeRowError, UsageError
from golem_sdk.transactions.connections import recognised, sql_state
from golem_sdk.transactions.steps import quietly, run

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from golem_sdk.transactions.connections import Connection
    from golem_sdk.transactions.steps import Steps

__all__ = ["DEFAULT_TABLE", "Claim", "Found", "checked_table", "forget_outcomes"]

DEFAULT_TABLE = "golem_outcomes"

_CREATE = """CREATE TABLE IF NOT EXISTS {table} (
    call_key TEXT PRIMARY KEY,
    call TEXT NOT NULL,
    request BYTEA NOT NULL,
    outcome BYTEA,
    agent TEXT NOT NULL,
    created_ns BIGINT NOT NULL
)"""
_INSERT = (
    "INSERT INTO {table} (call_key, call, request, agent, created_ns)"
    " VALUES (:key, :call, :request, :agent, :now) ON CONFLICT DO NOTHING"
)
_SELECT = "SELECT request, outcome FROM {table} WHERE call_key = :key"
_KEEP = "UPDATE {table} SET outcome = :outcome WHERE call_key = :key"
_FORGET = "DELETE FROM {table} WHERE created_ns < :before"

_NOT_SERIALIZABLE = "40001"
_EXISTS = {"42P07", "23505"}  # who creates it at the same time gets one of these
_LONGEST_NAME = 63
_MOST_PARTS = 2  # schema.table


@frozen
class Found:
    """A call that was committed before, and its result."""

    result: Any


@frozen
class Claim:
    """What is written into the row of one call.

    Attributes:
        table: the table's name.
        key: the call's idempotency key, which is that of no other call of any agent.
        call: the function's name.
        request: digest of the function's name and arguments.
        agent: the agent's id, as text.
    """

    table: str
    key: str
    call: str
    request: bytes
    agent: str

    @classmethod
    def of(cls, table: str, key: UUID, call: str, request: object, agent: str) -> Claim:
        """The claim of a call with these arguments; ``key`` is its idempotency key."""
        digest = sha256(call.encode("utf-8", "surrogatepass") + b"\0" + encode(request)).digest()
        return cls(table, str(key), call, digest, agent)

    def make(self, connection: Connection) -> Steps[Found | None]:
        """Begin a transaction and claim the row; ``None``: it is ours, do what is to be done.

        Raises:
            OutcomeRowError: the row cannot be this call's outcome.
        """
        if (yield from self._insert(connection)):
            return None
        answer = yield from connection.execute(self._sql(_SELECT), {"key": self.key})
        return self._read(answer.row)

    def keep(self, connection: Connection, outcome: bytes) -> Steps[None]:
        """Write the outcome into the claimed row."""
        answer = yield from connection.execute(
            self._sql(_KEEP), {"key": self.key, "outcome": outcome}
        )
        if answer.count != 1:
            raise self._wrong("vanished while the function ran: leave the table to the SDK")

    def _insert(self, connection: Connection) -> Steps[bool]:
        row = {
            "key": self.key,
            "call": self.call,
            "request": self.request,
            "agent": self.agent,
            "now": originals.time_ns(),
        }
        for attempts_left in (2, 1, 0):
            yield from connection.begin()
            try:
                answer = yield from connection.execute(self._sql(_INSERT), row)
            except Exception as error:
                yield from quietly(connection.rollback())
                if not attempts_left:
                    raise
                if _is_missing(error):
                    yield from self._create(connection)
                elif sql_state(error) != _NOT_SERIALIZABLE:
                    raise
            else:
                return answer.count == 1
        raise AssertionError("the last attempt returns or raises")

    def _create(self, connection: Connection) -> Steps[None]:
        yield from connection.begin()
        try:
            yield from connection.execute(self._sql(_CREATE), {})
            yield from connection.commit()
        except Exception as error:
            yield from quietly(connection.rollback())
            if sql_state(error) not in _EXISTS:
                raise

    def _read(self, row: tuple[Any, ...] | None) -> Found:
        if row is None:
            raise self._wrong("was deleted while it was looked at: call again")
        request, outcome = row
        if bytes(request) != self.request:
            raise self._wrong(
                "is that of another call, or of the same with other arguments. The agent has jumped back,"
                " or run an atomic region again, and now does something else, while what it did before"
                " is committed. Make it do the same, or undo that in a transaction of its own"
            )
        if outcome is None:
            raise self._wrong(
                "has no outcome: the function had committed its transaction half-way by itself."
                " Look what it has done; delete the row if it is to be done again"
            )
        try:
            return Found(decode(bytes(outcome)))
        except DecodingError as error:
            raise self._wrong(f"does not hold a value that can be read: {error}") from error

    def _sql(self, template: str) -> str:
        return template.format(table=_quoted(self.table))

    def _wrong(self, what: str) -> OutcomeRowError:
        message = f"the row of {self.call} in table {self.table} (call_key {self.key}) {what}"
        return OutcomeRowError(message, self.table, self.key)


def forget_outcomes(connection: Any, older_than: timedelta, *, table: str = DEFAULT_TABLE) -> int:
    """Delete the rows of transactions that began longer ago than ``older_than``; gives their number.

    A row is needed as long as its call can be performed again: until the agent has recorded the outcome,
    which it does right after the commit unless it crashes there, and for as long as an agent may jump
    back, be reverted or run an atomic region again from before the call. So choose ``older_than`` longer
    than the longest time for which a crashed runtime is left down, and the longest method runs. A call
    whose row is gone is performed again.

    Runs one statement. Neither commits nor closes: the caller does.

    Args:
        connection: a blocking one of any kind that `transaction` knows.
        older_than: not negative.
        table: the table that was given to `transaction`.

    Raises:
        UsageError: an argument is none of these.
    """
    name = checked_table(table)
    if not hasattr(older_than, "total_seconds") or older_than.total_seconds() < 0:
        raise UsageError(f"older_than is a timedelta that is not negative, not {older_than!r}")
    adapter = recognised(connection)
    if adapter.is_async:
        raise UsageError("forget_outcomes() wants a blocking connection, not an asynchronous one")
    before = originals.time_ns() - round(older_than.total_seconds() * 1e9)
    return run(adapter.execute(_FORGET.format(table=_quoted(name)), {"before": before})).count


def checked_table(table: object) -> str:
    """A table's name.

    Raises:
        UsageError: it is no plain identifier, also not after that of a schema and a dot.
    """
    parts = table.split(".") if isinstance(table, str) else [""]
    if len(parts) > _MOST_PARTS or not all(
        part.isascii() and part.isidentifier() and len(part) <= _LONGEST_NAME for part in parts
    ):
        raise UsageError(
            f"the table of outcomes is named by a plain identifier of at most {_LONGEST_NAME} letters,"
            f" digits and underscores (or schema.table), not by {table!r}"
        )
    return str(table)


def _quoted(table: str) -> str:
    return ".".join(f'"{part}"' for part in table.split("."))


def _is_missing(error: Exception) -> bool:
    state = sql_state(error)
    return state == "42P01" or state.startswith("no such table")
