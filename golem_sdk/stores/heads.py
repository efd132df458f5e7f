"""Agent heads: each agent's status, kept beside its oplog so that listing needs no oplog."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from attrs import fields, frozen

from golem_sdk.codec.codes import shown
from golem_sdk.core.ids import storage_key
from golem_sdk.core.status import AgentStatus, StatusRecord
from golem_sdk.errors import AgentNotFoundError
from golem_sdk.storage.base import Engine, Space
from golem_sdk.stores.rows import damaged, pack_row, rows, unpack_row

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["AgentHead", "head_put", "known_head", "load_head", "load_heads", "read_head"]

# Without the underscores it takes Enum ten times as long.
_FIELDS = attrgetter("status._value_", *(a.name for a in fields(StatusRecord)[1:]))
_TYPES = [str, str, str, *({"str": str}.get(str(a.type), int) for a in fields(StatusRecord)[1:])]
_FEWEST = 3


@frozen(slots=False)  # see `StatusRecord`
class AgentHead:
    """What a listing shows of an agent without reading its oplog. Rebuilt from the oplog when lost.

    It is stored with the first thing that is stored of an agent: the call that has it made. Of an agent
    without head and oplog nothing else is looked for.
    """

    agent_type: str
    agent_id: str
    record: StatusRecord


def head_put(head: AgentHead) -> tuple[Space, bytes, bytes]:
    """The record of a head."""
    row = pack_row([head.agent_type, head.agent_id, *_FIELDS(head.record)])
    return Space.HEAD, storage_key(head.agent_id), row


def load_head(engine: Engine, agent_id: str) -> AgentHead | None:
    """The head of one agent, ``None`` if it does not exist."""
    try:
        key = storage_key(agent_id)
    except ValueError:  # no agent can be called that
        return None
    row = engine.get(Space.HEAD, key)
    return None if row is None else read_head(key, row)


def known_head(engine: Engine, agent_id: str) -> AgentHead:
    """The head of an agent that has begun.

    Raises:
        AgentNotFoundError: the store has no such agent, or only calls that wait for it.
    """
    head = load_head(engine, agent_id)
    if head is None or not head.record.last:
        raise AgentNotFoundError(f"the store has no agent {agent_id}")
    return head


def load_heads(engine: Engine) -> Iterator[AgentHead]:
    """All heads, in the order of their ids; later pages may be newer than earlier ones."""
    for key, row in rows(engine, Space.HEAD, b"\0", None):
        yield read_head(key, row)


def read_head(key: bytes, row: bytes) -> AgentHead:
    """The head in a record.

    Raises:
        StoreCorruptError: the record does not hold one.
    """
    fields = unpack_row(Space.HEAD, key, row, _TYPES)
    if len(fields) < _FEWEST:
        raise damaged(Space.HEAD, key, f"{len(fields)} fields are too few")
    agent_type, agent_id, status, *rest = fields
    try:
        if storage_key(agent_id) == key:
            return AgentHead(agent_type, agent_id, StatusRecord(AgentStatus(status), *rest))
    except ValueError as error:
        raise damaged(Space.HEAD, key, shown(str(error))) from None
    raise damaged(Space.HEAD, key, "it is that of another agent")
