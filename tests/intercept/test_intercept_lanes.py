"""Threads that agent code starts are the agent's own: one at a time, in the same order in every run."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed
from concurrent.futures import wait as wait_for_futures
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from golem_sdk import atomically, durable, generate_idempotency_key
from golem_sdk.runtime.context import SCOPE
from golem_sdk.runtime.keys import _STRAND as STRAND
from intercept.replaying import nap, run, run_async, same

pytestmark = pytest.mark.filterwarnings("error")

VARIABLE: ContextVar[str] = ContextVar("variable", default="outside")


def test_threads_replay_with_the_calls_of_whoever_started_them() -> None:
    def body() -> list[Any]:
        seen: list[Any] = []

        def work(number: int) -> None:
            for step in range(3):
                seen.append((number, step, time.time()))
                nap()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        alive = [thread.is_alive() for thread in threads]
        nap()
        seen.append(("main", time.time()))
        for thread in threads:
            thread.join()
        return [seen, alive, [(t.name, t.daemon, t.is_alive()) for t in threads]]

    seen, alive, ends = same(run(body))
    assert len(seen) == 10
    assert alive == 3 * [True]
    assert ends == [(f"Thread-{number} (work)", False, False) for number in (1, 2, 3)]


def test_while_a_thread_waits_for_its_call_the_others_run_in_replay_too() -> None:
    def body() -> list[str]:
        seen: list[str] = []

        def call() -> None:
            durable(name="call")(lambda: None)()
            seen.append("has called")

        threads = [
            threading.Thread(target=call),
            threading.Thread(target=seen.append, args=("runs",)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return seen

    assert same(run(body)) == ["runs", "has called"]


def test_a_thread_does_not_wait_for_its_own_end() -> None:
    def body() -> list[str]:
        told: list[str] = []

        def work() -> None:
            with pytest.raises(RuntimeError) as caught:
                threading.current_thread().join()
            told.append(str(caught.value))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return told

    assert same(run(body)) == ["cannot join current thread"]


def test_a_negative_time_to_wait_for_a_thread_is_none() -> None:
    def body() -> list[bool]:
        seen: list[bool] = []
        go_on = threading.Event()
        thread = threading.Thread(target=lambda: seen.append(go_on.wait(0.5)))
        thread.start()
        thread.join(-1.0)
        go_on.set()
        thread.join()
        return seen

    assert same(run(body)) == [True]


def test_real_calls_of_threads_are_performed_at_the_same_time() -> None:
    met = threading.Barrier(3)

    def body() -> None:
        @durable(name="meet")
        def meet() -> None:
            met.wait(30)

        threads = [threading.Thread(target=meet) for _ in range(2)]
        for thread in threads:
            thread.start()
        meet()
        for thread in threads:
            thread.join()

    assert run(body).calls == ["meet", "meet", "meet"]


def test_thread_pools_replay() -> None:
    def work(number: int) -> tuple[int, float]:
        nap()
        if number == 7:
            raise KeyError(number)
        return number, time.time()

    def body() -> list[Any]:
        with ThreadPoolExecutor(3) as pool:
            futures = [pool.submit(work, number) for number in range(8)]
            finished = [futures.index(future) for future in as_completed(futures, timeout=60)]
            mapped = list(pool.map(work, range(5), timeout=60))
            more = [pool.submit(work, number) for number in range(5)]
            done, others = wait_for_futures(more, timeout=60, return_when=FIRST_COMPLETED)
            told = [(more.index(future), future.result()) for future in done]
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.submit(work, 1)
        return [finished, repr(futures[7].exception()), mapped, told, len(others)]

    finished, error, mapped, _, _ = same(run(body))
    assert sorted(finished) == list(range(8))
    assert error == "KeyError(7)"
    assert [number for number, _ in mapped] == list(range(5))


def test_sets_of_futures_iterate_alike() -> None:
    def body() -> list[int]:
        with ThreadPoolExecutor(40) as pool:
            futures = [pool.submit(int, "1") for _ in range(40)]
        done, _ = wait_for_futures(futures)
        return [futures.index(future) for future in [*done, *as_completed(futures)]]

    ballast = [Future[int]() for _ in range(101)]
    same(run(body, lambda: ballast.clear()))


def test_a_pool_runs_so_many_at_once_and_drops_what_is_cancelled() -> None:
    def body() -> list[Any]:
        seen: list[Any] = []
        go_on = threading.Event()

        def work(number: int) -> None:
            seen.append(f"begins {number}")
            go_on.wait()
            seen.append(f"ends {number}")

        pool = ThreadPoolExecutor(2)
        futures = [pool.submit(work, number) for number in range(5)]
        seen.append(futures[1].cancel())
        nap()
        pool.shutdown(wait=False, cancel_futures=True)
        seen.append("shut down")
        go_on.set()
        pool.shutdown()
        return [*seen, [future.cancelled() for future in futures]]

    *seen, cancelled = same(run(body))
    assert seen == [True, "begins 0", "begins 2", "shut down", "ends 0", "ends 2"]
    assert cancelled == [False, True, False, True, True]


def test_a_pool_has_as_many_threads_in_every_life(monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> list[int]:
        seen: list[int] = []

        def work(number: int) -> None:
            seen.append(number)
            nap()

        with ThreadPoolExecutor() as pool:
            list(pool.map(work, range(4)))
        return seen

    sizes = iter([2, 1])
    monkeypatch.setattr("golem_sdk.intercept.threads._default_size", lambda: next(sizes))
    same(run(body))
    assert next(sizes) == 1


def test_a_pool_that_waits_for_its_last_jobs_takes_no_more() -> None:
    def body() -> list[str]:
        told: list[str] = []

        def work() -> None:
            nap()
            with pytest.raises(RuntimeError) as caught:
                pool.submit(int)
            told.append(str(caught.value))

        with ThreadPoolExecutor(1) as pool:
            pool.submit(work)
        return told

    assert same(run(body)) == ["cannot schedule new futures after shutdown"]


def test_a_pool_that_is_shut_down_lets_its_threads_go() -> None:
    def after_a_nap() -> threading.Thread:
        nap()
        return threading.current_thread()

    def body() -> list[bool]:
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(threading.current_thread).result()
        waited = ThreadPoolExecutor(1)
        job = waited.submit(after_a_nap)
        waited.shutdown(wait=False)
        second = job.result()
        for thread in (first, second):
            thread.join(20)
        return [first.is_alive(), second.is_alive()]

    assert same(run(body)) == [False, False]


def test_threads_have_the_context_of_a_thread() -> None:
    def body() -> list[str]:
        VARIABLE.set("agent's")
        seen: list[str] = []
        thread = threading.Thread(target=lambda: seen.append(VARIABLE.get()))
        thread.start()
        thread.join()
        with ThreadPoolExecutor() as pool:
            return [*seen, pool.submit(VARIABLE.get).result(), VARIABLE.get()]

    assert same(run(body)) == ["outside", "outside", "agent's"]


def test_keys_are_those_of_a_strand_of_their_own() -> None:
    def body() -> list[str]:
        keys: list[str] = []
        strands = [STRAND.get()]

        def work() -> None:
            for _ in range(2):
                keys.append(str(generate_idempotency_key()))
                nap()
            strands.append(STRAND.get())

        thread = threading.Thread(target=work)
        thread.start()
        with ThreadPoolExecutor() as pool:
            pool.submit(work).result()
        thread.join()
        assert len({id(strand) for strand in strands}) == 3
        return keys

    assert len(set(same(run(body)))) == 4


def test_to_thread_counts_its_calls_apart_from_its_task() -> None:
    async def body() -> bool:
        VARIABLE.set("task's")
        strand, variable = await asyncio.to_thread(lambda: (STRAND.get(), VARIABLE.get()))
        assert variable == "task's"
        return strand is STRAND.get()

    assert same(run_async(body)) is False


def test_threads_of_an_atomic_region_are_in_it() -> None:
    def body() -> list[bool]:
        seen: list[bool] = []
        with atomically():
            region = SCOPE.get().region
            work = threading.Thread(target=lambda: seen.append(SCOPE.get().region == region != 0))
            work.start()
            work.join()
        return seen

    assert same(run(body)) == [True]


def test_an_async_agent_may_start_threads() -> None:
    async def body() -> list[float]:
        seen: list[float] = []

        def work() -> None:
            for _ in range(3):
                nap()
                seen.append(time.time())

        thread = threading.Thread(target=work)
        thread.start()
        with ThreadPoolExecutor() as pool:
            future = asyncio.wrap_future(pool.submit(time.time))
            seen.append(await future)
        await asyncio.to_thread(thread.join)
        thread.join()
        return seen

    assert len(same(run_async(body))) == 4


def test_threads_of_anyio_replay() -> None:
    async def body() -> list[Any]:
        seen: list[Any] = []

        def work(number: int) -> tuple[int, float]:
            nap()
            anyio.from_thread.run(anyio.sleep, 0.001)
            return number, time.time()

        async def one(number: int) -> None:
            seen.append(await anyio.to_thread.run_sync(work, number))

        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(one, number)
        return seen

    runs = run_async(body)
    assert sorted(number for number, _ in same(runs)) == [0, 1, 2, 3]
