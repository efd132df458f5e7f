"""What a call changes in a directory: told exactly, and made again exactly where it was not made."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk.errors import NotDurableError
from golem_sdk.runtime import own_changes
from golem_sdk.runtime.own_changes import OwnChanges

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG_AGO_NS = 10**18
FILE, LINK, DIRECTORY = stat.S_IFREG | 0o640, stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o750


def write(path: Path, text: str, mode: int = 0o640) -> None:
    path.write_text(text)
    path.chmod(mode)
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))


def make_directory(path: Path) -> None:
    path.mkdir()
    path.chmod(0o750)


def told(root: Path, work: Callable[[], object]) -> list[Any]:
    given, changes = OwnChanges(str(root)).kept(work)()
    assert given is None
    return list(changes)


def restored(
    root: Path, changes: list[Any], meanwhile: Callable[[], object] = lambda: None
) -> None:
    found: list[Any] = []
    with OwnChanges(str(root)).restored(found):
        meanwhile()
        found += [None, changes]


def tree(root: Path) -> dict[str, tuple[int, int, str]]:
    found = {}
    for path in sorted(root.rglob("*")):
        state = path.lstat()
        mtime = 0 if path.is_dir() else state.st_mtime_ns
        text = (
            os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else ""
        )
        found[str(path.relative_to(root))] = (
            state.st_mode,
            0 if path.is_symlink() else mtime,
            text,
        )
    return found


def test_what_is_new_is_told_after_what_it_is_in(tmp_path: Path) -> None:
    def work() -> None:
        make_directory(tmp_path / "b")
        write(tmp_path / "b" / "file", "text")
        (tmp_path / "a").symlink_to("b")
        os.utime(tmp_path / "a", ns=(LONG_AGO_NS, LONG_AGO_NS), follow_symlinks=False)

    assert told(tmp_path, work) == [
        ["a", LINK, LONG_AGO_NS, "b"],
        ["b", DIRECTORY, 0, None],
        ["b/file", FILE, LONG_AGO_NS, b"text"],
    ]


def test_what_is_gone_is_told_before_what_it_was_in(tmp_path: Path) -> None:
    make_directory(tmp_path / "b")
    write(tmp_path / "b" / "file", "text")
    changes = told(tmp_path, lambda: shutil.rmtree(tmp_path / "b"))
    assert changes == [["b/file", 0, 0, None], ["b", 0, 0, None]]


def test_what_is_as_it_was_is_not_told(tmp_path: Path) -> None:
    write(tmp_path / "old", "text")
    make_directory(tmp_path / "b")
    changes = told(tmp_path, lambda: write(tmp_path / "b" / "new", "text"))
    assert [name for name, *_ in changes] == ["b/new"]


def test_what_works_on_tells_what_is_new_since_it_was_last_asked(tmp_path: Path) -> None:
    own = OwnChanges(str(tmp_path))
    own.begin()
    write(tmp_path / "a", "text")
    assert [name for name, *_ in own.kept(lambda: None)()[1]] == ["a"]
    assert own.kept(lambda: None)() == [None, []]


def test_in_replay_it_is_made_again(tmp_path: Path) -> None:
    live, replay = tmp_path / "live", tmp_path / "replay"
    for root in (live, replay):
        root.mkdir()
        make_directory(root / "directory")
        write(root / "directory" / "file", "text")
        write(root / "file", "text")
        (root / "link").symlink_to("directory")

    def work() -> None:
        shutil.rmtree(live / "directory")
        write(live / "directory", "a file now", 0o400)
        (live / "file").unlink()
        make_directory(live / "file")
        write(live / "file" / "inside", "new")
        (live / "file").chmod(0o500)
        (live / "link").unlink()
        write(live / "link", "a file now")
        (live / "other").symlink_to("file")

    restored(replay, told(live, work))
    assert tree(replay) == tree(live)
    for root in (live, replay):
        (root / "file").chmod(0o700)


def test_a_directory_that_is_there_stays(tmp_path: Path) -> None:
    changes = told(tmp_path, lambda: make_directory(tmp_path / "a"))
    (tmp_path / "a" / "kept").touch()
    own_changes._make(str(tmp_path / "a"), *changes[0][1:])
    assert (tmp_path / "a" / "kept").exists()


def test_what_was_made_in_this_life_is_not_made_again(tmp_path: Path) -> None:
    own = OwnChanges(str(tmp_path))
    found: list[Any] = []
    with own.restored(found):
        found += own.kept((tmp_path / "a").touch)()
        (tmp_path / "a").unlink()  # agent code, meanwhile
    assert not (tmp_path / "a").exists()
    with own.restored(found):
        pass
    assert (tmp_path / "a").exists(), "the next call was not made"


def test_what_agent_code_has_changed_meanwhile_is_its_own(tmp_path: Path) -> None:
    changes = told(tmp_path, lambda: write(tmp_path / "a", "of the call"))
    (tmp_path / "a").unlink()
    restored(tmp_path, changes, lambda: write(tmp_path / "a", "its own"))
    assert (tmp_path / "a").read_text() == "its own"


def test_of_what_fails_the_changes_are_kept_with_the_error(tmp_path: Path) -> None:
    def work() -> None:
        write(tmp_path / "a", "text")
        raise LookupError

    with pytest.raises(LookupError) as raised:
        OwnChanges(str(tmp_path)).kept(work)()
    assert list(vars(raised.value)) == ["golem_changes"], "so it is in stores"
    (tmp_path / "a").unlink()
    with pytest.raises(LookupError), OwnChanges(str(tmp_path)).restored([]):
        raise raised.value
    assert (tmp_path / "a").read_text() == "text"
    assert vars(raised.value) == {}


def test_coroutine_functions_are_watched_alike(tmp_path: Path) -> None:
    async def work() -> str:
        write(tmp_path / "a", "text")
        return "given"

    async def main() -> list[Any]:
        return await OwnChanges(str(tmp_path)).kept_async(work)()

    given, changes = asyncio.run(main())
    assert given == "given"
    assert changes == [["a", FILE, LONG_AGO_NS, b"text"]]


def test_only_files_count_for_how_much_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert own_changes.KEPT_CHANGES_BYTES == 64 << 20
    monkeypatch.setattr(own_changes, "KEPT_CHANGES_BYTES", 4)
    (tmp_path / "link").symlink_to("as long as you like")
    told(tmp_path, lambda: write(tmp_path / "a", "1234"))
    told(tmp_path, lambda: (tmp_path / "other").symlink_to("as long as you like"))
    with pytest.raises(NotDurableError, match="has changed 5 bytes"):
        told(tmp_path, lambda: write(tmp_path / "a", "12345"))
