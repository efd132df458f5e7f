"""Guards in one task while others run beside it: found by review, where single tasks show nothing."""

from __future__ import annotations

import asyncio

import pytest

from golem_sdk import (
    FunctionType,
    agent,
    atomically,
    checkpoint,
    durable,
    generate_idempotency_key,
    get,
    idempotence_mode,
)
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive
from guards.everywhere import (
    LIFE,
    RUNS,
    SENT,
    begin,
    crashed_everywhere,
    ended,
    fails_first,
    next_life,
    pay,
    send,
)

pytestmark = pytest.mark.usefixtures("fresh")

# --- regions --------------------------------------------------------------------------------------


@agent
async def charges_beside_a_region(name: str) -> str:
    async def charge() -> str:
        with idempotence_mode(False):
            return await send("charge", 3)

    async def region() -> None:
        await asyncio.sleep(0)
        with atomically():
            await send("first")
            await fails_first("later", 20)

    await asyncio.gather(charge(), region())
    return "ok"


def test_p3_a_region_that_runs_again_keeps_outcomes_of_what_was_under_way() -> None:
    drive([Step(charges_beside_a_region, ("x",))], suspend_after_s=1e9)
    assert SENT.count("charge") == 1
    assert SENT.count("first") == 2


@durable
async def charge_until_it_is_decided() -> str:
    while not (RUNS["decided"] or RUNS["later"] > 1):
        await asyncio.sleep(0)
    SENT.append("charge")
    return "charge"


@agent
async def fails_beside_a_charge(name: str) -> str:
    async def charge() -> str:
        with idempotence_mode(False):
            return await charge_until_it_is_decided()

    async def region() -> str:
        try:
            with atomically():
                return await fails_first("later", 2)
        except ValueError as error:
            RUNS["decided"] += 1
            return str(error)

    return str(await asyncio.gather(charge(), region()))


def test_p3_no_region_runs_again_while_another_task_awaits_what_is_sent_once() -> None:
    end = drive([Step(fails_beside_a_charge, ("x",))], suspend_after_s=1e9)
    assert end.results == (("result", "['charge', 'later is down']"),)
    assert SENT == ["charge"]


@durable(function_type=FunctionType.READ_REMOTE)
async def price(what: str) -> str:
    """Answers come in another order after a crash."""
    for _ in range(2 if (what == "A") == (LIFE[0] == 0) else 40):
        await asyncio.sleep(0)
    return what


@agent
async def pays_in_parts(name: str) -> str:
    async def part(what: str) -> None:
        await price(what)
        await pay(what, str(generate_idempotency_key()))

    with atomically():
        await asyncio.gather(part("A"), part("B"))
        await pay("end", str(generate_idempotency_key()))
    return "ok"


def test_p3_keys_in_a_region_do_not_depend_on_which_task_is_first() -> None:
    keys: dict[str, str] = {}
    for where in crashed_everywhere(pays_in_parts):
        for what, key in SENT:
            assert keys.setdefault(what, key) == key, where
    assert len(set(keys.values())) == 3


@agent
class TakingTill:
    def __init__(self, name: str) -> None:
        self.taken: list[str] = []

    async def take(self, what: str) -> None:
        self.taken.append(what)

    def list(self) -> list[str]:
        return self.taken


@agent
async def tells_in_parts(name: str) -> list[str]:
    async def part(what: str) -> None:
        await price(what)
        await get(TakingTill, name).take(what)

    with atomically():
        await asyncio.gather(part("A"), part("B"))
    return sorted(get(TakingTill, name).list())


def test_p3_agents_called_in_a_region_that_runs_again_are_each_called_once() -> None:
    for _ in crashed_everywhere(tells_in_parts, result=["A", "B"]):
        pass


@agent
async def outlives_its_region(name: str) -> str:
    async def background(gate: asyncio.Event) -> None:
        await gate.wait()
        with atomically():
            await send("own")
            await fails_first("region")

    gate = asyncio.Event()
    with atomically():
        task = asyncio.create_task(background(gate))
        await send("outer")
    gate.set()
    await task
    return "ok"


def test_a_task_that_outlives_its_region_has_regions_of_its_own() -> None:
    ended(drive([Step(outlives_its_region, ("x",))], suspend_after_s=1e9), "ok")
    assert SENT == ["outer", "own", "own", "region"]


# --- writes that are sent once --------------------------------------------------------------------


@durable
async def charge_unless_cancelled() -> None:
    """Waits for that in the first life; later ones do not begin it."""
    while not LIFE[0]:
        await asyncio.sleep(0)
    SENT.append("charge")


@agent
async def cancels_a_charge(name: str) -> str:
    async def charge() -> None:
        with idempotence_mode(False):
            await charge_unless_cancelled()

    task = asyncio.create_task(charge())
    await send("one")
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        await send("two")
    await send("three")
    return "ok"


def test_p2_a_cancelled_charge_is_over_in_every_life() -> None:
    appends = ended(drive([Step(cancels_a_charge, ("x",))], suspend_after_s=1e9), "ok").appends
    for append in range(6, appends + 1):  # from the cancellation on
        begin()
        point, steps = CrashPoint(append, CrashMoment.DURABLE), [Step(cancels_a_charge, ("x",))]
        ended(drive(steps, [point], suspend_after_s=1e9, on_crash=next_life), "ok")
        assert SENT.count("charge") == 0


@agent
async def goes_back_behind_a_charge(name: str) -> str:
    async def charge() -> None:
        with idempotence_mode(False):
            await send("charge", 5)

    task = asyncio.create_task(charge())
    await send("one")
    start = checkpoint(3)
    await task
    start.revert("again")


def test_p3_no_jump_goes_back_behind_the_end_of_what_is_sent_once() -> None:
    end = drive([Step(goes_back_behind_a_charge, ("x",))], suspend_after_s=1e9)
    assert end.results[0][:2] == ("error", "UsageError")
    assert "would be sent again" in end.results[0][2][0]
    assert SENT.count("charge") == 1
