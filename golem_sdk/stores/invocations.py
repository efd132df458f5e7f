"""Invocations on disk: the queue of each agent, the scheduled ones, and what became of each key."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from attrs import frozen

from golem_sdk.core.entries import Payload
from golem_sdk.core.ids import storage_key
from golem_sdk.errors import StoreCorruptError
from golem_sdk.storage.base import Engine, Space, be64
from golem_sdk.stores.rows import damaged, pack_row, payload_of, plain_payload, rows, unpack_row

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
    "read_result",
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


_TYPES = [str, str, str, str, object, object, int]


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
                plain_payload(self.arguments),
                plain_payload(self.constructor),
                self.order,
            ]
        )

    @staticmethod
    def from_row(space: Space, key: bytes, row: bytes) -> Invocation:
        """The invocation in a record.

        Raises:
            StoreCorruptError: the record does not hold one.
        """
        fields = unpack_row(space, key, row, _TYPES)
        if len(fields) != len(_TYPES):
            raise damaged(space, key, f"{len(fields)} fields are too few")
        agent_type, agent_id, name, method, first, second, order = fields
        arguments, constructor = payload_of(first), payload_of(second)
        if arguments is None or constructor is None:
            raise damaged(space, key, "its arguments are no payload")
        found = Invocation(agent_type, agent_id, name, method, arguments, constructor, order)
        if not found._belongs(space, key):
            raise damaged(space, key, "it is that of another place or agent")
        return found

    def _belongs(self, space: Space, key: bytes) -> bool:
        try:
            storage_key(self.key)
            agent_key = storage_key(self.agent_id)
        except ValueError:
            return False
        if space is Space.INBOX:
            return key == agent_key + b"\0" + be64(self.order)
        return key[8:] == be64(self.order)


@frozen
class Result:
    """What became of an idempotency key: completed or cancelled. Until then its queue row speaks for it.

    ``outcome`` is empty if it was cancelled.
    """

    status: InvocationStatus
    outcome: Payload = b""
    failed: bool = False


_OVER = (InvocationStatus.COMPLETED.value, InvocationStatus.CANCELLED.value)


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
    return pack_row([result.status.value, plain_payload(result.outcome), result.failed])


def load_result(engine: Engine, agent_id: str, key: str) -> Result | None:
    """What became of an idempotency key, ``None`` if the agent never saw it or is not done with it."""
    store_key = result_key(agent_id, key)
    row = engine.get(Space.RESULT, store_key)
    return None if row is None else read_result(store_key, row)


def read_result(store_key: bytes, row: bytes) -> Result:
    """The result in a record.

    Raises:
        StoreCorruptError: the record does not hold one.
    """
    fields = unpack_row(Space.RESULT, store_key, row, [str, object, bool])
    outcome = payload_of(fields[1]) if len(fields) == 3 else None
    if outcome is None or fields[0] not in _OVER:
        raise damaged(Space.RESULT, store_key, "not what became of an invocation")
    return Result(InvocationStatus(fields[0]), outcome, fields[2])


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
