"""Files that agents write, change and make."""

from __future__ import annotations

import asyncio
import glob
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intercept.suite.case import Case

if TYPE_CHECKING:
    from typing import Self

__all__ = ["CASES", "Desk"]


class Desk:
    """A directory with a few files. What is in it at the end is what was done: each thing once."""

    def __init__(self) -> None:
        # The same in every run of this process, because paths are compared.
        self.place = Path(tempfile.gettempdir()) / f"golem-desk-{os.getpid()}"
        self.writes: list[tuple[str, bytes]] = []

    def __enter__(self) -> Self:
        shutil.rmtree(self.place, ignore_errors=True)
        (self.place / "tree" / "twig").mkdir(parents=True)
        (self.place / "tree" / "leaf").write_text("green")
        (self.place / "tree" / "twig" / "leaf").write_text("red")
        (self.place / "log").write_text("zero\n")
        (self.place / "numbers").write_bytes(bytes(range(10)))
        return self

    def __exit__(self, *_: object) -> None:
        self.writes = [*self._contents()]
        shutil.rmtree(self.place)

    @property
    def trace(self) -> list[object]:
        return [*self.writes]

    def _contents(self) -> list[tuple[str, bytes]]:
        found = []
        for path in sorted(self.place.rglob("*")):
            name = str(path.relative_to(self.place))
            found.append((name, b"" if path.is_dir() else path.read_bytes()))
        return found


def writes_files(desk: Desk) -> list[Any]:
    with open(desk.place / "new", "w", encoding="utf-8") as file:
        said: list[Any] = [file.write("one\n"), file.tell(), file.mode]
        file.flush()
        file.writelines(["two\n", "three\n"])
    with (desk.place / "log").open("a", encoding="utf-8") as log:
        said.append(log.tell())
        log.write("one\n")
        log.flush()
        log.write("two\n")
    with open(desk.place / "made", "xb", buffering=0) as raw:
        said += [raw.write(b"x" * 5), raw.tell(), raw.mode, raw.name == str(desk.place / "made")]
    said.append((desk.place / "log").read_text(encoding="utf-8"))
    return said


def changes_files(desk: Desk) -> list[Any]:
    with open(desk.place / "numbers", "r+b") as file:
        said: list[Any] = [file.read(3), file.mode]
        file.write(b"abc")
        file.seek(-1, os.SEEK_END)
        said.append(file.read())
        file.write(b"end")
        said.append(file.truncate(12))
        file.seek(0)
        said.append(file.read())
    with open(desk.place / "log", "a+", encoding="utf-8") as log:
        log.write("last\n")
        log.seek(0)
        said.append(log.readlines())
    return said


async def changes_files_async(desk: Desk) -> list[Any]:
    with (desk.place / "log").open("a", encoding="utf-8") as log:
        log.write("one\n")
        log.flush()
        await asyncio.sleep(0)
        log.write("two\n")
    return [(desk.place / "log").read_text(encoding="utf-8"), os.path.exists(desk.place / "no")]


def makes_an_existing_file(desk: Desk) -> None:
    open(desk.place / "log", "x", encoding="utf-8")  # noqa: SIM115  # it opens nothing


def writes_nonsense(desk: Desk) -> None:
    with open(desk.place / "new", "w", encoding="ascii") as file:
        file.write("ä")


def changes_directories(desk: Desk) -> list[Any]:
    place = desk.place
    (place / "deep" / "er").mkdir(parents=True)
    os.makedirs(place / "deep" / "er" / "est", exist_ok=True)
    os.rename(place / "numbers", place / "digits")
    (place / "log").replace(place / "deep" / "log")
    os.symlink("digits", place / "link")
    (place / "touched").touch()
    os.chmod(place / "touched", 0o600)
    os.truncate(place / "digits", 3)
    os.utime(place / "digits", (5, 6))
    os.remove(place / "tree" / "leaf")
    (place / "tree" / "twig" / "leaf").unlink()
    (place / "tree" / "twig").rmdir()
    return [os.stat(place / "digits").st_mtime, os.readlink(place / "link")]


def looks_around(desk: Desk) -> list[Any]:
    place = desk.place
    with os.scandir(place) as entries:
        kinds = sorted((e.name, e.is_dir(), e.is_file(), e.is_symlink()) for e in entries)
    return [
        kinds,
        sorted(os.listdir(os.fsencode(place))),
        [sorted([*dirs, *files]) for _, dirs, files in os.walk(place / "tree" / "twig")],
        sorted(path.name for path in (place / "tree").glob("t*")),
        [(place / "no").exists(), (place / "tree").is_dir()],
        os.path.getsize(place / "numbers"),
        os.access(place / "log", os.W_OK),
        sorted(os.path.basename(path) for path in glob.glob(f"{place}/**/leaf", recursive=True)),
        sorted(glob.iglob("*o*", root_dir=place)),
        stat.S_ISDIR(os.lstat(place).st_mode),
    ]


def looks_for_nothing(desk: Desk) -> int:
    return os.stat(desk.place / "no").st_size


def removes_nothing(desk: Desk) -> None:
    (desk.place / "no").unlink()


def copies(desk: Desk) -> list[Any]:
    place = desk.place
    said = [
        shutil.copyfile(place / "log", place / "copied"),
        shutil.copy(place / "log", place / "tree"),
        shutil.copy2(str(place / "log"), str(place / "tree" / "twig")),
        shutil.copytree(place / "tree", place / "tree 2"),
        shutil.move(place / "numbers", place / "tree 2"),
        shutil.move(place / "copied", place / "moved"),
    ]
    shutil.rmtree(place / "tree")
    return said


def copies_itself(desk: Desk) -> None:
    shutil.copyfile(desk.place / "log", desk.place / "log")


def tells_of_trees(desk: Desk) -> list[Any]:
    """What agent code hands over is called while trees are copied and removed."""
    place, said = desk.place, list[Any]()

    def ignore(directory: str, names: list[str]) -> list[str]:
        said.append(sorted(names))
        return ["twig"]

    def copy(source: Any, target: Any) -> None:
        said.append(os.path.basename(shutil.copyfile(source, target)))

    def onerror(function: Any, path: Any, error: Any) -> None:
        said.append([function.__name__, os.path.basename(path), error[0].__name__])

    shutil.copytree(place / "tree", place / "copy", ignore=ignore, copy_function=copy)
    os.symlink(place / "tree", place / "way")
    for name in ("way", "nothing", "tree"):
        shutil.rmtree(place / name, onerror=onerror)
    os.unlink(place / "way")
    return said


def goes_by_links(desk: Desk) -> list[Any]:
    with tempfile.TemporaryDirectory() as directory:
        own, said = Path(directory), list[Any]()
        for name in ("log", "tree"):
            (own / name).symlink_to(desk.place / name)
        (own / "page").write_text("own")
        said += sorted((e.name, e.is_dir(), e.is_file()) for e in os.scandir(own))
        for _, below, files in os.walk(own, followlinks=True):
            said += [sorted(below), sorted(files)]
        said += [path.relative_to(own).as_posix() for path in own.glob("*/leaf")]
        with open(own / "tree" / ".." / "log", "a", encoding="utf-8") as log:
            log.write("one\n")
        os.mkdir(own / "tree" / ".." / "made")
        shutil.rmtree(own / "tree", ignore_errors=True)
        shutil.copytree(own, desk.place / "copy", symlinks=True)
        shutil.copy(own / "log", own / "copied")
        return [*said, (own / "copied").read_text(), sorted(os.listdir(own))]


def removes_a_link_as_a_tree(desk: Desk) -> None:
    os.symlink(desk.place / "tree", desk.place / "way")
    shutil.rmtree(desk.place / "way")


def makes_temporary_files(desk: Desk) -> list[Any]:
    """As programs do that write a file anew at one go."""
    with tempfile.NamedTemporaryFile("w", dir=desk.place, delete=False, suffix=".new") as file:
        file.write("anew\n")
    os.replace(file.name, desk.place / "log")
    directory = tempfile.mkdtemp(dir=desk.place)
    os.rmdir(directory)
    with tempfile.NamedTemporaryFile() as own, tempfile.TemporaryFile("w+") as nameless:
        own.write(b"own")
        own.flush()
        nameless.write("nameless")
        nameless.seek(0)
        said = [Path(own.name).read_bytes(), nameless.read()]
    descriptor, name = tempfile.mkstemp()
    os.close(descriptor)
    with tempfile.TemporaryDirectory() as below:
        (Path(below) / "x").write_text("x")
        said.append(os.listdir(below))
    return [*said, os.path.exists(name), os.path.exists(below), file.name.endswith(".new")]


def makes_a_temporary_file_wrongly(_: Desk) -> None:
    tempfile.NamedTemporaryFile("q")  # noqa: SIM115  # it opens nothing


CASES = [
    Case("files-written", "files", writes_files, makes_an_existing_file, Desk),
    Case("files-changed", "files", changes_files, writes_nonsense, Desk),
    Case("files-changed-async", "files", changes_files_async, makes_an_existing_file, Desk),
    Case("file-system", "file-system", changes_directories, removes_nothing, Desk),
    Case("file-system-looks", "file-system", looks_around, looks_for_nothing, Desk),
    Case("file-trees", "file-system", copies, copies_itself, Desk),
    Case("file-trees-told", "file-system", tells_of_trees, copies_itself, Desk),
    Case("file-links", "file-system", goes_by_links, removes_a_link_as_a_tree, Desk),
    Case(
        "temporary-files",
        "temporary-files",
        makes_temporary_files,
        makes_a_temporary_file_wrongly,
        Desk,
    ),
]
