"""What agents see of the outside in virtual time: its clocks and its entropy."""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime
from threading import get_ident
from typing import Any

import pytest

from golem_sdk import Runtime, agent, oplog_commit, originals
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive
from golem_sdk.testing.environment import VirtualEnvironment

HOUR_S = 3600.0


@agent
def environment_clocks(name: str) -> list[list[float]]:
    before = _clocks()
    time.sleep(HOUR_S)
    oplog_commit(1)
    return [before, _clocks()]


def _clocks() -> list[float]:
    return [
        time.time(),
        time.time_ns() / 1e9,
        time.monotonic(),
        time.clock_gettime(time.CLOCK_MONOTONIC),
        time.mktime(time.localtime()),
        datetime.now().timestamp(),  # noqa: DTZ005  # the local clock is meant
        datetime.now(UTC).timestamp(),
        (uuid.uuid1().time - 0x01B21DD213814000) / 1e7,
    ]


@agent
def environment_entropy(name: str) -> list[Any]:
    return [os.urandom(8), os.getrandom(8), uuid.uuid4(), uuid.uuid1().node, uuid.uuid1(7, 8)]


def ran(target: Any, environment: VirtualEnvironment) -> Any:
    settings = Settings(suspend_after_s=1e6, write_behind_s=None)
    with Runtime.over(MemoryEngine(), environment, settings) as runtime:
        return runtime.run(target, "x")


def test_agents_read_the_clocks_of_their_environment() -> None:
    before, after = ran(environment_clocks, VirtualEnvironment(0, 10**18))
    assert before == pytest.approx([1e9] * len(before), abs=1.001)
    assert [b - a for a, b in zip(before, after, strict=True)] == pytest.approx(
        [HOUR_S] * len(before), abs=1.001
    )


def test_agents_draw_the_entropy_of_their_environment() -> None:
    one, again, other = (ran(environment_entropy, VirtualEnvironment(seed)) for seed in (1, 1, 2))
    assert one == again
    assert all(a != b for a, b in zip(one[:-1], other[:-1], strict=True))
    made = one[-1]
    assert (made.version, made.variant, made.node, made.clock_seq) == (1, uuid.RFC_4122, 7, 8)


def test_agents_that_act_upon_the_real_outside_draw_real_entropy() -> None:
    one, other = (ran(environment_entropy, VirtualEnvironment(1, performs=True)) for _ in range(2))
    assert all(a != b for a, b in zip(one[:-1], other[:-1], strict=True)), (
        "the last is but the time"
    )


def test_clocks_of_agents_show_how_long_their_real_effects_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = VirtualEnvironment(performs=True)
    look = environment.reading(lambda: 0, lambda source: source.now_ns())
    before = look()
    now_s = originals.monotonic()
    monkeypatch.setattr(originals, "monotonic", lambda: now_s + HOUR_S)
    assert look() - before >= HOUR_S * 1e9


def test_time_does_not_run_back_when_a_driven_scenario_crashes() -> None:
    step = Step(environment_clocks, ("driven",))
    for append in range(1, drive([step]).appends + 1):
        end = drive([step], [CrashPoint(append, CrashMoment.DURABLE)])
        before, after = end.results[0][1]
        assert min(b - a for a, b in zip(before, after, strict=True)) >= HOUR_S - 1.001


def test_a_timer_does_not_fire_on_the_thread_that_sets_it_and_may_hold_what_it_needs() -> None:
    environment = VirtualEnvironment()
    fired: list[int] = []
    try:
        due_ns = environment.now_ns() + 10**9
        environment.call_at(due_ns, lambda: fired.append(get_ident()))
        environment.rest(30)
        assert environment.now_ns() > due_ns
    finally:
        environment.close()
    assert len(fired) == 1
    assert get_ident() not in fired
