"""asyncpg in agents, beyond what the suite shows: pools, transactions, cursors, names, crashes."""

from __future__ import annotations

import asyncio
import threading
from datetime import date
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from golem_sdk import Runtime, agent
from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.errors import NotDurableError
from intercept.replaying import crashed_async, run_async
from intercept.suite.cases_asyncpg import LOST, address
from intercept.suite.cases_psycopg import Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "canary-8841"
POOLS: list[Any] = []
"""What agents share that ought not to."""


@pytest.fixture
def database() -> Iterator[Postgres]:
    with Postgres() as made:
        yield made


def test_pools_transactions_and_cursors(database: Postgres) -> None:
    async def body() -> list[Any]:
        async with asyncpg.create_pool(**address(database), min_size=1, max_size=2) as pool:

            async def count(name: str) -> int:
                return int(await pool.fetchval("SELECT count(*) FROM items WHERE name = $1", name))

            counts = await asyncio.gather(*(count(name) for name in ("one", "two", "three")))
            async with pool.acquire() as connection, connection.transaction():
                rows = connection.cursor("SELECT generate_series(1, 3)", prefetch=2)
                numbers = [row[0] async for row in rows]
                await connection.execute("INSERT INTO log VALUES ('one')")
                with pytest.raises(asyncpg.UniqueViolationError):
                    async with connection.transaction():  # a savepoint
                        await connection.execute("INSERT INTO items (name) VALUES ('one')")
            statement = "UPDATE items SET made = $1 RETURNING id, more"
            changed = [dict(row) for row in await pool.fetch(statement, date(2026, 3, 4))]
        return [counts, numbers, changed]

    runs = run_async(body)
    assert runs.live[:2] == [[1, 1, 0], [1, 2, 3]]
    assert sorted(row["id"] for row in runs.live[2]) == [1, 2]
    assert runs.replayed == runs.live
    database.__exit__()
    assert database.writes == ["one"]
    database.__enter__()


def test_statements_are_named_alike_whatever_the_process_did_before(database: Postgres) -> None:
    async def body() -> list[str]:
        connection = await asyncpg.connect(**address(database))
        names = [(await connection.prepare("SELECT 1", name=None)).get_name() for _ in range(2)]
        await connection.close()
        return names

    first, second = run_async(body), run_async(body)
    assert first.live == second.live == ["__golem_stmt_1__", "__golem_stmt_2__"]
    assert first.replayed == second.replayed == first.live
    outside = asyncio.run(body())
    assert all(name.startswith("__asyncpg_stmt_") for name in outside)


def test_a_crash_in_a_transaction(database: Postgres) -> None:
    locked, waits, go_on = threading.Event(), threading.Event(), threading.Event()

    async def body() -> list[Any]:
        attempts = 0
        async with asyncpg.create_pool(**address(database), min_size=1, max_size=1) as pool:
            while True:
                attempts += 1
                try:
                    async with pool.acquire() as connection, connection.transaction():
                        await connection.execute("INSERT INTO log VALUES ('one')")
                        await connection.execute("SELECT pg_advisory_lock(1)")
                        return [attempts, await connection.fetchval("SELECT count(*) FROM log")]
                except LOST:
                    continue

    async def hold() -> None:
        connection = await asyncpg.connect(**address(database))
        await connection.execute("SELECT pg_advisory_lock(1)")
        locked.set()
        while not await connection.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        ):
            await asyncio.sleep(0.001)
        waits.set()
        await asyncio.to_thread(go_on.wait, 60)
        await connection.close()

    holder = threading.Thread(target=lambda: asyncio.run(hold()))
    holder.start()
    assert locked.wait(60)
    attempts, count = crashed_async(body, waits, go_on)
    holder.join()
    assert [attempts, count] == [2, 1]


def test_a_password_is_not_stored(database: Postgres) -> None:
    async def body() -> None:
        connection = await asyncpg.connect(**address(database), password=SECRET)
        await connection.close()

    runs = run_async(body)
    assert SECRET not in repr(runs.entries)
    assert any(isinstance(entry, ImportedFunctionInvoked) for entry in runs.entries)


def test_there_is_no_server() -> None:
    async def body() -> str:
        with pytest.raises(FileNotFoundError) as raised:
            await asyncpg.connect(host="/nowhere/at/all", user="golem", database="postgres")
        return repr(raised.value.args)

    runs = run_async(body)
    assert runs.replayed == runs.live


@agent
class PoolSharer:
    """Uses a pool that it has not made itself."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def count(self, target: dict[str, Any]) -> int:
        if not POOLS:
            POOLS.append(await asyncpg.create_pool(**target, min_size=1, max_size=1))
        return int(await POOLS[-1].fetchval("SELECT count(*) FROM items"))

    async def close(self) -> None:
        await POOLS.pop().close()


def test_a_pool_of_another_agent_is_refused(database: Postgres) -> None:
    with Runtime.memory() as runtime:
        maker, sharer = runtime.get(PoolSharer, "maker"), runtime.get(PoolSharer, "sharer")
        assert runtime.trigger(maker.count, address(database)).result(60) == 2
        with pytest.raises(NotDurableError, match="a pool of asyncpg that was made outside of it"):
            runtime.trigger(sharer.count, address(database)).result(60)
        runtime.trigger(maker.close).result(60)
