"""What the golden histories of interceptors do: never change a body, add others.

A body is given the addresses of its outside, which are part of its agent's identity: replay asks for the
same.
"""

from __future__ import annotations

import asyncio
import getpass
import http.client
import os
import platform
import random
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
import httpx
import psycopg
import redis
import redis.asyncio
import requests
import sqlalchemy as sa

from golden.changed import (
    asks_on_threads,
    communicates,
    communicates_async,
    follows_links,
    gives_to_threads,
    leaves_by_links,
    looks_past_links,
    pools,
)
from golem_sdk import agent, workspace

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BODIES", "OLDER", "Golden", "GoldenAsync"]

Places = dict[str, str]
"""Addresses: ``web`` (URL), ``lines``, ``keys`` (ports), ``server`` (of PostgreSQL), ``desk`` (directory)."""


def clocks(places: Places) -> list[Any]:
    time.sleep(0.001)
    return [time.time(), time.monotonic_ns(), time.strftime("%Y"), datetime.now(UTC).isoformat()]


def dice(places: Places) -> list[Any]:
    random.seed()
    return [random.random(), random.choice("abc"), os.urandom(4).hex(), str(uuid.uuid4())]


def machine(places: Places) -> list[Any]:
    return [os.getpid(), os.getppid(), platform.system(), os.cpu_count()]


def standard_http(places: Places) -> list[Any]:
    with urllib.request.urlopen(f"{places['web']}/gzip") as response:
        first = [response.status, len(response.read())]
    connection = http.client.HTTPConnection(places["web"].partition("//")[2])
    connection.request("POST", "/json", body=b"golden")
    second = connection.getresponse()
    told = [second.status, second.read().decode()]
    connection.close()
    return [first, told]


def with_requests(places: Places) -> list[Any]:
    with requests.Session() as session:
        posted = session.post(f"{places['web']}/json", json={"golden": True})
        with session.get(f"{places['web']}/stream?chunks=3", stream=True) as streamed:
            chunks = [len(chunk) for chunk in streamed.iter_content(16)]
        with closing(session.get(f"{places['web']}/redirect")) as moved:
            return [posted.status_code, posted.text, chunks, moved.status_code, len(moved.history)]


def with_httpx(places: Places) -> list[Any]:
    with httpx.Client(base_url=places["web"]) as client:
        posted = client.post("/json", json={"golden": True})
        with client.stream("GET", "/stream?chunks=3") as streamed:
            text = b"".join(streamed.iter_bytes())
        return [posted.status_code, posted.text, len(text)]


async def with_httpx_async(places: Places) -> list[Any]:
    async with httpx.AsyncClient(base_url=places["web"]) as client:
        several = await asyncio.gather(*(client.get("/json") for _ in range(3)))
        return [each.status_code for each in several]


async def with_aiohttp(places: Places) -> list[Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{places['web']}/json", data=b"golden") as response,
    ):
        return [response.status, await response.text()]


def files(places: Places) -> list[Any]:
    desk = Path(places["desk"])
    (desk / "made").mkdir()
    (desk / "made" / "note.txt").write_text("one\ntwo\n")
    with open(desk / "made" / "note.txt", "a+") as file:
        file.write("three\n")
        file.seek(0)
        lines = file.readlines()
    shutil.copy(desk / "made" / "note.txt", desk / "copy.txt")
    own = workspace() / "own.txt"
    own.write_text("own")
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "short").write_text("lived")
        temporary = sorted(os.listdir(directory))
    found = sorted(os.listdir(desk))
    os.remove(desk / "copy.txt")
    return [lines, own.read_text(), temporary, found, (desk / "copy.txt").exists()]


def reads_files(places: Places) -> list[Any]:
    with open(Path(places["desk"]) / "given.txt", encoding="utf-8") as file:
        first = file.readline()
        return [first, file.read(), file.tell()]


def processes(places: Places) -> list[Any]:
    run = subprocess.run(["echo", "golden"], capture_output=True, text=True, check=True)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        said, _ = cat.communicate(b"said")
    return [run.stdout, said.decode(), cat.returncode]


async def processes_async(places: Places) -> list[Any]:
    process = await asyncio.create_subprocess_exec("echo", "golden", stdout=subprocess.PIPE)
    assert process.stdout is not None
    line = await process.stdout.readline()
    return [line.decode(), await process.wait()]


def with_sqlite3(places: Places) -> list[Any]:
    with closing(sqlite3.connect(f"{places['desk']}/golden.db")) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, line TEXT)")
        with connection:
            connection.executemany("INSERT INTO notes (line) VALUES (?)", [("a",), ("b",)])
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("SELECT * FROM notes ORDER BY id")]
        connection.execute("DELETE FROM notes")
        connection.rollback()
        return [rows, connection.total_changes]


def with_sqlalchemy(places: Places) -> list[Any]:
    engine = sa.create_engine(f"sqlite:///{places['desk']}/golden-sa.db")
    table = sa.Table("notes", sa.MetaData(), sa.Column("line", sa.String))
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(sa.insert(table), [{"line": "a"}, {"line": "b"}])
    with engine.connect() as connection:
        found = connection.scalars(sa.select(table.c.line)).all()
    engine.dispose()
    return [*found]


def with_psycopg(places: Places) -> list[Any]:
    with psycopg.connect(places["server"]) as connection:
        connection.execute("CREATE TEMPORARY TABLE golden (line text)")
        connection.execute("INSERT INTO golden VALUES (%s)", ["a"])
        return connection.execute("SELECT * FROM golden").fetchall()


async def with_asyncpg(places: Places) -> list[Any]:
    address = psycopg.conninfo.conninfo_to_dict(places["server"])
    connection = await asyncpg.connect(
        **{name: address[name] for name in ("host", "user")}, database=address["dbname"]
    )
    try:
        async with connection.transaction():
            return [dict(row) for row in await connection.fetch("SELECT $1::int AS one", 1)]
    finally:
        await connection.close()


def with_redis(places: Places) -> list[Any]:
    with redis.Redis(port=int(places["keys"]), protocol=2) as client:
        client.set("golden", "a")
        pipeline = client.pipeline()
        pipeline.get("golden")
        return [client.get("golden"), *pipeline.execute()]


async def with_redis_async(places: Places) -> list[Any]:
    async with redis.asyncio.Redis(port=int(places["keys"]), protocol=2) as client:
        await client.set("golden", "b")
        return [await client.get("golden")]


async def connections(places: Places) -> list[Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(places["lines"]))
    writer.write(b"one\ncount 2\n")
    lines = [(await reader.readline()).decode() for _ in range(3)]
    writer.close()
    await writer.wait_closed()
    return lines


def threads(places: Places) -> list[Any]:
    seen: list[Any] = []
    lock, ready = threading.Lock(), threading.Event()

    def work(number: int) -> int:
        with lock:
            time.sleep(0.001)
            seen.append([number, time.time()])
        ready.set()
        return number

    own = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for each in own:
        each.start()
    ready.wait(10)
    for each in own:
        each.join()
    timer = threading.Timer(0.002, work, (7,))
    timer.start()
    timer.join()
    with ThreadPoolExecutor() as pool:
        done = [each.result() for each in as_completed(pool.submit(work, n) for n in range(3))]
    return [seen, done]


async def threads_async(places: Places) -> list[Any]:
    def work(number: int) -> list[Any]:
        time.sleep(0.001)
        return [number, time.time()]

    return [*await asyncio.gather(*(asyncio.to_thread(work, number) for number in range(3)))]


# --- interceptors that were others once ---------------------------------------------------------------


def many_jobs(places: Places) -> list[int]:
    """No more than a pool has threads on any machine: that was up to the machine once."""
    seen: list[int] = []

    def work(number: int) -> None:
        seen.append(number)
        time.sleep(0.001)

    with ThreadPoolExecutor() as pool:
        list(pool.map(work, range(4)))
    return seen


def refused_threads(places: Places) -> list[Any]:
    told: list[Any] = []
    for start in (threading.Thread(target=int).start, lambda: threading.Timer(0, int)):
        try:
            start()
        except Exception as error:
            told.append([type(error).__name__, str(error)])
        time.time()
    return told


def asks_for_a_password(places: Places) -> list[Any]:
    return [getpass.getpass("Password: ")]


BODIES: dict[str, Callable[[Places], Any]] = {
    body.__name__: body
    for body in (
        clocks,
        dice,
        machine,
        standard_http,
        with_requests,
        with_httpx,
        with_httpx_async,
        with_aiohttp,
        files,
        reads_files,
        processes,
        processes_async,
        with_sqlite3,
        with_sqlalchemy,
        with_psycopg,
        with_asyncpg,
        with_redis,
        with_redis_async,
        connections,
        threads,
        threads_async,
        many_jobs,
        refused_threads,
        asks_for_a_password,
        follows_links,
        looks_past_links,
        leaves_by_links,
        pools,
        communicates,
        communicates_async,
        gives_to_threads,
        asks_on_threads,
    )
}

OLDER: dict[str, dict[str, int]] = {
    "many_jobs": {"threads": 2},
    "refused_threads": {"threads": 1, "timers": 1},
    "asks_for_a_password": {"surroundings": 1},
    "reads_files": {"files": 1},
    "follows_links": {"file-system": 1},
    "looks_past_links": {"file-system": 2},
    "pools": {"sqlalchemy": 1},
    "communicates": {"processes": 1},
    "communicates_async": {"processes": 1},
    "leaves_by_links": {"file-system": 3},
    "asks_on_threads": {"file-system": 3, "surroundings": 2},
}
"""Bodies that are recorded with versions of interceptors that are older than the release."""


@agent
class Golden:
    def __init__(self, body: str, places: Places) -> None:
        self.body, self.places = body, places
        self.result: Any = None

    def go(self) -> Any:
        self.result = BODIES[self.body](self.places)
        return self.result

    def recall(self) -> Any:
        """What the body has given; to answer, an agent that was unloaded has to be replayed."""
        return self.result


@agent
class GoldenAsync:
    def __init__(self, body: str, places: Places) -> None:
        self.body, self.places = body, places
        self.result: Any = None

    async def go(self) -> Any:
        self.result = await BODIES[self.body](self.places)
        return self.result

    async def recall(self) -> Any:
        """What the body has given; to answer, an agent that was unloaded has to be replayed."""
        return self.result
