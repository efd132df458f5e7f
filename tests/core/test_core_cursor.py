"""Walking an oplog: what replay meets, and which log lines were emitted before."""

from __future__ import annotations

import weakref

from golem_sdk.core.cursor import Cursor
from golem_sdk.core.entries import BeginAtomicRegion, Entry, Log, NoOp, OplogRegion, Suspend
from golem_sdk.core.regions import Regions

LINE = Log(0, "info", "", "hello")


def cursor(*entries: Entry, regions: Regions | None = None) -> Cursor:
    items = iter(list(enumerate(entries, start=1)))
    return Cursor(items, regions) if regions else Cursor(items)


def lines_left(walk: Cursor) -> int:
    """How many lines written now were emitted before."""
    count = 0
    while walk.take_log():
        count += 1
    return count


def test_hints_and_what_is_skipped_are_passed_over() -> None:
    regions = Regions((OplogRegion(2, 3),))
    walk = cursor(NoOp(1), NoOp(2), NoOp(3), Suspend(4, 0), NoOp(5), regions=regions)
    assert walk.upcoming == (1, NoOp(1))
    walk.advance()
    assert walk.upcoming == (5, NoOp(5))
    walk.advance()
    assert walk.upcoming is None
    walk.advance()
    assert walk.upcoming is None


def test_lines_behind_the_last_entry_were_emitted() -> None:
    walk = cursor(LINE, NoOp(1), LINE, LINE)
    assert walk.take_log(), "something is left to replay"
    walk.advance()
    assert lines_left(walk) == 2
    assert walk.take_log() is False


def test_lines_among_what_is_done_again_were_emitted() -> None:
    walk = cursor(LINE, BeginAtomicRegion(0), LINE, NoOp(1), LINE, LINE, NoOp(2), LINE)
    walk.advance()
    assert walk.abandon() == [NoOp(1), NoOp(2)]
    assert walk.upcoming is None
    assert lines_left(walk) == 4


def test_what_lies_ahead_is_not_met_by_looking() -> None:
    regions = Regions((OplogRegion(4, 4),))
    walk = cursor(NoOp(1), LINE, NoOp(3), NoOp(4), NoOp(5), NoOp(6), regions=regions)
    assert walk.ahead(0) == [NoOp(1)]
    assert walk.ahead(4) == [NoOp(1), NoOp(3), NoOp(5)]
    met = []
    while walk.upcoming is not None:
        met.append(walk.upcoming[1])
        walk.advance()
    assert met == [NoOp(1), NoOp(3), NoOp(5), NoOp(6)]
    assert walk.ahead(4) == []


def test_what_was_read_is_not_kept_when_all_is_met() -> None:
    items = ((index, NoOp(index)) for index in (1, 2))
    walk, read = Cursor(items), weakref.ref(items)
    del items
    walk.advance()
    assert read() is not None
    walk.advance()
    assert walk.upcoming is None
    assert read() is None
