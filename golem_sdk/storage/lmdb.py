"""The durable engine: one LMDB environment, one named database per space.

Default flags only: every commit flushes data first, then the meta page, so an acknowledged commit
survives kill -9 and power loss. (The other flags lose or mix acknowledged data.) What LMDB does not
do is done here: damage is noticed, a full map grows, a full disk is survived, a fork is refused.

The only module that imports lmdb, but for `pins`. Import it where it is used, not at the top of a module.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeVar

import lmdb
from lmdb import verify as lmdb_verify

from golem_sdk.errors import (
    RuntimeClosedError,
    StoreBrokenError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
)
from golem_sdk.storage.applying import Ledger, apply_batches, check_tally, count_records
from golem_sdk.storage.base import Space, check_key, check_range
from golem_sdk.storage.cursor import find, read_page
from golem_sdk.storage.data_file import data_extent, register, unregister
from golem_sdk.storage.directory import DISK_FULL, founding, no_room_after, require_store
from golem_sdk.storage.format import FORMAT_KEY, check_format, format_record
from golem_sdk.storage.process import check_process
from golem_sdk.storage.records import open_record
from golem_sdk.storage.tally import TALLY_KEY, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from golem_sdk.storage.base import Batch, Row

    Txn = lmdb.Transaction[bytes]

__all__ = ["LmdbEngine"]

T = TypeVar("T")

_MIB: Final = 1 << 20
_MAX_DATABASES: Final = 32
_MAX_READERS = 1024  # threads that read at the same time
_WALK_PAGE: Final = 1_000

# py-lmdb has no annotations for it
_verify_structure: Callable[[str], list[str]] = lmdb_verify.verify

_NAMES: Final = {space: space.name.lower().encode() for space in Space}

_DAMAGE: Final = (
    lmdb.BadTxnError,
    lmdb.CorruptedError,
    lmdb.CursorFullError,
    lmdb.IncompatibleError,
    lmdb.InvalidError,
    lmdb.NotFoundError,  # of a space whose name was found before
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
)


class LmdbEngine:
    """An `Engine` in directory ``path``, which is made, private to its user, if it is missing.

    It does not keep other processes from writing: hold an `OwnerLock` for that.

    Args:
        path: the directory.
        map_size: address space to begin with, in bytes; it doubles whenever it is full.
        max_map_size: the most it may grow to; a commit that needs more raises StoreFullError.
        checked_size: a file of up to so many bytes has its page structure and tally checked now, at about
            6 ms per MiB; damage there could hide rows, or make LMDB end the process. Longer: `verify`.
        read_only: look at a store that another process may own; `commit` raises.

    Raises:
        StoreCorruptError: the file is damaged; it was not touched.
        StoreVersionError: a newer version of golem_sdk wrote it.
        StoreLockedError: this process has it open already.
        StoreError: there is no store (read-only), or the directory cannot hold one.
    """

    def __init__(
        self,
        path: Path,
        *,
        map_size: int = 1024 * _MIB,
        max_map_size: int = 64 * 1024 * _MIB,
        checked_size: int = 64 * _MIB,
        read_only: bool = False,
    ) -> None:
        self.path = path
        self.read_only = read_only
        self._max_map_size = max_map_size
        self._pid = os.getpid()
        self._refusal: StoreError | RuntimeClosedError | None = None
        self._commit_lock = Lock()  # one write transaction at a time; taken before the other one
        # Around calls of LMDB that do not wait for the disk. Each lets go of the interpreter's lock, and
        # threads that took turns at each of them would take 50 us where one takes 2.
        self._turn = Lock()
        self._ledger = Ledger()
        self._data = path / "data.mdb"
        if read_only:
            require_store(path)
        else:
            self._found()
        self._file = register(self._data)
        try:
            self._check_file(checked_size)
            self._env = self._open(path, min(map_size, max_map_size))
            self._databases = self._open_databases()
            if not read_only:
                self._adopt()
                self._check_tally(recount=self._data.stat().st_size <= checked_size)
            self._env.reader_check()
        except BaseException as error:
            self._abandon()
            if isinstance(error, lmdb.Error):
                raise self._translated(error, "opening") from error
            raise

    # --- opening ------------------------------------------------------------------------------

    def _check_file(self, checked_size: int) -> None:
        """Refuse a damaged file; lengthen one that merely never got its last free pages."""
        extent = data_extent(self._data)
        while extent.short or (not self.read_only and extent.size <= checked_size):
            problems = self._structure()
            if not problems:
                break
            seen, extent = extent, data_extent(self._data)
            if seen == extent:  # nobody committed in between: what was read belongs together
                raise self._damaged(
                    f"{problems[0]} ({seen.size} of {seen.claimed} bytes are there)"
                )
        if extent.short and not self.read_only:
            os.truncate(self._data, extent.claimed)

    def _open(self, path: Path, map_size: int) -> lmdb.Environment:
        return lmdb.open(
            str(path),
            map_size=map_size,
            readonly=self.read_only,
            create=False,
            mode=0o600,
            max_dbs=_MAX_DATABASES,
            max_readers=_MAX_READERS,
            lib_version=0,  # never what an environment variable says: one format per store version
        )

    def _found(self) -> None:
        """Make what is missing of a store; its file with all spaces."""
        with founding(self.path) as place:
            if place is None:
                return
            (place / "data.mdb").touch(0o600)
            try:
                with self._open(place, _MIB) as env, env.begin(write=True) as txn:
                    opened = [env.open_db(name, txn=txn) for name in _NAMES.values()]
                    meta = opened[list(_NAMES).index(Space.META)]
                    txn.put(FORMAT_KEY, format_record(), db=meta)
                    txn.put(TALLY_KEY, Tally(txn.id()).to_record())
            except lmdb.Error as error:
                raise self._translated(error, "making") from error

    def _open_databases(self) -> list[lmdb._Database | None]:
        """The database of each space, at the space's number."""
        env = self._env
        with env.begin() as txn:
            missing = [space.name for space in Space if txn.get(_NAMES[space]) is None]
        if missing:
            raise self._damaged(f"it lacks its space {missing[0]}")
        opened = {space: env.open_db(name, create=False) for space, name in _NAMES.items()}
        with env.begin(opened[Space.META]) as txn:
            check_format(txn.get(FORMAT_KEY), self.path)
        by_number = {space.value: database for space, database in opened.items()}
        return [by_number.get(number) for number in range(max(Space) + 1)]

    def _adopt(self) -> None:
        """Give a store that was made before there were tallies its own."""
        with self._env.begin(write=True) as txn:
            if txn.get(TALLY_KEY) is None:
                txn.put(TALLY_KEY, count_records(txn, self._databases).to_record())

    def _check_tally(self, *, recount: bool) -> None:
        """Refuse a store with pages of an earlier time."""
        with self._turn, self._env.begin(buffers=True) as views:
            check_tally(views, self._databases, recount=recount)

    # --- writing ------------------------------------------------------------------------------

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        """See `Engine.commit`."""
        check_process(self._pid, self.path)
        with self._commit_lock:
            self._check_usable()
            if self.read_only:
                raise StoreError(f"store {self.path} is open for reading only: nothing was written")
            while True:
                try:
                    return self._transact(batches)
                except lmdb.MapFullError:
                    self._grow()
                except lmdb.MapResizedError:
                    self._set_map_size(0)
                except lmdb.Error as error:
                    raise self._commit_failure(error) from error

    def _transact(self, batches: Sequence[Batch]) -> list[bool]:
        with self._env.begin(write=True) as txn, self._turn:
            won = apply_batches(txn, self._databases, batches, self._ledger)
        self._ledger.committed()
        return won

    def _grow(self) -> None:
        size = self._env.info()["map_size"]
        if size >= self._max_map_size:
            raise StoreFullError(
                f"store {self.path} has grown to its limit of {self._max_map_size} bytes. Nothing "
                "of this commit happened. Delete agents you no longer need, or raise the limit"
            )
        self._set_map_size(min(2 * size, self._max_map_size))

    def _set_map_size(self, size: int) -> None:
        """Change the size of the map, or with 0 adopt the one that another process has set."""
        with self._turn:
            try:
                self._env.set_mapsize(size)
            except lmdb.Error as error:  # without a map nothing can be read any more
                self._refusal = StoreBrokenError(
                    f"store {self.path} could not map {size} bytes into memory: {error}. Nothing of "
                    "this commit happened. Raise the limit on address space, then restart"
                )
                raise self._refusal from error

    # --- reading ------------------------------------------------------------------------------

    def get(self, space: Space, key: bytes) -> bytes | None:
        """See `Engine.get`."""
        check_key(space, key)
        database = self._databases[space]
        record = self._read(lambda txn: find(txn.cursor(database), space, key))
        return None if record is None else open_record(space, key, record)

    def scan(
        self, space: Space, lo: bytes, hi: bytes | None, *, limit: int, reverse: bool = False
    ) -> list[Row]:
        """See `Engine.scan`."""
        check_range(space, lo, hi)
        database = self._databases[space]
        page = self._read(
            lambda txn: read_page(txn.cursor(database), space, lo, hi, limit, reverse)
        )
        return [(key, open_record(space, key, record)) for key, record in page]

    def _read(self, use: Callable[[Txn], T]) -> T:
        check_process(self._pid, self.path)
        while True:
            try:
                with self._turn:
                    self._check_usable()
                    with self._begin_read() as txn:
                        return use(txn)
            except lmdb.MapResizedError:
                self._set_map_size(0)
            except lmdb.Error as error:
                raise self._translated(error, "reading") from error
            except OverflowError as error:  # py-lmdb: a length that no value can have
                raise self._damaged(str(error)) from error

    def _begin_read(self) -> Txn:
        try:
            return self._env.begin()
        except lmdb.ReadersFullError:
            self._env.reader_check()
        return self._env.begin()

    # --- care ---------------------------------------------------------------------------------

    def check_readers(self) -> int:
        """Free the places of readers that died, which make a busy store's file bloat; gives how many.

        Cheap; meant to be called about once a minute.
        """
        check_process(self._pid, self.path)
        with self._turn:
            self._check_usable()
            return self._env.reader_check()

    def verify(self) -> list[StoreCorruptError]:
        """Read everything. Gives what is wrong with the page structure, or with each space.

        Takes time in proportion to the size of the store, and holds up commits. With ``read_only``,
        what another process commits meanwhile may be mistaken for damage.
        """
        check_process(self._pid, self.path)
        with self._commit_lock:
            problems = [self._damaged(problem) for problem in self._structure()]
            # Walking a broken tree would add nothing, or not end.
            problems = problems or [found for space in Space if (found := self._walk(space))]
            if not problems:
                try:
                    self._check_tally(recount=True)
                except StoreCorruptError as error:
                    problems.append(error)
            return problems

    def _walk(self, space: Space) -> StoreCorruptError | None:
        lo, rows = b"", [(b"", b"")]
        try:
            while rows:
                rows = self.scan(space, lo, None, limit=_WALK_PAGE)
                lo = rows[-1][0] + b"\0" if rows else lo
        except StoreCorruptError as error:
            return error
        return None

    def _structure(self) -> list[str]:
        try:
            return _verify_structure(str(self.path))
        except lmdb_verify.VerifyError as error:
            return [str(error)]

    def size_bytes(self) -> int:
        """See `Engine.size_bytes`: the length of the data file."""
        check_process(self._pid, self.path)
        self._check_usable()
        return self._data.stat().st_size

    def close(self) -> None:
        """See `Engine.close`. In a forked child it does nothing: the store is its parent's."""
        if os.getpid() != self._pid:
            return
        with self._commit_lock, self._turn:
            if not isinstance(self._refusal, RuntimeClosedError):
                self._refusal = RuntimeClosedError(f"store {self.path} is closed")
                self._abandon()

    def _abandon(self) -> None:
        with suppress(AttributeError):  # opening failed before there was an environment
            self._env.close()
        unregister(self._file)

    def _check_usable(self) -> None:
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)

    # --- LMDB's errors become ours here -------------------------------------------------------

    def _commit_failure(self, error: lmdb.Error) -> StoreError:
        if isinstance(error, _DAMAGE):
            return self._damaged(str(error))
        if self._disk_full(error) and not self._panicked():
            return self._translated(error, "committing to")
        broken = StoreBrokenError(
            f"the disk of store {self.path} failed while committing ({error}). Whether this commit "
            "happened is known after a restart only: look after the disk, then restart the process"
        )
        self._refusal = broken
        return broken

    def _translated(self, error: lmdb.Error, doing: str) -> StoreError:
        if isinstance(error, _DAMAGE):
            return self._damaged(str(error))
        if self._disk_full(error):
            return StoreFullError(
                f"{doing} store {self.path} failed, there is no room on its disk ({error}). "
                "Nothing of it happened. Free some space and go on"
            )
        return StoreError(f"{doing} store {self.path} failed: {error}. Nothing was changed")

    def _disk_full(self, error: lmdb.Error) -> bool:
        # LMDB calls a write that was cut short EIO, which is what it calls a failing disk, too.
        code = getattr(error, "code", 0)  # py-lmdb's own complaints have none
        return code in DISK_FULL or (code == errno.EIO and no_room_after(self._data))

    def _panicked(self) -> bool:
        """Whether LMDB gave up since it could not write a meta page: anything may have happened."""
        with suppress(lmdb.Error):
            self._env.begin(write=True).abort()
            return False
        return True

    def _damaged(self, why: str) -> StoreCorruptError:
        return StoreCorruptError(
            f"store {self.path} is damaged: {why}. Nothing was changed. Restore it from a backup; "
            "what is still readable can be read from it with a read-only tool"
        )
