"""Timers and worker threads: none is lost when something fails, and cancelled ones cost no memory."""

from __future__ import annotations

from contextvars import copy_context
from threading import Condition, Event, Semaphore
from typing import TYPE_CHECKING

import pytest

from golem_sdk import originals
from golem_sdk.runtime import environment as environments
from golem_sdk.runtime import timers
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.hostloop import HostLoop
from golem_sdk.runtime.timers import Timer, TimerHeap, TimerThread
from golem_sdk.storage.committer import Committer
from golem_sdk.testing.environment import VirtualEnvironment
from storage.gates import PATIENCE_S, Gate, acquire, claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Thread

FAR_NS = 1 << 62


class Threads:
    """Starts no thread as long as ``refused`` is above zero."""

    def __init__(self) -> None:
        self.refused = 0

    def start(self, thread: Thread) -> None:
        if self.refused:
            self.refused -= 1
            raise RuntimeError("can't start new thread")
        thread.start()


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    made = Threads()
    monkeypatch.setattr(originals, "start_thread", made.start)
    for module in (timers, environments):
        monkeypatch.setattr(module, "AGAIN_NS", 0)
    return made


@pytest.fixture
def environment(threads: Threads) -> Iterator[RealEnvironment]:
    made = RealEnvironment()
    yield made
    made.close()


def nothing() -> None:
    pass


# --- failures --------------------------------------------------------------------------------------


def test_a_timer_that_fails_fires_again_and_stops_no_other(
    environment: RealEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    fired, other, failures = Event(), Event(), [True, True]

    def fail() -> None:
        if failures:
            failures.pop()
            raise RuntimeError("no luck yet")
        fired.set()

    environment.call_at(0, fail)
    environment.call_at(1, other.set)
    assert other.wait(PATIENCE_S)
    assert fired.wait(PATIENCE_S)
    assert caplog.text.count("RuntimeError: no luck yet") == 2


def test_a_timer_cancelled_while_it_fails_does_not_fire_again(threads: Threads) -> None:
    clock, over = TimerThread(), Event()
    tried: list[str] = []

    def fail() -> None:
        tried.append("once")
        armed.wait(PATIENCE_S)
        timer.cancel()
        clock.call_at(1, over.set)  # after the next try, if there was one
        raise RuntimeError("no luck")

    armed = Event()
    timer = clock.call_at(0, fail)
    armed.set()
    assert over.wait(PATIENCE_S)
    clock.close()
    assert tried == ["once"]


def test_a_job_waits_for_a_thread_that_the_system_refuses(
    environment: RealEnvironment, threads: Threads, caplog: pytest.LogCaptureFixture
) -> None:
    armed, done = Event(), Event()
    environment.call_at(0, armed.set)
    assert armed.wait(PATIENCE_S)  # there is a thread for timers
    threads.refused = 3
    environment.spawn(done.set)
    assert done.wait(PATIENCE_S)
    assert caplog.text.count("wait for a thread: can't start new thread") == 3


def test_jobs_ask_once_for_another_attempt(threads: Threads) -> None:
    later: list[Callable[[], None]] = []
    workers = environments._Workers(later.append)
    done = Semaphore(0)
    threads.refused = 5
    for _ in range(5):
        workers.spawn(done.release)
    assert len(later) == 1
    workers.spawn(done.release)  # gets a thread, for all of them
    acquire(done, 6)
    later.pop()()
    workers.close()


def test_another_attempt_gets_the_jobs_a_thread(threads: Threads) -> None:
    later: list[Callable[[], None]] = []
    workers, done = environments._Workers(later.append), Event()
    threads.refused = 2
    workers.spawn(done.set)
    later.pop()()
    later.pop()()
    assert done.wait(PATIENCE_S)
    workers.close()


def test_timers_wait_for_a_thread_until_the_next_one_is_set(
    environment: RealEnvironment, threads: Threads
) -> None:
    threads.refused = 1
    first, second = Event(), Event()
    environment.call_at(0, first.set)
    environment.call_at(0, second.set)
    assert first.wait(PATIENCE_S)
    assert second.wait(PATIENCE_S)


def test_the_host_loop_is_started_again(threads: Threads) -> None:
    host, ended = HostLoop(), Event()

    async def effect() -> None:
        pass

    threads.refused = 1
    with pytest.raises(RuntimeError, match="new thread"):
        host.run(effect, copy_context(), lambda task: None)
    host.run(effect, copy_context(), lambda task: ended.set())
    assert ended.wait(PATIENCE_S)
    host.close()


def test_write_behind_is_started_again(threads: Threads) -> None:
    engine = Gate()
    committer = Committer(engine, pause=lambda delay_s: None)
    threads.refused = 1
    committer.submit(claim(b"1"))
    committer.soon()
    assert engine.flushes == []
    committer.soon()
    acquire(engine.left)
    committer.close()


# --- memory ----------------------------------------------------------------------------------------


def test_a_timer_fires_once_and_keeps_nothing_then() -> None:
    fired: list[str] = []
    timer = Timer(lambda: fired.append("now"))
    timer.fire()
    timer.fire()
    assert fired == ["now"]
    assert timer.callback is None


def test_closing_ends_the_thread_and_forgets_all_timers() -> None:
    fired, waits = TimerThread(), Event()

    class Watched(Condition):
        def wait(self, timeout: float | None = None) -> bool:
            waits.set()
            return super().wait(timeout)

    fired._changed = Watched()
    fired.call_at(originals.time_ns() + 10**15, lambda: None)
    thread = fired._thread
    assert thread is not None
    assert thread.daemon
    assert waits.wait(30)
    fired.close()  # takes the lock, which the thread gives back as it begins to wait
    thread.join(30)
    assert not thread.is_alive()
    assert len(fired._heap) == 0
    fired.call_at(0, lambda: None)
    assert len(fired._heap) == 0


def test_a_heap_that_is_cleared_is_empty() -> None:
    heap = TimerHeap()
    heap.add(1, Timer(lambda: None))
    heap.clear()
    assert len(heap) == 0
    assert heap.due_ns() is None


def test_cancelled_timers_are_thrown_out() -> None:
    heap = TimerHeap()
    live = [Timer(nothing) for _ in range(100)]
    for number in range(10_000):
        if number % 100 == 0:
            heap.add(number % 700, live[number // 100])
        gone = Timer(nothing)
        heap.add(number % 700, gone)
        gone.cancel()
        assert len(heap) <= 2 * 100 + 1
    due, order = [], []
    while (due_ns := heap.due_ns()) is not None:
        due.append(due_ns)
        order.append(live.index(heap.pop()))
    assert due == sorted(number % 700 for number in range(0, 10_000, 100))
    assert order == sorted(range(100), key=lambda number: number * 100 % 700), (
        "equal ones: as added"
    )
    assert len(heap) == 0


@pytest.mark.parametrize("make", [RealEnvironment, VirtualEnvironment])
def test_timeouts_that_were_never_needed_cost_nothing(
    make: type[RealEnvironment | VirtualEnvironment],
) -> None:
    environment = make()
    environment.enter()  # no time passes in a simulation
    for _ in range(5_000):
        environment.call_at(FAR_NS, nothing).cancel()
    timers = environment._timers
    assert len(timers if isinstance(timers, TimerHeap) else timers._heap) <= 64
    environment.close()
