"""Bodies whose libraries keep a connection, or talk to a program: databases, brokers, models, tools."""

from __future__ import annotations

import ssl
import sys
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks.interceptors import tools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from benchmarks.interceptors.places import Places

__all__ = [
    "anthropic",
    "asyncpg",
    "mcp",
    "openai",
    "psycopg",
    "psycopg_async",
    "redis",
    "redis_async",
    "sqlalchemy",
    "websockets",
    "websockets_async",
]

_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""To be made once: loading certificates takes longer than all the rest."""

_QUESTION = [{"role": "user", "content": "What number am I?"}]


@contextmanager
def psycopg(places: Places) -> Iterator[Callable[[], Any]]:
    """One connection, and a statement that is committed by itself."""
    with import_module("psycopg").connect(places.database, autocommit=True) as connection:
        yield lambda: connection.execute("SELECT 1, 'one'").fetchone()


@asynccontextmanager
async def psycopg_async(places: Places) -> AsyncIterator[Callable[[], Any]]:
    """The same, asynchronously."""
    kind = import_module("psycopg").AsyncConnection
    async with await kind.connect(places.database, autocommit=True) as connection:

        async def call() -> Any:
            return await (await connection.execute("SELECT 1, 'one'")).fetchone()

        yield call


@asynccontextmanager
async def asyncpg(places: Places) -> AsyncIterator[Callable[[], Any]]:
    """One connection of asyncio."""
    connection = await import_module("asyncpg").connect(places.database)
    try:
        yield lambda: connection.fetchrow("SELECT 1, 'one'")
    finally:
        await connection.close()


@contextmanager
def sqlalchemy(places: Places) -> Iterator[Callable[[], Any]]:
    """An engine over sqlite3, and a connection of its pool for each statement."""
    library = import_module("sqlalchemy")
    engine = library.create_engine(f"sqlite:///{places.directory}/pooled.db")
    statement = library.text("SELECT 1, 'one'")

    def call() -> Any:
        with engine.connect() as connection:
            return tuple(connection.execute(statement).one())

    yield call
    engine.dispose()


@contextmanager
def redis(places: Places) -> Iterator[Callable[[], Any]]:
    """A client that keeps its connection."""
    with import_module("redis").Redis(port=places.keys, protocol=2) as client:
        yield lambda: client.get("name")


@asynccontextmanager
async def redis_async(places: Places) -> AsyncIterator[Callable[[], Any]]:
    """The same over asyncio's streams."""
    async with import_module("redis.asyncio").Redis(port=places.keys, protocol=2) as client:
        yield lambda: client.get("name")


@contextmanager
def websockets(places: Places) -> Iterator[Callable[[], Any]]:
    """One connection; a message, and the same back."""
    with import_module("websockets.sync.client").connect(places.sockets) as socket:

        def call() -> Any:
            socket.send("one")
            return socket.recv()

        yield call


@asynccontextmanager
async def websockets_async(places: Places) -> AsyncIterator[Callable[[], Any]]:
    """The same, asynchronously."""
    async with import_module("websockets.asyncio.client").connect(places.sockets) as socket:

        async def call() -> Any:
            await socket.send("one")
            return await socket.recv()

        yield call


@asynccontextmanager
async def mcp(places: Places) -> AsyncIterator[Callable[[], Any]]:
    """A server that is started, and calls of its tool."""
    library, stdio = import_module("mcp"), import_module("mcp.client.stdio")
    arguments = ["-I", "-S", tools.__file__]
    server = library.StdioServerParameters(command=sys.executable, args=arguments)
    async with (
        stdio.stdio_client(server) as (output, given),
        library.ClientSession(output, given) as session,
    ):
        await session.initialize()
        await session.list_tools()
        yield lambda: session.call_tool("idle", {})


@contextmanager
def openai(places: Places) -> Iterator[Callable[[], Any]]:
    """A question that is answered in one piece."""
    library, transport = import_module("openai"), import_module("httpx2").Client(verify=_TLS)
    with library.OpenAI(
        api_key="k", base_url=f"{places.web}v1", max_retries=0, http_client=transport
    ) as client:
        yield lambda: client.chat.completions.create(model="m", messages=_QUESTION)


@contextmanager
def anthropic(places: Places) -> Iterator[Callable[[], Any]]:
    """The same."""
    library, transport = import_module("anthropic"), import_module("httpx2").Client(verify=_TLS)
    base = f"http://{urlsplit(places.web).netloc}"
    with library.Anthropic(
        api_key="k", base_url=base, max_retries=0, http_client=transport
    ) as client:
        yield lambda: client.messages.create(model="m", max_tokens=9, messages=_QUESTION)
