"""Looks at a store without running anything: listings and oplogs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import frozen

from golem_sdk.codec.values import decode
from golem_sdk.core.ids import storage_key
from golem_sdk.core.status import AgentStatus
from golem_sdk.oplog.reader import read_entries
from golem_sdk.storage.payloads import load_payload
from golem_sdk.stores.heads import AgentHead, known_head, load_heads
from golem_sdk.stores.invocations import load_inbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from golem_sdk.core.entries import Entry, OplogIndex, Payload
    from golem_sdk.storage.base import Engine

__all__ = ["AgentMetadata", "Viewer", "open_viewer"]


@frozen
class AgentMetadata:
    """What a listing shows of an agent.

    Attributes:
        agent_id, agent_type: its name and its type's name.
        status: as of the last committed entry.
        oplog_size: how many entries its oplog has, as of the last change of status.
        pending: how many invocations are accepted and not finished.
        completed: how many are over.
        created_at, updated_at: aware datetimes, UTC.
        error: why it is parked, empty otherwise.
    """

    agent_id: str
    agent_type: str
    status: AgentStatus
    oplog_size: int
    pending: int
    completed: int
    created_at: datetime
    updated_at: datetime
    error: str


class Viewer:
    """Reads one store. Needs no runtime, no agent code and no ownership."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def agents(
        self,
        filter: Callable[[AgentMetadata], bool] | None = None,  # noqa: A002  # the published name
    ) -> Iterator[AgentMetadata]:
        """Metadata of all agents, in the order of their ids; only those that pass ``filter``."""
        for head in load_heads(self._engine):
            if head.record.last:  # it has begun
                metadata = self._metadata(head)
                if filter is None or filter(metadata):
                    yield metadata

    def metadata(self, agent_id: str) -> AgentMetadata:
        """Metadata of one agent.

        Raises:
            AgentNotFoundError: the store has no such agent.
        """
        return self._metadata(known_head(self._engine, agent_id))

    def oplog(self, agent_id: str, *, start: OplogIndex = 1) -> Iterator[tuple[OplogIndex, Entry]]:
        """The committed entries of one agent from index ``start`` on.

        Raises:
            AgentNotFoundError: the store has no such agent.
            StoreCorruptError: its oplog is damaged.
        """
        self.metadata(agent_id)
        return read_entries(self._engine, storage_key(agent_id), start)

    def value(self, payload: Payload) -> Any:
        """A stored value, decoded.

        Raises:
            StoreCorruptError, DecodingError: it is damaged, or of a class this process does not know.
        """
        return decode(load_payload(self._engine, payload))

    def close(self) -> None:
        """Let go of the store."""
        self._engine.close()

    def _metadata(self, head: AgentHead) -> AgentMetadata:
        record = head.record
        return AgentMetadata(
            head.agent_id,
            head.agent_type,
            record.status,
            record.last,
            len(load_inbox(self._engine, head.agent_id)),
            record.completed,
            _moment(record.created_at),
            _moment(record.updated_at),
            record.error,
        )


def open_viewer(path: Path) -> Viewer:
    """A viewer of the store in directory ``path``; works while a runtime owns it.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    from golem_sdk.storage.lmdb import LmdbEngine

    return Viewer(LmdbEngine(path, read_only=True))


def _moment(timestamp_ns: int) -> datetime:
    return datetime.fromtimestamp(timestamp_ns / 1e9, UTC)
