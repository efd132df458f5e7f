"""Threads of an agent that wait for each other, and for thread pools."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent, durability, durable, get, originals, trigger
from golem_sdk.core.entries import Suspend
from golem_sdk.errors import AgentFencedSignal, RuntimeClosedError
from golem_sdk.runtime.crews import Lanes
from golem_sdk.runtime.lanes import Lane, Waiter
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.environment import VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterator

SEEN: list[str] = []
SESSIONS: list[Any] = []
STARTED: list[threading.Thread] = []


class Turns:
    """Stands for a loop: notes what is to be done in this turn."""

    def __init__(self) -> None:
        self.soon: list[tuple[Any, ...]] = []
        self.holder: int | None = None

    def call_soon(self, *given: Any) -> None:
        self.soon.append(given)


@pytest.fixture
def turns() -> Turns:
    return Turns()


@pytest.fixture
def lanes(turns: Turns) -> Lanes:
    loop: Any = turns
    unused: Any = SimpleNamespace(here=lambda: 0)
    return Lanes(loop, unused)


def lane() -> Lane:
    return Lane(Context(), lambda: None)


def closed() -> BaseException:
    return AgentFencedSignal(RuntimeClosedError("it is over"))


@durable
def until_it_is_waited_for() -> str:
    (session,) = SESSIONS
    while session.ended is None and session.mailbox._waiting is None:
        os.sched_yield()
    return "written"


@agent
class CrewOfThreads:
    def __init__(self, name: str) -> None:
        self.name = name

    def name_of_pool_thread(self) -> str:
        with ThreadPoolExecutor(1) as pool:
            name: str = pool.submit(lambda: threading.current_thread().name).result()
            return name

    def use_no_thread_of_a_pool(self) -> str:
        with ThreadPoolExecutor(1), ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: self.name).result()

    def give_up_a_lock(self) -> list[bool]:
        lock, got = threading.Lock(), list[bool]()

        def hold() -> None:
            with lock:
                time.sleep(10)

        thread = threading.Thread(target=hold)
        thread.start()
        time.sleep(1)
        got.append(lock.acquire(timeout=1))
        thread.join()
        got.append(lock.acquire(timeout=1))
        return got

    def leave_a_daemon_in_line(self) -> list[str]:
        lock, got = threading.Lock(), list[str]()

        def want(name: str) -> None:
            with lock:
                got.append(name)
                time.sleep(10)

        for name in ("first", "daemon", "last"):
            threading.Thread(target=want, args=(name,), daemon=name == "daemon").start()
            time.sleep(1)
        return got  # it is encoded when its threads are over

    async def leave_a_daemon_asleep(self) -> str:
        def sleep() -> None:
            time.sleep(86_400)
            SEEN.append("awake")

        threading.Thread(target=sleep, daemon=True).start()
        await asyncio.sleep(1)
        return self.name

    async def nap(self, days: int) -> int:
        await asyncio.sleep(days * 86_400)
        return days

    def ask_in_a_thread(self, days: int) -> int:
        with ThreadPoolExecutor(1) as pool:
            asked = get(CrewOfThreads, "asked")
            return pool.submit(lambda: trigger(asked.nap, days).result()).result()

    def write_beside_a_thread(self) -> str:
        SESSIONS.append(durability.current())
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(until_it_is_waited_for).result()

    def start_threads(self) -> list[tuple[bool, bool]]:
        threads = [threading.Thread(target=time.sleep, args=(1,), daemon=d) for d in (False, True)]
        for thread in threads:
            thread.start()
            thread.join()
        STARTED.extend(threads)
        return [(thread.daemon, "run" in vars(thread)) for thread in threads]

    def start_a_thread_at_the_end(self) -> None:
        session = durability.current()
        assert session is not None
        session.end(closed())  # type: ignore[arg-type]  # it is a signal
        try:
            threading.Thread(target=time.time).start()
        except AgentFencedSignal:
            SEEN.append("refused")
            raise

    def sleep_beside_a_thread(self) -> None:
        thread = threading.Thread(target=time.sleep, args=(86_400,))
        thread.start()
        SESSIONS.append(durability.current())
        thread.join()


def opened(suspend_after_s: float) -> Runtime:
    SEEN.clear()
    SESSIONS.clear()
    settings = Settings(suspend_after_s=suspend_after_s, write_behind_s=None)
    return Runtime.over(MemoryEngine(), VirtualEnvironment(), settings)


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    with opened(60.0) as patient:
        yield patient


def rest(runtime: Runtime) -> None:
    environment = runtime._kernel.environment
    assert isinstance(environment, VirtualEnvironment)
    environment.rest(30)


def test_threads_of_pools_have_the_same_names_in_each_invocation(runtime: Runtime) -> None:
    crew = runtime.get(CrewOfThreads, "x")
    assert crew.name_of_pool_thread() == crew.name_of_pool_thread()


def test_no_thread_is_an_agents_after_an_invocation_or_its_unloading(runtime: Runtime) -> None:
    """The runtime's thread is given to another agent."""
    runtime.get(CrewOfThreads, "x").sleep_beside_a_thread()
    holders = [session.pump.loop.lanes.baton.holder for session in SESSIONS]
    SESSIONS.clear()
    assert holders == [None, None]


def test_a_pool_that_was_never_used_is_shut_down(runtime: Runtime) -> None:
    assert runtime.get(CrewOfThreads, "x").use_no_thread_of_a_pool() == "x"


def test_who_gives_up_a_lock_does_not_have_it(runtime: Runtime) -> None:
    assert runtime.get(CrewOfThreads, "x").give_up_a_lock() == [False, True]


def test_a_daemon_that_was_ended_is_handed_no_lock(runtime: Runtime) -> None:
    assert runtime.get(CrewOfThreads, "x").leave_a_daemon_in_line() == ["first", "last"]


def test_an_async_invocation_does_not_wait_for_daemons(runtime: Runtime) -> None:
    assert asyncio.run(_answer(runtime, "x")) == "x"
    assert SEEN == []


async def _answer(runtime: Runtime, name: str) -> str:
    answer: str = await runtime.get(CrewOfThreads, name).leave_a_daemon_asleep()
    return answer


def test_an_agent_whose_threads_sleep_long_is_unloaded_at_once(runtime: Runtime) -> None:
    before = runtime._kernel.environment.now_ns()
    crew = runtime.get(CrewOfThreads, "x")
    crew.sleep_beside_a_thread()
    entries = [entry for _, entry in runtime.oplog(crew) if isinstance(entry, Suspend)]
    assert [entry.timestamp - before < 60e9 for entry in entries] == [True]


@pytest.fixture
def impatient() -> Iterator[Runtime]:
    with opened(0.0) as hasty:
        yield hasty


def test_an_agent_whose_thread_waits_for_another_is_unloaded_once(impatient: Runtime) -> None:
    crew = impatient.get(CrewOfThreads, "x")
    assert crew.ask_in_a_thread(10) == 10
    entries = [entry for _, entry in impatient.oplog(crew) if isinstance(entry, Suspend)]
    assert [entry.wake_at for entry in entries] == [0], "a message wakes it, not a timer"


def test_an_agent_whose_thread_writes_is_not_unloaded(impatient: Runtime) -> None:
    crew = impatient.get(CrewOfThreads, "x")
    assert crew.write_beside_a_thread() == "written"
    assert not any(isinstance(entry, Suspend) for _, entry in impatient.oplog(crew))


def test_time_goes_on_when_an_agents_threads_have_ended(runtime: Runtime) -> None:
    runtime.get(CrewOfThreads, "x").name_of_pool_thread()
    rest(runtime)


def test_of_an_agents_thread_the_system_keeps_nothing(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        waited_for[thread] = not thread.daemon
        start_thread(thread)

    waited_for, start_thread = dict[threading.Thread, bool](), originals.start_thread
    monkeypatch.setattr(originals, "start_thread", start)
    STARTED.clear()
    told = runtime.get(CrewOfThreads, "x").start_threads()
    assert [waited_for[thread] for thread in STARTED] == [False, False], "by the end of the process"
    assert told == [(False, False), (True, False)]
    for thread in STARTED:
        thread.join(30)
    # Another one may have got the number of one that has ended.
    others = {thread.ident for thread in threading.enumerate() if thread not in STARTED}
    assert not {thread.ident for thread in STARTED} & (set(sys._current_frames()) - others)


def test_an_agent_that_was_ended_starts_no_thread(runtime: Runtime) -> None:
    runtime.trigger(runtime.get(CrewOfThreads, "x").start_a_thread_at_the_end)
    rest(runtime)
    assert set(SEEN) == {"refused"}


def test_a_pool_that_was_shut_down_is_not_kept_but_others_are(lanes: Lanes) -> None:
    pools = [ThreadPoolExecutor(1), ThreadPoolExecutor(1)]
    for pool in pools:
        over = lane()
        lanes.add(over, pool)
        lanes.ended(over, None)
    lanes.close(pools[0])
    known = [weakref.ref(pool) for pool in pools]
    del pool, pools
    gc.collect()
    assert [pool() is not None for pool in known] == [False, True]


def test_who_is_roused_twice_goes_on_once_and_stands_in_no_line(lanes: Lanes, turns: Turns) -> None:
    line = deque[Waiter]()
    waiter = Waiter(lane(), "a lock", line)
    line.append(waiter)
    lanes.rouse(waiter)
    lanes.rouse(waiter, False)
    assert turns.soon == [(waiter.lane.resume, True)]
    assert not line


def test_nobody_is_roused_when_the_session_is_over(lanes: Lanes, turns: Turns) -> None:
    lanes.abandon(closed)
    lanes.rouse(Waiter(lane(), "a lock", deque()))
    assert turns.soon == []


def test_a_lane_that_has_not_begun_waits_nowhere(lanes: Lanes) -> None:
    lanes.add(lane(), None)
    assert lanes.waiting_at() == []
