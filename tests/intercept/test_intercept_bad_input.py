"""No answer, odd places, loops left half-way, no text: of all but HTTP and processes, which have theirs."""

from __future__ import annotations

import asyncio
import importlib
import os
import random
import socket
import sqlite3
import sys
import time
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
import pytest
import redis
import redis.asyncio
import sqlalchemy as sa
import websockets
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry
from websockets.sync.client import connect as connect_sync

from intercept.keyvalue import KeyValueServer
from intercept.reading import outcome, outcome_async
from intercept.replaying import run, run_async
from intercept.suite.cases_psycopg import Postgres
from intercept.suite.cases_sqlite import DatabaseFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from pathlib import Path

PLACES: dict[str, Any] = {}
"""What the functions below talk to."""


# --- a server that never answers ----------------------------------------------------------------------


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server whose system accepts connections, and which is never told."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield listening.getsockname()[1]


def ask_by_redis(port: int) -> Any:
    with closing(
        redis.Redis(port=port, socket_timeout=0.05, retry=Retry(NoBackoff(), 0))
    ) as client:
        return client.get("name")


def ask_by_psycopg(port: int) -> Any:
    with psycopg.connect(f"host=127.0.0.1 port={port} connect_timeout=2") as connection:
        return connection.execute("SELECT 1").fetchone()


def ask_by_websockets(port: int) -> Any:
    with connect_sync(f"ws://127.0.0.1:{port}", open_timeout=0.05, proxy=None) as websocket:
        return websocket.recv()


async def ask_by_redis_async(port: int) -> Any:
    retry = AsyncRetry(NoBackoff(), 0)
    async with redis.asyncio.Redis(port=port, socket_timeout=0.05, retry=retry) as client:
        return await client.get("name")


async def ask_by_psycopg_async(port: int) -> Any:
    target = f"host=127.0.0.1 port={port} connect_timeout=2"
    async with await psycopg.AsyncConnection.connect(target) as connection:
        return await connection.execute("SELECT 1")


async def ask_by_asyncpg(port: int) -> Any:
    return await asyncpg.connect(host="127.0.0.1", port=port, user="me", timeout=0.05)


async def ask_by_websockets_async(port: int) -> Any:
    address = f"ws://127.0.0.1:{port}"
    async with websockets.connect(address, open_timeout=0.05, proxy=None) as websocket:
        return await websocket.recv()


async def ask_by_streams(port: int) -> Any:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(0.05):
            return await reader.readline()
    finally:
        writer.close()


SYNC: dict[str, Callable[[int], Any]] = {
    "psycopg": ask_by_psycopg,
    "redis": ask_by_redis,
    "websockets": ask_by_websockets,
}
ASYNC: dict[str, Callable[[int], Coroutine[Any, Any, Any]]] = {
    "asyncpg": ask_by_asyncpg,
    "psycopg": ask_by_psycopg_async,
    "redis": ask_by_redis_async,
    "streams": ask_by_streams,
    "websockets": ask_by_websockets_async,
}


@pytest.mark.parametrize("library", SYNC)
def test_a_server_that_never_answers(library: str, silent: int) -> None:
    expected = outcome(lambda: SYNC[library](silent))
    runs = run(lambda: outcome(lambda: SYNC[library](silent)))
    assert runs.replayed == runs.live
    assert runs.live[0] == expected[0]
    assert runs.calls


@pytest.mark.parametrize("library", ASYNC)
def test_a_server_that_never_answers_asynchronous_code(library: str, silent: int) -> None:
    ask = ASYNC[library]
    expected = asyncio.run(outcome_async(lambda: ask(silent)))
    runs = run_async(lambda: outcome_async(lambda: ask(silent)))
    assert runs.replayed == runs.live
    assert runs.live[0] == expected[0]
    assert runs.calls


# --- odd places ---------------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path: Path) -> Iterator[None]:
    with DatabaseFile() as file, KeyValueServer() as keys, Postgres() as postgres:
        (tmp_path / "tree" / "leaf").mkdir(parents=True)
        (tmp_path / "text").write_text("one\ntwo\n")
        PLACES.update(file=file.path, keys=keys.port, server=postgres.conninfo, directory=tmp_path)
        yield


def by_sqlite() -> Any:
    with closing(sqlite3.connect(PLACES["file"])) as connection:
        return connection.execute("SELECT name FROM items").fetchall()


def by_sqlalchemy() -> Any:
    engine = sa.create_engine(sa.URL.create("sqlite", database=PLACES["file"]))
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT name FROM items")).scalars().all()
    engine.dispose()
    return found


def by_psycopg() -> Any:
    with psycopg.connect(PLACES["server"]) as connection:
        return connection.execute("SELECT name FROM items").fetchall()


def by_redis() -> Any:
    with closing(redis.Redis(port=PLACES["keys"], protocol=2)) as client:
        return client.get("name")


WAYS: dict[str, Callable[[], Any]] = {
    "clock": lambda: [time.time(), time.monotonic()],
    "entropy": lambda: [random.random(), os.urandom(4), uuid.uuid4()],
    "files": lambda: (PLACES["directory"] / "text").read_text(),
    "file-system": lambda: os.listdir(PLACES["directory"]),
    "psycopg": by_psycopg,
    "redis": by_redis,
    "sqlalchemy": by_sqlalchemy,
    "sqlite3": by_sqlite,
    "surroundings": lambda: [os.getpid(), socket.gethostname()],
}
each = pytest.mark.parametrize("way", WAYS)


@each
@pytest.mark.usefixtures("places")
def test_a_finaliser_that_a_count_of_references_runs_is_agent_code(way: str) -> None:
    heard: list[Any] = []

    class Leaver:
        def __del__(self) -> None:
            heard.append(WAYS[way]())

    def body() -> list[Any]:
        leaver = Leaver()
        del leaver
        return heard[-1:]

    runs = run(body)
    assert runs.replayed == runs.live
    assert runs.calls
    assert len(heard) == 2


@each
@pytest.mark.usefixtures("places")
def test_the_body_of_a_class_is_agent_code(way: str) -> None:
    def body() -> Any:
        class Settings:
            found = WAYS[way]()

        return Settings.found

    runs = run(body)
    assert runs.replayed == runs.live
    assert runs.calls


@each
@pytest.mark.usefixtures("places")
def test_the_top_level_of_a_module_is_nobodys(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"asks_by_{way.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(f"from {__name__} import WAYS\nFOUND = WAYS[{way!r}]()\n")
    monkeypatch.syspath_prepend(tmp_path)

    try:
        runs = run(lambda: importlib.import_module(name).FOUND)
    finally:
        sys.modules.pop(name, None)
    assert runs.replayed == runs.live
    assert runs.calls == []


# --- a loop that is left half-way ---------------------------------------------------------------------

COUNTING = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT i FROM n"
)


def rows_of_sqlite() -> Iterator[Any]:
    with closing(sqlite3.connect(PLACES["file"])) as connection:
        yield from connection.execute(COUNTING)


def rows_of_sqlalchemy() -> Iterator[Any]:
    engine = sa.create_engine(sa.URL.create("sqlite", database=PLACES["file"]))
    with engine.connect() as connection:
        for row in connection.execute(sa.text(COUNTING)):
            yield tuple(row)


def rows_of_psycopg() -> Iterator[Any]:
    with psycopg.connect(PLACES["server"]) as connection:
        yield from connection.execute(COUNTING)


def lines_of_a_file() -> Iterator[Any]:
    with open(PLACES["directory"] / "text", encoding="utf-8") as file:
        yield from file


LOOPS: dict[str, Callable[[], Iterator[Any]]] = {
    "files": lines_of_a_file,
    "os.walk": lambda: os.walk(PLACES["directory"]),
    "pathlib": lambda: PLACES["directory"].rglob("*"),
    "psycopg": rows_of_psycopg,
    "sqlalchemy": rows_of_sqlalchemy,
    "sqlite3": rows_of_sqlite,
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.usefixtures("places")
def test_a_loop_that_is_left_half_way(loop: str) -> None:
    def body() -> list[Any]:
        found: list[Any] = []
        for _ in range(2):
            for each_one in LOOPS[loop]():
                found.append(each_one)
                break
        return [*found, time.time()]

    runs = run(body)
    assert runs.replayed == runs.live
    assert len(runs.live) == 3


@pytest.mark.usefixtures("places")
def test_an_asynchronous_loop_that_is_left_half_way() -> None:
    async def rows() -> AsyncIterator[Any]:
        async with await psycopg.AsyncConnection.connect(PLACES["server"]) as connection:
            async for row in await connection.execute(COUNTING):
                yield row

    async def body() -> list[Any]:
        found: list[Any] = []
        for _ in range(2):
            async for row in rows():
                found.append(row)
                break
        await asyncio.sleep(0)
        return [*found, time.time()]

    runs = run_async(body)
    assert runs.replayed == runs.live
    assert len(runs.live) == 3


# --- what is no text ----------------------------------------------------------------------------------


def undecodable_by_redis() -> Any:
    with closing(redis.Redis(port=PLACES["keys"], protocol=2, decode_responses=True)) as client:
        client.set("name", b"\xff")
        return client.get("name")


def undecodable_by_sqlite() -> Any:
    with closing(sqlite3.connect(PLACES["file"])) as connection:
        return connection.execute("SELECT CAST(x'ff' AS TEXT)").fetchall()


def undecodable_file() -> Any:
    (PLACES["directory"] / "text").write_bytes(b"\xff")
    return (PLACES["directory"] / "text").read_text(encoding="utf-8")


@pytest.mark.parametrize("ask", [undecodable_by_redis, undecodable_by_sqlite, undecodable_file])
@pytest.mark.usefixtures("places")
def test_what_is_no_text_is_an_outcome(ask: Callable[[], Any]) -> None:
    expected = outcome(ask)
    runs = run(lambda: outcome(ask))
    assert runs.live == expected
    assert runs.replayed == runs.live
