"""What agent code begins and ends that always runs again as a whole, if at all.

Met in replay without its end, an atomic region, a batch or a zone in which nothing is persisted is dropped
from its begin on. So no place inside it can be gone back to: the jump would drop the end, and replay the
place itself, and with it how often it was jumped back to.

This is kept apart from the plan, which in replay knows the future, and forgets invocations that are over:
here the answers in replay are those that were given live.
"""

from __future__ import annotations

from attrs import define, field

from golem_sdk.core.entries import (
    BeginAtomicRegion,
    BeginRemoteWrite,
    ChangePersistenceLevel,
    EndAtomicRegion,
    EndRemoteWrite,
    Entry,
    OplogIndex,
)
from golem_sdk.core.function_type import BATCH
from golem_sdk.core.scopes import PersistenceLevel

__all__ = ["Spans"]


@define
class _Span:
    kind: type[Entry]
    is_whole: bool = True  # it runs again as a whole
    end: OplogIndex = 0  # 0: it is open


@define
class Spans:
    """The spans of one invocation, by their begins, in their order."""

    _spans: dict[OplogIndex, _Span] = field(factory=dict)

    def note(self, index: OplogIndex, entry: Entry) -> None:
        """Agent code has made ``entry``, live or in replay."""
        match entry:
            case BeginAtomicRegion():
                self._spans[index] = _Span(type(entry))
            case ChangePersistenceLevel(level=level, begin=0):
                self._spans[index] = _Span(type(entry), level == PersistenceLevel.PERSIST_NOTHING)
            case BeginRemoteWrite(function_name=name) if name == BATCH:
                self._spans[index] = _Span(type(entry))
            case EndAtomicRegion() | EndRemoteWrite() | ChangePersistenceLevel():
                if entry.begin in self._spans:
                    self._spans[entry.begin].end = index

    def is_open(self, begin: OplogIndex) -> bool:
        """Whether the span with this begin has no end yet."""
        return begin in self._spans and not self._spans[begin].end

    def around(self, index: OplogIndex) -> OplogIndex:
        """The begin of a span, open or not, that has ``index`` in it, 0: none has."""
        for begin, span in self._spans.items():
            if span.is_whole and begin < index and (not span.end or index < span.end):
                return begin
        return 0

    def first_open(self, other: OplogIndex) -> OplogIndex:
        """The first begin of an open span that runs again as a whole, or ``other``, if that is earlier."""
        spans = self._spans.items()
        return min([other, *(begin for begin, span in spans if span.is_whole and not span.end)])

    def open_regions(self) -> list[OplogIndex]:
        """The begins of the atomic regions that are open, the last one first."""
        return [
            begin
            for begin, span in reversed(self._spans.items())
            if span.kind is BeginAtomicRegion and not span.end
        ]
