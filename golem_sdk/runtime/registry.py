"""What the store has of an agent when its actor is made. Of a new agent that is known without a look.

Each read of the store lets other threads have the interpreter, and with many callers it takes long to get it
back: two reads took a quarter of the time of a small invocation.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING

from attrs import frozen

from golem_sdk.core.bloom import BloomFilter
from golem_sdk.core.ids import storage_key
from golem_sdk.errors import StoreCorruptError, StoreError
from golem_sdk.oplog.reader import agents_with_entries, has_entries
from golem_sdk.storage.base import Space
from golem_sdk.stores.heads import AgentHead, load_head
from golem_sdk.stores.invocations import Invocation, load_inbox
from golem_sdk.stores.rows import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from golem_sdk.storage.base import Engine

__all__ = ["Found", "Registry"]

_FILTER_BYTES = 1 << 20
_AT_ONCE, _AT_MOST = 128, 50_000  # heads and oplogs


@frozen
class Found:
    """What there is of an agent.

    Attributes:
        head: its head, if there is one.
        inbox: what is queued for it.
        blank: nothing is, not even an oplog.
    """

    head: AgentHead | None
    inbox: list[Invocation]
    blank: bool


class Registry:
    """Finds what the store has of agents, and remembers of which it may have anything. Thread-safe.

    Args:
        engine: the store, to which nobody else writes.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._mutex = Lock()
        self._seen = BloomFilter(_FILTER_BYTES)
        self._is_complete = False

    def learn(self, later: Callable[[Callable[[], None]], object]) -> None:
        """Note which agents the store has, if they are not too many; until then each is looked for.

        Args:
            later: calls a function on another thread; given one if they are more than a few.

        Raises:
            StoreError: the store cannot be read.
        """
        if self._is_complete or self._note_all(_AT_ONCE):
            return

        def note_more() -> None:
            with suppress(StoreError):  # if it concerns anybody else, he will meet it, too
                self._note_all(_AT_MOST)

        later(note_more)

    def look(self, agent_id: str, *, queued: bool) -> Found:
        """Find an agent, of which something is stored from now on.

        Args:
            agent_id: which.
            queued: look for invocations also if there is neither head nor oplog.

        Raises:
            StoreCorruptError: what is queued for it is damaged.
        """
        key = storage_key(agent_id)
        head, blank = None, self._is_complete and not queued and key not in self._seen
        if not blank:
            head = load_head(self._engine, agent_id)
            blank = not (head or queued or has_entries(self._engine, key))
        found = Found(head, [] if blank else load_inbox(self._engine, agent_id), blank)
        self._note(key)
        return found

    def _stored(self) -> Iterator[bytes]:
        for key, _ in rows(self._engine, Space.HEAD, b"\0", None):
            yield key
        yield from agents_with_entries(self._engine)

    def _note_all(self, most: int) -> bool:
        with suppress(
            StoreCorruptError
        ):  # who looks for an agent is told what it means for that one
            for number, key in enumerate(self._stored()):
                if number >= most:
                    return False
                self._note(key)
            self._is_complete = True
        return self._is_complete

    def _note(self, key: bytes) -> None:
        with self._mutex:
            self._seen.add(key)
