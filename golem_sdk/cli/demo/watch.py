"""Looks at the demo's store from outside, while the worker owns it and after it was killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from golem_sdk.core.entries import KIND_OF, ExportedFunctionCompleted
from golem_sdk.errors import AgentNotFoundError, StoreError
from golem_sdk.viewer import Viewer, open_viewer

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["OplogCount", "StoreWatch"]


@define
class OplogCount:
    """What is known of one agent's oplog.

    Attributes:
        entries: how many there are on disk.
        replayed: how many of them replay has to meet.
        completed: the newest says that the invocation is over.
    """

    entries: int = 0
    replayed: int = 0
    completed: bool = False


class StoreWatch:
    """Counts oplog entries; each is read once.

    Args:
        path: the store, which need not be there yet.
        agent_ids: whose entries are counted.
    """

    def __init__(self, path: Path, agent_ids: list[str]) -> None:
        self.counts = {agent_id: OplogCount() for agent_id in agent_ids}
        self._path = path
        self._viewer: Viewer | None = None

    def look(self) -> None:
        """Count what has been added."""
        try:
            if self._viewer is None:
                self._viewer = open_viewer(self._path)
            for agent_id, count in self.counts.items():
                self._read_on(self._viewer, agent_id, count)
        except StoreError:  # the worker is just making it
            return

    def close(self) -> None:
        """Let go of the store."""
        if self._viewer is not None:
            self._viewer.close()

    def _read_on(self, viewer: Viewer, agent_id: str, count: OplogCount) -> None:
        if count.completed:
            return
        try:
            for index, entry in viewer.oplog(agent_id, start=count.entries + 1):
                count.entries = index
                count.replayed += KIND_OF[type(entry)].replayed
                count.completed = isinstance(entry, ExportedFunctionCompleted)
        except AgentNotFoundError:
            return
