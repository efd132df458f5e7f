"""What agents hold is let go of when they are unloaded, although something of their code lives on."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import sqlite3
import time
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa

from golem_sdk import Runtime, agent
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.exchanges import RealProcess
from golem_sdk.testing.driver import Step, drive
from golem_sdk.testing.states import unload_agents
from intercept.line_server import LineServer
from intercept.suite.cases_psycopg import Postgres
from intercept.suite.cases_sqlite import DatabaseFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from golem_sdk.testing.driver import End

LEFT: list[Any] = []
"""What keeps agents' connections from being garbage."""


@contextmanager
def uncollected() -> Iterator[None]:
    """In this block nothing is garbage."""
    gc.disable()
    try:
        yield
    finally:
        LEFT.clear()
        gc.enable()


def through(step: Step) -> End:
    with uncollected():
        return drive([step], suspend_after_s=0.0)


@agent
class Writer:
    """Waits in the middle of a transaction."""

    def __init__(self, address: str) -> None:
        driver: Any = sqlite3 if address.endswith(".db") else psycopg
        self.connection = driver.connect(address)
        LEFT.append(self.connection)

    def write(self) -> str:
        self.connection.execute("UPDATE items SET name = 'locked' WHERE id = 1")
        time.sleep(60)
        self.connection.execute("INSERT INTO log SELECT name FROM items WHERE id = 1")
        self.connection.commit()
        self.connection.close()
        return "written"


def test_a_transaction_that_waits_is_in_nobodys_way() -> None:
    with DatabaseFile() as file:
        assert through(Step(Writer, (file.path,), "write")).results == (("result", "written"),)
    assert file.writes == ["locked"]


def test_a_transaction_of_a_server_that_waits_is_in_nobodys_way() -> None:
    with Postgres() as database:
        impatient = f"{database.conninfo} options='-c lock_timeout=30s'"
        assert through(Step(Writer, (impatient,), "write")).results == (("result", "written"),)
    assert database.writes == ["locked"]


# --- processes ----------------------------------------------------------------------------------------


def test_the_pipes_of_a_process_do_not_complain_whatever_is_collected_first() -> None:
    process = RealProcess(["/bin/cat"], stdin=-1, stdout=-1, bufsize=0)
    process.itself = process  # type: ignore[attr-defined]  # a reference cycle
    pipe, holder = process.stdout, [process]
    del process
    gc.collect()  # the collector reaches the process by way of its holder, after the pipe
    del pipe, holder
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        gc.collect()
    assert complaints == []


@agent
async def impatient(ask: str) -> int:
    """Gives up waiting for a process, and forgets it."""
    process: Any = await asyncio.create_subprocess_exec("/bin/cat", stdin=-1, stdout=-1)
    asking = asyncio.create_task(process.stdout.read() if ask == "read" else process.wait())
    await asyncio.sleep(0.001)
    asking.cancel()
    return int(process.pid)


@pytest.mark.parametrize("ask", ["read", "wait"])
def test_a_process_learns_that_nobody_talks_to_it_any_more(ask: str) -> None:
    with Runtime.memory() as runtime:
        number = runtime.trigger(impatient, ask).result(60)
        try:
            descriptor = os.pidfd_open(number)
        except ProcessLookupError:  # it has ended already, and was waited for
            return
    try:
        assert select.select([descriptor], [], [], 60)[0], "it still waits for its input"
    finally:
        os.close(descriptor)


# --- SQLAlchemy ---------------------------------------------------------------------------------------

ENGINE = sa.create_engine("sqlite://")


@agent
class LeftNotebook:
    """Keeps its notes in memory, by an engine that all agents have."""

    def __init__(self, name: str) -> None:
        with ENGINE.begin() as connection:
            connection.execute(sa.text("CREATE TABLE notes (line)"))

    def note(self, line: str) -> list[str]:
        with ENGINE.begin() as connection:
            connection.execute(sa.text("INSERT INTO notes VALUES (:line)"), {"line": line})
            return [*connection.scalars(sa.text("SELECT line FROM notes"))]


def test_a_database_in_memory_is_of_one_life_of_one_agent() -> None:
    with Runtime.memory() as runtime:
        one, other = runtime.get(LeftNotebook, "one"), runtime.get(LeftNotebook, "other")
        assert one.note("a") == ["a"]
        assert other.note("b") == ["b"]
        unload_agents(runtime._kernel)
        assert one.note("c") == ["a", "c"]
    with ENGINE.connect() as connection:
        assert connection.scalars(sa.text("SELECT name FROM sqlite_master")).all() == []


# --- connections of asyncio ---------------------------------------------------------------------------


@agent
async def forgetful(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    LEFT.append(writer)
    writer.write(b"one\n")


@agent
class Stranger:
    """Opens a connection, and uses what others have opened."""

    def __init__(self, port: int, number: int) -> None:
        self.port = port

    async def open(self) -> None:
        LEFT[:] = await asyncio.open_connection("127.0.0.1", self.port)
        LEFT[1].write(b"one\n")

    async def use(self) -> str:
        try:
            LEFT[1].write(b"two\n")
        except NotDurableError as error:
            LEFT[1].close()
            return str(error)
        return ""

    async def read(self) -> bytes:
        line: bytes = await LEFT[0].readline()
        return line


def test_a_connection_is_of_one_agent() -> None:
    with LineServer() as server, Runtime.memory() as runtime:
        owner, stranger = (runtime.get(Stranger, server.port, n) for n in range(2))
        runtime.trigger(owner.open).result(60)
        assert "another agent" in runtime.trigger(stranger.use).result(60)
        assert runtime.trigger(owner.read).result(60) == b"one\n"
    LEFT.clear()
    assert server.received == ["one"]


def test_who_is_taken_from_memory_leaves_nothing_open() -> None:
    with uncollected(), LineServer() as server, Runtime.memory() as runtime:
        runtime.trigger(runtime.get(Stranger, server.port, 0).open).result(60)
        while not server.finished.wait(0.001):  # it may not be at rest yet
            unload_agents(runtime._kernel)


def test_what_a_function_leaves_open_is_closed() -> None:
    with uncollected(), LineServer() as server, Runtime.memory() as runtime:
        runtime.trigger(forgetful, server.port).result(60)
        assert server.finished.wait(60)
