"""The host loop: what it runs, and that nothing outlives it."""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context
from threading import Event, Semaphore
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import originals
from golem_sdk.runtime import hostloop
from golem_sdk.runtime.hostloop import HostLoop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

LAST_WORDS_S = hostloop._LAST_WORDS_S


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """Those that are started: others end when they do."""
    started: list[threading.Thread] = []
    start = originals.start_thread

    def starting(thread: threading.Thread) -> None:
        started.append(thread)
        start(thread)

    monkeypatch.setattr(originals, "start_thread", starting)
    return started


def test_close_cancels_what_runs_and_ends_the_thread(threads: list[threading.Thread]) -> None:
    host, begun, ended = HostLoop(), Event(), Event()

    async def effect() -> None:
        begun.set()
        await asyncio.Event().wait()

    def done(task: asyncio.Task[None]) -> None:
        assert task.cancelled()
        ended.set()

    host.run(effect, copy_context(), done)
    assert begun.wait(30)
    host.close()
    assert ended.is_set()
    assert [thread.is_alive() for thread in threads] == [False]


def test_what_is_cancelled_ends() -> None:
    host, begun, ended = HostLoop(), Event(), Event()

    async def effect() -> None:
        begun.set()
        await asyncio.Event().wait()

    running = host.run(effect, copy_context(), lambda task: ended.set())
    assert begun.wait(30)
    assert running is not None
    running.cancel()
    assert ended.wait(30)
    host.close()


def test_what_is_cancelled_before_it_has_begun_does_not_begin() -> None:
    """Another thread is about to tell the loop of both, but was interrupted."""
    host, ended = HostLoop(), Event()
    performed: list[object] = []

    async def first() -> None:
        pass

    async def effect() -> None:
        performed.append("effect")

    host.run(first, copy_context(), lambda task: ended.set())
    assert ended.wait(30)
    ended.clear()
    host._is_told = True
    running = host.run(effect, copy_context(), lambda task: ended.set())
    assert running is not None
    running.cancel()
    assert host._loop is not None
    host._loop.call_soon_threadsafe(host._begin)
    assert ended.wait(30)
    assert performed == []
    host.close()


def test_what_the_loop_was_not_told_of_before_close_comes_to_its_end() -> None:
    host, ended, closed = HostLoop(), Event(), Event()

    async def effect() -> None:
        pass

    host.run(effect, copy_context(), lambda task: ended.set())
    assert ended.wait(30)
    host._is_told = True  # by another thread that was interrupted then
    host.run(effect, copy_context(), lambda task: closed.set(), finish=True)
    host.close()
    assert closed.is_set()


def test_what_begins_while_it_is_closed_is_cancelled_too() -> None:
    host, begun = HostLoop(), Event()
    ended: list[asyncio.Task[None]] = []
    kept: list[AsyncGenerator[None]] = []

    def begin_late(followers: int) -> None:
        """As a thread does that had the loop before it was closed, and was interrupted then."""
        host._loop = asyncio.get_running_loop()
        host.run(lambda: effect(followers), copy_context(), ended.append)
        host._loop = None

    async def effect(followers: int) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            if followers:
                begin_late(followers - 1)
            for _ in range(9):  # the next one waits by then
                await asyncio.sleep(0)

    async def numbers() -> AsyncGenerator[None]:
        try:
            yield
        finally:
            begin_late(0)

    async def first() -> None:
        kept.append(numbers())
        await anext(kept[0])
        await effect(3)

    host.run(first, copy_context(), ended.append)
    assert begun.wait(30)
    thread = host._thread
    host.close()
    assert thread is not None
    thread.join(30)
    assert [task.cancelled() for task in ended] == [True] * 5


def test_nothing_runs_after_close(threads: list[threading.Thread]) -> None:
    """A fenced agent's thread may still be on its way to its next effect."""
    host = HostLoop()
    performed: list[object] = []

    async def effect() -> None:
        performed.append("effect")

    host.close()
    assert host.run(effect, copy_context(), performed.append) is None
    assert performed == []
    assert threads == []


def test_closing_twice_and_cancelling_late_is_harmless() -> None:
    host, ended = HostLoop(), Event()

    async def effect() -> None:
        pass

    running = host.run(effect, copy_context(), lambda task: ended.set())
    assert ended.wait(30)
    host.close()
    host.close()
    assert running is not None
    running.cancel()


def test_effects_that_begin_together_wake_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time takes a write to the loop's pipe, and has two threads contend for the interpreter."""
    told: list[object] = []
    loop = asyncio.new_event_loop()
    tell = loop.call_soon_threadsafe

    def telling(callback: Any, *args: Any) -> Any:
        told.append(callback)
        return tell(callback, *args)

    monkeypatch.setattr(loop, "call_soon_threadsafe", telling)
    host, holds, is_held, ended = HostLoop(lambda: loop), Event(), Event(), Semaphore(0)

    async def hold() -> None:
        is_held.set()
        assert holds.wait(30)

    async def effect() -> None:
        pass

    host.run(hold, copy_context(), lambda task: None)
    assert is_held.wait(30)
    told.clear()
    for _ in range(10):
        host.run(effect, copy_context(), lambda task: ended.release())
    assert len(told) == 1
    holds.set()
    for _ in range(10):
        assert ended.acquire(timeout=30)
    host.close()


def test_what_closes_a_connection_comes_to_its_end() -> None:
    host, ended = HostLoop(), Event()

    async def effect() -> None:
        while not host._closed:
            await asyncio.sleep(0)
        for _ in range(99):
            await asyncio.sleep(0)
        ended.set()

    host.run(effect, copy_context(), lambda task: task.result(), finish=True)
    host.close()
    assert ended.is_set()


def test_the_loop_is_left_to_itself_when_the_process_ends(threads: list[threading.Thread]) -> None:
    host, ended = HostLoop(), Event()

    async def effect() -> None:
        pass

    host.run(effect, copy_context(), lambda task: ended.set(), finish=True)
    assert ended.wait(30)
    (thread,) = threads
    assert thread.name == "golem-host"
    assert thread.daemon
    host.close()
    assert host._finishing == set(), "what has come to its end is not kept"


def test_a_loop_without_a_thread_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    loops = [asyncio.new_event_loop()]

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(originals, "start_thread", refuse)
    host = HostLoop(lambda: loops[0])
    with pytest.raises(RuntimeError, match="new thread"):
        host.run(asyncio.Event().wait, copy_context(), lambda task: None)
    assert loops[0].is_closed()


def test_generators_of_effects_are_closed_with_the_loop() -> None:
    host, begun, closed = HostLoop(), Event(), Event()
    kept: list[AsyncGenerator[int]] = []

    async def numbers() -> AsyncGenerator[int]:
        try:
            yield 1
        finally:
            closed.set()

    async def effect() -> None:
        kept.append(numbers())
        await anext(kept[0])

    host.run(effect, copy_context(), lambda task: begun.set())
    assert begun.wait(30)
    host.close()
    assert closed.is_set()


def test_closing_waits_for_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostloop, "_LAST_WORDS_S", LAST_WORDS_S)
    waited: list[float] = []

    class Stubborn:
        def join(self, timeout: float) -> None:
            waited.append(timeout)

    host, ended = HostLoop(), Event()

    async def effect() -> None:
        pass

    host.run(effect, copy_context(), lambda task: ended.set())
    assert ended.wait(30)
    thread, host._thread = host._thread, Stubborn()  # type: ignore[assignment]  # it does not end
    host.close()
    assert waited == [1.0]
    assert thread is not None
    thread.join(30)
