"""Calls of `shutil` for whole trees: of links, and those that call functions of agent code."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from intercept.linked import exchange, linked, outside
from intercept.replaying import run
from intercept.test_intercept_sqlite import Pause

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


class Told:
    """Notes what is told of a tree that is removed, in either way of telling."""

    def __init__(self) -> None:
        self.notes: list[Any] = []

    def onerror(self, function: Any, path: str, error: Any) -> None:
        assert error[1] is sys.exc_info()[1]
        self._note(function, path, error[0])

    def onexc(self, function: Any, path: str, error: BaseException) -> None:
        self._note(function, path, type(error))

    def _note(self, function: Any, path: str, kind: Any) -> None:
        self.notes.append([function.__name__, os.path.basename(path), kind.__name__])


WAYS = ["onerror", *(["onexc"] if sys.version_info >= (3, 12) else [])]


@pytest.mark.parametrize("way", WAYS)
def test_what_goes_wrong_is_told_to_agent_code_in_replay_too(way: str, out: Path) -> None:
    def body(*, of_agent: bool = True) -> list[Any]:
        told = Told()
        (out / "way").symlink_to(out / "tree")
        (out / "lost").symlink_to(out / "gone")
        names = ("nothing", "file", "way", "lost", "tree")
        for name in names:
            shutil.rmtree(out / name, **{way: getattr(told, way)})
        shutil.rmtree(os.fsencode(out / "nothing"), **{way: getattr(told, way)})
        shutil.rmtree(out / "nothing", ignore_errors=True, **{way: getattr(told, way)})
        left = [*told.notes, sorted(os.listdir(out))]
        for name in ("way", "lost"):
            (out / name).unlink()
        return left

    expected = body(of_agent=False)
    (out / "tree" / "deep").mkdir(parents=True)
    (out / "tree" / "deep" / "low").touch()
    runs = run(body, between=lambda: exchange(out))
    assert runs.live == runs.replayed == expected
    assert expected[-1] == ["file", "lost", "way"]
    assert "shutil.rmtree" not in runs.calls


def test_functions_of_python_are_part_of_the_call(out: Path) -> None:
    """A temporary directory is removed with one."""

    def body() -> list[bool]:
        with tempfile.TemporaryDirectory(dir=out) as directory:
            return [os.path.dirname(directory) == str(out)]

    runs = run(body, between=lambda: exchange(out))
    assert runs.live == runs.replayed == [True]
    assert runs.calls == ["tempfile.mkdtemp", "shutil.rmtree"]


def test_agent_code_that_is_told_may_have_its_error(out: Path) -> None:
    def angry(function: Any, path: str, error: Any) -> None:
        raise PermissionError(path)

    def body() -> str:
        with pytest.raises(PermissionError) as raised:
            shutil.rmtree(out / "nothing", onerror=angry)
        return str(raised.value)

    runs = run(body)
    assert runs.live == runs.replayed == str(out / "nothing")


def test_agent_code_takes_part_in_removing_over_a_crash(out: Path) -> None:
    stop, notes = Pause(), []

    def body() -> list[str]:
        said: list[str] = []

        def onerror(function: Any, path: str, error: Any) -> None:
            said.append(function.__name__)
            if function is os.scandir:  # it is a file
                os.unlink(path)
                notes.append("unlinked")
                stop()

        shutil.rmtree(out / "file", onerror=onerror)
        shutil.rmtree(out / "tree", onerror=onerror)
        return [*said, *os.listdir(out)]

    assert stop.crashed(body) == ["scandir", "rmdir"]
    assert notes == ["unlinked"] * 2


def test_functions_that_copy_are_called_in_replay_too(out: Path) -> None:
    def body() -> list[Any]:
        seen: list[str] = []

        def ignore(place: str, names: list[str]) -> list[str]:
            seen.append(os.path.basename(place))
            return ["low"]

        def copy(source: str, target: str) -> None:
            seen.append(os.path.basename(target))
            shutil.copyfile(source, target)

        shutil.copytree(out / "tree", out / "copy", ignore=ignore, copy_function=copy)
        shutil.copytree(out / "tree", out / "less", ignore=shutil.ignore_patterns("l*"))
        found = [each.relative_to(out).as_posix() for each in out.rglob("*")]
        return [sorted(seen), sorted(found)]

    runs = run(body, between=lambda: exchange(out))
    assert runs.live == runs.replayed
    assert runs.live[0] == ["deep", "leaf", "tree"]
    assert {"copy/leaf", "copy/deep", "less/deep"} <= {*runs.live[1]}
    assert runs.calls.count("shutil.copytree") == 1
    assert sorted(os.listdir(out)) == ["file", "gone", "tree"]
