"""The agent's own directory: it begins empty in each life, and replay fills it again."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent, durable, oplog_commit, workspace
from golem_sdk.errors import NotDurableError, UsageError
from golem_sdk.runtime import own_changes
from intercept.replaying import crashed, run, run_async

if TYPE_CHECKING:
    from collections.abc import Callable


def contents(directory: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
        for path in sorted(directory.rglob("*"))
    }


def test_what_agent_code_does_there_is_not_recorded() -> None:
    def body() -> list[Any]:
        place = workspace()
        (place / "deep").mkdir()
        (place / "deep" / "b").write_text("two")
        (place / "a").write_bytes(b"one")
        with open(place / "a", "ab") as file:
            file.write(b"!")
        os.rename(place / "deep" / "b", place / "deep" / "c")
        shutil.copytree(place / "deep", place / "copied")
        found = [path.relative_to(place).as_posix() for path in place.rglob("*")]
        return [
            sorted(found),
            os.listdir(place),
            (place / "a").read_bytes(),
            (place / "deep" / "c").exists(),
            [entry.name for entry in os.scandir(place)],
            place.stat().st_mode & 0o777,
        ]

    runs = run(body)
    assert runs.calls == []
    assert runs.live == runs.replayed
    assert runs.live[1:] == [
        ["a", "copied", "deep"],
        b"one!",
        True,
        ["a", "copied", "deep"],
        0o700,
    ]


@agent
class Diarist:
    def __init__(self, name: str) -> None:
        self.place = workspace()

    def write(self, name: str, text: str) -> None:
        with (self.place / name).open("a") as file:
            file.write(text)

    def read(self, name: str) -> str:
        return (self.place / name).read_text()

    def where(self) -> str:
        return str(self.place)


def test_it_is_below_the_store_and_stays_there(tmp_path: Path) -> None:
    with Runtime(tmp_path / "store") as runtime:
        one, other = runtime.get(Diarist, "a/../b"), runtime.get(Diarist, "x" * 5000)
        one.write("page", "one")
        other.write("page", "other")
        place = Path(one.where())
        assert place.is_relative_to(tmp_path / "store" / "workspaces")
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert {Path(other.where()).parent, place.parent} <= {
            *(tmp_path / "store").glob("workspaces/*")
        }
    (place / "half").write_text("written by a life that died")
    (place / "page").write_text("changed")
    with Runtime(tmp_path / "store") as runtime:
        assert runtime.get(Diarist, "a/../b").read("page") == "one"
        assert runtime.get(Diarist, "a/../b").where() == str(place)
        runtime.get(Diarist, "a/../b").write("page", "two")
    assert contents(place) == {"page": b"onetwo"}


def test_what_cannot_be_removed_does_not_stay(tmp_path: Path) -> None:
    with Runtime(tmp_path / "store") as runtime:
        runtime.get(Diarist, "a").write("page", "one")
        place = Path(runtime.get(Diarist, "a").where())
    (place / "shut").mkdir()
    (place / "shut" / "page").write_text("x")
    (place / "shut").chmod(0)
    with Runtime(tmp_path / "store") as runtime:
        assert runtime.get(Diarist, "a").read("page") == "one"
    assert contents(place) == {"page": b"one"}


def test_a_relative_store_does_not_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Runtime("store") as runtime:
        monkeypatch.chdir("/")
        runtime.get(Diarist, "a").write("page", "one")
        assert Path(runtime.get(Diarist, "a").where()).is_relative_to(tmp_path / "store")


def test_in_memory_it_is_removed_with_the_runtime() -> None:
    with Runtime.memory() as runtime:
        place = Path(runtime.get(Diarist, "a").where())
        assert place.is_dir()
    assert not place.exists()


def test_outside_agents_there_is_none() -> None:
    with pytest.raises(UsageError, match="inside agents only"):
        workspace()


@durable
def asks_for_it() -> str:
    return str(workspace())


def test_a_durable_function_has_it_when_agent_code_had_it() -> None:
    def body() -> list[Any]:
        with pytest.raises(UsageError, match="give it to what is durable"):
            asks_for_it()
        place = workspace()
        return [asks_for_it() == str(place)]

    assert run(body).live == [True]


# --- the border -----------------------------------------------------------------------------------


def test_its_border_is_that_of_a_file_system(tmp_path: Path) -> None:
    def body() -> list[Any]:
        place = workspace()
        said: list[Any] = []
        (tmp_path / "out").write_text("out")
        (place / "in").write_text("in")
        for source, target in ((tmp_path / "out", place / "x"), (place / "in", tmp_path / "x")):
            for function in (os.rename, os.replace, os.link):
                try:
                    function(source, target)
                except OSError as error:
                    said.append(error.errno)
        shutil.move(tmp_path / "out", place / "moved")
        shutil.copy(place / "in", tmp_path / "copied")
        return [*said, (place / "moved").read_text(), os.listdir(place), (place / "in").exists()]

    runs = run(body)
    assert runs.live == runs.replayed == [*[errno.EXDEV] * 6, "out", ["in", "moved"], True]
    assert contents(tmp_path) == {"copied": b"in"}


# --- what others change in it ---------------------------------------------------------------------


@durable
def download(path: str, text: str) -> int:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return Path(path).write_text(text)


@durable
async def download_async(path: str, text: str) -> int:
    await asyncio.sleep(0)
    return Path(path).write_text(text)


STARTED, GO_ON = threading.Event(), threading.Event()


@durable
async def slow_download(path: str, text: str) -> int:
    STARTED.set()
    await asyncio.to_thread(GO_ON.wait, 60)
    return Path(path).write_text(text)


@durable
def fails_half_way(path: str) -> None:
    Path(path).write_text("half")
    raise LookupError("no more")


def test_what_durable_functions_write_there_is_restored() -> None:
    def body() -> list[Any]:
        place = workspace()
        (place / "mine").write_text("mine")
        said: list[Any] = [download(str(place / "deep" / "one"), "1")]
        with pytest.raises(LookupError) as raised:
            fails_half_way(str(place / "half"))
        said += [hasattr(raised.value, "golem_changes"), (place / "half").read_text()]
        return [*said, (place / "deep" / "one").read_text(), os.listdir(place)]

    runs = run(body)
    assert runs.live == runs.replayed == [1, False, "half", "1", ["deep", "half", "mine"]]
    assert len(runs.calls) == 2


def test_what_processes_write_there_is_restored() -> None:
    def body() -> list[Any]:
        place = workspace()
        (place / "gone").write_text("x")
        (place / "kept").write_text("kept")
        subprocess.run(
            "mkdir sub && echo one >sub/one && rm gone && ln -s kept link && chmod 500 sub && echo x >tool"
            " && chmod 755 tool",
            shell=True,
            cwd=place,
            check=True,
        )
        os.system(f"echo two >'{place}/two'")
        with subprocess.Popen(["/bin/sh", "-c", "echo three >three"], cwd=place) as process:
            process.wait()
        return [
            os.listdir(place),
            (place / "sub" / "one").read_text(),
            os.readlink(place / "link"),
            os.access(place / "tool", os.X_OK),
            [(place / name).read_text() for name in ("two", "three")],
            stat.S_IMODE((place / "sub").stat().st_mode),
        ]

    runs = run(body)
    assert runs.live == runs.replayed
    assert runs.live == [
        ["kept", "link", "sub", "three", "tool", "two"],
        "one\n",
        "kept",
        True,
        ["two\n", "three\n"],
        0o500,
    ]


def test_asynchronous_agents_have_it_too() -> None:
    async def body() -> list[Any]:
        place = workspace()
        log = (place / "log").open("w")

        async def chatter() -> None:
            for word in ("a", "b", "c"):
                log.write(word)
                log.flush()
                await asyncio.sleep(0)

        await asyncio.gather(chatter(), download_async(str(place / "one"), "1"))
        # While this one works, agent code changes a file, and goes on with it afterwards.
        slow = asyncio.create_task(slow_download(str(place / "slow"), "slow"))
        await asyncio.sleep(0.001)
        STARTED.wait(60)
        log.write("d")
        log.flush()
        GO_ON.set()
        log.write(str(await slow))
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "echo 2 >two", cwd=place)
        await process.wait()
        log.close()
        return [
            os.listdir(place),
            [(place / name).read_text() for name in ("log", "one", "two", "slow")],
        ]

    runs = run_async(body)
    assert runs.live == runs.replayed
    assert runs.live == [["log", "one", "slow", "two"], ["abcd4", "1", "2\n", "slow"]]


def test_what_another_process_removes_meanwhile_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    survey = own_changes._survey

    def seen_before_it_went(root: str) -> Any:
        found = survey(root)
        here = found.get("files/here")
        return {**found, "files/gone": here} if here else found

    monkeypatch.setattr(own_changes, "_survey", seen_before_it_went)

    def body() -> list[Any]:
        return [download(str(workspace() / "here"), "123"), os.listdir(workspace())]

    runs = run(body)
    assert runs.live == runs.replayed == [3, ["here"]]


def test_too_much_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_changes, "KEPT_CHANGES_BYTES", 5)

    def body() -> list[Any]:
        said = [download(str(workspace() / "a"), "12345")]
        try:
            download(str(workspace() / "b"), "123456")
        except NotDurableError as error:
            return [*said, "More than 5 are not kept" in str(error)]
        return []

    runs = run(body)
    assert runs.live == runs.replayed == [5, True]


def test_a_crash_leaves_nothing_half_written() -> None:
    waits, go_on = threading.Event(), threading.Event()

    def body() -> list[Any]:
        place = workspace()
        said = [os.listdir(place)]
        with (place / "log").open("a") as file:
            file.write("line\n")
        subprocess.run(["/bin/sh", "-c", "echo 1 >>count"], cwd=place, check=True)
        oplog_commit(1)
        waits.set()
        go_on.wait(60)
        subprocess.run(["/bin/sh", "-c", "echo 2 >>count"], cwd=place, check=True)
        return [*said, (place / "log").read_text(), (place / "count").read_text()]

    assert crashed(body, waits, go_on) == [[], "line\n", "1\n2\n"]


@pytest.mark.parametrize("uri", [False, True])
def test_a_database_in_it_is_made_again(uri: bool) -> None:
    def body() -> list[Any]:
        path = workspace() / "notes db"
        name = f"file:{path}?mode=rwc".replace(" ", "%20") if uri else path
        with closing(sqlite3.connect(name, uri=uri)) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS notes (text)")
            connection.execute("INSERT INTO notes VALUES ('one')")
            return connection.execute("SELECT count(*) FROM notes").fetchall()

    runs = run(body)
    assert runs.live == runs.replayed == [(1,)]
    assert runs.calls == []


# --- temporary files ------------------------------------------------------------------------------


def test_temporary_files_are_the_agents_own() -> None:
    def body() -> list[Any]:
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(["/bin/cp", __file__, f"{directory}/copy"], check=True)
            copied = os.listdir(directory)
        with tempfile.SpooledTemporaryFile(max_size=1) as file:
            file.write(b"rolls over")
            file.seek(0)
            spooled = file.read()
        descriptor, name = tempfile.mkstemp(prefix=b"x")
        os.write(descriptor, b"raw")
        os.close(descriptor)
        return [copied, spooled, Path(os.fsdecode(name)).read_bytes(), os.path.basename(name)]

    runs = run(body)
    assert runs.live == runs.replayed
    assert runs.live[:3] == [["copy"], b"rolls over", b"raw"]
    assert runs.calls == ["subprocess.run"]


@pytest.mark.parametrize("make", [tempfile.mkstemp, tempfile.TemporaryFile])
def test_bare_descriptors_outside_are_refused(make: Callable[..., Any], tmp_path: Path) -> None:
    name = make.__name__

    def body() -> str:
        with pytest.raises(NotDurableError) as raised:
            getattr(tempfile, name)(dir=tmp_path)
        return str(raised.value)

    runs = run(body)
    assert "Leave dir= out" in runs.live
    assert runs.live == runs.replayed
    assert [*tmp_path.iterdir()] == []
