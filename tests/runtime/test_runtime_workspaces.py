"""The agents' directories: whose they are after a close, and after a crash while one was removed."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from golem_sdk.runtime.workspaces import (
    Workspaces,
    _make_private,
    _name,
    _process_name,
    _remove,
)

if TYPE_CHECKING:
    import pytest


def test_closing_again_takes_nothing_from_the_next_runtime() -> None:
    first, second = Workspaces(None), Workspaces(None)
    place = first._root()
    first.close()
    assert not place.exists()
    assert second._root() == place, "paths are compared"
    first.close()
    assert place.is_dir()
    second.close()
    assert not place.exists()


def test_what_a_crash_left_half_removed_is_removed(tmp_path: Path) -> None:
    spaces = Workspaces(tmp_path)
    place = Path(spaces._fresh("agent"))
    (place / "files" / "of the last life").touch()
    old = place.with_name(f"{place.name}.old")
    old.mkdir()
    (old / "of the life before").touch()
    assert Path(spaces._fresh("agent")) == place
    assert list((place / "files").iterdir()) == []
    assert list(tmp_path.iterdir()) == [place]


def test_two_runtimes_have_two_places() -> None:
    first, second = Workspaces(None), Workspaces(None)
    assert first._root() != second._root()
    assert re.fullmatch(r"golem-\d+-[0-9a-f]{16}-\d+", first._root().name)
    assert re.fullmatch(r"7-[0-9a-f]{16}", _process_name.__wrapped__(7))
    first.close()
    second.close()


def test_names_stay_as_they_were() -> None:
    """A store's directories are found again by later versions."""
    assert _name('Xa("b c", X)') == "Xa-b-c-X-e4e56cdd13820e84994fe1676b522e39"
    assert _name("\udc80")
    assert len(_name("a" * 100)) == 40 + 1 + 32


def test_only_the_owner_may_enter_whatever_is_usual(tmp_path: Path) -> None:
    for usual in (0, 0o777):
        before = os.umask(usual)
        try:
            _make_private(tmp_path / str(usual))
        finally:
            os.umask(before)
        assert (tmp_path / str(usual)).stat().st_mode & 0o777 == 0o700


def test_what_was_made_unreadable_is_removed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    remove, modes = shutil.rmtree, []

    def refused_once(path: Path, *, ignore_errors: bool) -> None:
        assert ignore_errors
        modes.append({place.stat().st_mode & 0o777 for place in (path, path / "b")})
        if len(modes) > 1:
            remove(path)

    for place in (tmp_path / "a" / "b", tmp_path / "a"):
        place.chmod(0o500)
    monkeypatch.setattr(shutil, "rmtree", refused_once)
    _remove(tmp_path / "a")
    assert modes == [{0o500}, {0o700}]
    assert not (tmp_path / "a").exists()
