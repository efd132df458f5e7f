"""One call through each interceptor, as agent code makes it, with what it talks to."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from attrs import frozen

from benchmarks.interceptors import serving
from benchmarks.interceptors.places import Places

__all__ = ["BODIES", "Body"]


@frozen
class Body:
    """A way to use an interceptor.

    Attributes:
        interceptor: its row in the table.
        what: the call, for people.
        open: from the servers to what is called. It is opened by agent code, too.
        is_async: whether both are asynchronous.
        is_dear: whether a call takes a millisecond or so.
        needs: the module without which it cannot be done.
        talks_to: the attribute of `Places` that it asks for a server; ``"web"``, which is always there.
    """

    interceptor: str
    what: str
    open: Callable[[Places], Any]
    needs: str = "sys"
    is_async: bool = False
    is_dear: bool = False
    talks_to: str = "web"

    def lacks(self, places: Places) -> str:
        """What it needs and is not there, ``""``: nothing."""
        if find_spec(self.needs) is None:
            return self.needs
        return "" if getattr(places, self.talks_to) else f"server for {self.talks_to}"


def _plain(call: Callable[[], Any]) -> Callable[[Places], Any]:
    @contextmanager
    def opened(places: Places) -> Iterator[Callable[[], Any]]:
        yield call

    return opened


@contextmanager
def _reading_files(places: Places) -> Iterator[Callable[[], Any]]:
    path = places.directory / "read"
    yield lambda: path.read_bytes()


@contextmanager
def _writing_files(places: Places) -> Iterator[Callable[[], Any]]:
    path = places.directory / "written"
    yield lambda: path.write_bytes(b"x" * 200)


@contextmanager
def _asking_for_files(places: Places) -> Iterator[Callable[[], Any]]:
    yield lambda: os.stat(places.directory).st_mode


@contextmanager
def _listing_files(places: Places) -> Iterator[Callable[[], Any]]:
    yield lambda: [path.name for path in places.directory.iterdir()]


@contextmanager
def _logging(places: Places) -> Iterator[Callable[[], Any]]:
    logger = logging.Logger("benchmark")
    logger.addHandler(logging.NullHandler())
    yield lambda: logger.warning("%s of %s", 1, 2)


@contextmanager
def _urllib(places: Places) -> Iterator[Callable[[], Any]]:
    def call() -> bytes:
        with urllib.request.urlopen(places.web) as response:
            body: bytes = response.read()
            return body

    yield call


@contextmanager
def _urllib3(places: Places) -> Iterator[Callable[[], Any]]:
    with import_module("urllib3").PoolManager() as pool:
        yield lambda: pool.request("GET", places.web).data


@contextmanager
def _requests(places: Places) -> Iterator[Callable[[], Any]]:
    with import_module("requests").Session() as session:
        yield lambda: session.get(places.web).content


def _httpx(library: str) -> Callable[[Places], Any]:
    @contextmanager
    def opened(places: Places) -> Iterator[Callable[[], Any]]:
        with import_module(library).Client(trust_env=False) as client:
            yield lambda: client.get(places.web).content

    return opened


@asynccontextmanager
async def _aiohttp(places: Places) -> AsyncIterator[Callable[[], Any]]:
    async with import_module("aiohttp").ClientSession() as session:

        async def call() -> Any:
            async with session.get(places.web) as response:
                return await response.read()

        yield call


@contextmanager
def _sqlite(places: Places) -> Iterator[Callable[[], Any]]:
    connection = import_module("sqlite3").connect(places.directory / "items.db")
    try:
        yield lambda: connection.execute("SELECT 1, 'one'").fetchone()
    finally:
        connection.close()


def _writes_temporarily() -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x" * 200)


@contextmanager
def _submitting(places: Places) -> Iterator[Callable[[], Any]]:
    with ThreadPoolExecutor(1) as pool:
        yield lambda: pool.submit(int).result()


def _starts_a_thread() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def _sets_a_timer() -> None:
    timer = threading.Timer(0, int)
    timer.start()
    timer.join()


def _names(module: str, function: str) -> Callable[[Places], Any]:
    return _plain(lambda: str(getattr(import_module(module), function)()))


@asynccontextmanager
async def _lending_a_thread(places: Places) -> AsyncIterator[Callable[[], Any]]:
    yield lambda: asyncio.to_thread(int)


@asynccontextmanager
async def _running_by_anyio(places: Places) -> AsyncIterator[Callable[[], Any]]:
    anyio = import_module("anyio")
    yield lambda: anyio.run_process(["true"])


def _numpy() -> Any:
    return float(import_module("numpy").random.random())


BODIES: Final = (
    Body("clock", "time.time()", _plain(lambda: time.time())),
    Body("dates", "datetime.now(UTC)", _plain(lambda: datetime.now(UTC))),
    Body("entropy", "os.urandom(8)", _plain(lambda: os.urandom(8))),
    Body("entropy", "random.random()", _plain(lambda: random.random())),
    Body("output", "logger.warning(...)", _logging),
    Body("surroundings", "os.getcwd()", _plain(lambda: os.getcwd())),
    Body("numpy", "numpy.random.random()", _plain(_numpy), "numpy"),
    Body("files", "read 200 B", _reading_files),
    Body("files", "write 200 B", _writing_files),
    Body("file-system", "os.stat(...)", _asking_for_files),
    Body("file-lookups", "Path.iterdir()", _listing_files),
    Body(
        "processes", "subprocess.run(['true'])", _plain(lambda: subprocess.run(["true"]).returncode)
    ),
    Body("anyio", "run_process(['true'])", _running_by_anyio, "anyio", is_async=True, is_dear=True),
    Body("temporary-files", "NamedTemporaryFile, 200 B", _plain(_writes_temporarily)),
    Body("threads", "pool.submit(int).result()", _submitting),
    Body("threads", "Thread: start, join", _plain(_starts_a_thread)),
    Body("threads", "asyncio.to_thread(int)", _lending_a_thread, is_async=True),
    Body("timers", "Timer(0): start, join", _plain(_sets_a_timer), is_dear=True),
    Body("uuid_utils", "uuid4()", _names("uuid_utils", "uuid4"), "uuid_utils"),
    Body("pydantic_ai", "uuid7()", _names("pydantic_ai._uuid", "uuid7"), "pydantic_ai"),
    Body("langgraph", "uuid6()", _names("langgraph.checkpoint.base.id", "uuid6"), "langgraph"),
    Body("sqlite3", "SELECT of one row", _sqlite, "sqlite3"),
    Body("sqlalchemy", "SELECT, sqlite3, pool", serving.sqlalchemy, "sqlalchemy"),
    Body("psycopg", "SELECT of one row", serving.psycopg, "psycopg", talks_to="database"),
    Body(
        "psycopg",
        "SELECT, asynchronous",
        serving.psycopg_async,
        "psycopg",
        is_async=True,
        talks_to="database",
    ),
    Body("redis", "GET", serving.redis, "redis"),
    Body("connections", "redis.asyncio: GET", serving.redis_async, "redis", is_async=True),
    Body(
        "connections",
        "asyncpg: SELECT of one row",
        serving.asyncpg,
        "asyncpg",
        is_async=True,
        talks_to="database",
    ),
    Body("http.client", "urlopen(...).read()", _urllib),
    Body("urllib3", "GET, connection kept", _urllib3, "urllib3"),
    Body("requests", "GET, connection kept", _requests, "requests"),
    Body("httpx", "GET, connection kept", _httpx("httpx"), "httpx"),
    Body("httpx2", "GET, connection kept", _httpx("httpx2"), "httpx2"),
    Body("aiohttp", "GET, connection kept", _aiohttp, "aiohttp", is_async=True),
    Body("openai", "chat completion", serving.openai, "openai", is_dear=True),
    Body("anthropic", "message", serving.anthropic, "anthropic", is_dear=True),
    Body("websockets", "send, recv", serving.websockets, "websockets", talks_to="sockets"),
    Body(
        "websockets",
        "send, recv, asynchronous",
        serving.websockets_async,
        "websockets",
        is_async=True,
        talks_to="sockets",
    ),
    Body("mcp", "call of a tool", serving.mcp, "mcp", is_async=True, is_dear=True),
)
