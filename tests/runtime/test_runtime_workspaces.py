"""The agents' directories: whose they are after a close, and after a crash while one was removed."""

from __future__ import annotations

from pathlib import Path

from golem_sdk.runtime.workspaces import Workspaces


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
