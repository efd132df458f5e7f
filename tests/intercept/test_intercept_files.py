"""Files that agents read: what is recorded, and what is passed on."""

from __future__ import annotations

import io
import json
import linecache
import os
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import oplog_commit
from golem_sdk.core.entries import ImportedFunctionInvoked, PayloadRef
from intercept.replaying import crashed, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_reading_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    path.write_text("[1, 2]")

    runs = run(lambda: json.loads(path.read_text(encoding="utf-8")))
    assert runs.live == runs.replayed == [1, 2]
    assert runs.calls == ["open", "open.read"]


def test_long_pieces_are_kept_by_their_hash(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"long" * 1_000_000)
    runs = run(lambda: len(path.read_bytes()))
    assert runs.live == runs.replayed == 4_000_000
    reads = [e for e in runs.entries if isinstance(e, ImportedFunctionInvoked)][1:]
    assert [type(each.outcome) for each in reads] == [PayloadRef]


def test_what_libraries_open_is_passed_on(tmp_path: Path) -> None:
    path = tmp_path / "source.py"
    path.write_text("first\n")
    runs = run(lambda: linecache.getline(str(path), 1))
    assert runs.live == "first\n"
    assert runs.calls == []


def test_devices_are_read_once() -> None:
    def body() -> list[Any]:
        with open("/dev/urandom", "rb", buffering=0) as file:  # as it is done
            return [file.read(8), file.seekable()]

    runs = run(body)
    assert runs.live == runs.replayed
    assert runs.live[1] is False


@pytest.mark.parametrize(
    ("mode", "options"),
    [("q", {}), ("rt", {"buffering": 0}), ("rb", {"encoding": "utf-8"}), ("r", {"newline": "x"})],
)
def test_wrong_arguments_raise_as_ever(tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    path = tmp_path / "there"
    path.write_text("")

    def body() -> str:
        with pytest.raises(ValueError, match=r".") as raised:
            open(path, mode, **options)  # noqa: SIM115  # it opens nothing
        return str(raised.value)

    expected = body()
    runs = run(body)
    assert runs.live == runs.replayed == expected


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    def body() -> list[Any]:
        try:
            tmp_path.read_bytes()
        except IsADirectoryError as error:
            return [error.errno, error.filename]
        return []

    runs = run(body)
    assert runs.live == runs.replayed == [21, str(tmp_path)]


def test_a_file_for_a_process(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"one\ntwo\n")

    def body() -> list[Any]:
        with path.open("rb", buffering=0) as file:
            file.seek(4)
            try:
                file.fileno()
            except io.UnsupportedOperation as error:
                said = str(error)
            return [subprocess.run(["/bin/cat"], stdin=file, stdout=-1, check=True).stdout, said]

    runs = run(body)
    assert runs.live == runs.replayed
    assert runs.live[0] == b"two\n"
    assert "has no fileno() in an agent" in runs.live[1]


def test_what_is_found_by_seeking(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    def body() -> list[Any]:
        with path.open("rb", buffering=0) as file:
            said: list[Any] = [file.seek(-2, os.SEEK_END), file.seek(1, os.SEEK_CUR), file.read()]
            for whence in (9, -1):
                with pytest.raises(OSError, match=r".") as raised:
                    file.seek(0, whence)
                said.append(raised.value.errno)
        return said

    expected = body()
    runs = run(body)
    assert runs.live == runs.replayed == expected


def test_a_closed_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "closed"
    path.write_text("x")

    def body() -> str:
        with path.open("rb", buffering=0) as file:
            pass
        with pytest.raises(ValueError, match="closed file") as raised:
            file.read(1)
        return str(raised.value)

    assert run(body).live == "I/O operation on closed file"


def test_a_file_that_grows(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\n")

    def body() -> list[Any]:
        with path.open("rb") as reader, path.open("r+b") as other:
            said: list[Any] = [reader.read()]
            with path.open("ab") as log:
                log.write(b"two\n")
            said += [reader.seek(0, os.SEEK_END), reader.seek(-4, os.SEEK_END), reader.read()]
            said += [other.seek(-1, os.SEEK_END), other.read()]
        path.write_bytes(b"one\n")
        return said

    expected = body()
    runs = run(body)
    assert runs.live == runs.replayed == expected


class Interrupted:
    """A body that reads a part of a file, dies there, and reads on in its next life."""

    def __init__(self, path: Path, *, changes: Callable[[], Any] = lambda: None) -> None:
        self._path, self._changes = path, changes
        self.waits, self.go_on = threading.Event(), threading.Event()

    def body(self) -> list[Any]:
        with self._path.open("rb", buffering=0) as file:
            said: list[Any] = [file.read(3)]
            oplog_commit(1)
            self.waits.set()
            self.go_on.wait(60)
            self._changes()
            for _ in range(2):
                try:
                    said.append(file.read())
                except OSError as error:
                    said.append(str(error))
        return said

    def outcome(self) -> Any:
        return crashed(self.body, self.waits, self.go_on)


def test_a_file_is_read_on_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"onetwo")
    assert Interrupted(path).outcome() == [b"one", b"two", b""]


def test_a_file_that_has_grown_is_read_on_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"onetwo")
    interrupted = Interrupted(path, changes=lambda: path.open("ab").write(b"three"))
    assert interrupted.outcome() == [b"one", b"twothree", b""]


def test_another_file_is_not_read_on(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"onetwo")
    first, *said = Interrupted(path, changes=lambda: path.write_bytes(b"another")).outcome()
    assert first == b"one"
    assert all("is not the file any more" in each for each in said)
