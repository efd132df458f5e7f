"""What LMDB does not do by itself, and `LmdbEngine` does."""

from __future__ import annotations

import errno
from itertools import count
from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from golem_sdk.errors import (
    StoreBrokenError,
    StoreCorruptError,
    StoreFullError,
    StoreVersionError,
)
from golem_sdk.storage.base import Batch, Space, be64
from golem_sdk.storage.format import FORMAT, FORMAT_KEY
from golem_sdk.storage.lmdb import LmdbEngine
from storage import children

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


def put(key: bytes, value: bytes = b"", space: Space = Space.OPLOG) -> Batch:
    return Batch(puts=((space, key, value),))


def keys(engine: LmdbEngine) -> list[bytes]:
    return [key for key, _ in engine.scan(Space.OPLOG, b"", None, limit=100_000)]


def fill(engine: LmdbEngine) -> tuple[int, StoreFullError]:
    for number in count():
        try:
            engine.commit([put(be64(number), b"v" * 10_000), put(b"last", be64(number))])
        except StoreFullError as error:
            return number, error
    raise AssertionError("a count never ends")


# --- the map --------------------------------------------------------------------------------------


def test_a_full_map_grows_and_the_commit_goes_through(tmp_path: Path) -> None:
    engine = LmdbEngine(tmp_path / "store", map_size=MIB // 4)
    for number in range(40):
        engine.commit([put(be64(number), b"v" * 100_000)])
    engine.commit([put(be64(40 + number), b"v" * MIB) for number in range(20)])  # many doublings
    assert keys(engine) == [be64(number) for number in range(60)]
    assert engine.verify() == []
    engine.close()
    again = LmdbEngine(tmp_path / "store", map_size=MIB // 4)
    again.commit([put(b"k")])
    assert len(keys(again)) == 61
    again.close()


def test_at_the_cap_the_store_is_full_and_unchanged(tmp_path: Path) -> None:
    engine = LmdbEngine(tmp_path / "store", map_size=MIB // 2, max_map_size=MIB)
    refused, error = fill(engine)
    assert "limit of 1048576 bytes" in str(error)
    assert refused > 50
    assert keys(engine) == [*map(be64, range(refused)), b"last"]
    assert engine.get(Space.OPLOG, b"last") == be64(refused - 1)
    engine.close()
    roomier = LmdbEngine(tmp_path / "store", max_map_size=2 * MIB)
    roomier.commit([put(be64(refused), b"v" * 10_000)])
    roomier.close()


def test_a_map_that_cannot_grow_any_more_breaks_the_store_for_good() -> None:
    lines = children.run(
        """
        import tempfile
        engine = LmdbEngine(Path(tempfile.mkdtemp()), map_size=1 << 20)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (48 << 20),) * 2)
        number, error = 0, None
        while error is None:
            try:
                engine.commit([Batch(puts=((Space.OPLOG, be64(number), bytes(1 << 20)),))])
                number += 1
            except StoreError as refused:
                error = refused
        print(type(error).__name__, "address space" in str(error), number > 0)
        print(refusal(engine.get, Space.OPLOG, be64(0)))
        """
    )
    assert lines == ["StoreBrokenError True True", "StoreBrokenError"]


# --- the disk -------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [400_000, 400_001, 409_600])  # the last one is a whole page
def test_a_full_disk_loses_nothing_and_work_resumes(tmp_path: Path, limit: int) -> None:
    lines = children.run(
        """
        path, limit = Path(sys.argv[1]), int(sys.argv[2])
        engine = LmdbEngine(path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        done, error = [], None
        for number in range(1000):
            size = (100, 3_000, 30_000)[number % 3]
            batch = Batch(claim=(Space.OPLOG, be64(number), bytes(size)))
            try:
                engine.commit([batch])
                done.append(number)
            except StoreError as refused:
                error = refused
                break
        print(type(error).__name__, "room" in str(error), len(done) > 10)
        print(refusal(engine.commit, [batch]))
        print([key for key, _ in engine.scan(Space.OPLOG, b"", None, limit=1000)]
              == [be64(number) for number in done])
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        print(engine.commit([batch]), engine.verify())
        engine.close()
        again = LmdbEngine(path)
        print(len(again.scan(Space.OPLOG, b"", None, limit=1000)) == len(done) + 1, again.verify())
        print(sorted(os.listdir(path)))
        """,
        tmp_path / "store",
        limit,
    )
    assert lines == [
        "StoreFullError True True",
        "StoreFullError",
        "True",
        "[True] []",
        "True []",
        "['data.mdb', 'lock.mdb']",
    ]


class FailingEnvironment:
    """Stands before an lmdb.Environment whose disk fails: commits raise, or the meta page is lost."""

    def __init__(self, real: lmdb.Environment, error: lmdb.Error, *, panics: bool) -> None:
        self._real = real
        self._error = error
        self._panics = panics
        self._failed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def begin(self, write: bool = False) -> Any:
        if write and self._failed and self._panics:
            raise lmdb.PanicError("mdb_txn_begin", -30795)
        txn = self._real.begin(write=write)
        return FailingTransaction(self, txn) if write else txn

    def fail(self) -> None:
        self._failed = True
        raise self._error


class FailingTransaction:
    def __init__(self, environment: FailingEnvironment, real: lmdb.Transaction[bytes]) -> None:
        self._environment = environment
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __enter__(self) -> FailingTransaction:
        return self

    def __exit__(self, *raised: object) -> None:
        self._real.abort()
        self._environment.fail()


def failing(path: Path, code: int, *, panics: bool = False) -> LmdbEngine:
    engine = LmdbEngine(path)
    engine.commit([put(b"before")])
    error = lmdb.Error("mdb_txn_commit")
    error.code = code  # type: ignore[misc]  # as py-lmdb's C part sets it
    vars(engine)["_env"] = FailingEnvironment(engine._env, error, panics=panics)
    return engine


def test_a_failing_disk_breaks_the_store_for_good(tmp_path: Path) -> None:
    engine = failing(tmp_path / "store", errno.EIO)
    with pytest.raises(StoreBrokenError, match="restart the process"):
        engine.commit([put(b"k")])
    for operation in (
        lambda: engine.commit([put(b"k")]),
        lambda: engine.get(Space.OPLOG, b"before"),
        lambda: engine.size_bytes(),
    ):
        with pytest.raises(StoreBrokenError):
            operation()
    engine.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_commit_without_room_may_be_tried_again(tmp_path: Path, code: int) -> None:
    engine = failing(tmp_path / "store", code)
    for _ in range(2):
        with pytest.raises(StoreFullError):
            engine.commit([put(b"k")])
    assert keys(engine) == [b"before"]
    engine.close()


def test_a_meta_page_without_room_breaks_the_store(tmp_path: Path) -> None:
    engine = failing(tmp_path / "store", errno.ENOSPC, panics=True)
    with pytest.raises(StoreBrokenError):
        engine.commit([put(b"k")])
    engine.close()


# --- formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_format_is_refused_and_untouched(tmp_path: Path, read_only: bool) -> None:
    engine = LmdbEngine(tmp_path / "store")
    engine.commit([put(FORMAT_KEY, str(FORMAT + 1).encode(), Space.META)])
    engine.close()
    before = (tmp_path / "store" / "data.mdb").read_bytes()
    with pytest.raises(StoreVersionError, match="upgrade golem_sdk"):
        LmdbEngine(tmp_path / "store", read_only=read_only)
    assert (tmp_path / "store" / "data.mdb").read_bytes() == before


def test_a_store_that_lost_its_format_is_damaged(tmp_path: Path) -> None:
    engine = LmdbEngine(tmp_path / "store")
    engine.commit([Batch(dels=((Space.META, FORMAT_KEY),))])
    engine.close()
    with pytest.raises(StoreCorruptError, match="what format"):
        LmdbEngine(tmp_path / "store")


def test_an_lmdb_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.mkdir(0o700)
    with lmdb.open(str(path)) as env, env.begin(write=True) as txn:
        txn.put(b"their", b"data")
    with pytest.raises(StoreCorruptError, match="lacks its space META"):
        LmdbEngine(path)


def test_the_data_format_does_not_depend_on_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMDB_DEFAULT_LIB_VERSION", "1")
    children.run("LmdbEngine(Path(sys.argv[1])).close()", tmp_path / "store")
    LmdbEngine(tmp_path / "store").close()
