"""What the suite's cases of SQLAlchemy do not show: engines that outlive agents, memory, and refusals."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from golem_sdk import Runtime, agent
from golem_sdk.errors import NotDurableError
from intercept.replaying import run, run_async
from intercept.suite.cases_sqlalchemy import ITEMS, LOG, Base, File, Item, Part, Server, address
from intercept.test_intercept_sqlite import Pause

if TYPE_CHECKING:
    from collections.abc import Iterator

ENGINES: list[sa.Engine] = []
"""The engine that all agents of a process use."""


@pytest.fixture
def file() -> Iterator[File]:
    with File() as file:
        yield file


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def another_engine(outside: Any) -> None:
    """As in a process that begins."""
    for engine in ENGINES:
        engine.dispose()
    ENGINES[:] = [sa.create_engine(address(outside))]


def names() -> list[str]:
    with Session(ENGINES[0]) as session:
        return [*session.scalars(sa.select(Item.name).order_by(Item.id))]


@pytest.mark.parametrize("kind", [File, Server])
@pytest.mark.parametrize("used", [True, False])
def test_who_used_an_engine_before_is_all_the_same(kind: Any, used: bool) -> None:
    def meanwhile() -> None:
        if used:
            another_engine(outside)
        else:
            names()

    with kind() as outside:
        another_engine(outside)
        if used:
            names()
        runs = run(names, meanwhile)
        ENGINES[0].dispose()
    assert runs.replayed == runs.live == ["one", "two"]
    driver = "sqlite3" if kind is File else "psycopg"
    assert runs.calls[:2] == ["sqlalchemy.initialize", f"{driver}.connect"]


@pytest.mark.parametrize("kind", [File, Server])
def test_an_engine_that_has_only_replayed_goes_on(kind: Any) -> None:
    stop = Pause()
    lives: list[Any] = []

    def body() -> list[Any]:
        another_engine(outside)  # for each life
        lives.append(ENGINES[0].dialect)
        first = names()
        stop()
        with Session(ENGINES[0]) as session:
            session.add(Item(name="three"))
            session.commit()
        return [first, names()]

    with kind() as outside:
        assert stop.crashed(body) == [["one", "two"], ["one", "two", "three"]]
        known = [(each.server_version_info, each.default_schema_name) for each in lives]
        assert known[0] == known[1]
        with ENGINES[0].connect() as connection:  # outside agents
            assert connection.scalar(sa.select(sa.func.count()).select_from(ITEMS)) == 3
        ENGINES[0].dispose()


def test_agents_take_no_connection_from_a_pool(file: File) -> None:
    engine = sa.create_engine(address(file))
    with engine.connect():
        pass
    idle = engine.pool.status()

    def body() -> list[Any]:
        with engine.connect() as one, engine.connect() as two:
            return [
                connection.scalar(sa.select(sa.func.count(ITEMS.c.id))) for connection in (one, two)
            ]

    runs = run(body)
    assert runs.live == runs.replayed == [2, 2]
    assert runs.calls.count("sqlite3.connect") == 2
    assert engine.pool.status() == idle
    engine.dispose()


def test_events_of_the_engine_are_heard(file: File) -> None:
    engine = sa.create_engine(address(file))

    @sa.event.listens_for(engine, "connect")
    def keys_on(connection: Any, record: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")

    def body() -> Any:
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            session.add(Part(item_id=77, name="of nothing"))
            with pytest.raises(sa.exc.IntegrityError) as caught:
                session.commit()
            return str(caught.value.orig)

    runs = run(body)
    assert runs.live == runs.replayed == "FOREIGN KEY constraint failed"
    engine.dispose()


def test_a_database_in_memory_is_made_again() -> None:
    def body() -> list[Any]:
        engine = sa.create_engine("sqlite://")
        Base.metadata.create_all(engine)
        with Session(engine) as session, session.begin():
            session.add(Item(name="in memory"))
        with engine.connect() as connection:
            found = connection.scalars(sa.select(ITEMS.c.name)).all()
        engine.dispose()
        return [*found]

    runs = run(body)
    assert runs.live == runs.replayed == ["in memory"]
    assert runs.calls == []


@agent
class Remembering:
    """Keeps a database in memory between its invocations."""

    def __init__(self, number: int) -> None:
        self.engine = sa.create_engine("sqlite://")
        Base.metadata.create_all(self.engine)

    async def note(self, name: str) -> int:
        with Session(self.engine) as session, session.begin():
            session.add(Item(name=name))
        await asyncio.sleep(0.001)
        with Session(self.engine) as session, session.begin():
            count = session.scalar(sa.select(sa.func.count(Item.id)))
        if name == "last":
            self.engine.dispose()
        return int(count or 0)


def test_a_database_in_memory_is_the_agents_whatever_thread_it_runs_on() -> None:
    """It runs on any thread that is idle: here on those that others have left, too."""
    with Runtime.memory() as runtime:
        many = [runtime.get(Remembering, n) for n in range(8)]
        for name in ("first", "second", "last"):
            under_way = [runtime.trigger(each.note, name) for each in many]
            counts = {each.result(60) for each in under_way}
        assert counts == {3}


def test_a_pool_of_one_connection_is_left_alone(file: File) -> None:
    def body() -> int:
        engine = sa.create_engine(address(file), poolclass=StaticPool)
        with engine.begin() as connection:
            connection.execute(sa.insert(LOG).values(line="one"))
        with engine.connect() as connection:
            count = connection.scalar(sa.select(sa.func.count()).select_from(LOG))
        engine.dispose()
        return int(count or 0)

    runs = run(body)
    assert runs.live == runs.replayed == 1
    assert runs.calls.count("sqlite3.connect") == 1


def test_streams_of_the_server_are_refused(server: Server) -> None:
    def body() -> list[Any]:
        engine = sa.create_engine(address(server))
        with engine.connect() as connection:
            streaming = connection.execution_options(stream_results=True)
            with pytest.raises(sa.exc.StatementError) as caught:
                streaming.execute(sa.select(ITEMS.c.name))
        engine.dispose()
        return [type(caught.value.orig), str(caught.value.orig)]

    kind, text = run(body).live
    assert kind is NotDurableError
    assert "cursor(name=...)" in text


def test_tables_and_relations(server: Server) -> None:
    def body() -> list[Any]:
        engine = sa.create_engine(address(server))
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            session.add(Item(name="lamp", size=3.0, parts=[Part(name="bulb"), Part(name="cord")]))
            session.commit()
            lamp = session.scalars(sa.select(Item).where(Item.name == "lamp")).one()
            lamp.parts[0].name = "LED"
            session.delete(lamp.parts[1])
            session.commit()
            names = [part.name for part in lamp.parts]
        engine.dispose()
        return names

    runs = run(body)
    assert runs.live == runs.replayed == ["LED"]


def test_types_of_the_engine_reach_the_server(server: Server) -> None:
    more = sa.table("items", sa.column("name"), sa.column("more", sa.JSON))

    def body() -> list[Any]:
        engine = sa.create_engine(
            address(server), json_deserializer=lambda text: ["loaded", len(text)]
        )
        with engine.begin() as connection:
            connection.execute(sa.insert(more).values(name="json", more={"a": 1}))
            found = connection.scalars(sa.select(more.c.more).where(more.c.name == "json")).all()
        engine.dispose()
        return [*found]

    runs = run(body)
    assert runs.live == runs.replayed == [["loaded", len('{"a": 1}')]]


def test_a_server_that_is_not_there_is_an_outcome() -> None:
    def body() -> str:
        engine = sa.create_engine("sqlite:////nowhere/at/all.db")
        with pytest.raises(sa.exc.OperationalError) as caught:
            engine.connect()
        return str(caught.value.orig)

    runs = run(body)
    assert runs.live == runs.replayed == "unable to open database file"


def test_outside_agents_pools_are_those_of_the_engine(file: File) -> None:
    engine = sa.create_engine(address(file))
    with engine.connect() as connection:
        connection.execute(sa.select(ITEMS.c.id))
        assert isinstance(connection.connection.dbapi_connection, sqlite3.Connection)
        assert type(connection.connection.dbapi_connection) is sqlite3.Connection
    assert engine.pool.checkedin() == 1
    engine.dispose()


@pytest.mark.parametrize("inside", [True, False])
def test_arguments_reach_the_original(file: File, inside: bool) -> None:
    class Rows(sqlite3.Cursor):
        """Made where it is asked for."""

    def body() -> list[Any]:
        told: list[Any] = []
        engine = sa.create_engine(address(file))

        @sa.event.listens_for(engine, "invalidate")
        def told_why(connection: object, record: object, error: object) -> None:
            told.append(error)

        made = sqlite3.Cursor if inside else Rows
        with engine.connect() as connection:
            pooled = connection.connection
            for cursor in (pooled.cursor(made), pooled.cursor(factory=made)):
                told.append(isinstance(cursor, made))
                cursor.close()
            connection.invalidate(reason)
        engine.dispose()
        return told

    reason = OSError("it was cut")
    assert (run(body).live if inside else body()) == [True, True, reason]


def test_what_an_engine_learns_may_be_asked_in_a_transaction(file: File) -> None:
    engine = sa.create_engine(address(file))
    dialect = engine.dialect
    initialize: Any = dialect.initialize

    def in_transaction(connection: sa.Connection) -> None:
        with connection.begin():
            initialize(connection)

    dialect.initialize = in_transaction  # type: ignore[method-assign]  # as a dialect of one's own
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count(ITEMS.c.id))) == 2
    engine.dispose()


def test_tasks_have_connections_of_their_own(server: Server) -> None:
    async def body() -> list[Any]:
        engine = create_async_engine(address(server))

        async def count(limit: int) -> Any:
            async with engine.connect() as connection:
                query = sa.select(sa.func.count()).where(ITEMS.c.id <= limit)
                return await connection.scalar(query)

        counts = await asyncio.gather(*map(count, range(3)))
        await engine.dispose()
        return counts

    runs = run_async(body)
    assert runs.live == runs.replayed == [0, 1, 2]
    assert runs.calls.count("psycopg.connect") == 3
