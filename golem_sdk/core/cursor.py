"""Walks an oplog's visible replayed entries, forward only, with one entry of look-ahead."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING

from golem_sdk.core.entries import KIND_OF, Entry, Log, OplogIndex
from golem_sdk.core.regions import NO_REGIONS, Regions

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LIVE", "Cursor", "Item"]

_REPLAYED = frozenset(kind.entry_class for kind in KIND_OF.values() if kind.replayed)

Item = tuple[OplogIndex, Entry]
"""An entry and its index."""

_NOTHING: Iterator[Item] = iter(())
"""What is left at the end: what was read for an agent is not kept."""


class Cursor:
    """The recorded entries that replay has yet to meet.

    Hint entries are passed over. The log lines after the last replayed entry are kept: they were
    emitted before the crash and must not be emitted again (`take_log`).

    Attributes:
        upcoming: the next visible replayed entry and its index, ``None`` at the end.
    """

    __slots__ = ("_items", "_logs", "_regions", "upcoming")

    upcoming: Item | None
    _logs: int

    def __init__(self, items: Iterator[Item], regions: Regions = NO_REGIONS) -> None:
        self._items = items
        self._regions = regions
        self.advance()

    def advance(self) -> None:
        """On to the next entry, if there is one."""
        self._logs = 0
        skipping = self._regions.skipped
        for item in self._items:
            index, entry = item
            if skipping and not self._regions.is_visible(index):
                continue
            if type(entry) in _REPLAYED:
                self.upcoming = item
                return
            if type(entry) is Log:
                self._logs += 1
        self.upcoming = None
        self._items = _NOTHING

    def abandon(self) -> list[Entry]:
        """Consume everything that is left, which is to happen again; gives it.

        The log lines in it were emitted, and the code that writes them runs again: they stay counted.
        """
        dropped, logs = [], self._logs
        while self.upcoming is not None:
            dropped.append(self.upcoming[1])
            self.advance()
            logs += self._logs
        self._logs = logs
        return dropped

    def ahead(self, most: int) -> list[Entry]:
        """The next replayed entries, the upcoming one first, among ``most`` recorded ones behind it."""
        if self.upcoming is None:
            return []
        following = list(islice(self._items, most))
        self._items = chain(following, self._items)
        visible = [entry for index, entry in following if self._regions.is_visible(index)]
        return [self.upcoming[1], *(entry for entry in visible if type(entry) in _REPLAYED)]

    def take_log(self) -> bool:
        """Whether a log line printed now was emitted before the crash (and count it as met)."""
        if self.upcoming is not None:
            return True
        if self._logs == 0:
            return False
        self._logs -= 1
        return True


LIVE = Cursor(_NOTHING)
"""That of agents of which nothing is recorded: it does not change."""
