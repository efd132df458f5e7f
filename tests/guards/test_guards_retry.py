"""Retry policies in agents: what a policy's own functions may do, and what the caller sees."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from golem_sdk import RetryPolicy, agent, atomically, durable, retry_policy
from golem_sdk.core.entries import Error
from golem_sdk.core.http_status import HttpStatusError
from golem_sdk.durability import RetryableResult
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import End, Step, drive

TRIES: list[str] = []
ASKED: list[float] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    TRIES.clear()
    ASKED.clear()


def fails(error: Exception) -> bool:
    raise LookupError(f"no rule for {error}")


def prints(error: Exception) -> bool:
    """Does what agent code would have journaled."""
    print("asked about", error)
    ASKED.append(time.time())
    return True


def asks(error: Exception) -> bool:
    """Runs an event loop of its own."""
    TRIES.append("asked")
    return asyncio.run(asyncio.wait_for(asyncio.sleep(0, True), 60))


POLICIES = {
    "retry_on": RetryPolicy(max_attempts=5, min_delay=0, retry_on=fails),
    "give_up_on": RetryPolicy(max_attempts=5, min_delay=0, give_up_on=fails),
    "by-status": RetryPolicy(max_attempts=5, min_delay=0, give_up_on=fails, retry_on_status=[503]),
    "prints": RetryPolicy(max_attempts=3, min_delay=0, retry_on=prints),
    "asks": RetryPolicy(max_attempts=2, min_delay=0, retry_on=asks),
}


class FrozenError(Exception):
    """Takes no notes."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


@durable
def down(what: str) -> None:
    TRIES.append(what)
    raise ConnectionError(f"{what} is down")


@durable
async def down_async(what: str) -> None:
    TRIES.append(what)
    raise ConnectionError(f"{what} is down")


@durable
def frozen_error() -> None:
    raise FrozenError("down")


@durable
def busy() -> None:
    TRIES.append("busy")
    raise RetryableResult("busy", HttpStatusError(503))


@durable
def after() -> None:
    """Something to record afterwards."""


def told(error: Exception) -> list[str]:
    return [repr(error), *getattr(error, "__notes__", ())]


@agent
def one_call(policy: str) -> list[str]:
    try:
        with retry_policy(POLICIES[policy]):
            down("x")
    except ConnectionError as error:
        after()
        return told(error)
    return ["no error"]


@agent
async def one_call_async(policy: str) -> list[str]:
    try:
        with retry_policy(POLICIES[policy]):
            await down_async("x")
    except ConnectionError as error:
        after()
        return told(error)
    return ["no error"]


@agent
async def one_call_in_place(policy: str) -> list[str]:
    try:
        with retry_policy(POLICIES[policy]):
            down("x")
    except ConnectionError as error:
        return told(error)
    return ["no error"]


@agent
def one_region(policy: str) -> list[str]:
    try:
        with retry_policy(POLICIES[policy]), atomically():
            down("x")
    except ConnectionError as error:
        after()
        return told(error)
    return ["no error"]


@agent
def one_request(policy: str) -> Any:
    with retry_policy(POLICIES[policy]):
        return busy()


@agent
def one_frozen_error(policy: str) -> str:
    with retry_policy(POLICIES[policy]):
        try:
            frozen_error()
        except FrozenError as error:
            return str(error)
    return "no error"


def ends(target: Any, policy: str) -> list[End]:
    """Of an undisturbed run, and with a crash after each append of it."""
    whole = drive([Step(target, (policy,))])
    (oplog,) = whole.oplogs.values()
    return [
        whole,
        *(
            drive([Step(target, (policy,))], [CrashPoint(at, CrashMoment.DURABLE)])
            for at, _ in oplog
        ),
    ]


@pytest.mark.parametrize("target", [one_call, one_call_async], ids=["sync", "async"])
@pytest.mark.parametrize("which", ["retry_on", "give_up_on"])
def test_a_function_that_fails_leaves_the_real_error_with_a_note(target: Any, which: str) -> None:
    note = f"This was not tried again: {which} failed with LookupError: no rule for x is down"
    whole = drive([Step(target, (which,))])
    assert whole.results == (("result", ["ConnectionError('x is down')", note]),)
    assert TRIES == ["x"]
    for end in ends(target, which):
        assert end.results == whole.results
        assert not any(isinstance(e, Error) for log in end.oplogs.values() for _, e in log)


@pytest.mark.parametrize("which", ["retry_on", "give_up_on"])
def test_of_a_region_it_is_logged(which: str, caplog: pytest.LogCaptureFixture) -> None:
    for end in ends(one_region, which):
        assert end.results == (("result", ["ConnectionError('x is down')"]),)
    assert f"{which} failed with LookupError: no rule for x is down" in caplog.text


def test_of_a_response_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert drive([Step(one_request, ("by-status",))]).results == (("result", "busy"),)
    assert TRIES == ["busy"]
    assert "give_up_on failed with LookupError: no rule for HTTP status 503" in caplog.text
    assert {record.name for record in caplog.records} == {"golem_sdk"}


def test_of_an_exception_that_takes_no_notes_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert drive([Step(one_frozen_error, ("retry_on",))]).results == (("result", "down"),)
    assert "retry_on failed with LookupError: no rule for down" in caplog.text


@pytest.mark.parametrize(
    "target", [one_call, one_call_async, one_region], ids=["sync", "async", "region"]
)
def test_what_a_function_does_is_not_journaled(target: Any) -> None:
    """Replay does not ask it again, so its prints and times must not be looked for there."""
    whole = drive([Step(target, ("prints",))])
    assert len(ASKED) == 3
    assert whole.results[0][0] == "result"
    for end in ends(target, "prints"):
        assert end.results == whole.results
        assert not any(type(e).__name__ == "Log" for log in end.oplogs.values() for _, e in log)


@pytest.mark.parametrize("target", [one_call, one_call_async, one_call_in_place])
def test_a_function_finds_no_event_loop_of_the_agent(target: Any) -> None:
    drive([Step(target, ("asks",))])
    assert TRIES == ["x", "asked", "x", "asked"]
