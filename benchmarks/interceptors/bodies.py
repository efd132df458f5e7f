"""One call through each interceptor, as agent code makes it, with what it talks to."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from attrs import frozen

__all__ = ["BODIES", "Body"]


@frozen
class Body:
    """A way to use an interceptor.

    Attributes:
        interceptor: its row in the table.
        what: the call, for people.
        open: from a directory and the URL of a web server to what is called. It is opened by agent code, too.
        is_async: whether both are asynchronous.
        is_dear: whether a call takes a millisecond or so.
        needs: the module without which it cannot be done.
    """

    interceptor: str
    what: str
    open: Callable[[Path, str], Any]
    needs: str = "sys"
    is_async: bool = False
    is_dear: bool = False

    @property
    def is_possible(self) -> bool:
        """Whether its library is installed."""
        return find_spec(self.needs) is not None


def _plain(call: Callable[[], Any]) -> Callable[[Path, str], Any]:
    @contextmanager
    def opened(directory: Path, url: str) -> Iterator[Callable[[], Any]]:
        yield call

    return opened


@contextmanager
def _reading_files(directory: Path, url: str) -> Iterator[Callable[[], Any]]:
    path = directory / "read"
    yield lambda: path.read_bytes()


@contextmanager
def _writing_files(directory: Path, url: str) -> Iterator[Callable[[], Any]]:
    path = directory / "written"
    yield lambda: path.write_bytes(b"x" * 200)


@contextmanager
def _asking_for_files(directory: Path, url: str) -> Iterator[Callable[[], Any]]:
    yield lambda: os.stat(directory).st_mode


@contextmanager
def _logging(directory: Path, url: str) -> Iterator[Callable[[], Any]]:
    logger = logging.Logger("benchmark")
    logger.addHandler(logging.NullHandler())
    yield lambda: logger.warning("%s of %s", 1, 2)


@contextmanager
def _urllib(directory: Path, url: str) -> Iterator[Callable[[], Any]]:
    def call() -> bytes:
        with urllib.request.urlopen(url) as response:
            body: bytes = response.read()
            return body

    yield call


@contextmanager
def _urllib3(directory: Path, url: str) -> Iterator[Callable[[], Any]]:
    with import_module("urllib3").PoolManager() as pool:
        yield lambda: pool.request("GET", url).data


@contextmanager
def _requests(directory: Path, url: str) -> Iterator[Callable[[], Any]]:
    with import_module("requests").Session() as session:
        yield lambda: session.get(url).content


def _httpx(library: str) -> Callable[[Path, str], Any]:
    @contextmanager
    def opened(directory: Path, url: str) -> Iterator[Callable[[], Any]]:
        with import_module(library).Client(trust_env=False) as client:
            yield lambda: client.get(url).content

    return opened


@asynccontextmanager
async def _aiohttp(directory: Path, url: str) -> AsyncIterator[Callable[[], Any]]:
    async with import_module("aiohttp").ClientSession() as session:

        async def call() -> Any:
            async with session.get(url) as response:
                return await response.read()

        yield call


@contextmanager
def _sqlite(directory: Path, url: str) -> Iterator[Callable[[], Any]]:
    connection = import_module("sqlite3").connect(directory / "items.db")
    try:
        yield lambda: connection.execute("SELECT 1, 'one'").fetchone()
    finally:
        connection.close()


def _runs() -> Any:
    return subprocess.run(["true"], check=True).returncode


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
    Body(
        "processes", "subprocess.run(['true'])", _plain(lambda: subprocess.run(["true"]).returncode)
    ),
    Body("sqlite3", "SELECT of one row", _sqlite, "sqlite3"),
    Body("http.client", "urlopen(...).read()", _urllib),
    Body("urllib3", "GET, connection kept", _urllib3, "urllib3"),
    Body("requests", "GET, connection kept", _requests, "requests"),
    Body("httpx", "GET, connection kept", _httpx("httpx"), "httpx"),
    Body("httpx2", "GET, connection kept", _httpx("httpx2"), "httpx2"),
    Body("aiohttp", "GET, connection kept", _aiohttp, "aiohttp", is_async=True),
)
