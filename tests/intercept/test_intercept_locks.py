"""What an agent's threads wait with passes the turn on, and a wait that nothing can end is an error."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import durable
from golem_sdk.errors import NotDurableError, UsageError
from intercept.replaying import nap, run, run_async, same

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings("error")

TOLD: list[str] = []


def test_queues_locks_events_and_conditions_pass_the_turn_on() -> None:
    def body() -> list[Any]:
        seen: list[Any] = []
        numbers: queue.Queue[int | None] = queue.Queue(2)
        lock, ready, room = threading.RLock(), threading.Event(), threading.Semaphore(1)
        condition = threading.Condition()

        def producer() -> None:
            ready.wait()
            for number in range(4):
                nap()
                numbers.put(number)
            numbers.put(None)

        def holder(name: str) -> None:
            for step in range(2):
                with lock, lock, room:
                    seen.append((name, step))
                    nap()
                    seen.append((name, step, "over"))
            with condition:
                condition.notify()

        threads = [
            threading.Thread(target=producer),
            *(threading.Thread(target=holder, args=(name,)) for name in "ab"),
        ]
        with condition:
            for thread in threads:
                thread.start()
            condition.wait()
        ready.set()
        while True:
            try:
                number = numbers.get(timeout=0.0007)
            except queue.Empty:
                seen.append("nothing yet")
                continue
            if number is None:
                break
            seen.append(number)
        for thread in threads:
            thread.join()
        return seen

    live = same(run(body))
    held = [each for each in live if isinstance(each, tuple)]
    assert [each[:2] for each in held[::2]] == [each[:2] for each in held[1::2]]
    assert [each for each in live if isinstance(each, int)] == [0, 1, 2, 3]


def test_who_gives_a_lock_back_does_not_get_it_before_who_waits() -> None:
    def body() -> list[str]:
        seen: list[str] = []
        lock, stop = threading.Lock(), threading.Event()

        def greedy() -> None:
            while not stop.is_set():
                with lock:
                    nap()

        thread = threading.Thread(target=greedy)
        thread.start()
        nap()
        with lock:
            stop.set()
            seen.append("main")
        return seen

    assert same(run(body)) == ["main"]


def test_timers_are_durable_and_can_be_cancelled() -> None:
    def body() -> list[Any]:
        fired: list[float] = []
        timers = [threading.Timer(delay, lambda: fired.append(time.time())) for delay in (0.01, 60)]
        for timer in timers:
            timer.start()
        timers[1].cancel()
        timers[0].join()
        return fired

    runs = run(body)
    assert len(same(runs)) == 1
    assert runs.calls == ["golem:clock/sleep", "time.time"]


def test_a_join_has_a_time_out() -> None:
    def body() -> list[bool]:
        go_on = threading.Event()
        thread = threading.Thread(target=go_on.wait)
        thread.start()
        thread.join(0.001)
        alive = thread.is_alive()
        go_on.set()
        thread.join(60)
        return [alive, thread.is_alive()]

    runs = run(body)
    assert same(runs) == [True, False]
    assert runs.calls == ["golem:clock/sleep"]


def told(action: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        action()
    return str(caught.value)


def test_threads_that_wait_for_each_other_are_told_where() -> None:
    def body() -> list[str]:
        one, other, begun = threading.Lock(), threading.Lock(), threading.Event()
        seen: list[str] = []

        def work() -> None:
            with one:
                begun.set()
                nap()
                with other:
                    seen.append("thread got it")

        thread = threading.Thread(target=work)
        thread.start()
        with other:
            begun.wait(30)
            nap()
            seen.append(told(one.acquire))
        thread.join()
        return seen

    runs = run(body)
    assert runs.calls == ["golem:random/seed", "golem:clock/sleep", "golem:clock/sleep"]
    text, after = same(runs)
    assert text.startswith("Threads of the agent wait for each other")
    assert text.count(f"{__file__}:") == 4
    assert "Thread-1 (work) waits at" in text
    assert after == "thread got it"


def test_who_is_no_thread_of_the_agent_cannot_give_back_what_its_threads_wait_for() -> None:
    def body() -> list[str]:
        seen: list[str] = []
        lock = threading.Lock()

        def work() -> None:
            with lock:
                seen.append("thread got it")

        @durable(name="give_back")
        def give_back() -> None:
            lock.release()

        thread = threading.Thread(target=work)
        with lock:
            thread.start()
            nap()
            with pytest.raises(NotDurableError, match="Nothing was changed"):
                give_back()
        thread.join()
        return seen

    assert same(run(body)) == ["thread got it"]


def test_a_wait_that_nothing_can_end_is_an_error() -> None:
    def body() -> list[str]:
        lock = threading.Lock()
        lock.acquire()
        numbers: queue.Queue[int] = queue.Queue()
        return [told(lock.acquire), told(numbers.get), told(Future[int]().result)]

    texts = same(run(body))
    assert all("would wait for ever" in text and f"at {__file__}:" in text for text in texts)


def test_a_thread_that_nobody_rouses_does_not_keep_its_invocation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threading, "__excepthook__", lambda args: TOLD.append(repr(args.exc_value)))
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    TOLD.clear()

    def body() -> str:
        threading.Thread(target=queue.Queue[int]().get).start()
        return "main ended"

    assert same(run(body)) == "main ended"
    [error] = TOLD
    assert error.startswith("UsageError('Threads of the agent wait for each other")


def test_a_task_does_not_block_its_loop() -> None:
    async def body() -> list[str]:
        lock = threading.Lock()

        def hold() -> None:
            with lock:
                nap()

        thread = threading.Thread(target=hold)
        thread.start()
        await asyncio.sleep(0)
        texts = [told(lock.acquire), told(thread.join)]
        with ThreadPoolExecutor() as pool:
            future = pool.submit(nap)
            texts.append(told(future.result))
            await asyncio.wrap_future(future)
        await asyncio.to_thread(lock.acquire)
        return texts

    texts = same(run_async(body))
    assert all(text.startswith("A task of the agent would block its event loop") for text in texts)
    assert "a lock that was taken at" in texts[0]
    assert "the end of Thread-1 (hold)" in texts[1]


def test_a_lock_in_a_durable_call_is_any_lock() -> None:
    def body() -> list[str]:
        seen: list[str] = []
        lock = threading.Lock()

        def in_real_threads() -> list[str]:
            def work() -> None:
                with lock:
                    seen.append("in")

            threads = [threading.Thread(target=work) for _ in range(4)]
            with lock:
                for thread in threads:
                    thread.start()
            for thread in threads:
                thread.join(30)
            return list(seen)

        return durable(name="in_real_threads")(in_real_threads)()

    assert same(run(body)) == 4 * ["in"]
