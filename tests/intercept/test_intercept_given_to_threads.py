"""Functions that agent code gives to threads as they are: what they ask, agent code asks."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest
from attrs import evolve

from golem_sdk.core.entries import DescribeCallSite, ImportedFunctionInvoked
from golem_sdk.intercept import table
from golem_sdk.intercept.paths import GIVEN
from intercept.replaying import run, run_async

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "page").write_text("text")
    return tmp_path / "desk"


async def in_a_thread(function: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.to_thread(function, *args)


async def in_a_task(function: Callable[..., Any], *args: Any) -> Any:
    (found,) = await asyncio.gather(asyncio.to_thread(function, *args))
    return found


async def in_the_executor(function: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, partial(function, *args))


async def by_anyio(function: Callable[..., Any], *args: Any) -> Any:
    return await anyio.to_thread.run_sync(partial(function, *args))


WAYS = [in_a_thread, in_a_task, in_the_executor, by_anyio]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_given_to_a_thread_as_it_is(way: Callable[..., Any], desk: Path) -> None:
    async def body() -> list[Any]:
        said = [await way((desk / "page").read_text), await way(os.listdir, desk)]
        said.append(await way(os.path.exists, desk / "page"))
        await way(shutil.copy, desk / "page", desk / "copy")
        await way((desk / "new").write_text, "new")
        with await way(open, desk / "new", "a") as file:
            await way(file.write, "er")
        made = await way(partial(tempfile.mkdtemp, dir=desk))
        return [*said, Path(made).parent == desk, await way(socket.gethostname) != ""]

    runs = run_async(body, between=lambda: shutil.rmtree(desk))
    assert runs.live == runs.replayed == ["text", ["page"], True, True, True]
    assert not desk.exists()  # replay makes nothing
    assert {"open", "os.listdir", "os.stat", "shutil.copy", "tempfile.mkdtemp"} <= set(runs.calls)
    assert runs.calls[-1] == "socket.gethostname"


def test_threads_of_synchronous_agents(desk: Path) -> None:
    def body() -> list[Any]:
        with ThreadPoolExecutor(2) as pool:
            said = [*pool.map(Path.read_text, [desk / "page", desk / "page"])]
        thread = threading.Thread(target=shutil.copy, args=(desk / "page", desk / "copy"))
        thread.start()
        thread.join()
        timer = threading.Timer(0.001, os.remove, [desk / "page"])
        timer.start()
        timer.join()
        return [*said, sorted(os.listdir(desk))]

    runs = run(body, between=lambda: shutil.rmtree(desk))
    assert runs.live == runs.replayed == ["text", "text", ["copy"]]
    assert not desk.exists()


def test_files_of_anyio(desk: Path) -> None:
    async def body() -> list[Any]:
        async with await anyio.open_file(desk / "page", "a+") as file:
            await file.write(" and more")
        place = anyio.Path(desk)
        await (place / "new").write_text("new")
        names = sorted([each.name async for each in place.iterdir()])
        return [await (place / "page").read_text(), names, await (place / "new").exists()]

    runs = run_async(body, between=lambda: shutil.rmtree(desk))
    assert runs.live == runs.replayed == ["text and more", ["new", "page"], True]
    assert not desk.exists()


def test_what_libraries_do_on_threads_is_passed_on(desk: Path) -> None:
    source = "def read(path):\n    with open(path) as file:\n        return file.read()\n"
    namespace: dict[str, Any] = {"__name__": "strange"}
    exec(compile(source, shutil.__file__, "exec"), namespace)

    async def body() -> str:
        found: str = await asyncio.to_thread(namespace["read"], desk / "page")
        return found

    runs = run_async(body)
    assert runs.live == "text"
    assert runs.calls == []


@pytest.mark.parametrize("way", WAYS)
def test_older_agents_record_nothing_of_it(
    way: Callable[..., Any], desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = {interceptor: version - 1 for interceptor, version in GIVEN.items()}
    rows = [evolve(row, version=older.get(row.name, row.version)) for row in table.TABLE]
    monkeypatch.setattr(table, "TABLE", tuple(rows))

    async def body() -> list[Any]:
        return [await way((desk / "page").read_text), await way(socket.gethostname) != ""]

    runs = run_async(body)
    assert runs.live == runs.replayed == ["text", True]
    assert runs.calls == []


@pytest.mark.parametrize("way", WAYS)
def test_the_line_that_has_given_it_is_told(way: Callable[..., Any], desk: Path) -> None:
    """D1: the call site of what has no line of its own."""

    async def body() -> str:
        found: str = await way((desk / "page").read_text)
        return found

    entries = run_async(body).entries
    lines = {each.site: each.function for each in entries if isinstance(each, DescribeCallSite)}
    calls = [each for each in entries if isinstance(each, ImportedFunctionInvoked)]
    assert {lines.get(each.site) for each in calls} == {way.__name__}
