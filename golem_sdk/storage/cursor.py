"""Reading an ordered map through a cursor, without trusting it: damage that hides rows is noticed.

A checksum tells that a row that was found is sound. Here is what tells that a row that was *not*
found is really absent: the rows on both sides of its place, whose keys are sound.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Protocol

from golem_sdk.errors import StoreCorruptError
from golem_sdk.storage.records import check_record_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from golem_sdk.storage.base import Row, Space

__all__ = ["Cursor", "find", "read_page"]


class Cursor(Protocol):
    """What is needed of a cursor; each move tells whether there is a row at its new place."""

    def first(self) -> bool:
        """Go to the first row."""
        ...

    def last(self) -> bool:
        """Go to the last row."""
        ...

    def next(self) -> bool:
        """Go one row on."""
        ...

    def prev(self) -> bool:
        """Go one row back."""
        ...

    def set_range(self, key: bytes, /) -> bool:
        """Go to the first row at or after ``key``."""
        ...

    def item(self) -> Row:
        """Key and sealed value of the row at this place."""
        ...

    def iternext(self) -> Iterator[Row]:
        """The row at this place and all behind it."""
        ...

    def iterprev(self) -> Iterator[Row]:
        """The row at this place and all before it, backwards."""
        ...


def find(cursor: Cursor, space: Space, key: bytes) -> bytes | None:
    """The sealed value under ``key``, ``None`` if there is none.

    Raises:
        StoreCorruptError: there is none, and the key of a row beside its place is damaged.
    """
    found = cursor.set_range(key)
    if found:
        at, record = cursor.item()
        if at == key:
            return record
        check_record_key(space, at, record)
        if at < key:
            raise _misplaced(space, at)
    _check_before(cursor, space, key, found)
    return None


def read_page(
    cursor: Cursor, space: Space, lo: bytes, hi: bytes | None, limit: int, reverse: bool
) -> list[Row]:
    """The first ``limit`` rows with ``lo <= key < hi``, or the last ones in reverse; still sealed.

    Raises:
        StoreCorruptError: rows are out of order, or the key of a row just outside is damaged.
    """
    page: list[Row] = []
    if reverse:
        above = hi is not None and _seek(cursor, space, hi)
        found = cursor.prev() if above else cursor.last()
    else:
        found = _seek(cursor, space, lo, hi)
    rows = (cursor.iterprev() if reverse else cursor.iternext()) if found else ()
    for key, record in islice(rows, limit):
        if key < lo if reverse else (hi is not None and key >= hi):
            check_record_key(space, key, record)  # does it really lie outside?
            break
        if page and (key >= page[-1][0] if reverse else key <= page[-1][0]):
            raise _misplaced(space, key)
        page.append((key, record))
    return page


def _seek(cursor: Cursor, space: Space, key: bytes, hi: bytes | None = None) -> bool:
    """Go to the first row at or after ``key``; ``False`` when there is none before ``hi``."""
    if not key:
        return cursor.first()
    found = cursor.set_range(key)
    if found:
        at, record = cursor.item()
        check_record_key(space, at, record)
        if at < key:
            raise _misplaced(space, at)
    before = _check_before(cursor, space, key, found)
    if not found or (hi is not None and at >= hi):  # no need to go back
        return False
    return cursor.next() if before else cursor.first()


def _check_before(cursor: Cursor, space: Space, key: bytes, found: bool) -> bool:
    """Go to the row before the place of ``key`` and check it; ``False`` when there is none."""
    if not (cursor.prev() if found else cursor.last()):
        return False
    before, record = cursor.item()
    check_record_key(space, before, record)
    if before >= key:
        raise _misplaced(space, before)
    return True


def _misplaced(space: Space, key: bytes) -> StoreCorruptError:
    return StoreCorruptError(
        f"rows of {space.name} near {key!r} are out of order: the store is damaged. Nothing was "
        "changed. Restore it from a backup",
        space.name,
        key,
    )
