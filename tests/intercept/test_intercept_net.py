"""What agent code does past every durable call is named (D2)."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import io
import linecache
import logging
import os
import shutil
import smtplib
import socket
import sqlite3
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import golem_sdk
from golem_sdk import (
    PersistenceLevel,
    Runtime,
    agent,
    durable,
    intercept,
    persistence_level,
    workspace,
)
from golem_sdk.durability import is_live
from golem_sdk.errors import NotDurableError, NotDurableWarning, UsageError
from golem_sdk.intercept import net
from golem_sdk.intercept.audited import AUDITED
from intercept.replaying import run, run_async
from promises.checkers import check_d2_running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOWHERE = ("127.0.0.1", 9)
PLACE = Path(tempfile.mkdtemp())


@pytest.fixture(scope="module", autouse=True)
def _place() -> Iterator[None]:
    PLACE.mkdir(exist_ok=True)  # it is gone if other modules' tests have run since
    yield
    shutil.rmtree(PLACE)


@pytest.fixture(autouse=True)
def _anew() -> None:
    net.forget()


def reported(body: Callable[[], Any]) -> list[warnings.WarningMessage]:
    """What is said of a body that runs live and in replay."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run_async(body) if asyncio.iscoroutinefunction(body) else run(body)
    return [each for each in caught if issubclass(each.category, NotDurableWarning)]


def connects() -> None:
    with socket.socket() as sock:
        sock.connect_ex(NOWHERE)


def sends() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", NOWHERE)


def looks_up() -> None:
    socket.getaddrinfo("127.0.0.1", 9)


def mails() -> None:
    with contextlib.suppress(OSError):
        smtplib.SMTP("127.0.0.1", 9)


def writes() -> None:
    io.FileIO(PLACE / "written", "w").close()


def writes_descriptor() -> None:
    at = os.open(PLACE, os.O_RDONLY)
    os.close(os.open("written", os.O_WRONLY | os.O_CREAT, dir_fd=at))
    os.close(at)


def reads_descriptor() -> None:
    os.close(os.open(__file__, os.O_RDONLY))


def writes_through_a_library() -> None:
    logging.FileHandler(PLACE / "written").close()


def makes_and_removes() -> None:
    at = os.open(PLACE, os.O_RDONLY)
    os.mkdir("made", dir_fd=at)
    os.rename("made", "moved", src_dir_fd=at, dst_dir_fd=at)
    os.rmdir("moved", dir_fd=at)
    os.close(at)


def opens_database() -> None:
    sqlite3.Connection(PLACE / "db").close()


def puts_environment() -> None:
    os.putenv("GOLEM_NET", "a secret")


def loads() -> None:
    ctypes.CDLL(None)


async def connects_async() -> None:
    connects()


PLANTED: list[tuple[Callable[[], Any], str, str]] = [
    (connects, "socket.connect(", ""),
    (connects_async, "socket.connect(", ""),
    (sends, "socket.sendto(", ""),
    (looks_up, "socket.getaddrinfo(", " through socket"),
    (mails, "smtplib.connect(", " through smtplib"),
    (writes, "open(", ""),
    (writes_descriptor, "open(", ""),
    (writes_through_a_library, "open(", " through logging"),
    (opens_database, "sqlite3.connect(", ""),
    (puts_environment, "os.putenv('GOLEM_NET')", ""),
    (loads, "ctypes.dlopen(None)", " through ctypes"),
]


@pytest.mark.parametrize(
    ("body", "what", "through"), [pytest.param(*each, id=each[0].__name__) for each in PLANTED]
)
def test_d2_an_effect_past_every_durable_call_is_named_once(
    body: Callable[[], Any], what: str, through: str
) -> None:
    code = getattr(connects if body is connects_async else body, "__code__")  # noqa: B009  # typed as Callable
    said = reported(body)
    assert [each.filename for each in said] == [__file__] * len(said)
    assert len(said) == len({each.lineno for each in said})
    message = str(said[0].message)
    assert what in message
    assert f"{through}, in {code.co_qualname}() ({__file__}:{said[0].lineno})" in message
    assert "@durable" in message or "env=" in message
    assert "secret" not in message


def test_reading_by_a_descriptor_is_named() -> None:
    (said,) = reported(reads_descriptor)
    assert said.lineno == reads_descriptor.__code__.co_firstlineno + 1
    assert "Use open(), whose files are recorded" in str(said.message)


def test_reading_by_a_descriptor_through_a_link_is_named() -> None:
    (PLACE / "read").touch()

    def body() -> None:
        (workspace() / "link").symlink_to(PLACE / "read")
        (workspace() / "own").touch()
        os.close(os.open(workspace() / "own", os.O_RDONLY))
        os.close(os.open(workspace() / "link", os.O_RDONLY))

    (said,) = reported(body)
    assert said.lineno == body.__code__.co_firstlineno + 4


def test_directories_and_what_libraries_read_are_not_named() -> None:
    def body() -> None:
        for flags in (os.O_RDONLY, os.O_PATH):
            os.close(os.open(PLACE, flags))
        list(os.fwalk(PLACE))
        linecache.checkcache(__file__)
        linecache.getline(__file__, 1)

    assert reported(body) == []


def test_d2_each_line_is_named() -> None:
    assert [each.lineno for each in reported(makes_and_removes)] == [
        makes_and_removes.__code__.co_firstlineno + line for line in (2, 3, 4)
    ]


@pytest.mark.parametrize("event", sorted(AUDITED))
def test_d2_every_listed_event_is_named(event: str) -> None:
    arguments = ("x", "w", os.O_WRONLY) if event == "open" else ("x",)
    said = reported(lambda: sys.audit(event, *arguments))
    assert check_d2_running(said, [event], __file__) == []
    assert f"An agent {AUDITED[event].does}: {event}('x')" in str(said[0].message)


def test_a_strict_runtime_refuses_at_the_call() -> None:
    target = PLACE / "refused"

    @agent
    class StrictNet:
        def __init__(self, name: str) -> None:
            self.name = name

        def go(self) -> str:
            try:
                logging.FileHandler(target)
            except NotDurableError as error:
                return str(error)
            return "written"

        def fails(self) -> None:
            logging.FileHandler(target)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Runtime.memory(strict=True) as runtime:
            handle = runtime.get(StrictNet, "a")
            for _ in range(2):  # every time
                message = handle.go()
                assert f"open('{target}') through logging" in message
                assert "This runtime is strict: it was not done. Put it into" in message
            with pytest.raises(NotDurableError):
                handle.fails()
    assert not target.exists()


def test_strict_is_a_bool() -> None:
    with pytest.raises(UsageError, match="strict is True or False, not 1"):
        Runtime.memory(strict=1)  # type: ignore[arg-type]  # the point


@durable
def through_the_door(path: str) -> None:
    Path(path).write_text("x")


class Dropped:
    """Writes when it is collected."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        (PLACE / "dropped").write_text("x")


def test_what_is_no_effect_of_agent_code_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "writes_when_imported.py").write_text(
        f"open({str(tmp_path / 'imported')!r}, 'w').close()"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def body() -> None:
        through_the_door(str(tmp_path / "done"))
        import writes_when_imported  # type: ignore[import-not-found]  # noqa: F401  # the point

        Dropped()
        gc.collect()
        with open(os.devnull, "w"):
            sqlite3.Connection(":memory:").close()
        with persistence_level(PersistenceLevel.PERSIST_NOTHING):
            (tmp_path / "zone").write_text("x") if is_live() else None
        subprocess.run(["/bin/true"], check=True)
        (tmp_path / "file").write_text("x")
        with tempfile.TemporaryDirectory() as own:
            (Path(own) / "x").write_text("x")
            io.FileIO(Path(own) / "y", "w").close()
            sqlite3.Connection(Path(own) / "db").close()
        (workspace() / "x").mkdir()

    assert reported(body) == []
    assert (tmp_path / "imported").exists()
    assert (PLACE / "dropped").exists()


def library_function(module: str) -> Callable[[], None]:
    """A function of a module that does not exist."""
    place = Path(golem_sdk.__file__).parent / "nowhere.py"  # code of the SDK is no user's
    namespace: dict[str, Any] = {"__name__": module}
    text = "import sys\ndef function(): sys.audit('os.system', 'x')"
    exec(compile(text, place, "exec"), namespace)
    function: Callable[[], None] = namespace["function"]
    return function


def test_what_golem_sdk_does_is_not_named() -> None:
    assert reported(library_function("golem_sdk.runtime.nowhere")) == []
    [said] = reported(library_function("golem_sdk.intercept.nowhere"))  # passes a call on
    assert "os.system('x'), in " in str(said.message)


def test_a_callback_of_a_library_is_named() -> None:
    async def body() -> None:
        asyncio.get_running_loop().call_soon(library_function("strange.core"))
        await asyncio.sleep(0)

    [said] = reported(body)
    assert "os.system('x') through strange, in function() (" in str(said.message)
    assert (Path(said.filename).name, said.lineno) == ("nowhere.py", 2)


async def in_a_thread() -> None:
    handler = await asyncio.to_thread(logging.FileHandler, PLACE / "threaded")
    handler.close()


async def in_two_threads() -> None:
    await asyncio.gather(
        asyncio.to_thread(library_function("strange.core")),
        asyncio.get_running_loop().run_in_executor(None, library_function("strange.other")),
    )


async def in_a_callback() -> None:
    asyncio.get_running_loop().call_soon(os.utime, PLACE)
    await asyncio.sleep(0)


async def in_a_thread_of_ones_own() -> None:
    await asyncio.to_thread(writes)


def test_what_a_thread_of_an_agent_does_is_named() -> None:
    [said] = reported(in_a_thread)
    assert "opens a file for writing" in str(said.message)
    assert " through logging, in in_a_thread() (" in str(said.message)
    assert (said.filename, said.lineno) == (__file__, in_a_thread.__code__.co_firstlineno + 1)
    [own] = reported(in_a_thread_of_ones_own)
    assert own.lineno == writes.__code__.co_firstlineno + 1
    (PLACE / "threaded").unlink()


def test_what_several_threads_of_an_agent_do_is_named() -> None:
    said = reported(in_two_threads)
    first = in_two_threads.__code__.co_firstlineno
    assert {each.filename for each in said} == {__file__}
    assert {each.lineno - first for each in said} <= {1, 2, 3}
    assert all("in in_two_threads() (" in str(each.message) for each in said)


def test_what_the_loop_calls_is_named() -> None:
    [said] = reported(in_a_callback)
    assert "os.utime(" in str(said.message)
    assert " through asyncio, in " in str(said.message)


def test_outside_agents_nothing_is_named(tmp_path: Path) -> None:
    intercept.install()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (tmp_path / "file").write_text("x")
    assert caught == []


def test_where_warnings_are_errors_it_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with caplog.at_level(logging.WARNING):
            runs = run(writes)
    assert runs.logs == []  # not of the agent
    [record] = [each for each in caplog.records if each.name == "golem_sdk"]
    assert "opens a file for writing" in record.getMessage()


def test_a_line_is_named_once_in_the_process() -> None:
    def twice() -> None:
        for _ in range(2):
            writes()

    assert len(reported(twice)) == 1
    assert reported(writes) == []
    intercept.uninstall()
    intercept.install()
    assert len(reported(writes)) == 1
