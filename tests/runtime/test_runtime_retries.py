"""When a failed call is made again, what is noted of it, and which policy is asked."""

from __future__ import annotations

from typing import Any

import pytest

from golem_sdk import (
    NamedPolicy,
    PersistenceLevel,
    RetryPolicy,
    agent,
    atomically,
    durable,
    persistence_level,
    retry_policy,
)
from golem_sdk.codec.values import encode
from golem_sdk.core.entries import Error, Suspend
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.http_status import HttpStatusError
from golem_sdk.core.machine import StartedCall
from golem_sdk.durability import current, durable_call
from golem_sdk.errors import UndecidedError
from golem_sdk.policies import Always, And, CountLimit, Eq, Immediate, Jitter, Periodic, TimeLimit
from golem_sdk.runtime.retries import _properties, _state
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import End, Step, drive

POLICIES: dict[str, Any] = {
    "growing": RetryPolicy(
        max_attempts=4, min_delay=1, max_delay=100, multiplier=2, max_jitter_factor=0
    ),
    "jitter": NamedPolicy("all", Always(), CountLimit(12, Jitter(1, Periodic(1)))),
    "time limit": NamedPolicy("all", Always(), TimeLimit(5, Periodic(2))),
    "short time limit": NamedPolicy("all", Always(), TimeLimit(0.5, Periodic(0.25))),
    "long time limit": NamedPolicy("all", Always(), TimeLimit(2e6, Periodic(1e6))),
    "never": RetryPolicy(max_attempts=1),
    "status": RetryPolicy(max_attempts=2, retry_on_status=[503]),
}
FAULTS: dict[str, Exception] = {
    "down": ConnectionError("down"),
    "undecided": UndecidedError("who knows"),
    "wrong": ValueError("not the network's fault"),
    "busy": HttpStatusError(503, "7"),
    "busy until": HttpStatusError(503, "Tue, 14 Nov 2023 22:14:20 GMT"),  # a minute after the begin
    "long": ConnectionError("x" * 2000),
}
SENT: list[str] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    SENT.clear()


def send() -> int:
    SENT.append("down")
    if len(SENT) == 1:
        raise ConnectionError("down")
    return len(SENT)


@durable
def fails(fault: str, times: int) -> int:
    SENT.append(fault)
    if len(SENT) <= times:
        raise FAULTS[fault]
    return len(SENT)


@agent
def retried_here(policy: str, fault: str, times: int) -> int:
    with retry_policy(POLICIES[policy]):
        return fails(fault, times)


@agent
def retried_never(what: str) -> int:
    """A call that cannot be made again, and one of which nothing is recorded."""
    with retry_policy(POLICIES["growing"]):
        if what == "unrecorded":
            with persistence_level(PersistenceLevel.PERSIST_NOTHING):
                return fails("down", 1)
        session = current()
        assert session is not None
        given = (session, "a stream", FunctionType.READ_REMOTE, None, send)
        sent: int = durable_call(*given, repeatable=what == "call")
        return sent


@durable
async def fails_async(fault: str, times: int) -> int:
    SENT.append(fault)
    if len(SENT) <= times:
        raise FAULTS[fault]
    return len(SENT)


@agent
async def retried_here_async(policy: str, fault: str, times: int) -> int:
    with retry_policy(POLICIES[policy]):
        return await fails_async(fault, times)


def notes(end: End) -> list[Error]:
    (oplog,) = end.oplogs.values()
    return [entry for _, entry in oplog if isinstance(entry, Error)]


def delays_s(end: End) -> list[float]:
    return [(note.due - note.timestamp) / 1e9 for note in notes(end)]


@pytest.mark.parametrize("target", [retried_here, retried_here_async], ids=["sync", "async"])
@pytest.mark.parametrize("suspend_after_s", [0.0, 1e9])
@pytest.mark.parametrize("crash_at", [None, 1, 2, 3])
def test_attempts_are_counted_and_waited_for_over_crashes(
    target: Any, suspend_after_s: float, crash_at: int | None
) -> None:
    step = Step(target, ("growing", "down", 3))
    calm = drive([step], suspend_after_s=suspend_after_s)
    (oplog,) = calm.oplogs.values()
    noted = [index for index, entry in oplog if isinstance(entry, Error)]
    SENT.clear()
    points = [CrashPoint(noted[crash_at - 1], CrashMoment.DURABLE)] if crash_at else []
    end = drive([step], points, suspend_after_s=suspend_after_s)
    assert end.results[0][:2] == ("result", 4)
    assert [note.attempt for note in notes(end)] == [1, 2, 3]
    assert delays_s(end) == [1.0, 2.0, 4.0]
    assert {note.error_type for note in notes(end)} == {"builtins.ConnectionError"}
    for before, after in zip(notes(end), notes(end)[1:], strict=False):
        assert before.due <= after.timestamp
    (oplog,) = end.oplogs.values()
    unloaded = any(isinstance(entry, Suspend) for _, entry in oplog)
    assert unloaded == (suspend_after_s == 0), "else the alarm finds it in memory"


def test_jitter_is_drawn_from_nought_to_one() -> None:
    end = drive([Step(retried_here, ("jitter", "down", 12))])
    assert len(delays_s(end)) == 12
    assert 1.0 <= min(delays_s(end)) < 1.4
    assert 1.6 < max(delays_s(end)) < 2.0


def test_a_time_limit_counts_from_the_first_failure() -> None:
    end = drive([Step(retried_here, ("time limit", "down", 9))])
    assert end.results[0][:2] == ("error", "ConnectionError")
    assert delays_s(end) == [2.0, 2.0]
    SENT.clear()
    end = drive([Step(retried_here, ("short time limit", "down", 9))])
    assert delays_s(end) == [0.25]
    SENT.clear()
    end = drive([Step(retried_here, ("long time limit", "down", 9))])
    assert delays_s(end) == [1e6], "to the millisecond"


def test_what_is_undecided_is_asked_again_whatever_the_policy_says() -> None:
    end = drive([Step(retried_here, ("never", "undecided", 3))])
    assert end.results[0][:2] == ("result", 4)
    assert delays_s(end) == [0.2, 0.4, 0.8]


def test_a_server_s_wish_is_respected() -> None:
    end = drive([Step(retried_here, ("status", "busy", 1))])
    assert end.results[0][:2] == ("result", 2)
    assert delays_s(end) == [7.0]
    SENT.clear()
    (delay_s,) = delays_s(drive([Step(retried_here, ("status", "busy until", 1))]))
    assert 59 < delay_s < 60


@pytest.mark.parametrize(("what", "times"), [("call", 2), ("stream", 1), ("unrecorded", 1)])
def test_what_cannot_be_made_again_is_made_once(what: str, times: int) -> None:
    end = drive([Step(retried_never, (what,))])
    assert end.results[0][0] == ("result" if what == "call" else "error")
    assert ["down"] * times == SENT


def test_what_is_no_fault_of_the_network_is_not_tried_again() -> None:
    end = drive([Step(retried_here, ("growing", "wrong", 1))])
    assert end.results[0][:2] == ("error", "ValueError")
    assert SENT == ["wrong"]


@agent
def makes_a_call_of_the_sdk(name: str) -> int:
    session = current()
    assert session is not None
    with retry_policy(POLICIES["growing"]):
        return int(session.call("own", FunctionType.READ_LOCAL, None, down_once))


def down_once() -> int:
    SENT.append("own")
    if len(SENT) == 1:
        raise ConnectionError("down")
    return len(SENT)


def test_calls_of_the_sdk_itself_are_tried_again_too() -> None:
    end = drive([Step(makes_a_call_of_the_sdk, ("x",))])
    assert end.results[0][:2] == ("result", 2)


def test_of_a_long_error_the_begin_is_noted() -> None:
    (note,) = notes(drive([Step(retried_here, ("growing", "long", 1))]))
    assert note.message == f"ConnectionError: {'x' * 2000}"[:1000]


def test_a_state_of_another_version_is_none() -> None:
    assert _state(encode([1])) == [1]
    assert _state(b"\xc1") is None


def test_without_a_wish_the_policy_s_delay_holds() -> None:
    end = drive([Step(retried_here, ("growing", "down", 1))])
    assert delays_s(end) == [1.0]


@agent
def region_by_name(name: str) -> int:
    condition = And(Eq("trap-type", "atomic-region"), Eq("error-type", "builtins.ValueError"))
    named = NamedPolicy("regions", condition, CountLimit(1, Immediate()))
    with retry_policy(POLICIES["never"]), retry_policy(named), atomically():
        fails("x", 0)
        if len(SENT) == 1:
            raise ValueError("once more")
        return len(SENT)


def test_regions_have_properties_too() -> None:
    end = drive([Step(region_by_name, ("x",))])
    assert end.results[0][:2] == ("result", 2)
    (note,) = notes(end)
    assert (note.begin > 0, note.call) == (True, 0)


def properties(request: object) -> Any:
    call = StartedCall(1, "send", FunctionType.WRITE_REMOTE, encode(request), 0, 0, 0)
    return _properties(call, HttpStatusError(503))


def test_the_properties_of_a_call() -> None:
    own = {
        "function": "send",
        "function-type": "write-remote",
        "error-type": "golem_sdk.core.http_status.HttpStatusError",
    }
    assert properties(None) == properties({"method": "GET"}) == own
    assert properties({"method": "PUT", "url": "https://Bank.test:8443/a/b?c=d"}) == {
        **own,
        "verb": "PUT",
        "uri-scheme": "https",
        "uri-host": "bank.test",
        "uri-port": 8443,
        "uri-path": "/a/b",
    }
    for scheme, port in (("http", 80), ("https", 443)):
        assert properties({"method": "GET", "url": f"{scheme}://h/"})["uri-port"] == port
    odd = properties({"method": "GET", "url": "mailto:me"})
    assert (odd["uri-host"], "uri-port" in odd) == ("", False)
    assert "uri-port" not in properties({"method": "GET", "url": "http://h:x/"})
