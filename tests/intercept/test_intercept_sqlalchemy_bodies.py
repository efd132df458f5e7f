"""What functions decorated with @durable do with engines of their agent, and pools of all kinds."""

from __future__ import annotations

import gc
import sqlite3
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from golem_sdk import Runtime, agent, durable
from golem_sdk.errors import NotDurableError
from intercept.replaying import run, run_async
from intercept.suite.cases_sqlalchemy import ITEMS, LOG, File, Server, address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENGINES: list[sa.Engine] = []
"""The engine of the agent that runs."""
CONNECTIONS: list[Any] = []
"""The connection, or the session, that agents and functions try to share."""

COUNT = sa.select(sa.func.count()).select_from(LOG)


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Connections that are left to the collector end here, and are no matter of another test's."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def file() -> Iterator[File]:
    with File() as file:
        yield file
        for each in CONNECTIONS:
            each.close()
        CONNECTIONS.clear()


def opened(engine: sa.Engine) -> sa.Engine:
    ENGINES[:] = [engine]
    return engine


def count() -> Any:
    with ENGINES[-1].connect() as connection:
        return connection.scalar(COUNT)


def add() -> None:
    with ENGINES[-1].begin() as connection:
        connection.execute(sa.insert(LOG).values(line="one"))


@durable
def adds() -> Any:
    add()
    return count()


@durable
def disposes() -> None:
    ENGINES[-1].dispose()


@durable
def recreates() -> None:
    before = ENGINES[-1].pool
    ENGINES[-1].pool = before.recreate()
    before.dispose()


def refused(call: Callable[[], object]) -> str:
    with pytest.raises((NotDurableError, sa.exc.StatementError)) as caught:
        call()
    error = getattr(caught.value, "orig", caught.value)
    assert isinstance(error, NotDurableError)
    return str(error)


@pytest.mark.parametrize("pool", [None, NullPool, StaticPool])
@pytest.mark.parametrize("kind", [File, Server])
def test_an_engine_is_the_agents_whatever_a_durable_function_does_with_it(
    kind: Any, pool: Any
) -> None:
    def body() -> list[Any]:
        engine = opened(sa.create_engine(address(outside), poolclass=pool))
        told = [adds(), count()]
        disposes()
        told += [count(), adds()]
        recreates()
        told += [count(), adds(), count()]
        disposes()
        engine.dispose()
        return [*told, count()]

    with kind() as outside:
        runs = run(body)
        ENGINES[-1].dispose()
    assert runs.replayed == runs.live == [1, 1, 1, 2, 2, 3, 3, 3]
    assert runs.calls.count("sqlalchemy.initialize") == 1


def test_an_asynchronous_engine_is_the_agents_too() -> None:
    engines: list[AsyncEngine] = []
    connections: list[AsyncConnection] = []

    async def count_async() -> Any:
        async with engines[-1].connect() as connection:
            return await connection.scalar(COUNT)

    @durable
    async def disposes_async() -> Any:
        found = await count_async()
        await engines[-1].dispose()
        return found

    @durable
    async def uses_async() -> str:
        with pytest.raises(NotDurableError) as caught:
            await connections[-1].rollback()
        return str(caught.value)

    async def body() -> list[Any]:
        engines.append(create_async_engine(address(server)))
        found = [await count_async(), await disposes_async(), await count_async()]
        async with engines[-1].connect() as connection:
            connections.append(connection)
            found += [await connection.scalar(COUNT), await uses_async()]
            return [*found, await connection.scalar(COUNT)]

    with Server() as server:
        runs = run_async(body)
    *found, told, last = runs.live
    assert [*found, last] == [0] * 5
    assert "that the agent's code has checked out" in told
    assert runs.replayed == runs.live


@pytest.mark.parametrize("pool", [None, StaticPool])
def test_a_database_in_memory_is_the_agents_alone(pool: Any) -> None:
    def body() -> list[Any]:
        engine = opened(sa.create_engine("sqlite://", poolclass=pool))
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE log (line TEXT)"))
        add()
        disposes()
        recreates()
        with ThreadPoolExecutor(1) as threads:
            in_thread = threads.submit(refused, adds).result()
        return [count(), refused(adds), in_thread, count()]

    runs = run(body)
    first, *told, last = runs.live
    assert (first, last) == (1, 1)
    for each in told:
        assert "a database in memory that an agent has" in each
    assert runs.replayed == runs.live


@pytest.mark.parametrize(
    "use",
    [
        lambda: CONNECTIONS[-1].execute(COUNT),
        lambda: CONNECTIONS[-1].get_transaction().close(),
        lambda: CONNECTIONS[-1].commit(),
        lambda: CONNECTIONS[-1].rollback(),
        lambda: CONNECTIONS[-1].invalidate(),
        lambda: CONNECTIONS[-1].close(),
    ],
    ids=["execute", "end", "commit", "rollback", "invalidate", "close"],
)
@pytest.mark.parametrize("kind", [sa.Connection, Session])
def test_what_the_agent_has_checked_out_is_refused_to_a_durable_function(
    file: File, kind: Any, use: Callable[[], object]
) -> None:
    @durable
    def tries() -> str:
        return refused(use)

    def body() -> list[Any]:
        engine = opened(sa.create_engine(address(file)))
        connection = engine.connect() if kind is sa.Connection else Session(engine)
        CONNECTIONS[:] = [connection]
        found = [connection.scalar(COUNT), tries()]
        if kind is sa.Connection:  # what a session knows of itself is beyond us
            found += [connection.in_transaction(), connection.scalar(COUNT)]
            connection.execute(sa.insert(LOG).values(line="one"))
            connection.commit()
        connection.close()
        return [*found, count()]

    runs = run(body)
    _, told, *rest = runs.live
    assert "that the agent's code has checked out" in told
    assert rest == ([True, 0, 1] if kind is sa.Connection else [0])
    assert runs.replayed == runs.live


@agent
class Borrower:
    """Uses what others have checked out, or checks it out for others."""

    def __init__(self, path: str) -> None:
        self.engine = sa.create_engine(sa.URL.create("sqlite", database=path))

    def lends(self) -> None:
        CONNECTIONS[:] = [self.engine.connect()]

    def closes(self) -> None:
        CONNECTIONS.pop().close()

    def borrows(self) -> str:
        return refused(lambda: CONNECTIONS[-1].execute(COUNT))


@agent
class Lender(Borrower):
    """Another one."""


def test_what_agents_have_checked_out_is_refused_to_others(file: File) -> None:
    @durable
    def lends_to_a_thread() -> str:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(refused, lambda: CONNECTIONS[-1].execute(COUNT)).result()

    def body() -> str:
        engine = opened(sa.create_engine(address(file)))
        with engine.connect() as connection:
            CONNECTIONS[:] = [connection]
            return lends_to_a_thread()

    assert "a thread that such a function has started" in run(body).live
    with Runtime.memory() as runtime:
        lender, borrower = runtime.get(Lender, file.path), runtime.get(Borrower, file.path)
        lender.lends()
        assert "of another agent" in borrower.borrows()
        lender.closes()


def test_what_others_have_checked_out_is_refused_to_agents(file: File) -> None:
    def lends() -> None:
        CONNECTIONS[:] = [ENGINES[-1].connect()]

    def body() -> str:
        durable(lends)()
        return refused(lambda: CONNECTIONS[-1].execute(COUNT))

    opened(sa.create_engine(address(file)))
    told = run(body).live
    lends()
    assert run(lambda: refused(lambda: CONNECTIONS[-1].execute(COUNT))).live == told
    assert "checked out outside agents or by a function decorated with @durable" in told
    CONNECTIONS.pop().close()
    ENGINES[-1].dispose()


def test_a_pool_without_an_engine_is_recorded(file: File) -> None:
    def body() -> list[Any]:
        connect: Any = partial(sqlite3.connect, file.path)
        pool = QueuePool(connect)
        found: list[Any] = []
        for _ in range(2):
            connection = pool.connect()
            cursor = connection.cursor()
            cursor.execute("SELECT count(*) FROM items")
            found += cursor.fetchall()
            cursor.close()
            connection.close()
        pool.dispose()
        return found

    runs = run(body)
    assert runs.live == runs.replayed == [(2,), (2,)]
    assert runs.calls.count("sqlite3.connect") == 2


@pytest.mark.parametrize("used", [True, False])
def test_who_came_first_to_an_engine_without_a_pool_is_all_the_same(used: bool) -> None:
    def another() -> None:
        opened(sa.create_engine(address(server), poolclass=NullPool))

    def names() -> Any:
        with ENGINES[-1].connect() as connection:
            return connection.scalars(sa.select(ITEMS.c.name).order_by(ITEMS.c.id)).all()

    with Server() as server:
        another()
        if used:
            names()
        runs = run(names, another if used else lambda: None)
    assert runs.replayed == runs.live == ["one", "two"]
