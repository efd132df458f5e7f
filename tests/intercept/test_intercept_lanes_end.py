"""How threads of agents end: with their invocation, with the session; and agents that are older."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from golem_sdk import Runtime, agent, durable, originals
from golem_sdk.core.entries import Create, Suspend
from golem_sdk.errors import AgentFailedError, NotDurableError
from golem_sdk.intercept import table
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.locks import AgentLock
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.environment import VirtualEnvironment
from intercept.replaying import nap, run, same

pytestmark = pytest.mark.filterwarnings("error")

TOLD: list[str] = []
SHARED: list[threading.Thread] = []
"""One that was made outside of any agent, and outlives a stopped one."""


def end_of_main() -> threading.Event:
    """Set when the main thread of the invocation whose code runs here is over, and so its daemons."""
    main_over = threading.Event()

    def daemon() -> None:
        try:
            threading.Event().wait()
        finally:
            main_over.set()

    threading.Thread(target=daemon, daemon=True).start()
    return main_over


def test_an_invocation_waits_for_its_threads_and_ends_daemons() -> None:
    def body() -> list[str]:
        seen: list[str] = []

        def beat() -> None:
            try:
                while True:
                    time.sleep(0.001)
                    threading.Event().wait(0.001)
            finally:
                seen.append("daemon ended")

        def work() -> None:
            nap()
            seen.append("thread ended")

        threading.Thread(target=beat, daemon=True).start()
        threading.Thread(target=work).start()
        nap()
        seen.append("main ended")
        return seen

    seen = same(run(body))
    assert sorted(seen) == ["daemon ended", "main ended", "thread ended"]


def test_who_waits_for_a_daemon_goes_on_when_it_is_ended() -> None:
    def body() -> list[str]:
        seen: list[str] = []
        daemon = threading.Thread(target=threading.Event().wait, daemon=True)

        def follow() -> None:
            daemon.join()
            seen.append("daemon ended")

        daemon.start()
        threading.Thread(target=follow).start()
        nap()
        return seen

    assert same(run(body)) == ["daemon ended"]


def test_a_daemon_is_over_with_its_invocation_whatever_its_thread_still_does() -> None:
    goes_on, release = threading.Event(), threading.Event()

    @durable(name="go on")
    def go_on() -> None:
        goes_on.set()
        release.wait(30)

    @durable(name="until it goes on")
    def until_it_goes_on() -> None:
        goes_on.wait(30)

    @durable(name="let go")
    def let_go() -> None:
        release.set()

    def body() -> list[bool]:
        seen: list[bool] = []
        main_over = end_of_main()
        busy, unbegun = (threading.Thread(target=go_on, daemon=True) for _ in range(2))

        def follow() -> None:
            main_over.wait()
            for daemon in (busy, unbegun):
                seen.append(daemon.is_alive())
                daemon.join()
            let_go()

        threading.Thread(target=follow).start()
        busy.start()
        until_it_goes_on()
        unbegun.start()
        return seen

    assert same(run(body)) == [False, False]


def test_a_daemon_in_the_middle_of_a_call_is_not_waited_for() -> None:
    lingers, release, over = threading.Event(), threading.Event(), threading.Event()

    @durable(name="linger")
    def linger() -> None:
        lingers.set()
        release.wait(30)
        over.set()

    @durable(name="until it lingers")
    def until_it_lingers() -> None:
        lingers.wait(30)

    @durable(name="outlive")
    def outlive() -> None:
        release.set()
        over.wait(30)

    def body() -> None:
        main_over = end_of_main()

        def last() -> None:
            main_over.wait()
            outlive()
            time.sleep(0.01)

        threading.Thread(target=linger, daemon=True).start()
        threading.Thread(target=last).start()
        until_it_lingers()

    assert run(body).calls == ["until it lingers", "outlive", "golem:clock/sleep"]


def test_what_a_thread_raises_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "__excepthook__", lambda args: TOLD.append(repr(args.exc_value)))
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    TOLD.clear()

    def body() -> None:
        def work() -> None:
            nap()
            raise KeyError("x")

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    run(body, lambda: TOLD.append("replay"))
    assert TOLD == ["KeyError('x')", "replay"]


@agent
class Sleepers:
    """Waits in several threads."""

    def __init__(self, name: str) -> None:
        self.name = name

    def rest(self, long_s: float) -> list[str]:
        ends: list[str] = []

        def sleep(name: str, delay_s: float) -> None:
            try:
                time.sleep(delay_s)
                ends.append(name)
            finally:
                TOLD.append(name)

        threads = [threading.Thread(target=sleep, args=each) for each in (("a", long_s), ("b", 0))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return ends

    def rest_deaf(self, long_s: float) -> bool:
        thread = threading.Thread(target=time.sleep, args=(long_s,))
        thread.start()
        with suppress(BaseException):
            thread.join()
        return thread.is_alive()

    def rest_in_pool(self, long_s: float) -> None:
        with ThreadPoolExecutor() as pool:
            future = pool.submit(time.sleep, long_s)
            future.add_done_callback(lambda future: TOLD.append(repr(future.exception())))

    def start_some(self) -> list[str]:
        texts: list[str] = []
        for start in (
            lambda: threading.Thread(target=int).start(),
            lambda: threading.Timer(1, int),
            lambda: ThreadPoolExecutor().submit(int),
        ):
            with pytest.raises(NotDurableError) as caught:
                start()
            texts.append(str(caught.value))
        assert not isinstance(threading.Lock(), AgentLock)
        return texts


def suspending() -> Runtime:
    """A runtime in which a minute is long, and over at once."""
    return Runtime.over(MemoryEngine(), VirtualEnvironment(), Settings(suspend_after_s=1.0))


def test_an_agent_whose_threads_wait_long_is_suspended() -> None:
    TOLD.clear()
    with suspending() as runtime:
        sleepers = runtime.get(Sleepers, "long")
        assert sleepers.rest(60.0) == ["b", "a"]
        assert any(isinstance(entry, Suspend) for _, entry in runtime.oplog(sleepers))
        assert sleepers.rest(0.0) == ["a", "b"]  # the next invocation has threads of its own
    *unwound, first, second = TOLD
    assert [first, second] == ["a", "b"]
    assert len(unwound) > 2
    assert len(unwound) // 2 * ["b", "a"] == unwound


def test_code_that_catches_what_suspends_it_waits_for_its_threads_in_the_next_life() -> None:
    with suspending() as runtime:
        sleepers = runtime.get(Sleepers, "deaf")
        assert sleepers.rest_deaf(60.0) is False
        assert any(isinstance(entry, Suspend) for _, entry in runtime.oplog(sleepers))


def test_a_future_of_a_thread_pool_hears_nothing_of_a_suspension() -> None:
    TOLD.clear()
    with suspending() as runtime:
        sleepers = runtime.get(Sleepers, "pooled")
        sleepers.rest_in_pool(60.0)
        assert any(isinstance(entry, Suspend) for _, entry in runtime.oplog(sleepers))
    assert TOLD == ["None"]


def test_closing_the_runtime_ends_the_threads() -> None:
    TOLD.clear()
    before = threading.active_count()
    patient = Settings(suspend_after_s=2000.0)
    with Runtime.over(MemoryEngine(), RealEnvironment(), patient) as runtime:
        sleepers = runtime.get(Sleepers, "closed")
        runtime.trigger(sleepers.rest, 1000.0)
        while "b" not in TOLD:
            threading.Event().wait(0.001)
    while "a" not in TOLD or threading.active_count() > before + 3:
        threading.Event().wait(0.001)
    assert TOLD == ["b", "a"]


@agent
def pooled(name: str) -> bool:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(time.time).result() > 0


@agent
def threaded(name: str) -> bool:
    thread = threading.Thread(target=time.sleep, args=(0.001,))
    thread.start()
    thread.join()
    return True


@agent
def shared(name: str) -> bool:
    [thread] = SHARED
    thread.start()
    thread.join()
    return TOLD == ["ran"]


@pytest.mark.parametrize("kind", [pooled, threaded, shared])
def test_a_thread_that_the_system_refuses_is_no_outcome(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []
    TOLD.clear()
    SHARED[:] = [threading.Thread(target=TOLD.append, args=("ran",))]
    start = originals.start_thread

    def start_thread(thread: threading.Thread) -> None:
        if thread.name.startswith(("golem-lane", "Thread-")) and not refused:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(originals, "start_thread", start_thread)
    engine = MemoryEngine()
    with Runtime.over(engine, RealEnvironment(), Settings()) as runtime:
        with suppress(AgentFailedError):  # who asks after it has stopped makes it go on
            runtime.trigger(kind, "refused").result(60)
        assert runtime.trigger(kind, "refused").result(60) is True
    assert len(refused) == 1


def test_a_thread_starts_once() -> None:
    def body() -> list[str]:
        thread = threading.Thread(target=time.sleep, args=(0.001,))
        thread.start()
        told: list[str] = []
        for each in (thread, object.__new__(threading.Thread)):
            with pytest.raises(RuntimeError) as caught:
                each.start()
            told.append(str(caught.value))
        thread.join()
        return told

    assert same(run(body)) == ["threads can only be started once", "thread.__init__() not called"]


def test_agents_older_than_lanes_are_refused_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    old = {**table.versions(), "threads": 1, "timers": 1}
    monkeypatch.setattr("golem_sdk.intercept.versions", lambda: old)
    with Runtime.over(MemoryEngine(), RealEnvironment(), Settings()) as runtime:
        sleepers = runtime.get(Sleepers, "old")
        texts = sleepers.start_some()
        [created] = [e for _, e in runtime.oplog(sleepers) if isinstance(e, Create)]
    assert created.interceptors["threads"] == 1
    tried = ("start a thread", "make a threading.Timer", "use a thread pool")
    for what, text in zip(tried, texts, strict=True):
        assert text.startswith(f"An agent tried to {what}. Nothing was started")
