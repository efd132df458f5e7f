"""Sagas: undone in reverse order, once each, also when the crash comes in the middle."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial

import pytest

from golem_sdk import Runtime, agent, durable, saga
from golem_sdk.errors import CompensationError, EncodingError, UsageError
from golem_sdk.runtime.context import current_or_performing
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive

WORLD: list[str] = []
KEYS = Counter[tuple[str, str]]()


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    WORLD.clear()
    KEYS.clear()


@durable
def do(what: str) -> str:
    session = current_or_performing()
    assert session is not None
    KEYS[str(session.keys.upcoming()), what] += 1
    if KEYS[str(session.keys.upcoming()), what] == 1:  # as a server that knows its keys
        WORLD.append(what)
    if what.startswith("fail"):
        raise ValueError(what)
    return what


@durable
async def do_async(what: str) -> str:
    await asyncio.sleep(0)
    WORLD.append(what)
    if what.startswith("fail"):
        raise ValueError(what)
    return what


def undo(what: str) -> None:
    do(f"undo {what}")


async def undo_async(what: str) -> None:
    await do_async(f"undo {what}")


@agent
def journey(plan: list[str]) -> str:
    try:
        with saga() as s:
            for what in plan:
                s.step(partial(do, what), undo)
    except ValueError as error:
        return f"undone: {error}"
    return "done"


@agent
async def journey_async(plan: list[str]) -> str:
    try:
        async with saga() as s:
            for what in plan:

                async def act(what: str = what) -> str:
                    return await do_async(what)

                await s.step(act, undo_async)
    except ValueError as error:
        return f"undone: {error}"
    return "done"


@agent
def stubborn(times: int) -> str:
    with saga(infallible=True) as s:
        s.step(lambda: do("seat"), undo)
        if WORLD.count("seat") < times:
            do("fail")
    return "done"


PLAN = ["flight", "hotel", "fail: no car"]
STORY = [*PLAN, "undo hotel", "undo flight"]


def test_a_failed_saga_is_undone_in_reverse_order() -> None:
    with Runtime.memory() as runtime:
        assert runtime.run(journey, PLAN) == "undone: fail: no car"
    assert WORLD == STORY


def test_a_saga_that_succeeds_is_not_undone() -> None:
    with Runtime.memory() as runtime:
        assert runtime.run(journey, PLAN[:2]) == "done"
    assert PLAN[:2] == WORLD


def test_asynchronous_sagas_are_undone_too() -> None:
    with Runtime.memory() as runtime:
        assert runtime.run(journey_async, PLAN) == "undone: fail: no car"
    assert WORLD == STORY


def test_a_crash_anywhere_changes_nothing() -> None:
    appends = drive([Step(journey, (PLAN,))]).appends
    for append in range(1, appends + 1):
        for moment in CrashMoment:
            fresh = CrashPoint(append, moment)
            WORLD.clear()
            KEYS.clear()
            end = drive([Step(journey, (PLAN,))], [fresh])
            assert end.results == (("result", "undone: fail: no car"),)
            assert WORLD == STORY
            assert max(KEYS.values()) <= 2


def test_an_infallible_saga_runs_again_under_new_keys() -> None:
    assert drive([Step(stubborn, (3,))]).results == (("result", "done"),)
    assert WORLD == ["seat", "fail", "undo seat", "seat", "fail", "undo seat", "seat"]


def test_a_compensation_that_fails_says_what_is_left() -> None:
    @agent
    def hopeless(name: str) -> None:
        with saga() as s:
            s.step(lambda: do("first"), undo)
            s.step(lambda: do("second"), lambda _: do("fail to undo"))
            s.step(lambda: do("third"), undo)
            raise LookupError("no money")

    with Runtime.memory() as runtime, pytest.raises(CompensationError) as caught:
        runtime.run(hopeless, "Ada")
    assert (caught.value.undone, caught.value.left) == (1, 2)
    assert isinstance(caught.value.failure, LookupError)
    assert isinstance(caught.value.__cause__, ValueError)
    assert WORLD == ["first", "second", "third", "undo third", "fail to undo"]


@durable
def give_nothing_storable(what: str) -> object:
    WORLD.append(what)
    return object()


def test_a_step_that_cannot_be_encoded_undoes_what_was_done_before() -> None:
    @agent
    def unstorable(name: str) -> str:
        try:
            with saga() as s:
                s.step(lambda: do("first"), undo)
                s.step(lambda: give_nothing_storable("second"), lambda _: undo("second"))
        except EncodingError as error:
            return str(error)
        return "booked"

    whole = drive([Step(unstorable, ("Ada",))])
    assert "cannot be stored" in whole.results[0][1]
    assert WORLD == ["first", "second", "undo first"], "the step itself counts as not done"
    for append in range(1, whole.appends + 1):
        assert drive(
            [Step(unstorable, ("Ada",))], [CrashPoint(append, CrashMoment.DURABLE)]
        ).results == (whole.results)


def test_outside_agents_a_saga_is_plain_python() -> None:
    undone: list[int] = []

    def plain() -> None:
        with saga() as s:
            s.step(lambda: 1, undone.append)
            raise LookupError

    with pytest.raises(LookupError):
        plain()
    assert undone == [1]


def test_misuse_is_explained() -> None:
    s = saga()
    with pytest.raises(UsageError, match="inside its block"):
        s.step(lambda: 1, print)
    with pytest.raises(UsageError, match="two functions"), saga() as s:
        s.step(1, print)  # type: ignore[call-overload]  # that is the mistake
    with pytest.raises(UsageError, match="True or False"):
        saga(infallible="yes")  # type: ignore[arg-type]  # that is the mistake
