"""What is promised on every kind of connection: exactly once, or not at all."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import (
    FunctionType,
    RetryPolicy,
    Runtime,
    agent,
    atomically,
    durable,
    idempotence_mode,
    retry_policy,
)
from golem_sdk.core.entries import Error, ImportedFunctionInvoked
from golem_sdk.errors import CommitUnknownError, EncodingError
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive, visible
from golem_sdk.transactions.connections import _Plain
from golem_sdk.transactions.steps import run, run_async
from transactions.databases import taken
from transactions.performing import (
    agent_over,
    completed,
    performed,
    results,
    row_key,
    steps_of,
    take,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.transactions.steps import Steps
    from transactions.databases import Database


@durable
def receipt(text: str) -> str:
    return f"receipt: {text}"


# --- exactly once ---------------------------------------------------------------------------------


def crashing_agent(database: Database) -> Any:
    small = database.transaction(*taken(1), name="small", result=lambda: "small moved")
    large = database.transaction(*taken(100), name="large", result=lambda: {"moved": 100})

    @agent
    def crashing(name: str) -> list[Any]:
        first = small()
        with idempotence_mode(False):
            second = large()
        return [first, second, receipt(name), small()]

    @agent
    async def async_crashing(name: str) -> list[Any]:
        first = await small()
        with idempotence_mode(False):
            second = await large()
        last, _ = await asyncio.gather(small(), asyncio.sleep(1))
        return [first, second, receipt(name), last]

    return async_crashing if database.is_async else crashing


def test_p3_moved_exactly_once_wherever_it_crashes(database: Database) -> None:
    target = crashing_agent(database)
    whole = drive([Step(target, ("Ada",))])
    expected = ["small moved", {"moved": 100}, "receipt: Ada", "small moved"]
    assert whole.results == (("result", expected),)
    assert database.balances == {"a": 898, "b": 102}
    again = 0
    for append in range(1, whole.appends + 1):
        for moment in CrashMoment:
            database.reset()
            end = drive([Step(target, ("Ada",))], [CrashPoint(append, moment)])
            where = f"{moment.name} append {append}"
            assert end.results == whole.results, where
            assert database.balances == {"a": 898, "b": 102}, where
            assert database.rows == 3, where
            assert not any(isinstance(entry, Error) for _, entry in oplog_of(end)), where
            assert len(database.runs) == 3, "a committed transaction ran again"
            again += visible(oplog_of(end)) == visible(oplog_of(whole))
    assert again == 3 * whole.appends, "P2: the log is that of a run that never crashed"


def oplog_of(end: Any) -> Any:
    (oplog,) = end.oplogs.values()
    return oplog


def test_one_durable_call_and_nothing_in_it_is_recorded(database: Database) -> None:
    call = database.transaction(*taken(5), then=lambda tx: sink(receipt("inside")))
    with Runtime.memory() as runtime:
        target = agent_over(database, call)
        runtime.run(target, "Ada")
        entries = [each for _, each in runtime.oplog(next(iter(runtime.agents())))]
    (made,) = [each for each in entries if isinstance(each, ImportedFunctionInvoked)]
    assert made.function_type == FunctionType.WRITE_REMOTE_TRANSACTION
    assert database.rows == 1


def sink(_: object) -> None:
    """For a value that is not needed."""


def test_a_committed_call_is_not_run_again(database: Database) -> None:
    first = performed(database, steps_of(database, take(database, 10)))
    second = performed(database, steps_of(database, take(database, 10)))
    assert (first, second) == (1, 1)
    assert database.runs == ["take"]
    assert database.balances["b"] == 10


def test_a_duplicate_waits_for_the_first_and_gets_its_result(database: Database) -> None:
    second: list[Any] = []

    async def overtaken_async(tx: Any) -> Any:
        duplicate = asyncio.create_task(run_async(steps_of(database, take(database, 10))))
        second.append(duplicate)
        await asyncio.to_thread(wait_until_blocked, database)
        return await take(database, 10)(tx)

    def overtaken(tx: Any) -> Any:
        def duplicate() -> None:
            second.append(run(steps_of(database, take(database, 10))))

        thread = threading.Thread(target=duplicate)
        second.append(thread)
        thread.start()
        wait_until_blocked(database)
        return take(database, 10)(tx)

    if database.is_async:

        async def both() -> tuple[Any, Any]:
            return await run_async(steps_of(database, overtaken_async)), await second[0]

        outcome = asyncio.run(both())
    else:
        first = run(steps_of(database, overtaken))
        second[0].join()
        outcome = first, second[1]
    assert outcome == (1, 1)
    assert database.balances["b"] == 10


def wait_until_blocked(database: Database) -> None:
    """Return when the other transaction waits for ours. SQLite does not tell; there either order will do."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    if not database.is_sqlite:
        assert any(database.execute(waiting)[0][0] for _ in range(10_000))


@pytest.mark.parametrize("database", ["sqlite3", "sqlalchemy-sqlite"], indirect=True)
def test_sqlite_lets_one_writer_in_at_a_time(database: Database) -> None:
    """What a function reads first is still so when it writes, outside agents, too."""

    def interfere(_: object) -> None:
        with closing(database.plain()) as other:
            other.execute("PRAGMA busy_timeout = 0")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("UPDATE accounts SET cents = 7")

    completed(database, database.transaction("SELECT cents FROM accounts", then=interfere))
    assert database.balances == {"a": 1000, "b": 0}


# --- failures -------------------------------------------------------------------------------------


def test_an_exception_rolls_back_and_is_the_outcome(database: Database) -> None:
    def refuse(_: object) -> None:
        raise ValueError("no such account")

    failing = database.transaction(*taken(5), then=refuse)
    working = database.transaction(*taken(7))
    assert results(database, failing, working) == ["ValueError: no such account", None]
    assert database.balances == {"a": 993, "b": 7}
    assert database.rows == 1, "nothing is kept of what was rolled back"


def test_an_error_of_the_database_rolls_back(database: Database) -> None:
    call = database.transaction(*taken(5), "INSERT INTO accounts VALUES ('a', 1)")
    (text,) = results(database, call)
    assert "UNIQUE constraint failed" in text or "duplicate key" in text
    assert database.balances["b"] == 0


def test_a_result_that_cannot_be_stored_rolls_back(database: Database) -> None:
    call = database.transaction(*taken(5), result=lambda: threading.Lock())
    (text,) = results(database, call)
    assert text.startswith(EncodingError.__name__)
    assert database.balances["b"] == 0
    assert database.rows == 0


@pytest.mark.parametrize(
    "database", ["psycopg-async", "sqlalchemy-postgresql-async"], indirect=True
)
def test_a_cancelled_call_is_rolled_back(database: Database) -> None:
    async def cancelled() -> None:
        reached = asyncio.Event()

        async def hang(tx: Any) -> None:
            await take(database, 5)(tx)
            reached.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(run_async(steps_of(database, hang)))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert database.balances["b"] == 0
    assert performed(database, steps_of(database, take(database, 5))) == 2


def failing_commit(
    monkeypatch: pytest.MonkeyPatch, *, committed: bool, times: int = 1
) -> list[int]:
    """Let the connection be lost in the next commits (of which the first creates the table)."""
    tries: list[int] = []
    original = _Plain.commit

    def commit(self: _Plain) -> Steps[None]:
        tries.append(1)
        if len(tries) > times:
            yield from original(self)
            return
        if committed:
            yield from original(self)
        raise OSError("the server closed the connection unexpectedly")

    monkeypatch.setattr(_Plain, "commit", commit)
    return tries


def test_a_lost_commit_that_happened_gives_its_result(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert results(database, database.transaction(result=lambda: "table made")) == ["table made"]
    tries = failing_commit(monkeypatch, committed=True)
    call = database.transaction(*taken(5), result=lambda: "moved")
    assert results(database, call) == ["moved"]
    assert len(tries) == 1
    assert database.balances["b"] == 5
    assert database.runs == ["work", "work"]


def test_a_lost_commit_that_did_not_happen_is_the_databases_error(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    performed(database, steps_of(database, take(database, 10), key="makes the table"))
    failing_commit(monkeypatch, committed=False)
    with pytest.raises(OSError, match="closed the connection") as caught:
        performed(database, steps_of(database, take(database, 5), key="lost"))
    assert "was not committed" in caught.value.__notes__[0]
    assert database.balances["b"] == 10
    assert performed(database, steps_of(database, take(database, 5), key="lost")) == 3


FRAMES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "plain": nullcontext,
    "no-retry": lambda: retry_policy(RetryPolicy(max_attempts=1)),
    "region": atomically,
    "never-twice": lambda: idempotence_mode(False),
}


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("committed", [True, False])
def test_p3_what_is_undecided_is_asked_again_whatever_the_policy(
    database: Database, monkeypatch: pytest.MonkeyPatch, committed: bool, frame: str
) -> None:
    results(database, database.transaction())
    failing_commit(monkeypatch, committed=committed)
    connect, _ = flaky(database)
    call = database.transaction(*taken(5), result=lambda: "moved", connect=connect)
    end = drive([Step(framed_agent(database, FRAMES[frame], call), ("Ada",))])
    assert end.results == (("result", "moved"),)
    assert database.balances["b"] == 5
    assert len(database.runs) == (2 if committed else 3)


def flaky(database: Database) -> tuple[Callable[[], Any], list[int]]:
    """A connect() that fails from its second to its sixth call, and the calls made of it."""
    opened: list[int] = []

    def connect() -> Any:
        opened.append(1)
        if 2 <= len(opened) <= 6:
            raise OSError("no route to host")
        return database.connect()

    return connect, opened


@pytest.mark.parametrize("frame", FRAMES)
def test_p3_after_a_crash_it_is_undecided_until_the_database_can_be_asked(
    database: Database, frame: str
) -> None:
    connect, opened = flaky(database)
    call = database.transaction(*taken(5), result=lambda: "moved", connect=connect)
    target = framed_agent(database, FRAMES[frame], call)
    appends = drive([Step(target, ("Ada",))]).appends
    for append in range(1, appends + 1):
        database.reset()
        opened.clear()
        end = drive([Step(target, ("Ada",))], [CrashPoint(append, CrashMoment.LOST)])
        assert end.results == (("result", "moved"),)
        assert database.balances["b"] == 5


def test_p3_a_region_that_runs_again_asks_until_it_knows(database: Database) -> None:
    connect, opened = flaky(database)
    call = database.transaction(*taken(5), result=lambda: "moved", connect=connect)
    target = framed_agent(database, atomically, call, fails_once=True)
    end = drive([Step(target, ("Ada",))])
    assert end.results == (("result", "moved"),)
    assert len(opened) == 7
    assert database.balances["b"] == 5


def framed_agent(
    database: Database,
    frame: Callable[[], Any],
    call: Callable[[], Any],
    *,
    fails_once: bool = False,
) -> Any:
    failures = [LookupError("once")] if fails_once else []

    def fail() -> None:
        if failures:
            raise failures.pop()

    @agent
    async def async_framed(name: str) -> Any:
        with frame():
            try:
                result = await call()
            except Exception as error:  # it must not be told before it is decided
                result = repr(error)
            fail()
            return result

    @agent
    def framed(name: str) -> Any:
        with frame():
            try:
                result = call()
            except Exception as error:  # it must not be told before it is decided
                result = repr(error)
            fail()
            return result

    return async_framed if database.is_async else framed


def test_for_ever_unknown_is_an_error_that_says_so(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    performed(database, steps_of(database, take(database, 10), key="makes the table"))
    failing_commit(monkeypatch, committed=True)
    steps = steps_of(database, take(database, 5))
    opened: list[int] = []
    connect = database.connect

    def once() -> Any:
        opened.append(1)
        if len(opened) == 2:
            raise OSError("no route to host")
        return connect()

    database.connect = once
    steps = steps_of(database, take(database, 5))
    with pytest.raises(CommitUnknownError, match="no route to host") as caught:
        performed(database, steps)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.table == "golem_outcomes"
    assert caught.value.key == row_key()
    assert isinstance(caught.value, ConnectionError)
