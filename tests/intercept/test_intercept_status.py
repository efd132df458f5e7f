"""HTTP statuses in retry policies: an opt-in; a response is a result otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from golem_sdk import NamedPolicy, RetryPolicy, agent, atomically, durable, retry_policy
from golem_sdk.core.entries import Error, ImportedFunctionInvoked
from golem_sdk.policies import And, CountLimit, Eq, Ge, Immediate
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import End, Step, drive

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from intercept.web import WebServer

QUICK: dict[str, Any] = {"min_delay": 0.001, "max_delay": 0.002}
POLICIES: dict[str, Any] = {
    "none": RetryPolicy(**QUICK),
    "by-status": RetryPolicy(retry_on_status=[429, 503], **QUICK),
    "named": NamedPolicy(
        "busy",
        And(Ge("status-code", 500), And(Eq("uri-path", "/status"), Eq("verb", "GET"))),
        CountLimit(2, Immediate()),
    ),
    "named-for-errors": NamedPolicy("all", Eq("verb", "GET"), CountLimit(2, Immediate())),
}
SERVER: list[WebServer] = []


@pytest.fixture(autouse=True)
def server(web: WebServer) -> Iterator[None]:
    SERVER.append(web)
    yield
    SERVER.clear()


@agent
def asks(path: str, policy: str) -> int:
    with retry_policy(POLICIES[policy]):
        return httpx.get(SERVER[0].url(path)).status_code


@agent
async def asks_async(path: str, policy: str) -> int:
    with retry_policy(POLICIES[policy]):
        async with httpx.AsyncClient() as client:
            return (await client.get(SERVER[0].url(path))).status_code


@agent
def streams(path: str, policy: str) -> list[str]:
    with retry_policy(POLICIES[policy]), httpx.stream("GET", SERVER[0].url(path)) as response:
        return [str(response.status_code), "".join(response.iter_text())]


@durable
def fetch(path: str) -> int:
    return httpx.get(SERVER[0].url(path)).raise_for_status().status_code


@agent
def fetches(path: str, policy: str) -> int:
    with retry_policy(POLICIES[policy]):
        return fetch(path)


@agent
def asks_in_region(path: str, policy: str) -> int:
    with retry_policy(POLICIES[policy]), atomically():
        return httpx.get(SERVER[0].url(path)).status_code


def ask(target: Any, path: str, policy: str, points: Sequence[CrashPoint] = ()) -> End:
    return drive([Step(target, (path, policy))], points, suspend_after_s=1.0)


def result(end: End) -> Any:
    return end.results[0][1]


def entries(end: End, kind: type) -> list[Any]:
    (oplog,) = end.oplogs.values()
    return [entry for _, entry in oplog if isinstance(entry, kind)]


@pytest.mark.parametrize("target", [asks, asks_async])
@pytest.mark.parametrize(
    ("policy", "code", "status", "requests"),
    [
        ("none", 503, 503, 1),
        ("by-status", 503, 200, 3),
        ("by-status", 500, 500, 1),
        ("named", 500, 200, 3),
        ("named", 404, 404, 1),
        ("named-for-errors", 503, 503, 1),
    ],
)
def test_what_is_asked_for_is_tried_again(
    target: Any, policy: str, code: int, status: int, requests: int
) -> None:
    end = ask(target, f"/status?code={code}&times=2", policy)
    assert result(end) == status
    assert len(SERVER[0].seen) == requests
    assert len(entries(end, Error)) == requests - 1
    assert len(entries(end, ImportedFunctionInvoked)) >= 1


@pytest.mark.parametrize("target", [asks, asks_async, streams])
def test_after_the_last_attempt_the_response_is_the_result(target: Any) -> None:
    end = ask(target, "/status?code=503&times=9", "by-status")
    assert result(end) in (503, ["503", "{}"])
    assert len(SERVER[0].seen) == 3


def test_an_exception_that_tells_of_a_status() -> None:
    assert result(ask(fetches, "/status?code=429&times=1", "by-status")) == 200
    SERVER[0].seen.clear()
    end = ask(fetches, "/status?code=500&times=1", "by-status")
    assert end.results[0][:2] == ("error", "HTTPStatusError")
    assert len(SERVER[0].seen) == 1


def test_in_a_region_it_is_a_result() -> None:
    assert result(ask(asks_in_region, "/status?code=503&times=1", "by-status")) == 503


@pytest.mark.parametrize("target", [asks, asks_async])
def test_retry_after_is_waited_for(target: Any) -> None:
    end = ask(target, "/status?code=503&times=1&later=120", "by-status")
    assert result(end) == 200
    (error,) = entries(end, Error)
    assert error.due - error.timestamp == 120 * 10**9


def test_too_long_a_retry_after_is_not() -> None:
    end = ask(asks, "/status?code=503&times=1&later=86400", "by-status")
    assert result(end) == 503
    assert len(SERVER[0].seen) == 1


@pytest.mark.parametrize("target", [asks, fetches])
@pytest.mark.parametrize("moment", CrashMoment)
def test_attempts_survive_crashes(target: Any, moment: CrashMoment) -> None:
    whole = ask(target, "/status?code=503&times=9", "by-status")
    SERVER[0].seen.clear()
    for append in range(1, whole.appends + 1):
        SERVER[0].seen.clear()
        end = ask(target, "/status?code=503&times=9", "by-status", [CrashPoint(append, moment)])
        assert end.results == whole.results
        assert 3 <= len(SERVER[0].seen) <= 6, "notes that were not on disk yet are lost"
        assert len(entries(end, Error)) == 2
