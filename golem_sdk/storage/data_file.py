"""A look at an LMDB data file before LMDB maps it into memory.

LMDB reads through a memory map: a file that lost its tail kills the process with SIGBUS instead of
raising. So the two meta pages and the length are checked first, with plain reads. Layout:
`MDB_meta` and `MDB_page` of LMDB 0.9 (data version 1), 64 bit, native byte order.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Final

from attrs import frozen

from golem_sdk.errors import StoreCorruptError, StoreLockedError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Extent", "Meta", "data_extent", "register", "sound_metas", "unregister"]

_MAGIC: Final = 0xBEEFC0DE
_DATA_VERSION: Final = 1
_META_PAGE_FLAG: Final = 0x08
_PAGE_SIZES: Final = frozenset(1 << bits for bits in range(8, 17))

# mp_pgno, mp_pad, mp_flags, mp_lower/mp_upper; then mm_magic, mm_version, mm_address, mm_mapsize;
# md_pad (in mm_dbs[0] the page size) and md_flags of both mm_dbs, md_root of mm_dbs[1]; mm_last_pg, mm_txnid
_META: Final = struct.Struct("=QHHI IIQQ IH42x IH34xQ QQ")
_DATABASE_FLAGS: Final = (0x08, 0)  # free pages: MDB_INTEGERKEY; names of databases: none


@frozen
class Extent:
    """How long a data file is, and how long it should be after its last transaction."""

    size: int
    claimed: int
    transaction: int

    @property
    def short(self) -> bool:
        """Whether pages are missing. All may be free ones, which LMDB need not have written."""
        return self.size < self.claimed


@frozen
class Meta:
    """What a meta page says: the state of the file after a transaction.

    Attributes:
        page_size: in bytes.
        last_page: number of the last page in use.
        transaction: the transaction's number.
        root: number of the page at which the names of the spaces begin.
    """

    page_size: int
    last_page: int
    transaction: int
    root: int


def data_extent(path: Path) -> Extent:
    """Check both meta pages of data file ``path``.

    Raises:
        StoreCorruptError: a meta page is damaged or not that of a store.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_size == 0:  # none is ever made so
            raise _damaged(path, "it is empty")
        pair = _meta_pair(path, descriptor)
        while pair != (again := _meta_pair(path, descriptor)):  # somebody is committing right now
            pair = again
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    first, second = pair
    if first.page_size != second.page_size:
        raise _damaged(path, "its meta pages disagree about the page size")
    # Transaction n writes meta page n % 2: a flipped bit in n must not bring an old state back. (One
    # bit can: bit 1, which makes n - 2 of n. That is what a crash before transaction n leaves, too.)
    newest = max(first, second, key=lambda meta: meta.transaction)
    if abs(first.transaction - second.transaction) > 1 or (
        newest.transaction and newest is not (first, second)[newest.transaction % 2]
    ):
        raise _damaged(path, "its meta pages are not those of two successive transactions")
    return Extent(size, (newest.last_page + 1) * newest.page_size, newest.transaction)


def sound_metas(path: Path) -> list[Meta]:
    """Those of the two meta pages of data file ``path`` that make sense, the newest first."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        metas = []
        with suppress(StoreCorruptError):
            metas.append(_meta(path, 0, os.pread(descriptor, _META.size, 0)))
        for size in [meta.page_size for meta in metas] or sorted(_PAGE_SIZES):
            with suppress(StoreCorruptError):
                second = _meta(path, 1, os.pread(descriptor, _META.size, size))
                if second.page_size == size:
                    metas.append(second)
    finally:
        os.close(descriptor)
    return sorted(metas, key=lambda meta: meta.transaction, reverse=True)


def _meta_pair(path: Path, descriptor: int) -> tuple[Meta, Meta]:
    first = _meta(path, 0, os.pread(descriptor, _META.size, 0))
    return first, _meta(path, 1, os.pread(descriptor, _META.size, first.page_size))


def _meta(path: Path, number: int, data: bytes) -> Meta:
    if len(data) < _META.size:
        raise _damaged(path, f"it ends before meta page {number}")
    page, _, flags, _, magic, version, _, _, *rest = _META.unpack(data)
    page_size, free_flags, _, main_flags, root, last_page, transaction = rest
    if (magic, version) != (_MAGIC, _DATA_VERSION):
        raise _damaged(path, f"meta page {number} is not one of LMDB 0.9")
    if (
        page != number
        or flags != _META_PAGE_FLAG
        or page_size not in _PAGE_SIZES
        or (free_flags, main_flags) != _DATABASE_FLAGS
        or last_page < 1
    ):
        raise _damaged(path, f"meta page {number} makes no sense")
    return Meta(page_size, last_page, transaction, root)


def _damaged(path: Path, why: str) -> StoreCorruptError:
    return StoreCorruptError(
        f"data file {path} is damaged or no store: {why}. It was not touched. Restore it from a "
        "backup; if it never held anything, delete it"
    )


def register(path: Path) -> tuple[int, int]:
    """Note that this process opens data file ``path``. Gives what `unregister` takes.

    Raises:
        StoreLockedError: it has it open already. LMDB's locks break when a file is opened twice.
    """
    info = path.stat()
    file = (info.st_dev, info.st_ino)
    with _open_files_lock:
        if file in _open_files:
            raise StoreLockedError(
                f"store {path.parent} is already open in this process: use the runtime that is open"
            )
        _open_files.add(file)
    return file


def unregister(file: tuple[int, int]) -> None:
    """Note that the file has been closed."""
    with _open_files_lock:
        _open_files.discard(file)


_open_files: set[tuple[int, int]] = set()
_open_files_lock = Lock()
