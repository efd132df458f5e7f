"""A store among processes: crashes, forks, viewers, dead readers, other users."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from golem_sdk.errors import StoreCorruptError, StoreError, StoreLockedError
from golem_sdk.storage import directory
from golem_sdk.storage.base import Batch, Space, be64
from golem_sdk.storage.lmdb import LmdbEngine
from storage import children

if TYPE_CHECKING:
    import subprocess

MIB = 1 << 20


def put(key: bytes, value: bytes = b"") -> Batch:
    return Batch(puts=((Space.OPLOG, key, value),))


def keys(engine: LmdbEngine) -> list[bytes]:
    return [key for key, _ in engine.scan(Space.OPLOG, b"", None, limit=100_000)]


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged = 0
    for round_ in range(1, 6):
        code = """
            engine = LmdbEngine(Path(sys.argv[1]), map_size=1 << 20)
            number = int(sys.argv[2])
            while True:
                claim = (Space.OPLOG, be64(number), b"v" * (number % 4000))
                assert engine.commit([Batch(claim=claim)]) == [True]
                print(number, flush=True)
                number += 1
            """
        with children.start(code, tmp_path / "store", acknowledged) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(20 * round_)]
            child.kill()
            lines += child.stdout.readlines()
        assert child.returncode == -signal.SIGKILL
        told = int(lines[-1]) + 1
        engine = LmdbEngine(tmp_path / "store")
        acknowledged = len(keys(engine))
        assert keys(engine) == [be64(number) for number in range(acknowledged)]
        assert acknowledged in (told, told + 1)  # the last one may have been killed untold
        assert engine.verify() == []
        engine.close()
    assert acknowledged >= 300


def test_a_forked_child_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    lines = children.run(
        """
        engine = LmdbEngine(Path(sys.argv[1]))
        committer = Committer(engine)
        batch = Batch(puts=((Space.OPLOG, b"k", b""),))
        ticket = committer.submit(batch)
        locks = [engine._commit_lock, engine._turn, committer._lock]
        for lock in locks:
            lock.acquire()  # as another thread may hold them, which the child does not have
        pid = os.fork()
        if pid == 0:
            print(refusal(engine.commit, [batch]), refusal(engine.get, Space.OPLOG, b"k"),
                  refusal(engine.scan, Space.OPLOG, b"", None, limit=1),
                  refusal(engine.check_readers), refusal(engine.size_bytes),
                  refusal(engine.verify), refusal(committer.submit, batch),
                  refusal(committer.wait, ticket), refusal(committer.soon),
                  refusal(committer.close), refusal(engine.close))
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        for lock in locks:
            lock.release()
        committer.wait(ticket)
        committer.close()
        print(engine.get(Space.OPLOG, b"k"), engine.verify())
        """,
        tmp_path / "store",
    )
    assert lines == [" ".join(["StoreForkedError"] * 10 + ["nothing"]), "b'' []"]


def start_viewer(path: Path, *, reading: bool) -> subprocess.Popen[str]:
    viewer = children.start(
        """
        engine = LmdbEngine(Path(sys.argv[1]), read_only=True)
        txn = engine._env.begin() if sys.argv[2] == "True" else None
        print("ready", flush=True)
        sys.stdin.read()
        """,
        path,
        reading,
    )
    assert viewer.stdout is not None
    assert viewer.stdout.readline() == "ready\n"
    return viewer


def test_the_places_of_dead_readers_are_freed(tmp_path: Path) -> None:
    path = tmp_path / "store"
    engine = LmdbEngine(path)
    reader = start_viewer(path, reading=True)
    assert engine.check_readers() == 0
    reader.kill()
    reader.communicate()
    assert engine.check_readers() == 1
    assert engine.check_readers() == 0
    engine.close()


def test_opening_frees_the_places_of_dead_readers(tmp_path: Path) -> None:
    path = tmp_path / "store"
    LmdbEngine(path).close()
    viewer = start_viewer(path, reading=False)  # LMDB forgets all readers once nobody is left
    reader = start_viewer(path, reading=True)
    reader.kill()
    reader.communicate()
    engine = LmdbEngine(path)
    assert engine.check_readers() == 0
    viewer.communicate(timeout=60)
    engine.close()


def test_one_process_opens_a_store_once(tmp_path: Path) -> None:
    engine = LmdbEngine(tmp_path / "store")
    engine.commit([put(b"k")])
    for read_only in (False, True):
        with pytest.raises(StoreLockedError, match="already open in this process"):
            LmdbEngine(tmp_path / "store", read_only=read_only)
    engine.commit([put(b"l")])
    engine.close()
    reopened = LmdbEngine(tmp_path / "store")
    assert keys(reopened) == [b"k", b"l"]
    reopened.close()


def test_a_failed_opening_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(0o700)
    (tmp_path / "store" / "data.mdb").write_bytes(b"no store")
    for _ in range(2):
        with pytest.raises(StoreCorruptError):
            LmdbEngine(tmp_path / "store")
    (tmp_path / "store" / "data.mdb").unlink()
    LmdbEngine(tmp_path / "store").close()


def test_a_viewer_reads_beside_the_owner_and_cannot_write(tmp_path: Path) -> None:
    engine = LmdbEngine(tmp_path / "store")
    engine.commit([put(b"k", b"v")])
    lines = children.run(
        """
        engine = LmdbEngine(Path(sys.argv[1]), read_only=True)
        print(engine.get(Space.OPLOG, b"k"), engine.scan(Space.OPLOG, b"", None, limit=9))
        print(refusal(engine.commit, [Batch(puts=((Space.OPLOG, b"l", b""),))]), engine.verify())
        """,
        tmp_path / "store",
    )
    assert lines == ["b'v' [(b'k', b'v')]", "StoreError []"]
    assert keys(engine) == [b"k"]
    engine.close()


@pytest.mark.parametrize("is_there", [False, True])
def test_a_viewer_makes_no_store(tmp_path: Path, is_there: bool) -> None:
    path = tmp_path / "store"
    if is_there:
        path.mkdir(0o700)
    with pytest.raises(StoreError, match="there is no store"):
        LmdbEngine(path, read_only=True)
    assert not path.exists() or list(path.iterdir()) == []


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_was_emptied_is_damage(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "store"
    path.mkdir(0o700)
    (path / "data.mdb").touch()
    with pytest.raises(StoreCorruptError):
        LmdbEngine(path, read_only=read_only)
    assert (path / "data.mdb").read_bytes() == b""


def test_a_viewer_adopts_the_map_that_the_owner_has_grown(tmp_path: Path) -> None:
    engine = LmdbEngine(tmp_path / "store", map_size=MIB)
    viewer = children.start(
        """
        engine = LmdbEngine(Path(sys.argv[1]), map_size=1 << 20, read_only=True)
        print("open", flush=True)
        for line in sys.stdin:
            rows = engine.scan(Space.OPLOG, b"", None, limit=1000)
            print(len(rows), sum(len(value) for _, value in rows), flush=True)
        """,
        tmp_path / "store",
    )
    assert viewer.stdin is not None
    assert viewer.stdout is not None
    assert viewer.stdout.readline() == "open\n"
    for number in range(30):
        engine.commit([put(be64(number), b"v" * 300_000)])
    viewer.stdin.write("look\n")
    viewer.stdin.flush()
    assert viewer.stdout.readline() == "30 9000000\n"
    engine.commit([put(b"more")])
    output, _ = viewer.communicate("look\n", timeout=60)
    assert output == "31 9000000\n"
    engine.close()


# --- the directory -------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_the_store_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    children.run(
        """
        os.umask(int(sys.argv[2]))
        LmdbEngine(Path(sys.argv[1])).close()
        OwnerLock(Path(sys.argv[1])).release()
        """,
        tmp_path / "new" / "store" if umask != 0o777 else tmp_path / "store",
        umask,
    )
    store = next(path for path in (tmp_path / "store", tmp_path / "new" / "store") if path.exists())
    assert store.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in store.iterdir()}
    assert modes == {"data.mdb": 0o600, "lock.mdb": 0o600, "owner.lock": 0o600}


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_directory_that_others_can_write_to_is_refused(
    tmp_path: Path, mode: int, read_only: bool
) -> None:
    path = tmp_path / "store"
    LmdbEngine(path).close()
    path.chmod(mode)
    with pytest.raises(StoreError, match="chmod 700"):
        LmdbEngine(path, read_only=read_only)


def test_a_directory_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(StoreError, match=f"belongs to user {tmp_path.stat().st_uid}"):
        LmdbEngine(tmp_path)


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "store").touch()
    with pytest.raises(StoreError, match="not one"):
        LmdbEngine(tmp_path / "store")


@pytest.mark.parametrize(
    ("magic", "name"),
    [(0x6969, "NFS"), (0xFF534D42, "CIFS"), (0x01021997, "9p"), (0x65735546, "FUSE")],
)
def test_file_systems_of_other_machines_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, magic: int, name: str
) -> None:
    monkeypatch.setattr(directory, "_file_system", lambda path: magic)
    with pytest.raises(StoreError, match=f"{name} file system"):
        LmdbEngine(tmp_path / "store")


def test_the_file_system_is_really_asked(tmp_path: Path) -> None:
    assert directory._file_system(Path("/proc")) == 0x9FA0
    assert directory._file_system(tmp_path) not in (0, 0x9FA0)
