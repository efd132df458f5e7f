"""A task that blocks its agent's loop is told once per line, if others wait; it is durable all the same."""

from __future__ import annotations

import asyncio
import threading
import time
import warnings
from types import SimpleNamespace
from typing import Any

import pytest

from golem_sdk import FunctionType, agent, durable, trigger
from golem_sdk.errors import BlockingCallWarning
from golem_sdk.runtime import blocking
from intercept.replaying import run, run_async


@pytest.fixture(autouse=True)
def _nothing_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking, "_told", set())


@durable(name="linger")
def linger() -> None:
    threading.Event().wait(0.06)


@durable(name="linger locally", function_type=FunctionType.READ_LOCAL)
def linger_locally() -> None:
    threading.Event().wait(0.06)


@agent
def answers_at_once(name: str) -> str:
    return name


async def both(work: Any) -> None:
    async def block() -> None:
        for _ in range(2):
            work()

    await asyncio.gather(block(), asyncio.sleep(0.001))


@pytest.mark.parametrize("work", [linger, lambda: time.sleep(0.06)], ids=["call", "sleep"])
def test_it_is_told_once_with_its_line(work: Any) -> None:
    with pytest.warns(BlockingCallWarning) as caught:
        runs = run_async(lambda: both(work))
    assert runs.live == runs.replayed
    [warning] = caught
    assert warning.filename == __file__
    assert f"({__file__}:{warning.lineno})" in str(warning.message)
    assert "asyncio.to_thread" in str(warning.message)


def test_where_warnings_are_errors_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_async(lambda: both(linger))
    assert [(each.name, each.levelname) for each in caplog.records] == [("golem_sdk", "WARNING")]
    assert "linger" in caplog.text


def test_threads_of_the_agent_wait_for_it_too() -> None:
    async def body() -> None:
        go_on = threading.Event()
        thread = threading.Thread(target=go_on.wait)
        thread.start()
        await asyncio.sleep(0)
        linger()
        go_on.set()
        await asyncio.to_thread(thread.join)

    with pytest.warns(BlockingCallWarning, match="but 1 other tasks of the agent waited"):
        run_async(body)


@pytest.mark.filterwarnings("error")
def test_nobody_is_told_where_nobody_waits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def alone() -> None:
        linger()
        time.sleep(0.06)

    async def in_a_thread() -> None:
        def block() -> None:
            linger()
            linger_locally()

        await asyncio.gather(asyncio.to_thread(block), asyncio.sleep(0.001))

    async def quick() -> None:
        await both(lambda: time.sleep(0.001))

    def in_turn() -> None:
        thread = threading.Thread(target=linger)
        thread.start()
        linger()
        thread.join()

    for each in (alone, in_a_thread):
        run_async(each)
    run(in_turn)
    monkeypatch.setattr(blocking, "_LONG_S", 30.0)  # the machine may stand still for a moment
    run_async(quick)
    assert not caplog.records


@pytest.mark.filterwarnings("error")
def test_nobody_is_told_where_another_agent_answers_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(blocking, "originals", SimpleNamespace(monotonic=lambda: 7.0))
    run_async(lambda: both(lambda: trigger(answers_at_once, "x").result()))
    assert not caplog.records
