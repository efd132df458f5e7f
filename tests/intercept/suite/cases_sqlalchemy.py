"""Statements through SQLAlchemy: core and ORM, over sqlite3 and psycopg, blocking and asynchronous."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from intercept.suite.case import Case
from intercept.suite.cases_psycopg import Postgres
from intercept.suite.cases_sqlite import DatabaseFile

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CASES", "address"]


class Base(DeclarativeBase):
    """The tables that the outsides have, and one more."""


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    size: Mapped[float | None]
    parts: Mapped[list[Part]] = relationship(back_populates="item", order_by="Part.id")


class Part(Base):
    __tablename__ = "parts"
    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(sa.ForeignKey("items.id"))
    name: Mapped[str]
    item: Mapped[Item] = relationship(back_populates="parts")


LOG = sa.table("log", sa.column("line"))
ITEMS: Any = Item.__table__


class File(DatabaseFile):
    """The file; its table of parts is made by agents."""


class Server(Postgres):
    """The server; what agents have made in it goes with it."""

    def __exit__(self, *_: object) -> None:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute("DROP TABLE IF EXISTS parts")
        super().__exit__()


def address(outside: Any) -> sa.URL:
    """Its address, as engines take it."""
    if isinstance(outside, Server):
        parts = psycopg.conninfo.conninfo_to_dict(outside.conninfo)
        return sa.URL.create("postgresql+psycopg", query={k: str(v) for k, v in parts.items()})
    return sa.URL.create("sqlite", database=outside.path)


def core(outside: Any) -> list[Any]:
    engine = sa.create_engine(address(outside))
    with engine.begin() as connection:
        changed = connection.execute(sa.update(ITEMS).where(ITEMS.c.size.is_(None)).values(size=2))
        connection.execute(sa.insert(LOG).values(line="one"))
        connection.execute(sa.insert(ITEMS), [{"id": n, "name": f"n{n}"} for n in (7, 8)])
        with connection.begin_nested() as savepoint:
            connection.execute(sa.delete(ITEMS))
            savepoint.rollback()
    with engine.connect() as connection:
        rows = connection.execute(sa.select(ITEMS.c.id, ITEMS.c.name).order_by(ITEMS.c.id)).all()
        names = connection.execute(sa.select(ITEMS.c.name).order_by(ITEMS.c.id)).mappings().all()
    engine.dispose()
    return [changed.rowcount, [tuple(row) for row in rows], [dict(row) for row in names]]


def orm(outside: Any) -> list[Any]:
    engine = sa.create_engine(address(outside))
    with Session(engine) as session:
        session.add(
            item := Item(id=7, name="lamp", size=3.0)
        )  # a sequence would give another in a crash
        session.flush()
        session.execute(sa.insert(LOG).values(line="a lamp"))
        session.commit()
        item.size = 4.0
        found = session.scalars(sa.select(Item).where(Item.name == "lamp")).one()
        session.rollback()
        size = found.size
    engine.dispose()
    return [found is item, size]


def adds(outside: Any) -> list[Any]:
    engine = sa.create_engine(address(outside))
    with Session(engine) as session, session.begin():
        session.add(Item(id=7, name="lamp", size=3.0))
        session.execute(sa.insert(LOG).values(line="a lamp"))
        session.flush()
        found = session.scalars(sa.select(Item.name).order_by(Item.id)).all()
    engine.dispose()
    return [*found]


async def orm_async(outside: Any) -> list[Any]:
    engine = create_async_engine(address(outside))
    async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
        session.add(item := Item(id=7, name="async", size=1.0))
        await session.execute(sa.insert(LOG).values(line="async"))
        count = await session.scalar(sa.select(sa.func.count()).select_from(ITEMS))
    await engine.dispose()
    return [item.name, count]


def doubles(outside: Any) -> object:
    with made(outside) as engine, engine.begin() as connection:
        return connection.execute(sa.insert(ITEMS).values(id=9, name="one"))


def no_such_table(outside: Any) -> object:
    with made(outside) as engine, Session(engine) as session:
        return session.execute(sa.text("SELECT * FROM nothing"))


async def doubles_async(outside: Any) -> object:
    engine = create_async_engine(address(outside))
    try:
        async with engine.begin() as connection:
            return await connection.execute(sa.insert(ITEMS).values(id=9, name="one"))
    finally:
        await engine.dispose()


@contextmanager
def made(outside: Any) -> Iterator[sa.Engine]:
    """An engine, while it lasts."""
    engine = sa.create_engine(address(outside))
    try:
        yield engine
    finally:
        engine.dispose()


CASES = [
    Case("sqlalchemy-sqlite-core", "sqlalchemy", core, doubles, File),
    Case("sqlalchemy-sqlite-orm", "sqlalchemy", orm, no_such_table, File),
    Case("sqlalchemy-psycopg-orm", "sqlalchemy", adds, doubles, Server),
    Case("sqlalchemy-psycopg-async", "sqlalchemy", orm_async, doubles_async, Server),
]
