"""Invocations on disk: the queue of each agent, the scheduled ones, and what became of each key."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from attrs import frozen

from golem_sdk.codec.values import decode
from golem_sdk.core.entries import Payload, PayloadRef
from golem_sdk.core.ids import storage_key
from golem_sdk.errors import StoreCorruptError
from golem_sdk.storage.base import Engine, Space
from golem_sdk.stores.rows import pack_row, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Invocation",
    "InvocationStatus",
    "Result",
    "inbox_key",
    "load_inbox",
    "load_result",
    "load_scheduled",
    "pending_agents",
    "result_key",
    "result_row",
    "scheduled_key",
]

OnDamage = Callable[[StoreCorruptError], object]


class InvocationStatus(Enum):
    """What became of an invocation."""

    SCHEDULED = "scheduled"
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


@frozen
class Invocation:
    """One call of an agent method, accepted and not finished.

    ``order`` is its place in the agent's queue: microseconds since the epoch, made unique per process.
    ``arguments`` encodes ``[positional, keyword]``.
    """

    agent_type: str
    agent_id: str
    key: str
    method: str
    arguments: Payload
    constructor: Payload
    order: int

    def to_row(self) -> bytes:
        """The value of its record."""
        return pack_row(
            [
                self.agent_type,
                self.agent_id,
                self.key,
                self.method,
                _plain(self.arguments),
                _plain(self.constructor),
                self.order,
            ]
        )

    @staticmethod
    def from_row(space: Space, key: bytes, row: bytes) -> Invocation:
        """The invocation in a record.

        Raises:
            StoreCorruptError: the record does not hold one.
        """
        try:
            agent_type, agent_id, name, method, arguments, constructor, order = decode(row)
            fields = (agent_type, agent_id, name, method)
            if all(isinstance(text, str) for text in fields) and isinstance(order, int):
                return Invocation(*fields, _payload(arguments), _payload(constructor), order)
        except (ValueError, TypeError):
            pass
        raise StoreCorruptError(f"a damaged {space.name} record", space.name, key)


@frozen
class Result:
    """What became of an idempotency key: completed or cancelled. Until then its queue row speaks for it.

    ``outcome`` is empty if it was cancelled.
    """

    status: InvocationStatus
    outcome: Payload = b""
    failed: bool = False


def inbox_key(agent_id: str, order: int) -> bytes:
    """Store key of a queued invocation: queue order within the agent."""
    return storage_key(agent_id) + b"\0" + order.to_bytes(8, "big")


def result_key(agent_id: str, key: str) -> bytes:
    """Store key of what became of idempotency key ``key``."""
    return storage_key(agent_id) + b"\0" + storage_key(key)


def scheduled_key(due_ns: int, order: int) -> bytes:
    """Store key of a scheduled invocation: due time, then order of asking."""
    return due_ns.to_bytes(8, "big") + order.to_bytes(8, "big")


def result_row(result: Result) -> bytes:
    """The value of a result record."""
    return pack_row([result.status.value, _plain(result.outcome), result.failed])


def load_result(engine: Engine, agent_id: str, key: str) -> Result | None:
    """What became of an idempotency key, ``None`` if the agent never saw it or is not done with it."""
    store_key = result_key(agent_id, key)
    row = engine.get(Space.RESULT, store_key)
    if row is None:
        return None
    try:
        status, outcome, failed = decode(row)
        return Result(InvocationStatus(status), _payload(outcome), bool(failed))
    except (ValueError, TypeError):
        raise StoreCorruptError("a damaged RESULT record", Space.RESULT.name, store_key) from None


def load_inbox(engine: Engine, agent_id: str) -> list[Invocation]:
    """The queued invocations of an agent, in order."""
    prefix = storage_key(agent_id) + b"\0"
    return [
        Invocation.from_row(Space.INBOX, key, row)
        for key, row in rows(engine, Space.INBOX, prefix, prefix[:-1] + b"\1")
    ]


def pending_agents(engine: Engine, on_damage: OnDamage | None = None) -> Iterator[Invocation]:
    """The first queued invocation of every agent that has one: who has work after a restart."""
    last = None
    for key, row in rows(engine, Space.INBOX, b"\0", None, on_damage):
        if key[:-8] != last:
            last = key[:-8]
            yield from _readable(Space.INBOX, key, row, on_damage)


def load_scheduled(
    engine: Engine, on_damage: OnDamage | None = None
) -> Iterator[tuple[int, Invocation]]:
    """The scheduled invocations with their due times (nanoseconds since the epoch)."""
    for key, row in rows(engine, Space.SCHEDULED, b"\0", None, on_damage):
        for invocation in _readable(Space.SCHEDULED, key, row, on_damage):
            yield int.from_bytes(key[:8], "big"), invocation


def _readable(
    space: Space, key: bytes, row: bytes, on_damage: OnDamage | None
) -> Iterator[Invocation]:
    try:
        yield Invocation.from_row(space, key, row)
    except StoreCorruptError as error:
        if on_damage is None:
            raise
        on_damage(error)


def _plain(payload: Payload) -> object:
    return payload if isinstance(payload, bytes) else [payload.sha256, payload.size_bytes]


def _payload(value: object) -> Payload:
    match value:
        case bytes():
            return value
        case [bytes() as digest, int() as size]:
            return PayloadRef(digest, size)
    raise ValueError("not a payload")
