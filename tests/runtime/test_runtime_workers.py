"""Worker threads, timers and settings, each by itself: nobody is forgotten, and no thread started in vain."""

from __future__ import annotations

import heapq
import inspect
import logging
import sys
import threading
import weakref
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from threading import Lock
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, originals
from golem_sdk.core.entries import BeginAtomicRegion, Create
from golem_sdk.errors import UsageError
from golem_sdk.oplog.reader import no_entries
from golem_sdk.oplog.writer import OplogWriter
from golem_sdk.runtime import environment as environments
from golem_sdk.runtime import settings
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.settings import Settings
from golem_sdk.runtime.timers import AGAIN_NS, Timer, TimerHeap, TimerThread
from golem_sdk.storage.committer import Committer
from golem_sdk.storage.memory import MemoryEngine

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread


class Unstarted:
    """Keeps the threads that are to be started, or raises."""

    def __init__(self) -> None:
        self.threads: list[Thread] = []
        self.error: BaseException | None = None

    def start(self, thread: Thread) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self.threads.append(thread)


@pytest.fixture
def unstarted(monkeypatch: pytest.MonkeyPatch) -> Unstarted:
    made = Unstarted()
    monkeypatch.setattr(originals, "start_thread", made.start)
    return made


def nothing() -> None:
    pass


# --- workers --------------------------------------------------------------------------------------


def test_an_interrupt_while_a_thread_is_started_keeps_no_job_waiting(unstarted: Unstarted) -> None:
    workers = environments._Workers(lambda again: None)
    unstarted.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        workers.spawn(nothing)
    assert unstarted.threads == []
    workers.spawn(nothing)
    assert len(unstarted.threads) == 1, "the next one starts a thread for both"


def test_another_attempt_starts_no_second_thread(unstarted: Unstarted) -> None:
    later: list[Callable[[], None]] = []
    workers = environments._Workers(later.append)
    unstarted.error = RuntimeError("can't start new thread")
    workers.spawn(nothing)
    workers.spawn(nothing)
    later.pop()()
    assert len(unstarted.threads) == 1


def test_who_comes_after_another_attempt_starts_no_second_thread(unstarted: Unstarted) -> None:
    later: list[Callable[[], None]] = []
    workers = environments._Workers(later.append)
    unstarted.error = RuntimeError("can't start new thread")
    workers.spawn(nothing)
    later.pop()()
    workers.spawn(nothing)
    assert len(unstarted.threads) == 1


def test_another_attempt_is_a_while_later(
    unstarted: Unstarted, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment, due = RealEnvironment(), []
    monkeypatch.setattr(environment._timers, "call_at", lambda when_ns, _: due.append(when_ns))
    before = originals.time_ns()
    unstarted.error = RuntimeError("can't start new thread")
    environment.spawn(nothing)
    assert due[0] >= before + AGAIN_NS


def test_a_thread_that_wants_to_rest_takes_up_what_was_left() -> None:
    workers = environments._Workers(lambda again: None)
    workers._jobs.append(nothing)
    assert workers._rest(Lock()) is True
    assert workers._coming, "nobody else need come"


def test_a_thread_that_nobody_needs_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "_IDLE_S", 0)
    workers, bell = environments._Workers(lambda again: None), Lock()
    bell.acquire()
    assert workers._rest(bell) is False
    assert workers._idle == [], "and nobody calls it"


def test_who_takes_the_next_job_does_not_pass_for_the_one_that_comes(
    unstarted: Unstarted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "_IDLE_S", 0)
    workers, done = environments._Workers(lambda again: None), []

    def job(number: int) -> None:
        done.append(number)
        if number < 3:
            workers.spawn(partial(job, number + 1))

    workers.spawn(partial(job, 1))
    unstarted.threads[0].run()
    assert done == [1, 2, 3]
    assert len(unstarted.threads) == 2, "for the first job, and for the second"


def test_a_job_that_is_done_is_not_kept(
    unstarted: Unstarted, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers, kept = environments._Workers(lambda again: None), []
    job = partial(nothing)
    reference = weakref.ref(job)
    workers.spawn(job)
    del job
    monkeypatch.setattr(workers, "_rest", lambda bell: kept.append(reference()))
    unstarted.threads[0].run()
    assert kept == [None]


def test_closing_ends_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "_IDLE_S", 3600.0)
    before, rests = set(threading.enumerate()), threading.Event()

    class Watched(list[Any]):
        def append(self, bell: Any) -> None:
            super().append(bell)
            rests.set()

    environment = RealEnvironment()
    environment._workers._idle = Watched()
    environment.call_at(originals.time_ns() + 10**15, nothing)
    environment.spawn(nothing)
    assert rests.wait(30)
    threads = set(threading.enumerate()) - before
    assert {thread.name for thread in threads} == {"golem-timers", "golem-worker"}
    assert all(thread.daemon for thread in threads)
    environment.close()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_a_thread_that_is_called_when_its_time_is_up_comes() -> None:
    workers = environments._Workers(lambda again: None)

    class Late:
        calls = 0

        def acquire(self, timeout: float = -1) -> bool:
            self.calls += 1
            if timeout < 0:
                return True
            workers._idle.remove(self)  # type: ignore[arg-type]  # as `_call_one` does just then
            return False

    bell: Any = Late()
    assert workers._rest(bell) is True
    assert bell.calls == 2, "it has taken the call, too"


def test_what_is_read_of_a_real_clock_is_read_by_the_original() -> None:
    assert RealEnvironment().reading(originals.time_ns, lambda source: 0) is originals.time_ns


def test_the_runtime_sleeps_for_real(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(originals, "sleep", slept.append)
    RealEnvironment().sleep(0.25)
    assert slept == [0.25]


# --- timers ---------------------------------------------------------------------------------------


def test_a_timer_that_fails_is_reported_and_fires_again_a_second_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("no luck")

    clock, armed = TimerThread(), []
    found = iter([Timer(fail), None])
    monkeypatch.setattr(clock, "_next", lambda: next(found))
    monkeypatch.setattr(clock, "_arm", lambda when_ns, timer: armed.append(when_ns))
    before = originals.time_ns()
    clock._run()
    assert armed[0] >= before + 1_000_000_000
    (record,) = caplog.records
    assert record.name == "golem_sdk"
    assert record.getMessage() == "a timer failed, it fires again in 1.0 s"


def test_timers_that_wait_for_a_thread_are_reported(
    unstarted: Unstarted, caplog: pytest.LogCaptureFixture
) -> None:
    unstarted.error = RuntimeError("can't start new thread")
    TimerThread().call_at(0, nothing)
    (record,) = caplog.records
    assert record.name == "golem_sdk"
    assert record.getMessage().endswith("until the next one is set: can't start new thread")


def test_jobs_that_wait_for_a_thread_are_reported(
    unstarted: Unstarted, caplog: pytest.LogCaptureFixture
) -> None:
    unstarted.error = RuntimeError("can't start new thread")
    environments._Workers(lambda again: None).spawn(nothing)
    (record,) = caplog.records
    assert record.name == "golem_sdk"
    assert record.getMessage() == "1 jobs wait for a thread: can't start new thread"


def test_many_armed_timers_are_looked_through_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    tidied: list[int] = []
    monkeypatch.setattr(heapq, "heapify", lambda heap: tidied.append(len(heap)))
    heap = TimerHeap()
    for number in range(2_000):
        heap.add(number, Timer(nothing))
    assert tidied == [64, 128, 256, 512, 1024]


# --- settings -------------------------------------------------------------------------------------


def test_how_long_an_agent_may_wait_in_memory() -> None:
    writer = OplogWriter("log", Committer(MemoryEngine(), write_behind_s=None), no_entries())
    assert Settings(suspend_after_s=2.5).patience_s(writer) == 2.5
    writer.last = 70_000
    assert Settings(suspend_after_s=2.5).patience_s(writer) == pytest.approx(7.0), (
        "a replay must be worth it"
    )
    assert Settings(suspend_after_s=0).patience_s(writer) == 0
    writer.last = 0
    writer.append(Create(1, "t", "t(1)", b"", "code", 7, "0", {}))
    writer.append(BeginAtomicRegion(2))
    assert Settings(suspend_after_s=0).patience_s(writer) >= 1e9, "it would have to begin anew"


def test_settings_are_by_default_those_of_a_runtime() -> None:
    defaults = inspect.signature(Runtime.__init__).parameters
    assert Settings().max_loaded == defaults["max_loaded"].default == 1024
    assert Settings().suspend_after_s == defaults["suspend_after"].default == 1.0
    assert Settings().strict is defaults["strict"].default is False
    limit = defaults["max_received_bytes"].default
    assert Settings().max_received_bytes == limit == 1024**3
    committers = inspect.signature(Committer).parameters
    assert Settings().write_behind_s == committers["write_behind_s"].default == 0.002


def test_what_is_chosen_is_checked() -> None:
    chosen = settings.chosen(2, 3, True, 4096)
    assert chosen == Settings(2.0, 3, strict=True, max_received_bytes=4096)
    for strict in (None, 1, "yes"):
        with pytest.raises(UsageError, match="strict is True or False, not"):
            settings.chosen(1, 3, strict, 4096)


def test_the_version_is_that_of_the_distribution() -> None:
    settings.sdk_version.cache_clear()
    assert settings.sdk_version() == version("golem-sdk")


def test_the_version_of_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(settings, "version", missing)
    settings.sdk_version.cache_clear()
    assert settings.sdk_version() == "0"
    settings.sdk_version.cache_clear()


def test_all_that_is_told_is_told_to_one_logger() -> None:
    """Users filter by its name."""
    loggers = {
        value.name
        for name, module in list(sys.modules.items())
        if name.startswith("golem_sdk.runtime.")
        for value in vars(module).values()
        if isinstance(value, logging.Logger)
    }
    assert loggers - {"asyncio"} == {"golem_sdk"}
