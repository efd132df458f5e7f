# ruff: noqa: SIM115  # most of what is opened here cannot be
"""Files that agents write and change: what goes wrong, what is passed on, what a crash leaves."""

from __future__ import annotations

import errno
import glob
import io
import logging
import os
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from golem_sdk import intercept, oplog_commit
from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.errors import DivergenceError, NotDurableError
from golem_sdk.intercept import files, table
from intercept.replaying import crashed, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STRANGE = os.fsdecode(b"na\xffme")
"""A name that is no UTF-8."""


def told(action: Callable[[], Any]) -> Any:
    """What an action gives, or raises."""
    try:
        return action()
    except (OSError, ValueError, LookupError) as error:
        return [
            type(error).__name__,
            str(error),
            getattr(error, "filename", None),
            getattr(error, "filename2", None),
        ]


BAD: dict[str, Callable[[Path], Any]] = {
    "no directory": lambda place: open(place / "no" / "file", "w"),
    "a directory": lambda place: open(place, "w"),
    "a directory to change": lambda place: open(place, "r+b"),
    "nothing to change": lambda place: open(place / "no", "r+"),
    "no permission": lambda place: open("/proc/sys/kernel/osrelease", "w"),
    "no permission for a directory": lambda place: os.mkdir("/proc/sys/kernel/golem"),
    "a zero": lambda place: open(f"{place}/a\0b", "w"),
    "a zero in a directory": lambda place: os.mkdir(f"{place}/a\0b"),
    "too long": lambda place: (place / ("x" * 300)).write_text("x"),
    "no mode": lambda place: open(place / "x", "wx"),
    "text without a buffer": lambda place: open(place / "x", "w", buffering=0),
    "no such encoding": lambda place: open(place / "x", "w", encoding="no-such"),
    "not empty": lambda place: os.rmdir(place),
    "not there": lambda place: os.rename(place / "no", place / "nowhere"),
    "is there": lambda place: os.mkdir(place),
    "two paths": lambda place: os.link(place / "no", place / "x"),
    "a file for a directory": lambda place: os.listdir(place / "there"),
    "no link": lambda place: os.readlink(place / "there"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_goes_wrong_does_so_as_ever(name: str, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("x")

    def body() -> Any:
        return told(lambda: BAD[name](tmp_path))

    expected = body()
    runs = run(body)
    assert runs.live == runs.replayed == expected


def test_a_file_that_is_not_open_for_it(tmp_path: Path) -> None:
    def body() -> list[Any]:
        with (tmp_path / "x").open("wb", buffering=0) as file:
            said = [told(lambda: file.read(1)), told(lambda: file.seek(-1)), file.readable()]
        return [*said, told(lambda: file.write(b"x")), told(file.truncate), file.closed]

    expected = body()
    runs = run(body)
    assert runs.live == runs.replayed == expected


def test_strange_names_and_contents(tmp_path: Path) -> None:
    def body() -> list[Any]:
        path = tmp_path / STRANGE
        path.write_bytes(b"\xff\0" * 3)
        os.rename(path, tmp_path / f"{STRANGE}.2")
        found = [*os.listdir(tmp_path), *os.listdir(os.fsencode(tmp_path))]
        with os.scandir(tmp_path) as entries:
            found += [entry.name for entry in entries]
        found += [os.path.basename(each) for each in glob.glob(f"{tmp_path}/*")]
        path = tmp_path / f"{STRANGE}.2"
        return [*found, path.read_bytes(), os.stat(path).st_size]

    runs = run(body)
    name = f"{STRANGE}.2"
    assert runs.live == runs.replayed == [name, os.fsencode(name), name, name, b"\xff\0" * 3, 6]


def test_a_full_disk() -> None:
    def body() -> list[Any]:
        said: list[Any] = []
        file = open("/dev/full", "wb")  # closing fails, too
        file.write(b"x")
        for action in (file.flush, file.close):
            try:
                action()
            except OSError as error:
                said.append(error.errno)
        return said

    runs = run(body)
    assert runs.live == runs.replayed
    assert runs.live[0] == errno.ENOSPC


def test_devices_and_pipes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()

    def body() -> list[Any]:
        with pipe.open("wb") as file:
            said: list[Any] = [file.seekable(), file.write(b"through the pipe")]
        with open(os.devnull, "w") as null:
            said.append(null.write("away"))
        return said

    runs = run(body)
    reader.join()
    assert runs.live == runs.replayed == [False, 16, 4]
    assert got == [b"through the pipe"]


def test_what_is_kept_of_what_is_written(tmp_path: Path) -> None:
    runs = run(lambda: (tmp_path / "file").write_bytes(b"secret" * 100_000))
    requests = [e.request for e in runs.entries if isinstance(e, ImportedFunctionInvoked)]
    assert runs.calls == ["open", "open.write"]
    assert all(len(bytes(request)) < 200 for request in requests if isinstance(request, bytes))


def test_in_replay_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def body() -> list[Any]:
        with path.open("a+") as file:
            file.write("x")
            file.seek(0)
            return [file.read(), file.tell()]

    runs = run(body)
    assert runs.live == runs.replayed == ["x", 1]
    assert path.read_text() == "x"


@pytest.mark.parametrize("how", ["with the file", "with another one", "without a file"])
def test_writing_goes_on_after_a_crash(tmp_path: Path, how: str) -> None:
    path = tmp_path / "file"
    waits, go_on = threading.Event(), threading.Event()

    def body() -> Any:
        with path.open("wb", buffering=0) as file:
            file.write(b"one")
            oplog_commit(1)
            waits.set()
            go_on.wait(60)
            if how != "with the file":
                path.rename(tmp_path / "old")
            if how == "with another one":
                path.write_bytes(b"another")
            try:
                file.write(b"two")
            except OSError as error:
                return str(error)
        return path.read_bytes()

    said = crashed(body, waits, go_on)
    if how == "with the file":
        assert said == path.read_bytes() == b"onetwo"
    else:
        assert "is not the file any more" in said


def test_a_file_for_the_output_of_a_process(tmp_path: Path) -> None:
    path = tmp_path / "out"

    def body() -> list[Any]:
        with path.open("wb") as file:
            file.write(b"first\n")
            file.flush()
            with pytest.raises(io.UnsupportedOperation, match="has no fileno"):
                file.fileno()
            subprocess.run(["/bin/echo", "second"], stdout=file, check=True)
            file.write(b"third\n")
            file.flush()
            return [file.tell()]

    runs = run(body)
    assert runs.live == runs.replayed == [19]
    assert path.read_bytes() == b"first\nsecond\nthird\n"


@pytest.mark.parametrize("mode", ["w", "a"])
@pytest.mark.parametrize("streamed", [False, True])
def test_what_a_process_has_written_outlasts_a_crash(
    tmp_path: Path, mode: str, streamed: bool
) -> None:
    path = tmp_path / "out"
    waits, go_on = threading.Event(), threading.Event()

    def body() -> int:
        with path.open(mode) as file:
            file.write("first\n")
            file.flush()
            if streamed:
                subprocess.Popen(["/bin/echo", "second"], stdout=file).wait()
            else:
                subprocess.run(["/bin/echo", "second"], stdout=file, check=True)
            oplog_commit(1)
            waits.set()
            go_on.wait(60)
            file.write("third\n")
            file.flush()
            return file.tell()

    assert crashed(body, waits, go_on) == 19
    assert path.read_text() == "first\nsecond\nthird\n"


def test_what_libraries_write_is_passed_on(tmp_path: Path) -> None:
    def body() -> None:
        handler = logging.FileHandler(tmp_path / "log")
        handler.emit(logging.makeLogRecord({"msg": "x"}))
        handler.close()

    runs = run(body)
    assert runs.calls == []
    assert (tmp_path / "log").read_text() == "x\nx\n"


def test_descriptors_for_writing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("x")

    def body() -> list[Any]:
        with pytest.raises(NotDurableError) as raised:
            os.open(tmp_path / "new", os.O_CREAT | os.O_WRONLY)
        descriptor = os.open(tmp_path / "there", os.O_RDONLY)
        os.close(descriptor)
        return [str(raised.value)]

    runs = run(body)
    assert "Use open()" in runs.live[0]
    assert runs.calls == []
    assert not (tmp_path / "new").exists()


def test_os_says_what_it_supports_as_ever() -> None:
    def said(what: str) -> list[str]:
        functions = vars(os)[f"supports_{what}"]
        return [
            n for n, value in sorted(vars(os).items()) if callable(value) and value in functions
        ]

    def all_said() -> list[list[str]]:
        return [said(what) for what in ("dir_fd", "effective_ids", "fd", "follow_symlinks")]

    intercept.uninstall()
    expected = all_said()
    intercept.install()
    assert all_said() == expected


# --- large files ----------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is too large to be recorded."""
    monkeypatch.setattr(files, "LARGE_FILE_BYTES", 1000)
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * 1000)
    return path


def test_large_files_are_recorded_by_hash(large: Path) -> None:
    def body() -> list[Any]:
        with large.open("rb") as file:
            first = file.read(10)
            file.seek(-3, os.SEEK_END)
            return [first, file.read(), len(large.read_bytes())]

    runs = run(body)
    assert runs.live == runs.replayed == [bytes(range(10)), b"\xfd\xfe\xff", 256_000]
    assert set(runs.calls) == {"open", "open.read_by_hash", "open.size"}
    outcomes = [e.outcome for e in runs.entries if isinstance(e, ImportedFunctionInvoked)]
    assert max(len(bytes(each)) for each in outcomes if isinstance(each, bytes)) < 200


@pytest.mark.parametrize("change", ["changed", "gone"])
def test_a_large_file_that_changed_parks_the_agent(large: Path, change: str) -> None:
    def spoil() -> None:
        if change == "gone":
            large.unlink()
        else:
            large.write_bytes(b"x" * 256_000)

    with pytest.raises(DivergenceError, match="larger than 1000 bytes") as raised:
        run(lambda: len(large.read_bytes()), between=spoil)
    expected = "cannot be read any more" if change == "gone" else "has another content now"
    assert expected in str(raised.value)


def test_a_large_file_is_read_on_after_a_crash(large: Path) -> None:
    waits, go_on = threading.Event(), threading.Event()

    def body() -> list[Any]:
        with large.open("rb", buffering=0) as file:
            said = [file.read(2)]
            oplog_commit(1)
            waits.set()
            go_on.wait(60)
            return [*said, file.read(2)]

    assert crashed(body, waits, go_on) == [b"\0\1", b"\2\3"]


# --- older agents ---------------------------------------------------------------------------------


def test_older_agents_go_on_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        evolve(row, version=1) if row.name == "files" else row
        for row in table.TABLE
        if row.name not in ("file-system", "temporary-files")
    ]
    monkeypatch.setattr(table, "TABLE", tuple(rows))
    path = tmp_path / "file"
    path.write_text("0")

    def body() -> list[Any]:
        with path.open("a") as file:
            file.write("x")
        os.makedirs(tmp_path / "made", exist_ok=True)
        return [path.read_text(), path.exists(), os.listdir(tmp_path / "made")]

    runs = run(body)
    assert runs.calls == ["open", "open.read"]
    assert runs.live == runs.replayed == ["0x", True, []]
    assert path.read_text() == "0xx"
