"""Processes in an agent are refused with a message that says what to do instead."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
import time
from asyncio.tasks import as_completed as early_as_completed
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING

import pytest

from golem_sdk import durable
from golem_sdk.errors import NotDurableError
from intercept.replaying import run, run_async

if TYPE_CHECKING:
    from collections.abc import Callable


def prepared_pool() -> object:
    return ThreadPoolExecutor(1, initializer=int).submit(int)


@pytest.mark.parametrize(
    ("start", "advice"),
    [
        pytest.param(prepared_pool, "to_thread", id="prepared-thread-pool"),
        pytest.param(lambda: ProcessPoolExecutor(1).submit(int), "@durable", id="process-pool"),
        pytest.param(
            lambda: multiprocessing.get_context("spawn").Process(target=int).start(),
            "@durable",
            id="process",
        ),
        pytest.param(
            lambda: multiprocessing.get_context("spawn").Pool(1),
            "@durable",
            id="process-pool-of-old",
        ),
        pytest.param(lambda: ThreadPool(1), "concurrent.futures", id="thread-pool-of-old"),
        pytest.param(lambda: os.fork(), "@durable", id="fork"),
        pytest.param(lambda: os.forkpty(), "@durable", id="forkpty"),
    ],
)
def test_it_is_refused_in_an_agent(start: Callable[[], object], advice: str) -> None:
    def body() -> str:
        with pytest.raises(NotDurableError) as caught:
            start()
        return str(caught.value)

    runs = run(body)
    assert advice in runs.live
    assert runs.calls == []


def test_outside_agents_threads_start() -> None:
    run(lambda: None)
    done = threading.Event()
    threading.Thread(target=done.set).start()
    assert done.wait(60)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(int).result(60) == 0


@durable
def counted_in_threads() -> int:
    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(int, ["1", "2"]))


def test_a_durable_function_may_start_threads() -> None:
    assert run(counted_in_threads).live == 3


def test_a_thread_that_somebody_else_has_started_is_not_started_again() -> None:
    begun = threading.Thread(target=int)
    begun.start()

    def body() -> str:
        with pytest.raises(RuntimeError) as caught:
            begun.start()
        return str(caught.value)

    runs = run(body)
    assert runs.replayed == runs.live == "threads can only be started once"


def test_an_async_agent_uses_to_thread() -> None:
    async def body() -> float:
        return await asyncio.to_thread(time.time)

    runs = run_async(body)
    assert runs.replayed == runs.live
    assert "time.time" in runs.calls


def test_as_completed_is_repeated() -> None:
    async def later(delay_s: float) -> float:
        await asyncio.sleep(delay_s)
        return delay_s

    async def body() -> list[float]:
        delays = (0.003, 0.001, 0.002)
        return [await each for each in early_as_completed([later(d) for d in delays])]

    runs = run_async(body)
    assert runs.replayed == runs.live
    assert sorted(runs.live) == [0.001, 0.002, 0.003]


def test_as_completed_outside_agents_is_the_original() -> None:
    run(lambda: None)

    async def body() -> list[int]:
        async def one() -> int:
            return 1

        return [await each for each in asyncio.as_completed([one(), one()])]

    assert asyncio.run(body()) == [1, 1]
