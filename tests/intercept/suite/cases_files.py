"""Files that agents read."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intercept.suite.case import Case

if TYPE_CHECKING:
    from typing import Self

__all__ = ["CASES"]


class Shelf:
    """Some files, which are gone in replay."""

    writes = trace = ()

    def __init__(self) -> None:
        # The same in every run of this process, because paths are compared.
        self.place = Path(tempfile.gettempdir()) / f"golem-shelf-{os.getpid()}"

    def __enter__(self) -> Self:
        shutil.rmtree(
            self.place, ignore_errors=True
        )  # of a process with this number that was killed
        self.place.mkdir()
        (self.place / "text").write_text("one\r\ntwo\nthree\n", encoding="utf-8", newline="")
        (self.place / "bytes").write_bytes(bytes(range(256)) * 600)
        with gzip.open(self.place / "packed", "wb") as file:
            file.write(b"packed " * 9)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.place)


def reads(shelf: Shelf) -> list[Any]:
    with open(shelf.place / "text", encoding="utf-8") as file:  # the point
        first = file.readline()
        position = file.tell()
        rest = file.read()
        file.seek(position)
        again = list(file)
    with (shelf.place / "bytes").open("rb") as raw:
        raw.seek(-3, os.SEEK_END)
        end = raw.read()
        raw.seek(256)
        middle = raw.read(70_000)
    return [first, rest, again, file.mode, raw.closed, end, len(middle), middle[-2:]]


def reads_whole(shelf: Shelf) -> list[Any]:
    with gzip.open(shelf.place / "packed") as file:
        packed = file.read()
    return [packed, (shelf.place / "text").read_bytes(), (shelf.place / "bytes").read_bytes()[:5]]


def is_not_there(shelf: Shelf) -> str:
    return (shelf.place / "missing").read_text(encoding="utf-8")


def is_no_text(shelf: Shelf) -> str:
    return (shelf.place / "bytes").read_text(encoding="utf-8")


def looks_up(shelf: Shelf) -> list[Any]:
    """What asks the file system several questions."""
    place = shelf.place
    return [
        sorted(path.name for path in place.iterdir()),
        [[path.name for path in ask("t*")] for ask in (place.glob, place.rglob)],
        (place / ".." / place.name).resolve().name,
        os.path.basename(os.path.realpath(place / "text")),
        [place.is_mount(), os.path.ismount(place)],
        [(os.path.basename(at), below, sorted(others)) for at, below, others in os.walk(place)],
    ]


def is_nowhere(shelf: Shelf) -> str:
    return str((shelf.place / "missing").resolve(strict=True))


CASES = [
    Case("files", "files", reads, is_not_there, Shelf),
    Case("files-lookups", "file-lookups", looks_up, is_nowhere, Shelf),
    Case("files-whole", "files", reads_whole, is_no_text, Shelf),
]
