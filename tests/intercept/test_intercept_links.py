"""Links in an agent's own directory that lead out of it: what is found by way of them is outside."""

from __future__ import annotations

import filecmp
import glob
import heapq
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from golem_sdk import workspace
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept import table
from golem_sdk.intercept.paths import is_own
from intercept.linked import exchange, linked, outside
from intercept.replaying import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BEFORE = 2
"""The version of file-system that does not know where links lead."""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return outside(tmp_path)


@pytest.fixture
def made_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents are made as golem_sdk made them before."""
    is_it = [row.name == "file-system" for row in table.TABLE]
    rows = zip(table.TABLE, is_it, strict=True)
    older = tuple(evolve(row, version=BEFORE) if it else row for row, it in rows)
    monkeypatch.setattr(table, "TABLE", older)


def everything(place: Path) -> dict[str, bytes | None]:
    found = sorted(place.rglob("*"))
    return {str(p.relative_to(place)): p.read_bytes() if p.is_file() else None for p in found}


# --- listings -------------------------------------------------------------------------------------


def kinds(entry: os.DirEntry[str]) -> list[Any]:
    said: list[Any] = [entry.name, entry.is_symlink(), entry.is_dir(), entry.is_file()]
    said += [entry.is_dir(follow_symlinks=False), entry.is_file(follow_symlinks=False)]
    said += [stat_of(entry), entry.stat(follow_symlinks=False).st_mode >> 12]
    return [*said, os.fspath(entry) == str(workspace() / entry.name), entry.inode() > 0]


def stat_of(entry: os.DirEntry[str]) -> Any:
    try:
        return entry.stat().st_mode >> 12
    except FileNotFoundError:
        return "gone"


def lists(out: Path) -> list[Any]:
    return [kinds(entry) for entry in os.scandir(linked(out))]


LISTED = [
    ["file", True, False, True, False, False, 8, 10, True, True],
    ["gone", True, False, False, False, False, "gone", 10, True, True],
    ["inner", True, True, False, False, False, 4, 10, True, True],
    ["own", False, True, False, True, False, 4, 4, True, True],
    ["tree", True, True, False, False, False, 4, 10, True, True],
]


def test_listings_record_what_links_lead_to_outside(out: Path) -> None:
    runs = run(lambda: lists(out), between=lambda: exchange(out))
    assert runs.live == runs.replayed == LISTED
    # What is there is asked for once, as `os.DirEntry` does it.
    assert runs.calls == ["os.stat"] * (1 + 3 + 1)


@pytest.mark.usefixtures("made_before")
def test_listings_of_older_agents_ask_again(out: Path) -> None:
    runs = run(lambda: lists(out))
    assert runs.live == runs.replayed == LISTED
    assert runs.calls == []


def test_listings_without_links_out_record_nothing() -> None:
    def body() -> list[Any]:
        (workspace() / "own").mkdir()
        (workspace() / "inner").symlink_to("own")
        (workspace() / "page").touch()
        return [[entry.name, entry.is_dir()] for entry in os.scandir(workspace())]

    runs = run(body)
    assert runs.live == runs.replayed == [["inner", True], ["own", True], ["page", False]]
    assert runs.calls == []


def test_a_circle_is_told(out: Path) -> None:
    def body() -> list[Any]:
        (workspace() / "circle").symlink_to("circle")
        (workspace() / "through").symlink_to(out / "file" / "below")
        said = []
        for entry in os.scandir(workspace()):
            with pytest.raises(OSError, match=r".") as raised:
                entry.is_dir()
            said.append(raised.value.errno)
        return said

    runs = run(body, between=lambda: exchange(out))
    assert runs.live == runs.replayed == [40, 20]


def by_library(found: Iterable[Any]) -> list[Any]:
    return list(heapq.merge(found, key=lambda each: 0))


WALKS: dict[str, Callable[[Path], Iterable[Any]]] = {
    "glob.glob": lambda place: glob.glob(f"{place}/*/*"),
    "glob.glob below": lambda place: glob.glob("**/*", root_dir=place, recursive=True),
    "glob.iglob by a library": lambda place: by_library(glob.iglob(f"{place}/*/*")),
    "os.walk": os.walk,
    "os.walk of links": lambda place: os.walk(place, followlinks=True),
    "os.walk upwards": lambda place: os.walk(place, topdown=False),
    "Path.glob": lambda place: place.glob("*/*"),
    "Path.glob of directories": lambda place: place.glob("*/"),
    "Path.glob by a library": lambda place: by_library(place.glob("*/leaf")),
    "Path.rglob": lambda place: place.rglob("*/*"),
    "Path.rglob by a library": lambda place: by_library(place.rglob("*/*")),
    "shutil.copytree": lambda place: copied(place),
}
if sys.version_info >= (3, 12):
    WALKS["Path.walk"] = lambda place: place.walk()
    WALKS["Path.walk of links"] = lambda place: place.walk(follow_symlinks=True)
if sys.version_info >= (3, 13):
    WALKS["Path.glob of links"] = lambda place: place.glob("**/*", recurse_symlinks=True)


def copied(place: Path) -> list[str]:
    (place / "gone").unlink()
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory, "copy")
        shutil.copytree(place, copy)
        return [f"{each.relative_to(copy)} {each.is_dir()}" for each in copy.rglob("*")]


@pytest.mark.parametrize("name", WALKS)
def test_replay_goes_the_same_way_through_links(name: str, out: Path) -> None:
    def body() -> list[str]:
        return sorted(map(str, WALKS[name](linked(out))))

    runs = run(body, between=lambda: exchange(out))
    assert runs.live == runs.replayed
    assert runs.live


# --- ways -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [BEFORE, BEFORE + 1])
def test_what_is_in_it(version: int) -> None:
    session: Any = SimpleNamespace(workspace="")
    assert not is_own(session, "/a/b")
    session.workspace = "/a"
    session.origin = SimpleNamespace(interceptors={"file-system": version})
    within = ["/a", "/a/b", b"/a/b/", "/a//b/./c", "/b/../a/c", "/a/../a/b", Path("/a/b")]
    without = ["/ab", "/", "/b/a", "/a/..", "/a/../b", "/a/b/../../c", "/b/../c/a", "a"]
    assert [path for path in within + without if is_own(session, path)] == within


def goes_back(out: Path) -> list[Any]:
    place = linked(out)
    (place / "up").symlink_to("tree/..")
    (place / "page").write_text("own")
    os.mkdir(place / "tree" / ".." / "made")
    with open(place / "tree" / ".." / "file", "a") as file:
        file.write("!")
    (place / "up" / "note").write_text("note")
    return [
        (place / "tree" / ".." / "file").read_text(),
        sorted(os.listdir(place / "tree" / "..")),
        (place / "tree" / ".." / "page").exists(),
        os.path.realpath(place / "tree" / ".." / "file") == str(out / "file"),
        (place / "inner" / ".." / "page").read_text(),
        (place / "own" / ".." / "up" / "tree" / "leaf").read_text(),
    ]


def test_a_link_is_followed_before_the_dots_behind_it(out: Path) -> None:
    runs = run(lambda: goes_back(out), between=lambda: exchange(out))
    found = ["file", "made", "note", "tree"]
    assert runs.live == runs.replayed == ["file!", found, False, True, "own", "tree/leaf"]
    assert sorted(os.listdir(out)) == ["file", "gone", "tree"]


@pytest.mark.usefixtures("made_before")
def test_older_agents_take_the_dots_and_the_name_before_them_away(out: Path) -> None:
    def body() -> list[bool]:
        place = linked(out)
        (place / "up").symlink_to("tree/..")
        return [(place / name / "other").exists() for name in ("tree/..", "up")]

    runs = run(body)
    assert runs.live == runs.replayed == [False, False]
    assert runs.calls == []


def test_a_slash_follows_a_link(out: Path) -> None:
    def body() -> list[Any]:
        place = linked(out)
        return [os.lstat(f"{place}/tree{end}").st_mode >> 12 for end in ("", "/", "/.")]

    runs = run(body, between=lambda: exchange(out))
    assert runs.live == runs.replayed == [10, 4, 4]
    assert runs.calls == ["os.lstat"] * 2


def test_its_own_directory_by_another_way(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is spelled."""
    monkeypatch.chdir(out.parent)

    def body() -> list[str]:
        place = linked(out)
        from_here = os.path.relpath(place)
        ways = [from_here, f"/{place}/.", f"{place}/own/..//", f"{place}/../{place.name}"]
        said = [Path(f"{way}/inner/leaf").read_text() for way in ways]
        return [*said, *(Path(f"{way}/tree/../file").read_text() for way in ways)]

    runs = run(body, between=lambda: exchange(out))
    assert runs.live == runs.replayed == ["mine"] * 4 + ["file"] * 4
    assert runs.calls == ["os.getcwd"] + ["open", "open.read"] * 4


def test_where_the_working_directory_is_gone(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(out)

    def body() -> list[Any]:
        workspace()
        return [Path("file").read_text(), os.path.exists("gone")]

    runs = run(body, between=lambda: exchange(out))
    assert runs.live == runs.replayed == ["file", False]


OLDER: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "a search by a library": (lambda out: by_library(linked(out).rglob("*/*")), []),
    "a tree by a link": (lambda out: shutil.rmtree(linked(out) / "tree", ignore_errors=True), []),
    "a tree with a function": (
        lambda out: shutil.rmtree(out / "nothing", onerror=lambda *_: None),
        ["shutil.rmtree"],
    ),
}


@pytest.mark.usefixtures("made_before")
@pytest.mark.parametrize("name", OLDER)
def test_older_agents_record_what_they_did(name: str, out: Path) -> None:
    body, calls = OLDER[name]
    assert run(lambda: body(out)).calls == calls


def test_comparing_through_a_link_is_one_call(out: Path) -> None:
    def body() -> list[bool]:
        place = linked(out)
        (place / "same").write_text("file")
        return [filecmp.cmp(place / "file", place / "same", shallow=False) for _ in range(2)]

    runs = run(body, between=lambda: exchange(out))
    assert runs.live == runs.replayed == [True, True]
    assert runs.calls == ["filecmp.cmp"] * 2


def test_what_is_refused_through_a_link(out: Path) -> None:
    def body() -> None:
        place = linked(out)
        for way in (place / "tree" / "..", place / "tree"):
            with pytest.raises(NotDurableError, match="Nothing was made"):
                tempfile.mkstemp(dir=way)
            with pytest.raises(NotDurableError, match="Nothing was opened"):
                os.open(way / "new", os.O_CREAT | os.O_WRONLY)

    before = everything(out)
    run(body)
    assert everything(out) == before
