"""What runs again as a whole, from the entries that agent code makes."""

from __future__ import annotations

import pytest

from golem_sdk.core.entries import (
    BeginAtomicRegion,
    BeginRemoteWrite,
    ChangePersistenceLevel,
    EndAtomicRegion,
    EndRemoteWrite,
    Entry,
)
from golem_sdk.core.function_type import BATCH
from golem_sdk.core.scopes import PersistenceLevel
from golem_sdk.core.spans import Spans

NOTHING = int(PersistenceLevel.PERSIST_NOTHING)
SMART = int(PersistenceLevel.SMART)


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (BeginAtomicRegion(0), EndAtomicRegion(0, 5)),
        (BeginRemoteWrite(0, 1, BATCH, b"", 0, 0, 0), EndRemoteWrite(0, 5)),
        (ChangePersistenceLevel(0, NOTHING, 0), ChangePersistenceLevel(0, SMART, 5)),
    ],
)
def test_places_inside_are_known_while_it_is_open_and_afterwards(begin: Entry, end: Entry) -> None:
    spans = Spans()
    assert (spans.is_open(5), spans.around(7)) == (False, 0)
    spans.note(5, begin)
    assert (spans.is_open(5), spans.around(7)) == (True, 5)
    assert (spans.around(4), spans.around(5)) == (0, 0), "its begin can be gone back to"
    spans.note(9, end)
    assert (spans.is_open(5), spans.around(7)) == (False, 5)
    assert (spans.around(9), spans.around(10)) == (0, 0), "so can its end"


def test_other_begins_do_not_count() -> None:
    spans = Spans()
    spans.note(5, BeginRemoteWrite(0, 1, "pay", b"", 0, 0, 0))
    assert (spans.is_open(5), spans.around(7)) == (False, 0)
    spans.note(6, ChangePersistenceLevel(0, SMART, 0))
    assert (spans.is_open(6), spans.around(7)) == (True, 0), "it does not run again as a whole"
    spans.note(8, ChangePersistenceLevel(0, SMART, 6))
    assert not spans.is_open(6)


def test_regions_may_overlap() -> None:
    """Two tasks have one each."""
    spans = Spans()
    spans.note(5, BeginAtomicRegion(0))
    spans.note(6, BeginAtomicRegion(0))
    assert spans.open_regions() == [6, 5]
    spans.note(8, EndAtomicRegion(0, 5))
    assert spans.open_regions() == [6]
    assert (spans.around(7), spans.around(9)) == (5, 6)


def test_the_first_that_is_open() -> None:
    spans = Spans()
    spans.note(4, ChangePersistenceLevel(0, SMART, 0))
    assert spans.first_open(9) == 9, "it does not run again as a whole"
    spans.note(5, BeginAtomicRegion(0))
    spans.note(6, BeginAtomicRegion(0))
    assert (spans.first_open(9), spans.first_open(3)) == (5, 3)
    spans.note(8, EndAtomicRegion(0, 5))
    assert spans.first_open(9) == 6
