"""Numbers that no clock or counter can hold are refused when they are given, in words."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent
from golem_sdk.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@agent
class Limited:
    def __init__(self, name: str) -> None:
        pass

    def work(self) -> str:
        return "worked"

    def sleep(self, seconds: float) -> str:
        try:
            time.sleep(seconds)
        except OverflowError as error:
            return str(error)
        return "slept"


@agent
def schedules_too_late() -> str:
    from golem_sdk import get, schedule

    try:
        schedule(timedelta(days=400_000), get(Limited, "other").work)
    except UsageError as error:
        return str(error)
    return "scheduled"


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    with Runtime.memory() as opened:
        yield opened


@pytest.mark.parametrize(
    "suspend_after", [math.inf, math.nan, -0.1, 1e9, pytest.param(10**400, id="huge"), "1", None]
)
def test_suspend_after_is_in_range(suspend_after: Any) -> None:
    with pytest.raises(UsageError, match=r"from 0 to 946_080_000 \(30 years\), not"):
        Runtime.memory(suspend_after=suspend_after)


@pytest.mark.parametrize("max_loaded", [0, -1, 1.5, math.inf, "2", None])
def test_max_loaded_is_in_range(max_loaded: Any) -> None:
    with pytest.raises(UsageError, match="whole number of agents from 1, not"):
        Runtime.memory(max_loaded=max_loaded)


@pytest.mark.parametrize("max_received_bytes", [0, -1, 1.5, "1 GB", None, True])
def test_max_received_bytes_is_in_range(max_received_bytes: Any) -> None:
    with pytest.raises(
        UsageError, match="max_received_bytes is a whole number of bytes from 1, not"
    ):
        Runtime.memory(max_received_bytes=max_received_bytes)


@pytest.mark.parametrize("suspend_after", [0, 0.5, 946_080_000])
def test_the_limits_themselves_work(suspend_after: float) -> None:
    with Runtime.memory(suspend_after=suspend_after, max_loaded=1, max_received_bytes=1) as runtime:
        assert runtime.get(Limited, "a").sleep(0.001) == "slept"


@pytest.mark.parametrize(
    "at",
    [
        datetime(9999, 1, 1, tzinfo=UTC),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
        datetime(2500, 1, 1, tzinfo=UTC),
        timedelta(days=400_000),
        timedelta.max,
    ],
)
def test_nothing_is_scheduled_beyond_what_can_be_stored(
    runtime: Runtime, at: datetime | timedelta
) -> None:
    with pytest.raises(UsageError, match="at a time before the year 2500, not at datetime"):
        runtime.schedule(at, runtime.get(Limited, "a").work)


@pytest.mark.parametrize("at", [datetime(2499, 12, 31, tzinfo=UTC), timedelta(days=365 * 400)])
def test_a_far_time_is_fine(runtime: Runtime, at: datetime | timedelta) -> None:
    assert runtime.schedule(at, runtime.get(Limited, "a").work).cancel()


@pytest.mark.parametrize("year", [2261, 2263, 2300, 2499])
def test_a_far_time_is_still_known_after_a_restart(tmp_path: Path, year: int) -> None:
    with Runtime(tmp_path) as runtime:
        at = datetime(year, 1, 1, tzinfo=UTC)
        runtime.schedule(at, runtime.get(Limited, "a").work, key="far")
    with Runtime(tmp_path) as runtime:
        assert runtime.trigger(runtime.get(Limited, "a").work, key="far").cancel()


@pytest.mark.parametrize(
    "at",
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=12))),
        datetime(1969, 1, 1, tzinfo=UTC),
        timedelta.min,
    ],
)
def test_a_time_in_the_past_is_at_once(runtime: Runtime, at: datetime | timedelta) -> None:
    assert runtime.schedule(at, runtime.get(Limited, "a").work).result(60) == "worked"


def test_an_agent_is_told_so_too(runtime: Runtime) -> None:
    assert "before the year 2500" in runtime.run(schedules_too_late)


@pytest.mark.parametrize("timeout", [math.inf, 1e300, pytest.param(10**400, id="huge")])
def test_a_caller_may_wait_for_ever(runtime: Runtime, timeout: float) -> None:
    assert runtime.trigger(runtime.get(Limited, "a").work).result(timeout) == "worked"


@pytest.mark.parametrize("timeout", [math.nan, "1"])
def test_a_timeout_is_a_number(runtime: Runtime, timeout: Any) -> None:
    handle = runtime.trigger(runtime.get(Limited, "a").work)
    with pytest.raises(UsageError, match="number of seconds, or None: as long as it takes; not"):
        handle.result(timeout)


def test_a_sleep_is_as_long_as_python_lets_it_be(runtime: Runtime) -> None:
    assert "at most" in runtime.get(Limited, "a").sleep(1e12)
