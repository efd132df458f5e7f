"""Threads, thread pools, what they wait with, and timers."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any

import requests

from intercept.suite.case import Case
from intercept.suite.outsides import Web

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CASES"]


class Crossroads(Web):
    """A web server to which several come at once: it remembers them, but not their order."""

    @property
    def writes(self) -> list[tuple[str, str, bytes]]:
        return sorted(super().writes)

    @property
    def trace(self) -> list[object]:
        return sorted(super().trace, key=repr)


def _in_threads(*targets: Callable[[], object]) -> None:
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def ordered(values: list[Any]) -> list[Any]:
    """Without the order, in which another run of threads may differ."""
    return sorted(values, key=repr)


def threads(web: Any) -> list[Any]:
    seen: list[Any] = []

    def post(name: str) -> None:
        answer = requests.post(web.url("/json"), data=name, timeout=30)
        seen.append([name, answer.status_code])

    _in_threads(lambda: post("a"), lambda: post("b"))
    post("c")
    return seen


def thread_pool(web: Any) -> list[Any]:
    def get(number: int) -> int:
        return requests.get(web.url(f"/json?{number}"), timeout=30).status_code

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(get, number) for number in range(3)]
        return [future.result() for future in as_completed(futures)] + list(pool.map(str, [1, 2]))


def failing_pool(_: object) -> object:
    with ThreadPoolExecutor() as pool:
        return pool.submit(int, "x").result()


async def threads_of_tasks(web: Any) -> list[Any]:
    def get(number: int) -> int:
        return requests.get(web.url(f"/json?{number}"), timeout=30).status_code

    with ThreadPoolExecutor() as pool:
        future = asyncio.wrap_future(pool.submit(get, 0))
        return [await future, *await asyncio.gather(*(asyncio.to_thread(get, n) for n in (1, 2)))]


async def failing_task(_: object) -> object:
    return await asyncio.to_thread(int, "x")


def waits(_: object) -> list[Any]:
    seen: list[Any] = []
    numbers: queue.Queue[int] = queue.Queue(1)
    lock, done = threading.Lock(), threading.Condition()

    def put() -> None:
        for number in range(3):
            with lock:
                time.sleep(0.001)
            numbers.put(number)
        with done:
            done.notify_all()

    def get() -> None:
        for _ in range(3):
            seen.append(numbers.get())
            with lock:
                time.sleep(0.001)

    with done:
        threading.Thread(target=put).start()
        thread = threading.Thread(target=get)
        thread.start()
        seen.append(done.wait(30))
    thread.join()
    return seen


def waits_in_vain(_: object) -> object:
    return queue.Queue[int]().get(timeout=0.001)


def timers(_: object) -> list[Any]:
    fired: list[Any] = []
    timer = threading.Timer(0.001, fired.append, ["fired"])
    never = threading.Timer(30, fired.append, ["never"])
    for each in (timer, never):
        each.start()
    never.cancel()
    timer.join()
    return fired


def timer_without_delay(_: object) -> None:
    threading.Timer()  # type: ignore[call-arg]  # the point


CASES = [
    Case("threads", "threads", threads, failing_pool, Crossroads, view=ordered, local=True),
    Case("thread-pool", "threads", thread_pool, failing_pool, Crossroads, view=ordered),
    Case("threads-async", "threads", threads_of_tasks, failing_task, Crossroads),
    Case("locks", "locks", waits, waits_in_vain, view=ordered),
    Case("timers", "timers", timers, timer_without_delay),
]
