"""Jumps and what runs again as a whole: none lands inside it, no key serves two runs, nothing is endless."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from golem_sdk import (
    PersistenceLevel,
    RetryPolicy,
    agent,
    atomically,
    checkpoint,
    durable,
    generate_idempotency_key,
    get_oplog_index,
    mark_begin_operation,
    mark_end_operation,
    persistence_level,
    retry_policy,
    saga,
    set_oplog_index,
)
from golem_sdk.core.plan import fold_plan
from golem_sdk.errors import UsageError
from golem_sdk.runtime.context import current_or_performing
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import End, Step, drive

if TYPE_CHECKING:
    from collections.abc import Callable

PAID: list[str] = []
"""What was paid, by a server that knows its keys: a key that it has seen pays nothing."""

KEYS = Counter[str]()
MANY = 8
"""After so many tries the outside gives in: a loop that never ends would hang the test."""


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    PAID.clear()
    KEYS.clear()


@durable
def pay(what: str) -> int:
    session = current_or_performing()
    assert session is not None
    key = str(session.keys.upcoming())
    KEYS[key] += 1
    if KEYS[key] == 1:
        PAID.append(what)
    return sum(KEYS.values())


@durable
def is_up(service: str) -> bool:
    return sum(KEYS.values()) >= MANY


def refund(done: int) -> None:
    pay("refund")


def try_until_up() -> None:
    with saga(infallible=True) as s:
        s.step(lambda: pay("seat"), refund)
        if not is_up("bank"):
            raise ConnectionError("the bank is down")


def saga_in_region() -> None:
    with atomically():
        pay("first")
        try_until_up()


def saga_in_operation() -> None:
    begin = mark_begin_operation()
    try_until_up()
    mark_end_operation(begin)


def saga_in_zone() -> None:
    with persistence_level(PersistenceLevel.PERSIST_NOTHING):
        try_until_up()


def checkpoint_in_region() -> None:
    with atomically():
        pay("first")
        place = checkpoint(attempts=3)
        pay("second")
        place.assert_or_revert(is_up("bank"))


def checkpoint_in_operation() -> None:
    mark_begin_operation()
    place = checkpoint(attempts=3)
    pay("second")
    place.assert_or_revert(is_up("bank"))


def jump_in_region() -> None:
    with atomically():
        pay("first")
        place = get_oplog_index()
        pay("second")
        if not is_up("bank"):
            set_oplog_index(place)


def jump_into_closed_region() -> None:
    with atomically():
        pay("first")
        place = get_oplog_index()
        pay("second")
    if not is_up("bank"):
        set_oplog_index(place)


REFUSED: dict[str, tuple[Callable[[], None], list[str]]] = {
    program.__name__: (program, paid)
    for program, paid in (
        (saga_in_region, ["first"]),
        (saga_in_operation, []),
        (saga_in_zone, []),
        (checkpoint_in_region, ["first"]),
        (checkpoint_in_operation, []),
        (jump_in_region, ["first", "second"]),
        (jump_into_closed_region, ["first", "second"]),
    )
}


@agent
class Refused:
    """Runs a program and tells how it was refused; what it recorded is replayed in later invocations."""

    def __init__(self, name: str) -> None:
        pass

    @retry_policy(RetryPolicy(max_attempts=1))
    def run(self, program: str) -> str:
        try:
            REFUSED[program][0]()
        except UsageError as error:
            return str(error)
        return "not refused"

    def after(self) -> int:
        return pay("after")


def crashed_everywhere(steps: list[Step]) -> list[tuple[End, list[str]]]:
    """How it ends without a crash, then with one at every append; each with what was paid."""
    ends = []
    whole = drive(steps)
    ends.append((whole, PAID.copy()))
    for append in range(1, whole.appends + 1):
        for moment in CrashMoment:
            PAID.clear()
            KEYS.clear()
            ends.append((drive(steps, [CrashPoint(append, moment)]), PAID.copy()))
    for end, _ in ends:
        for oplog in end.oplogs.values():
            fold_plan(oplog)
    return ends


@pytest.mark.parametrize("name", REFUSED)
def test_a_place_inside_what_runs_again_is_refused_live_and_in_replay(name: str) -> None:
    steps = [Step(Refused, ("a",), "run", (name,)), Step(Refused, ("a",), "after")]
    for end, paid in crashed_everywhere(steps):
        said = end.results[0]
        assert said[0] == "result"
        assert "run again" in said[1]
        assert end.results[1][0] == "result"
        assert paid == [*REFUSED[name][1], "after"], "each once, as the keys are the same"


@agent
def out_of_a_region() -> str:
    place = checkpoint(attempts=3)
    with atomically():
        pay("inside")
        place.assert_or_revert(is_up("bank"), "down")
    return "up"


def test_a_jump_out_of_a_region_counts() -> None:
    for end, _ in crashed_everywhere([Step(out_of_a_region, ())]):
        assert end.results[0][:2] == ("error", "RuntimeError")


@agent
async def beside_a_region(fails: bool) -> str:
    """Its saga begins while another task is in an atomic region, and fails when that is closed."""

    async def region() -> None:
        with atomically():
            pay("region")
            await asyncio.sleep(1)

    task = asyncio.create_task(region())
    await asyncio.sleep(0)
    async with saga(infallible=True) as s:
        s.step(lambda: pay("seat"), refund)
        await task
        if fails:
            raise ConnectionError
    return "booked"


@pytest.mark.parametrize(
    ("fails", "paid"), [(False, ["region", "seat"]), (True, ["region", "seat", "refund"])]
)
def test_a_saga_beside_a_region_runs_once(fails: bool, paid: list[str]) -> None:
    for end, seen in crashed_everywhere([Step(beside_a_region, (fails,))]):
        assert end.results[0][1] == ("UsageError" if fails else "booked")
        assert set(seen) == set(paid)
        assert not fails or "run again" in end.results[0][2][0]


@agent
def to_the_begin_of_a_region() -> str:
    begin = mark_begin_operation()
    pay("inside")
    if sum(KEYS.values()) < 3:
        set_oplog_index(begin)
    mark_end_operation(begin)
    return "done"


def test_a_region_can_be_made_to_run_again() -> None:
    for end, paid in crashed_everywhere([Step(to_the_begin_of_a_region, ())]):
        assert end.results == (("result", "done"),)
        assert paid == ["inside"], "under the same key"


# --- an infallible saga's keys ----------------------------------------------------------------------


@durable
def pay_once_up(what: str, tries: int) -> str:
    """The first ``tries`` times this service is down."""
    DOWN[what] += 1
    if DOWN[what] <= tries:
        raise LookupError(what)
    return what


DOWN = Counter[str]()


@agent
class Stubborn:
    def __init__(self, name: str) -> None:
        pass

    def book(self) -> str:
        with saga(infallible=True) as trip:
            trip.step(lambda: pay("flight"), refund)
            with saga(infallible=True) as stay:
                stay.step(lambda: pay("hotel"), refund)
                note(str(generate_idempotency_key()))
                pay_once_up("hotel", 1)
            pay_once_up("trip", 1)
        with saga(infallible=True) as s:
            s.step(lambda: pay("car"), refund)
        pay("insurance")
        return "booked"

    def after(self) -> int:
        return pay("after")


@durable
def note(key: str) -> str:
    return key


def test_no_key_of_an_infallible_saga_serves_two_calls() -> None:
    """Nor does one of a run that was undone serve what follows the saga, which counts calls anew."""
    steps = [Step(Stubborn, ("a",), "book"), Step(Stubborn, ("a",), "after")]
    DOWN.clear()
    assert [result[0] for result in drive(steps).results] == ["result", "result"]
    failed = ["flight", "hotel", "refund", "hotel", "refund"]
    assert [*failed, "flight", "hotel", "car", "insurance", "after"] == PAID
    assert max(KEYS.values()) == 1


def test_a_saga_that_ran_again_is_replayed_in_later_invocations() -> None:
    steps = [Step(Stubborn, ("a",), "book"), Step(Stubborn, ("a",), "after")]
    DOWN.clear()
    appends = drive(steps).appends
    for append in range(1, appends + 1):
        for moment in CrashMoment:
            PAID.clear()
            KEYS.clear()
            DOWN.clear()
            end = drive(steps, [CrashPoint(append, moment)])
            assert [result[0] for result in end.results] == ["result", "result"]
            assert PAID.count("insurance") == PAID.count("after") == 1
            assert PAID.count("car") == 1
