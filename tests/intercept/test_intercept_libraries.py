"""What libraries measure for themselves writes no entry, and is the same on replay where it shows."""

from __future__ import annotations

import importlib
import logging
import queue
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import tenacity

from intercept.replaying import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIBRARY = """
import time
from time import monotonic as clock
def readings():
    return [clock(), time.time(), time.time_ns()]
def wait():
    time.sleep(0.001)
"""


@pytest.fixture
def imported_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a listed library's module that nobody has imported yet."""
    (tmp_path / "later.py").write_text(LIBRARY)
    monkeypatch.setattr(logging, "__path__", [*logging.__path__, str(tmp_path)])
    yield "logging.later"
    del sys.modules["logging.later"], vars(logging)["later"]


def test_a_library_imported_later_gets_its_clock(imported_later: str) -> None:
    run(lambda: None)
    library = importlib.import_module(imported_later)

    def body() -> list[Any]:
        time.time()
        return list(library.readings())

    runs = run(body)
    assert runs.calls == ["time.time"]
    assert runs.replayed == runs.live
    seconds, wall, wall_ns = runs.live
    assert seconds == wall == wall_ns / 1e9


def test_its_waits_are_those_of_the_agent(imported_later: str) -> None:
    run(lambda: None)
    library = importlib.import_module(imported_later)
    assert run(lambda: library.wait()).calls == ["golem:clock/sleep"]


def test_outside_agents_it_follows_the_time_module(
    imported_later: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(lambda: None)
    library = importlib.import_module(imported_later)
    monkeypatch.setattr(time, "time", lambda: 7.0)
    assert library.readings()[1] == 7.0


def test_log_records_carry_the_agents_time() -> None:
    created: list[float] = []

    def note(record: logging.LogRecord) -> bool:
        created.append(record.created)
        return True

    logger = logging.getLogger("intercepted.times")
    logger.addFilter(note)

    def body() -> float:
        logger.error("x")
        return created.pop()

    runs = run(body)
    assert runs.calls == []
    assert runs.replayed == runs.live


def test_waiting_libraries_keep_the_real_clock() -> None:
    numbers, event = queue.Queue[int](), threading.Event()
    lock, condition = threading.Lock(), threading.Condition()

    def body() -> list[bool]:
        with pytest.raises(queue.Empty):
            numbers.get(timeout=0.001)
        with condition:
            waited = condition.wait_for(lambda: False, 0.001)
        with lock:
            return [event.wait(0.001), lock.acquire(timeout=0.001), waited]

    runs = run(body)
    assert runs.calls == []
    assert runs.live == runs.replayed == [False, False, False]


def test_what_agent_code_makes_to_wait_with_has_durable_timers() -> None:
    def body() -> list[bool]:
        with pytest.raises(queue.Empty):
            queue.Queue[int]().get(timeout=0.001)
        condition = threading.Condition()
        with condition:
            waited = condition.wait_for(lambda: False, 0.001)
        lock = threading.Lock()
        return [threading.Event().wait(0.001), lock.acquire(timeout=0.001), waited]

    runs = run(body)
    assert runs.calls == 3 * ["golem:clock/sleep"]
    assert runs.live == runs.replayed == [False, True, False]


def test_retries_by_tenacity() -> None:
    def body() -> int:
        attempts: list[int] = []

        @tenacity.retry(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_random(0, 0.001))
        def flaky() -> int:
            attempts.append(1)
            if len(attempts) < 3:
                raise OSError("not yet")
            return len(attempts)

        return flaky()

    runs = run(body)
    assert runs.live == runs.replayed == 3
    assert runs.calls == ["golem:random/seed", "golem:clock/sleep", "golem:clock/sleep"]
