"""One owner per store (X1)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from golem_sdk.errors import StoreError, StoreLockedError
from golem_sdk.storage.owner import OwnerLock
from promises.checkers import check_x1_lock
from storage import children

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
lock = OwnerLock(Path(sys.argv[1]))
print("owned", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_told_who_owns_the_store(tmp_path: Path) -> None:
    holder = children.start(HOLD, tmp_path / "store")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "owned\n"
    with pytest.raises(StoreLockedError) as caught:
        OwnerLock(tmp_path / "store")
    assert f"pid {holder.pid} on host {os.uname().nodename}, since 20" in str(caught.value)
    assert "stop that process" in str(caught.value)
    holder.kill()
    holder.communicate()
    OwnerLock(tmp_path / "store").release()  # death released it


def test_a_second_runtime_in_this_process_is_refused(tmp_path: Path) -> None:
    assert check_x1_lock(tmp_path / "store") == []
    with OwnerLock(tmp_path / "store"):
        with pytest.raises(
            StoreLockedError, match=f"already open in this process .pid {os.getpid()}"
        ):
            OwnerLock(tmp_path / "store")
        with pytest.raises(StoreLockedError):  # a refusal releases nothing
            OwnerLock(tmp_path / "store")
    OwnerLock(tmp_path / "store").release()


def test_releasing_twice_does_not_release_the_next_owner(tmp_path: Path) -> None:
    first = OwnerLock(tmp_path / "store")
    first.release()
    second = OwnerLock(tmp_path / "store")
    first.release()
    with pytest.raises(StoreLockedError):
        OwnerLock(tmp_path / "store")
    second.release()


def test_a_forked_child_neither_owns_nor_releases_nor_keeps_the_store(tmp_path: Path) -> None:
    lines = children.run(
        """
        lock = OwnerLock(Path(sys.argv[1]))
        ready, go = os.pipe(), os.pipe()
        if os.fork() == 0:
            lock.release()
            os.write(ready[1], b"x")
            os.read(go[0], 1)  # lives on after its parent released the store
            os._exit(0)
        os.read(ready[0], 1)
        print(refusal(OwnerLock, lock.path))
        lock.release()
        print(refusal(OwnerLock, lock.path))
        os.write(go[1], b"x")
        os.wait()
        """,
        tmp_path / "store",
    )
    assert lines == ["StoreLockedError", "nothing"]


def test_an_unreadable_note_does_not_hide_the_lock(tmp_path: Path) -> None:
    with OwnerLock(tmp_path):
        for note in (b"", b"[]", b"\xff\xfe not json"):
            (tmp_path / "owner.lock").write_bytes(note)
            with pytest.raises(StoreLockedError, match="pid unknown"):
                OwnerLock(tmp_path)


def test_an_unsafe_directory_is_not_owned(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(StoreError, match="chmod 700"):
        OwnerLock(tmp_path)


def test_x1_a_runtime_that_lost_its_store_writes_nothing_any_more(tmp_path: Path) -> None:
    """Somebody has removed the lock of a store in use, and opened it."""
    path = tmp_path / "store"
    lines = children.run(
        """
        path = Path(sys.argv[1])
        first, owner = LmdbEngine(path), OwnerLock(path)
        assert first.commit([Batch(puts=((Space.INBOX, b"first", b""),))])
        (path / "owner.lock").unlink()
        pid = os.fork()
        if not pid:
            os.execv(sys.executable, [sys.executable, "-c", sys.argv[2], sys.argv[1]])
        os.waitpid(pid, 0)
        print(refusal(first.commit, [Batch(puts=((Space.INBOX, b"zombie", b""),))]))
        print([key for key, _ in first.scan(Space.INBOX, b"", None, limit=9)])
        """,
        path,
        children.PRELUDE
        + """
path = Path(sys.argv[1])
with OwnerLock(path):
    engine = LmdbEngine(path)
    engine.commit([Batch(puts=((Space.INBOX, b"second", b""),))])
    engine.close()
""",
    )
    assert lines == ["StoreFencedError", "[b'first', b'second']"]
