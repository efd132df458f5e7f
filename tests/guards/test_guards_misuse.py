"""Guards that are entered and left by hand, in the wrong order or place: explained, and nothing is lost."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import (
    PersistenceLevel,
    RetryPolicy,
    agent,
    atomically,
    durable,
    idempotence_mode,
    persistence_level,
    retry_policy,
)
from golem_sdk.core.entries import BeginAtomicRegion, EndAtomicRegion
from golem_sdk.core.scopes import DEFAULT_SCOPE
from golem_sdk.durability import SCOPE
from golem_sdk.errors import UsageError
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator

    from golem_sdk.guards.base import Guard

SENT: list[str] = []
ONCE = RetryPolicy(max_attempts=1)
GUARDS: list[Callable[[], Guard]] = [
    atomically,
    lambda: idempotence_mode(True),
    lambda: persistence_level(PersistenceLevel.PERSIST_REMOTE_SIDE_EFFECTS),
    lambda: retry_policy(ONCE),
]


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    SENT.clear()


@durable
def send(what: str) -> str:
    SENT.append(what)
    return what


def leave(guard: Guard) -> None:
    guard.__exit__(None, None, None)


def never_entered(first: Guard, second: Guard) -> None:
    leave(first)


def left_twice(first: Guard, second: Guard) -> None:
    with first:
        leave(first)


def wrong_order(first: Guard, second: Guard) -> None:
    first.__enter__()
    second.__enter__()
    try:
        leave(first)
    finally:
        leave(second)
        leave(first)


def generator_outlives_a_block(first: Guard, second: Guard) -> None:
    def items() -> Generator[int, None, None]:
        with first:
            yield 1

    left = items()
    next(left)
    with second:
        left.close()


def another_is_open(first: Guard, second: Guard) -> None:
    with second:
        leave(first)


MISUSES = [never_entered, left_twice, wrong_order, generator_outlives_a_block, another_is_open]


def explained(misuse: Callable[[Guard, Guard], None], first: Guard, second: Guard) -> str:
    with pytest.raises(UsageError) as caught:
        misuse(first, second)
    return str(caught.value)


@pytest.mark.parametrize("misuse", MISUSES)
@pytest.mark.parametrize("kind", range(len(GUARDS)))
def test_misuse_is_explained_live_and_in_replay(
    kind: int, misuse: Callable[[Guard, Guard], None]
) -> None:
    @agent
    class Careless:
        def __init__(self, name: str) -> None:
            pass

        def run(self) -> list[str]:
            said = explained(misuse, GUARDS[kind](), retry_policy(ONCE))
            return [said, send("run")]

        def after(self) -> str:
            assert SCOPE.get() == DEFAULT_SCOPE
            return send("after")

    steps = [Step(Careless, ("a",), "run"), Step(Careless, ("a",), "after")]
    whole = drive(steps)
    assert "with" in whole.results[0][1][0]
    for append in range(1, whole.appends + 1):
        for moment in (CrashMoment.LOST, CrashMoment.DURABLE):
            assert drive(steps, [CrashPoint(append, moment)]).results == whole.results


@pytest.mark.parametrize("misuse", [never_entered, left_twice, wrong_order, another_is_open])
def test_outside_agents_too(misuse: Callable[[Guard, Guard], None]) -> None:
    assert explained(misuse, atomically(), retry_policy(ONCE))
    with atomically():
        pass


def test_after_a_wrong_order_the_right_one_still_works() -> None:
    @agent
    def left_rightly(name: str) -> str:
        first, second = atomically(), retry_policy(ONCE)
        first.__enter__()
        second.__enter__()
        inside = SCOPE.get()
        with pytest.raises(UsageError, match="another one, entered in its block"):
            leave(first)
        assert SCOPE.get() is inside
        leave(second)
        leave(first)
        assert SCOPE.get() == DEFAULT_SCOPE
        return send(name)

    end = drive([Step(left_rightly, ("x",))])
    assert end.results == (("result", "x"),)
    assert regions(end.oplogs) == (1, 1)


def test_one_guard_may_be_entered_again_inside_itself() -> None:
    @agent
    def reentered(name: str) -> str:
        guard = atomically()
        with guard, guard:
            send(name)
        assert SCOPE.get() == DEFAULT_SCOPE
        return send("after")

    end = drive([Step(reentered, ("x",))])
    assert end.results == (("result", "after"),)
    assert regions(end.oplogs) == (2, 2)


def test_a_guard_is_left_by_the_task_that_entered_it() -> None:
    @agent
    async def left_in_tasks(name: str) -> str:
        guard = atomically()
        entered = asyncio.Event()
        to_leave = asyncio.Event()

        async def enter() -> None:
            with guard:
                entered.set()
                await to_leave.wait()
                await child_leaves(guard)
                await asyncio.to_thread(refused, guard)
            assert SCOPE.get() == DEFAULT_SCOPE

        task = asyncio.create_task(enter())
        await entered.wait()
        refused(guard)
        to_leave.set()
        await task
        return send(name)

    end = drive([Step(left_in_tasks, ("x",))])
    assert end.results == (("result", "x"),)
    assert regions(end.oplogs) == (1, 1)


async def child_leaves(guard: Guard) -> None:
    async def child() -> None:
        refused(guard)

    await asyncio.create_task(child())


def refused(guard: Guard) -> None:
    with pytest.raises(UsageError, match=r"left by the task|not entered here"):
        leave(guard)


def test_a_context_that_was_copied_cannot_leave_a_guard_again() -> None:
    @agent
    def left_in_a_copy(name: str) -> str:
        guard = atomically()
        guard.__enter__()
        copy_context().run(leave, guard)
        with pytest.raises(UsageError, match="left already"):
            leave(guard)
        assert SCOPE.get() == DEFAULT_SCOPE
        return send(name)

    end = drive([Step(left_in_a_copy, ("x",))])
    assert end.results == (("result", "x"),)
    assert regions(end.oplogs) == (1, 1)


@agent
class Forgetful:
    """Enters atomic regions and never leaves them."""

    def __init__(self, name: str) -> None:
        pass

    def sync(self) -> str:
        atomically().__enter__()
        return send("sync")

    def raising(self) -> None:
        atomically().__enter__()
        raise LookupError(send("raising"))

    async def asynchronous(self) -> str:
        async def items() -> AsyncIterator[int]:
            with atomically():
                yield 1
                yield 2

        async for _ in items():
            break
        await asyncio.sleep(0)  # the generator is closed, in a task of its own
        with retry_policy(ONCE):
            pass
        assert SCOPE.get() == DEFAULT_SCOPE
        atomically().__enter__()
        self.task = asyncio.create_task(self.leftover())
        await asyncio.sleep(0)
        return send("async")

    async def leftover(self) -> None:
        with atomically():
            await asyncio.sleep(1e9)

    def after(self) -> str:
        return send("after")


@pytest.mark.parametrize("method", ["sync", "raising", "asynchronous"])
def test_a_block_that_is_never_left_ends_with_the_method(method: str) -> None:
    """Else the next replay would take it for interrupted, and forget an answer that was given."""
    steps = [Step(Forgetful, ("a",), method), Step(Forgetful, ("a",), "after")]
    whole = drive(steps)
    assert whole.results[0][1] in ("sync", "async", "LookupError")
    begun, ended = regions(whole.oplogs)
    assert begun == ended > 0
    assert whole.results[1] == ("result", "after")
    for append in range(1, whole.appends + 1):
        for moment in CrashMoment:
            SENT.clear()
            end = drive(steps, [CrashPoint(append, moment)])
            assert end.results == whole.results
            assert SENT[SENT.index("after") :] in (["after"], ["after", "after"])


def regions(oplogs: Any) -> tuple[int, int]:
    """How many atomic regions were begun, and how many ended."""
    (oplog,) = oplogs.values()
    kinds = [type(entry) for _, entry in oplog]
    return kinds.count(BeginAtomicRegion), kinds.count(EndAtomicRegion)


def test_in_plain_asyncio_guards_do_nothing() -> None:
    async def main() -> str:
        with atomically(), retry_policy(ONCE):
            await asyncio.sleep(0)
        return "done"

    assert asyncio.run(main()) == "done"
