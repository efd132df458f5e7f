"""Steps of a saga that are made at the same time, and what a saga refuses."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import RetryPolicy, agent, durable, generate_idempotency_key, retry_policy
from golem_sdk.durability import SCOPE
from golem_sdk.errors import CompensationError, UsageError
from golem_sdk.guards.saga import Saga, saga
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive

if TYPE_CHECKING:
    from collections.abc import Callable

WORLD: list[str] = []
"""What happened, at a server that knows its keys: each is answered once more, and done once."""

KEYS = Counter[tuple[str, str]]()


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    WORLD.clear()
    KEYS.clear()


@durable
async def happen(what: str, key: str) -> str:
    return happened(what, key)


@durable(name="late:in_thread")
def happen_in_place(what: str, key: str) -> str:
    return happened(what, key)


def happened(what: str, key: str) -> str:
    KEYS[what, key] += 1
    if KEYS[what, key] == 1:
        WORLD.append(what)
    if what.startswith("fail") and not (what == "fail once" and WORLD.count(what) > 1):
        raise ValueError(what)
    return what


def book(s: Saga, what: str, after_s: float) -> Any:
    """A step that is done after a time."""
    key = str(generate_idempotency_key())

    async def do() -> str:
        await asyncio.sleep(after_s)
        return await happen(what, key)

    return s.step(do, partial(undo, key))


async def undo(key: str, what: str) -> None:
    await happen(f"undo {what}", f"undo {key}")


@agent
async def late_step(name: str) -> str:
    said = "booked"
    try:
        async with saga() as s:
            await asyncio.gather(book(s, "quick", 1), book(s, "fail", 2), book(s, "slow", 5))
    except ValueError as error:
        said = str(error)
    await asyncio.sleep(10)
    return said


@agent
async def failing_later(name: str) -> str:
    """The second failure is of a step that was under way when the saga had failed already."""
    try:
        async with saga() as s:
            await asyncio.gather(book(s, "quick", 1), book(s, "fail", 2), book(s, "fail later", 5))
    except ValueError as error:
        return str(error)
    return "booked"


@agent
async def nobody_waits(name: str) -> str:
    plan = [("fail", 2), ("slow", 5)]
    try:
        async with saga() as s:
            tasks = [asyncio.create_task(book(s, what, at)) for what, at in plan]
            await book(s, "quick", 1)
    except ValueError as error:
        failures = await asyncio.gather(*tasks, return_exceptions=True)
        return str(error) if error in failures else "another error"
    return "booked"


@agent
async def in_threads(name: str) -> str:
    """Synchronous steps of the asynchronous agent's threads are waited for, too."""

    def book_in_place(s: Saga, what: str, key: str) -> str:
        return s.step(
            lambda: happen_in_place(what, key), lambda done: happen_in_place(f"undo {done}", key)
        )

    try:
        async with saga() as s:
            await asyncio.gather(
                asyncio.to_thread(book_in_place, s, "quick", "1"),
                asyncio.to_thread(book_in_place, s, "fail", "2"),
            )
    except ValueError as error:
        return str(error)
    return "booked"


@agent
async def cancelled_while_it_waits(name: str) -> str:
    async def trip() -> None:
        async with saga() as s:
            await asyncio.gather(book(s, "quick", 1), book(s, "fail", 2), book(s, "slow", 5))

    task = asyncio.create_task(trip())
    await asyncio.sleep(3)
    task.cancel()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    return str(result)


@agent
async def cancelled_at_its_end(name: str) -> str:
    async def trip() -> None:
        async with saga() as s:
            tasks.append(asyncio.create_task(book(s, "slow", 5)))
            await book(s, "quick", 1)

    tasks: list[asyncio.Task[Any]] = []
    task = asyncio.create_task(trip())
    await asyncio.sleep(3)
    task.cancel()
    await asyncio.wait([task])
    return "cancelled" if task.cancelled() else "booked"


@agent
async def again_and_again(name: str) -> str:
    async with saga(infallible=True) as s:
        await asyncio.gather(book(s, "quick", 1), book(s, "fail once", 2), book(s, "slow", 5))
    return "booked"


STORY = ["quick", "fail", "slow", "undo slow", "undo quick"]
LATE = {
    late_step: ("fail", STORY),
    failing_later: ("fail", ["quick", "fail", "fail later", "undo quick"]),
    nobody_waits: ("fail", STORY),
    cancelled_while_it_waits: ("fail", STORY),
    cancelled_at_its_end: ("cancelled", ["quick", "slow", "undo slow", "undo quick"]),
}


@pytest.mark.parametrize("suspend_after_s", [0.0, 1e9], ids=["unloaded", "kept"])
@pytest.mark.parametrize("target", LATE, ids=lambda each: each.__name__)
def test_a_step_that_ends_after_the_saga_failed_is_undone_once(
    target: Any, suspend_after_s: float
) -> None:
    said, story = LATE[target]
    steps = [Step(target, ("x",))]
    whole = drive(steps, suspend_after_s=suspend_after_s)
    assert whole.results == (("result", said),)
    assert story == WORLD
    for append in range(1, whole.appends + 1):
        for moment in CrashMoment:
            WORLD.clear()
            KEYS.clear()
            end = drive(steps, [CrashPoint(append, moment)], suspend_after_s=suspend_after_s)
            assert end.results == whole.results
            assert story == WORLD, "each once, whenever it crashed"


def test_steps_in_threads_are_waited_for() -> None:
    whole = drive([Step(in_threads, ("x",))])
    assert whole.results == (("result", "fail"),)
    assert set(WORLD) == {"quick", "fail", "undo quick"}
    for append in range(1, whole.appends + 1):
        WORLD.clear()
        KEYS.clear()
        end = drive([Step(in_threads, ("x",))], [CrashPoint(append, CrashMoment.LOST)])
        assert end.results == whole.results
        assert sorted(WORLD) == ["fail", "quick", "undo quick"]


def test_an_infallible_saga_waits_before_it_runs_again() -> None:
    assert drive([Step(again_and_again, ("x",))]).results == (("result", "booked"),)
    failed = ["quick", "fail once", "slow", "undo slow", "undo quick"]
    assert [*failed, "quick", "fail once", "slow"] == WORLD


def test_a_step_that_had_not_begun_when_the_block_ended_is_refused() -> None:
    @agent
    async def left_at_once(name: str) -> str:
        try:
            async with saga() as s:
                task = asyncio.create_task(book(s, "late", 0))
                raise LookupError
        except LookupError:
            pass
        with pytest.raises(UsageError, match="inside its block"):
            await task
        return "refused"

    assert drive([Step(left_at_once, ("x",))]).results == (("result", "refused"),)
    assert WORLD == []


# --- what is refused --------------------------------------------------------------------------------


async def do_async() -> str:
    WORLD.append("done")
    return "done"


async def undo_async(what: str) -> None:
    WORLD.append("undone")


@pytest.mark.parametrize(
    ("do", "undo"), [(do_async, print), (lambda: WORLD.append("done"), undo_async)]
)
def test_coroutine_functions_in_a_plain_block_are_refused_before_anything_is_done(
    do: Callable[[], Any], undo: Callable[[Any], Any]
) -> None:
    @agent
    def plain_block(name: str) -> str:
        with pytest.raises(UsageError, match="async with saga"), saga() as s:
            s.step(do, undo)
        return "refused"

    assert drive([Step(plain_block, ("x",))]).results == (("result", "refused"),)
    assert WORLD == []


def test_a_coroutine_that_no_one_could_foresee_is_refused_when_it_is_to_undo() -> None:
    def unforeseen() -> None:
        with saga() as s:
            s.step(lambda: 1, lambda done: undo_async("x"))
            raise LookupError

    with pytest.raises(CompensationError) as caught:
        unforeseen()
    assert isinstance(caught.value.__cause__, UsageError)


def test_a_saga_ends_even_if_it_cannot_be_undone() -> None:
    def undo_in_vain(s: Saga) -> None:
        with s:
            s.step(lambda: 1, lambda done: happen_in_place("fail", "1"))
            raise LookupError

    @agent
    def undone_in_vain(name: str) -> str:
        with retry_policy(RetryPolicy(max_attempts=1)):
            before = SCOPE.get()
            s = saga(infallible=True)
            with pytest.raises(CompensationError):
                undo_in_vain(s)
            assert SCOPE.get() == before, "what follows has its own keys again"
        with pytest.raises(UsageError, match="inside its block"):
            s.step(lambda: 1, print)
        return "ended"

    assert drive([Step(undone_in_vain, ("x",))]).results == (("result", "ended"),)


def test_a_saga_is_one_block() -> None:
    s = saga()
    with s:
        pass
    with pytest.raises(UsageError, match="one block"):
        s.__enter__()
    with pytest.raises(UsageError, match="inside its block"):
        s.step(lambda: 1, print)


def test_a_synchronous_block_cannot_wait_for_threads() -> None:
    """Outside agents, where threads are free: what ends too late is undone by its own step."""
    begun, over = threading.Event(), threading.Event()
    undone: list[str] = []
    refused: list[UsageError] = []
    s = saga()

    def do() -> str:
        begun.set()
        over.wait()
        return "late"

    def step() -> None:
        try:
            s.step(do, undone.append)
        except UsageError as error:
            refused.append(error)

    def leave_too_early() -> None:
        with s:
            thread.start()
            begun.wait()

    thread = threading.Thread(target=step)
    with pytest.raises(UsageError, match="under way in another thread"):
        leave_too_early()
    over.set()
    thread.join()
    assert undone == ["late"]
    assert "which waits for it" in str(refused[0])


def test_outside_agents_asynchronous_steps_are_waited_for() -> None:
    story: list[str] = []

    async def act(what: str, turns: int) -> str:
        for _ in range(turns):
            await asyncio.sleep(0)
        story.append(what)
        if what == "fail":
            raise LookupError
        return what

    async def main() -> None:
        async with saga() as s:
            await asyncio.gather(
                s.step(partial(act, "slow", 5), lambda done: story.append(f"undo {done}")),
                s.step(partial(act, "fail", 1), print),
            )

    with pytest.raises(LookupError):
        asyncio.run(main())
    assert story == ["fail", "slow", "undo slow"]


def test_a_lambda_that_gives_a_coroutine_is_an_asynchronous_step() -> None:
    story: list[str] = []

    async def act(what: str) -> str:
        story.append(what)
        return what

    async def booked() -> None:
        async with saga() as s:
            assert await s.step(lambda: act("book"), lambda done: act(f"undo {done}")) == "book"
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(booked())
    assert story == ["book", "undo book"]

    def plain() -> None:
        with saga() as s:
            never: Callable[[], Any] = lambda: act("never")  # noqa: E731  # what is tested
            s.step(never, print)

    with pytest.raises(UsageError, match="async with saga"):
        plain()
    assert story == ["book", "undo book"]
