"""Reads what can be read of a damaged store, and says where something is missing. Changes nothing.

Every record is checked as `LmdbEngine` would check it. What is missing is told as the keys between
which it lay; and the store's tally tells whether what was found is all that there was.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from golem_sdk.errors import StoreCorruptError
from golem_sdk.storage.base import Space
from golem_sdk.storage.data_file import Meta, sound_metas
from golem_sdk.storage.pages import PageReader
from golem_sdk.storage.records import check_record_key, open_record
from golem_sdk.storage.tally import TALLY_KEY, Tally, checksum_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from golem_sdk.storage.base import Row

__all__ = ["Gap", "Salvage", "open_salvage"]

Pin = AbstractContextManager[int]
"""Gives the number of the transaction whose state stays as it is while it is entered."""

_BLOCK: Final = 1 << 20
_DATABASE_OF: Final = {space: space.name.lower().encode() for space in Space}


@frozen
class Gap:
    """Rows may be missing with keys from ``lo`` on, before ``hi`` (``None``: to the end)."""

    lo: bytes
    hi: bytes | None
    why: str

    @property
    def is_one_row(self) -> bool:
        """Whether it is one row, whose key is known."""
        return self.hi == self.lo + b"\0"

    def meets(self, lo: bytes, hi: bytes) -> bool:
        """Whether it may have held a key from ``lo`` on, before ``hi``."""
        return lo < hi and self.lo < hi and (self.hi is None or lo < self.hi)


@define
class Salvage:
    """What is left of a store.

    Attributes:
        transaction: the number of the newest transaction that can be found.
        problems: what is wrong with the file as a whole.
        structure: what LMDB would refuse to write to the file for, if that was looked for.
    """

    transaction: int
    problems: list[str]
    _pages: PageReader
    _kept: Tally | None
    structure: str = ""
    _found: Tally = field(factory=Tally)

    def rows(self, space: Space) -> Iterator[Row | Gap]:
        """The sound rows of a space in order, and the gaps between them. To be read to its end."""
        after, why = b"", ""
        for item in self._pages.rows(_DATABASE_OF[space]):
            if isinstance(item, str):
                why = why or item
                continue
            key, sealed = item
            if key < after:
                why = why or f"the row under {key[:60]!r} is out of order"
                continue
            try:
                row: Row | Gap = key, open_record(space, key, sealed)
            except StoreCorruptError as error:
                reason = str(error).partition(". ")[0]
                if not _is_key_of(space, key, sealed):
                    why = why or reason
                    continue
                row = Gap(key, key + b"\0", reason)
            if why:
                yield Gap(after, key, why)
            self._found.add(space, checksum_of(sealed))
            yield row
            after, why = key + b"\0", ""
        if why:
            yield Gap(after, None, why)

    def is_certain(self, space: Space) -> bool:
        """Whether nothing is missing in ``space``, all of which was read, but the rows that are known by key.

        And nothing is there that should not be: no row came back from an earlier time.
        """
        return self._kept is not None and self._found.agrees(self._kept, space)


@contextmanager
def open_salvage(path: Path, pin: Callable[[], Pin] | None = None) -> Iterator[Salvage]:
    """The store in directory ``path``.

    Args:
        path: the directory.
        pin: keeps what is there now as it is, while others go on writing; ``None``: nobody does.

    Raises:
        StoreCorruptError: neither of the two pages at which everything begins makes sense.
    """
    data = path / "data.mdb"
    with ExitStack() as stack:
        metas = sound_metas(data)
        while pin is not None and metas:
            pinned = stack.enter_context(pin())
            metas = sound_metas(data)
            if pinned in [meta.transaction for meta in metas]:
                metas.sort(key=lambda meta: meta.transaction != pinned)
                break
            stack.close()  # two commits came in between
        if not metas:
            raise StoreCorruptError(
                f"nothing can be found in {data}: both pages at which everything begins are damaged. It was"
                " not touched. Restore it from a backup"
            )
        yield stack.enter_context(_salvage(data, metas))


@contextmanager
def _salvage(data: Path, metas: list[Meta]) -> Iterator[Salvage]:
    newest, problems = metas[0], []
    with PageReader(data, newest) as pages:
        kept = _listed_tally(pages, newest.transaction)
        if len(metas) < 2:
            problems.append("one of the two pages at which everything begins is damaged")
            if any(tally.transaction > newest.transaction for tally in _tallies_in(data)):
                kept = None
                problems.append("the last commit of the store is lost")
        elif kept is None:
            kept = _only_tally(data, newest.transaction)
        if kept is None:
            problems.append("how many records the store should hold is not known")
        yield Salvage(newest.transaction, problems, pages, kept)


def _listed_tally(pages: PageReader, transaction: int) -> Tally | None:
    """The tally of the transaction where it should be."""
    for row in pages.rows(None):
        if not isinstance(row, str) and row[0] == TALLY_KEY:
            with suppress(StoreCorruptError):
                tally = Tally.from_record(row[1])
                return tally if tally.transaction == transaction else None
    return None


def _only_tally(data: Path, transaction: int) -> Tally | None:
    """The tally of the transaction, wherever it is; ``None`` if another one of that number was given up."""
    found = {
        tally.to_record(): tally for tally in _tallies_in(data) if tally.transaction == transaction
    }
    return found.popitem()[1] if len(found) == 1 else None


def _tallies_in(data: Path) -> Iterator[Tally]:
    """All tallies that lie in the file: every transaction writes one."""
    overlap = len(TALLY_KEY) + Tally.RECORD_SIZE
    with data.open("rb") as file:
        block = file.read(_BLOCK)
        while block:
            at = block.find(TALLY_KEY)
            while at >= 0:
                begin = at + len(TALLY_KEY)
                with suppress(StoreCorruptError):
                    yield Tally.from_record(block[begin : begin + Tally.RECORD_SIZE])
                at = block.find(TALLY_KEY, begin)
            more = file.read(_BLOCK)
            block = block[-overlap:] + more if more else b""


def _is_key_of(space: Space, key: bytes, sealed: bytes) -> bool:
    try:
        check_record_key(space, key, sealed)
    except StoreCorruptError:
        return False
    return True
