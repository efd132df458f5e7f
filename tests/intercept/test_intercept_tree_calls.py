"""Calls of `shutil` for whole trees."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from intercept.linked import exchange, linked, outside
from intercept.replaying import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return outside(tmp_path)


def error_of(path: Path, **options: Any) -> Any:
    try:
        return shutil.rmtree(path, **options)
    except OSError as error:
        return [type(error).__name__, error.args[-1], error.filename]


def removes_links(out: Path) -> list[Any]:
    place = linked(out)
    names = ("tree", "file", "gone", "inner", "nothing")
    said = [error_of(place / name) for name in names]
    said += [error_of(place / name, ignore_errors=True) for name in names]
    return [*said, sorted(os.listdir(place))]


def test_removing_a_link_as_a_tree_fails_alike_in_replay(out: Path) -> None:
    runs = run(lambda: removes_links(out), between=lambda: exchange(out))
    is_link = ["OSError", "Cannot call rmtree on a symbolic link"]
    is_none = ["FileNotFoundError", "No such file or directory"]
    assert runs.live == runs.replayed
    assert [each[:2] for each in runs.live[:5]] == [is_link, is_link, is_none, is_link, is_none]
    assert runs.live[5:] == [*[None] * 5, ["file", "gone", "inner", "own", "tree"]]
    assert runs.calls == ["shutil.rmtree"] * 6


def test_trees_are_removed_on_both_sides(out: Path) -> None:
    def body() -> list[Any]:
        place = linked(out)
        (place / "own" / "way").symlink_to(out / "tree")
        shutil.rmtree(place / "own")
        shutil.rmtree(place / "tree" / "deep")
        (out / "links").mkdir()
        (out / "links" / "way").symlink_to(out / "tree")
        shutil.rmtree(out / "links")
        return [sorted(os.listdir(place)), sorted(os.listdir(place / "tree"))]

    runs = run(body, between=lambda: exchange(out))
    assert runs.live == runs.replayed == [["file", "gone", "inner", "tree"], ["leaf"]]
    assert runs.calls == ["shutil.rmtree", "os.mkdir", "os.symlink", "shutil.rmtree", "os.listdir"]
