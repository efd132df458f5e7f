"""An agent that stands still while its threads wait is named in the log, with all the lines."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from typing import Any

import pytest

from golem_sdk import Runtime, agent
from golem_sdk.runtime import watch
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.storage.memory import MemoryEngine
from intercept.replaying import PATIENT, run

OUTSIDE = threading.Lock()
QUEUE: queue.SimpleQueue[str] = queue.SimpleQueue()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_PERIOD_S", 0.02)
    monkeypatch.setattr(watch, "_watch", watch._Watch())  # the other may sleep for a whole period


def hold() -> None:
    OUTSIDE.acquire()
    time.sleep(0.001)


@agent
class Locked:
    """Waits for a lock that a thread of its own has."""

    def __init__(self, name: str) -> None:
        self.name = name

    def main_waits(self) -> None:
        thread = threading.Thread(target=hold)
        thread.start()
        time.sleep(0)
        OUTSIDE.acquire()

    def thread_waits(self) -> None:
        thread = threading.Thread(target=lambda: OUTSIDE.acquire())
        OUTSIDE.acquire()
        thread.start()
        time.sleep(0.001)
        thread.join()

    async def task_waits(self) -> None:
        thread = threading.Thread(target=hold)
        thread.start()
        await asyncio.sleep(0)
        OUTSIDE.acquire()
        await asyncio.to_thread(thread.join)


@pytest.mark.parametrize("method", ["main_waits", "thread_waits", "task_waits"])
def test_both_lines_are_named(method: str, caplog: pytest.LogCaptureFixture) -> None:
    with Runtime.over(MemoryEngine(), RealEnvironment(), PATIENT) as runtime:
        handle: Any = runtime.get(Locked, method)
        end = runtime.trigger(getattr(handle, method))
        while "stands still" not in caplog.text:
            threading.Event().wait(0.001)
        OUTSIDE.release()
        end.result(60)
    OUTSIDE.release()
    [record] = caplog.records
    assert record.getMessage().count(f"{__file__}:") == 2


@agent
class Queued:
    """Has a thread that waits for what comes through a queue that stops the whole agent."""

    async def go(self) -> None:
        threading.Thread(target=lambda: print(QUEUE.get())).start()
        await asyncio.sleep(0.001)


def test_a_queue_that_stops_the_event_loop_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with Runtime.over(MemoryEngine(), RealEnvironment(), PATIENT) as runtime:
        end = runtime.trigger(runtime.get(Queued).go)
        while "stands still" not in caplog.text:
            threading.Event().wait(0.001)
        QUEUE.put("something")
        end.result(60)
    [record] = caplog.records
    assert f"{__file__}:" in record.getMessage()
    assert "at its event loop" in record.getMessage()
    assert "queue.SimpleQueue" in record.getMessage()


def test_who_only_waits_for_durable_calls_is_not_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "_PERIOD_S", 0.1)

    def body() -> None:
        thread = threading.Thread(target=time.sleep, args=[0.5])
        thread.start()
        time.sleep(0.25)
        thread.join()

    run(body)
    assert not caplog.records
