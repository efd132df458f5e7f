"""The fuzzer on the runtime: no fault where there is none, and faults planted in the runtime are found."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from acceptance.shapes import SCENARIOS
from golem_sdk import RetryPolicy, Runtime, agent, durable, retry_policy
from golem_sdk.runtime import performing
from golem_sdk.runtime.keys import Keys, Place
from golem_sdk.runtime.mailbox import Mail
from golem_sdk.runtime.outcomes import success
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing import Call, crash_at_every_index
from golem_sdk.testing.environment import VirtualEnvironment
from golem_sdk.testing.turns import Turns
from golem_sdk.testing.verdicts import Cause, Verdict
from testing import planted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from golem_sdk.core.machine import StartedCall
    from golem_sdk.core.scopes import Scope
    from golem_sdk.runtime.session import Session

pytestmark = pytest.mark.once


QUICK = ["chain", "exceptions", "timers", "generator", "task-group", "constructor-raises", "stream"]


@pytest.mark.parametrize("suspend_after_s", [0.0, 1e6], ids=["unloaded", "kept"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_there_is_no_fault_in_agents_that_have_none(
    name: str, suspend_after_s: float, fuzz_scale: int
) -> None:
    if name not in QUICK and fuzz_scale == 1:
        pytest.skip("takes long: GOLEM_FUZZ=2 runs it")
    steps = SCENARIOS[name].begin()
    first = steps[0]
    report = crash_at_every_index(
        first.agent,
        *first.identity,
        calls=[
            Call(step.method, step.arguments)
            for step in steps
            if step.method is not None
            and (step.agent, step.identity) == (first.agent, first.identity)
        ],
        suspend_after=suspend_after_s,
        random=10 * fuzz_scale,
    )
    assert report.ok, str(report)
    assert report.left_out == 0


# --- faults planted in the runtime --------------------------------------------------------------------


def test_a_runtime_whose_keys_are_not_stable_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Keys] = []
    original = Keys.key

    def key(self: Keys, place: Place, scope: Scope) -> UUID:
        if self not in made:
            made.append(self)
        recovered = made.index(self) > 1  # after the calm run and the one that crashes
        return original(self, (place[0], place[1] + 1000 * recovered), scope)

    monkeypatch.setattr(Keys, "key", key)
    report = crash_at_every_index(planted.planted_dispenser, 5, at="4:before")
    (finding,) = report.findings
    assert finding.judgement.cause is Cause.OTHER_KEY


def test_a_runtime_that_forgets_an_effect_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    original, asked = performing._attempt, []

    def attempt(session: Session, call: StartedCall, action: Callable[[], Any]) -> Mail:
        asked.append(call.number)
        if len(asked) == 2:  # not in the calm run
            return Mail(call.number, *success("charged 5 notes"))
        return original(session, call, action)

    monkeypatch.setattr(performing, "_attempt", attempt)
    report = crash_at_every_index(planted.planted_dispenser, 5, at="none")
    (finding,) = report.findings
    assert (finding.judgement.verdict, finding.judgement.cause) == (Verdict.LOST, Cause.MISSING)


def test_a_runtime_that_performs_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    original, asked = performing._attempt, []

    def attempt(session: Session, call: StartedCall, action: Callable[[], Any]) -> Mail:
        asked.append(call.number)
        if len(asked) > 1:
            original(session, call, action)
        return original(session, call, action)

    monkeypatch.setattr(performing, "_attempt", attempt)
    report = crash_at_every_index(planted.planted_dispenser, 5, at="none")
    (finding,) = report.findings
    assert finding.judgement.cause is Cause.TOO_OFTEN


# --- the hook -----------------------------------------------------------------------------------------


class Watcher:
    """A performer that tells what it is asked, and does it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def perform(
        self, session: Session, call: StartedCall, scope: Scope, action: Callable[[], Any]
    ) -> Any:
        self.asked.append(f"{call.function_name} {session.keys.key(call.place, scope)}")
        return action()

    def perform_async(
        self,
        session: Session,
        call: StartedCall,
        scope: Scope,
        action: Callable[[], Awaitable[Any]],
    ) -> Callable[[], Awaitable[Any]]:
        self.asked.append(f"{call.function_name} {session.keys.key(call.place, scope)}")
        return action


FAILURES: list[int] = []


@durable(name="flaky")
def flaky(fail: int) -> int:
    FAILURES.append(fail)
    if len(FAILURES) <= fail:
        raise ConnectionError("again")
    return len(FAILURES)


@durable(name="patient")
async def patient(text: str) -> str:
    return text


@agent
async def watched_mixture(fail: int) -> list[Any]:
    with retry_policy(RetryPolicy(max_attempts=5)):
        return [flaky(fail), await patient("a"), await asyncio.to_thread(flaky, 0)]


def test_a_performer_is_asked_once_per_attempt_and_not_in_replay() -> None:
    FAILURES.clear()
    watcher, engine = Watcher(), MemoryEngine()
    settings = Settings(suspend_after_s=0.0, write_behind_s=None, performer=watcher)
    with Runtime.over(engine, VirtualEnvironment(), settings) as runtime:
        assert runtime.run(watched_mixture, 2) == [3, "a", 4]
    names = [asked.split()[0] for asked in watcher.asked]
    assert names == ["flaky"] * 3 + ["patient", "flaky"]
    keys = [asked.split()[1] for asked in watcher.asked]
    assert len(set(keys[:3])) == 1, "attempts of one call have one key"
    assert len(set(keys)) == 3


def test_turns_come_by_rank_when_all_else_rests() -> None:
    environment, order = VirtualEnvironment(), list[int]()
    turns = Turns(environment)

    def job(rank: int) -> Callable[[], None]:
        def run() -> None:
            turns.wait(rank)
            order.append(rank)

        return run

    environment.enter()
    for rank in (3, 1, 2):
        environment.spawn(job(rank))
    environment.leave()
    environment.rest(30)
    assert order == [1, 2, 3]
    environment.close()


def test_nobody_waits_for_a_turn_after_the_end() -> None:
    environment, over = VirtualEnvironment(), list[str]()
    turns = Turns(environment)
    environment.enter()  # something goes on for ever: no turn comes

    def run() -> None:
        turns.wait(1)
        over.append("waited")

    environment.spawn(run)
    environment.close()
    turns.close()
    environment.join(30)
    assert over == ["waited"]
