"""What asks the file system several questions: recorded alike by every version of Python."""

from __future__ import annotations

import heapq
import itertools
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from golem_sdk import workspace
from golem_sdk.codec.values import decode
from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept import lookups, table
from intercept.replaying import run
from intercept.test_intercept_sqlite import Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LISTED = ["os.scandir"]
SAME: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "exists": (lambda top: (top / "a").exists(), ["os.stat"]),
    "glob": (lambda top: sorted(top.glob("*/*.txt")), ["pathlib.Path.glob"] * 2),
    "is_dir": (lambda top: (top / "a").is_dir(), ["os.stat"]),
    "is_file": (lambda top: (top / "a").is_file(), ["os.stat"]),
    "is_mount": (lambda top: top.is_mount(), ["pathlib.Path.is_mount"]),
    "is_symlink": (lambda top: (top / "link").is_symlink(), ["os.stat"]),
    "iterdir": (lambda top: sorted(top.iterdir()), ["pathlib.Path.iterdir"]),
    "lstat": (lambda top: (top / "link").lstat().st_size, ["os.stat"]),
    "os.path.ismount": (lambda top: os.path.ismount(str(top)), ["os.path.ismount"]),
    "os.path.realpath": (lambda top: os.path.realpath(top / "link"), ["os.path.realpath"]),
    "os.walk": (lambda top: list(os.walk(top)), LISTED * 4),
    "os.walk of links": (lambda top: list(os.walk(top, followlinks=True)), LISTED * 5),
    "os.walk upwards": (lambda top: list(os.walk(top, topdown=False)), LISTED * 4),
    "readlink": (lambda top: (top / "link").readlink(), ["os.readlink"]),
    "resolve": (lambda top: (top / "link" / "y.txt").resolve(), ["pathlib.Path.resolve"]),
    "rglob": (lambda top: sorted(top.rglob("*.txt")), ["pathlib.Path.rglob"] * 2),
    "samefile": (lambda top: (top / "link").samefile(top / "c"), ["os.stat", "os.stat"]),
}
if sys.version_info >= (3, 12):
    SAME["walk"] = (lambda top: list(top.walk()), LISTED * 4)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    place = tmp_path / "top"
    (place / "a" / "b").mkdir(parents=True)
    (place / "c").mkdir()
    for name in ("a/b/x.txt", "c/y.txt", "z.txt"):
        (place / name).write_text(name)
    (place / "link").symlink_to("c")
    return place


@pytest.mark.parametrize("name", SAME)
def test_every_python_records_the_same(name: str, top: Path) -> None:
    ask, calls = SAME[name]

    runs = run(lambda: ask(top), between=lambda: shutil.rmtree(top))
    assert runs.live == runs.replayed
    assert runs.calls == calls


def test_a_walk_goes_where_agent_code_wants(top: Path) -> None:
    gone: list[str] = []

    def body() -> list[Any]:
        found = []
        for place, below, others in os.walk(top):
            found.append((os.path.basename(place), sorted(others)))
            if place == str(top):
                assert below == sorted(["a", "c", "link"], key=below.index)
                below[:] = ["c", "c/../a/b", "link/.", "no", "link"]
        return found

    def note(error: OSError) -> None:
        gone.append(Path(str(error.filename)).name)

    runs = run(body, between=lambda: shutil.rmtree(top))
    assert runs.live == runs.replayed
    assert [place for place, _ in runs.live] == ["top", "c", "b", "."]
    missing = run(lambda: list(os.walk(top / "no", onerror=note)))
    assert missing.live == missing.replayed == []
    assert gone == ["no", "no"]


def test_what_is_wrong_is_said_at_once(top: Path) -> None:
    def body() -> list[str]:
        said = []
        wrong: list[Callable[[], Any]] = [
            lambda: (top / "no").iterdir(),
            lambda: (top / "no").resolve(strict=True),
            lambda: os.path.realpath(top / "no", strict=True),
            lambda: top.glob("/absolute"),
            lambda: os.walk(),  # type: ignore[call-arg]  # that is what is wrong
        ]
        for ask in wrong:
            with pytest.raises((OSError, NotImplementedError, TypeError)) as caught:
                ask()
            said.append(type(caught.value).__name__)
        return said

    runs = run(body, between=lambda: shutil.rmtree(top))
    none = "FileNotFoundError"
    assert runs.live == runs.replayed == [none, none, none, "NotImplementedError", "TypeError"]


def test_its_own_directory_is_asked_again() -> None:
    def body() -> list[Any]:
        place = workspace()
        (place / "made" / "within").mkdir(parents=True)
        walked = [os.path.basename(at) for at, *_ in os.walk(place)][1:]
        found = [[path.name for path in ask] for ask in (place.iterdir(), place.rglob("with*"))]
        return [walked, *found, (place / "made").is_mount()]

    runs = run(body)
    assert runs.live == runs.replayed == [["made", "within"], ["made"], ["within"], False]
    assert not {"pathlib.Path.iterdir", "pathlib.Path.rglob", "os.scandir"} & {*runs.calls}


def test_a_walk_is_recorded_also_if_a_library_goes_on_with_it(top: Path) -> None:
    """Bars of progress do; here the standard library."""
    walks: list[Callable[[], Any]] = [
        lambda: os.walk(top),
        lambda: os.walk(top, topdown=False),
        lambda: os.walk(top, followlinks=True),
    ]
    if sys.version_info >= (3, 12):
        walks.append(lambda: top.walk())

    def body() -> list[Any]:
        return [list(heapq.merge(walk(), key=lambda found: 0)) for walk in walks]

    runs = run(body, between=lambda: shutil.rmtree(top))
    assert runs.live == runs.replayed
    assert runs.calls == LISTED * sum((4, 4, 5, 4)[: len(walks)])


def test_a_link_out_of_its_own_directory_leads_out(top: Path) -> None:
    def body() -> list[Any]:
        link = workspace() / "out"
        link.symlink_to(top)
        found = [[path.name for path in ask] for ask in (link.iterdir(), link.rglob("*.txt"))]
        return [*found, link.resolve() == top]

    runs = run(body, between=lambda: shutil.rmtree(top))
    assert runs.live == runs.replayed
    assert runs.calls == [
        f"pathlib.Path.{name}" for name in ("iterdir", "rglob", "rglob", "resolve")
    ]


def looks_through_links(top: Path) -> list[Any]:
    link, file = workspace() / "out", workspace() / "file"
    link.symlink_to(top)
    file.symlink_to(top / "z.txt")
    os.chmod(file, 0o600)
    os.truncate(file, 1)
    names = [sorted(os.listdir(link)), sorted(each.name for each in os.scandir(link))]
    said = [file.exists(), file.stat().st_size, os.access(link, os.R_OK), file.is_symlink()]
    return [names, *said, file.lstat().st_size, os.readlink(link) == str(top)]


@pytest.mark.parametrize("version", [1, 2])
def test_what_a_link_out_of_its_own_directory_leads_to_is_outside(
    top: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_it = [row.name == "file-system" for row in table.TABLE]
    rows = zip(table.TABLE, is_it, strict=True)
    monkeypatch.setattr(
        table, "TABLE", tuple(evolve(row, version=version) if it else row for row, it in rows)
    )
    names = ["chmod", "truncate", "listdir", "scandir", "stat", "stat", "access"]
    recorded = [f"os.{name}" for name in names]
    runs = run(
        lambda: looks_through_links(top),
        between=lambda: shutil.rmtree(top) if version > 1 else None,
    )
    assert runs.live == runs.replayed
    assert runs.calls == (recorded if version > 1 else [])


def test_what_is_made_through_a_link_out_of_its_own_directory_is_made_outside(top: Path) -> None:
    def body() -> list[Any]:
        link = workspace() / "new"
        link.symlink_to(top / "new")
        with pytest.raises(NotDurableError):
            os.open(link, os.O_CREAT | os.O_WRONLY)
        with pytest.raises(FileExistsError):
            os.open(link, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY)
        link.touch()
        return [link.exists()]

    runs = run(body, between=lambda: (top / "new").unlink())
    assert runs.live == runs.replayed == [True]
    assert runs.calls == ["pathlib.Path.touch", "os.stat"]
    assert not (top / "new").exists()


def test_where_its_own_directory_is_is_not_recorded() -> None:
    def body() -> list[Any]:
        place = workspace() / "made"
        place.mkdir()
        asked = [place.resolve().name, os.path.realpath(place / "x")[-2:], os.path.ismount(place)]
        return [*asked, place.is_mount()]

    runs = run(body)
    assert runs.live == runs.replayed == ["made", "/x", False, False]
    assert runs.calls == []


class Numbered(Path(os.curdir).__class__):  # type: ignore[misc]  # a path of this system
    """With a constructor that takes more."""

    number: int

    def __new__(cls, text: str, number: int) -> Numbered:
        made: Numbered = super().__new__(cls, text)
        made.number = number
        return made

    def __init__(self, text: str, number: int) -> None:
        if sys.version_info >= (3, 12):
            super().__init__(text)

    def with_segments(self, *parts: str) -> Numbered:
        return Numbered(os.path.join(*parts), self.number)


def test_constructors_of_paths_may_take_more(top: Path) -> None:
    def body() -> list[str]:
        return sorted({type(path).__name__ for path in Numbered(str(top), 7).iterdir()})

    runs = run(body, between=lambda: shutil.rmtree(top))
    assert runs.live == runs.replayed == ["Numbered"]


class Titled(Path(os.curdir).__class__):  # type: ignore[misc]  # a path of this system
    """As users derive it."""


def test_paths_stay_of_their_class(top: Path) -> None:
    def body() -> list[str]:
        place = Titled(top)
        found = [*place.iterdir(), *place.glob("*"), place.resolve()]
        return sorted({type(path).__name__ for path in found})

    runs = run(body, between=lambda: shutil.rmtree(top))
    assert runs.live == runs.replayed == ["Titled"]


def test_a_search_goes_no_further_than_agent_code_looks(top: Path) -> None:
    for number in range(400):
        (top / "c" / f"{number}.dat").touch()

    def body() -> list[int]:
        found = top.rglob("*.dat")
        some = [next(found)]
        some += itertools.islice(found, 10)
        few = [name for name in ("one", "ten") for _ in top.glob("c/0.dat")]
        return [len(some), len({*some}), len(few)]

    runs = run(body, between=lambda: shutil.rmtree(top))
    assert runs.live == runs.replayed == [11, 11, 2]
    assert runs.calls == ["pathlib.Path.rglob"] * 2 + ["pathlib.Path.glob"] * 4
    sizes = [len(decode(entry.outcome)[0]) for entry in runs.entries if _is_search(entry)]
    assert sizes == [1, 16, 1, 0, 1, 0]


def _is_search(entry: Any) -> bool:
    return isinstance(entry, ImportedFunctionInvoked) and "glob" in entry.function_name


def test_a_search_goes_on_after_a_crash(top: Path) -> None:
    stop = Pause()

    def body() -> list[str]:
        found = top.rglob("*")
        names = [next(found).name]
        stop()
        return sorted([*names, *(path.name for path in found)])

    assert stop.crashed(body) == ["a", "b", "c", "link", "x.txt", "y.txt", "z.txt"]


def test_what_goes_wrong_in_a_search_comes_after_what_it_has_found() -> None:
    def search() -> Iterator[str]:
        yield from ("one", "two")
        raise PermissionError("three")

    pages = lookups._Pages(search, 3)
    assert pages.next() == (["one", "two"], True)
    with pytest.raises(PermissionError, match="three"):
        pages.next()
