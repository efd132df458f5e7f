"""While somebody commits, an invocation is carried out as soon as its begin is on disk, and not before."""

from __future__ import annotations

import asyncio
from functools import partial
from threading import Semaphore
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent
from golem_sdk.errors import StoreError, StoreFullError
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.base import Space
from golem_sdk.storage.committer import Committer
from golem_sdk.testing.environment import VirtualEnvironment
from storage.gates import Gate, acquire, claim, join, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from threading import Thread

    from golem_sdk.storage.memory import MemoryEngine
    from golem_sdk.storage.tickets import Ticket, Told

STORES: list[Gate] = []
SEEN: list[int] = []
COPIES: list[MemoryEngine] = []


def entries() -> int:
    """How many pieces of oplogs the store holds."""
    return len(STORES[0].scan(Space.OPLOG, b"", None, limit=100))


@agent
def put_off(name: str) -> str:
    SEEN.append(entries())
    return name


@agent
class PutOff:
    def __init__(self, name: str) -> None:
        SEEN.append(entries())

    def look(self) -> str:
        SEEN.append(entries())
        return "looked"


@pytest.fixture
def engine() -> Gate:
    STORES[:] = [Gate()]
    SEEN.clear()
    return STORES[0]


@pytest.fixture
def runtime(engine: Gate) -> Iterator[Runtime]:
    environment = VirtualEnvironment()
    with Runtime.over(engine, environment, Settings(write_behind_s=None)) as opened:
        yield opened
        engine.open.set()
    environment.join(30)


@pytest.fixture
def put(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Semaphore:
    """Released when an invocation is put off."""
    done = Semaphore(0)
    original = runtime._kernel.committer.tell

    def tell(committer: Committer, ticket: Ticket, told: Told) -> None:
        original(ticket, told)
        done.release()

    monkeypatch.setattr(type(runtime._kernel.committer), "tell", tell)
    return done


def beside_a_commit(
    runtime: Runtime, engine: Gate, calls: Sequence[Callable[[], Any]]
) -> tuple[list[Thread], list[Any]]:
    """Threads that call while a commit is held up, and what becomes of the calls."""
    committer = runtime._kernel.committer
    results: list[Any] = []

    def lead() -> None:
        try:
            committer.wait(committer.submit(claim(b"leader")))
        except StoreError as error:
            results.append(error)

    def ask(call: Callable[[], Any]) -> None:
        try:
            results.append(call())
        except StoreError as error:
            results.append(error)

    engine.open.clear()
    threads = run(lead)
    acquire(engine.entered)
    return threads + run(*(partial(ask, call) for call in calls)), results


def test_it_begins_when_its_begin_is_on_disk(
    runtime: Runtime, engine: Gate, put: Semaphore
) -> None:
    calls = [partial(runtime.run, put_off, name) for name in ("a", "b")]
    threads, results = beside_a_commit(runtime, engine, calls)
    acquire(put, 2)
    assert SEEN == []
    engine.open.set()
    join(threads)
    assert sorted(results) == ["a", "b"]
    assert min(SEEN) >= 3  # the leader's record, and both begins


def test_constructors_run_at_once_and_methods_of_loaded_agents_are_put_off(
    runtime: Runtime, engine: Gate, put: Semaphore
) -> None:
    threads, results = beside_a_commit(runtime, engine, [runtime.get(PutOff, "a").look])
    acquire(put)
    assert SEEN == [0]
    engine.open.set()
    join(threads)
    assert results == ["looked"]
    assert SEEN == [0, 2]


def test_if_its_begin_is_lost_no_code_runs(runtime: Runtime, engine: Gate, put: Semaphore) -> None:
    call = partial(runtime.run, put_off, "lost")
    threads, results = beside_a_commit(runtime, engine, [call])
    acquire(put)
    engine.failure = StoreFullError("no room")
    engine.open.set()
    join(threads)
    engine.failure = None
    assert [type(result) for result in results] == [StoreFullError, StoreFullError]
    assert SEEN == []


def test_no_virtual_time_passes_while_it_is_put_off(
    runtime: Runtime, engine: Gate, put: Semaphore
) -> None:
    environment = runtime._kernel.environment
    assert isinstance(environment, VirtualEnvironment)
    call = partial(runtime.run, put_off, "a")
    threads, _ = beside_a_commit(runtime, engine, [call])
    acquire(put)
    environment.join(30)  # nothing runs but the commit, on a thread of the test
    due_ns = environment.now_ns() + 10**15
    environment.call_at(due_ns, lambda: None)
    environment.join(30)
    assert environment.now_ns() < due_ns
    engine.open.set()
    join(threads)
    assert SEEN == [2]
    environment.rest(30)
    assert environment.now_ns() >= due_ns  # and then it passes again


def test_without_a_commit_under_way_it_begins_at_once(runtime: Runtime) -> None:
    assert runtime.run(put_off, "alone") == "alone"
    assert SEEN == [0]


@agent
def begun_before(name: str) -> str:
    SEEN.append(entries())
    COPIES.append(STORES[0].snapshot())
    return name


@agent
async def put_off_naps(name: str) -> None:
    for _ in range(5):
        await asyncio.sleep(1)


def test_what_has_begun_before_a_crash_is_not_put_off_again(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Committer, "is_busy", True)
    runtime.run(begun_before, "a")
    (STORES[0]._spaces, SEEN[:]) = (COPIES.pop()._spaces, [])
    environment = VirtualEnvironment()
    with Runtime.over(STORES[0], environment, Settings(write_behind_s=None)):
        environment.rest(30)
    assert SEEN == [1]


def test_only_the_begin_has_a_commit_of_its_own(
    runtime: Runtime, engine: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Committer, "is_busy", True)
    runtime.run(put_off_naps, "a")
    assert len(engine.flushes) == 2
