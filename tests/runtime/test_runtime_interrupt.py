"""An agent that is taken from memory, whatever it does at that moment, goes on as one agent."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent
from golem_sdk.errors import InvocationCancelledError, StoreFullError, UsageError
from golem_sdk.runtime.actor import Actor
from golem_sdk.runtime.completion import Completion
from golem_sdk.runtime.pump import Pump
from golem_sdk.runtime.recovery import Sleepers
from golem_sdk.runtime.settings import Settings
from golem_sdk.stores.invocations import load_inbox
from golem_sdk.testing.environment import VirtualEnvironment
from runtime.acting import Refusing

if TYPE_CHECKING:
    from collections.abc import Iterator


GATE, REACHED = Event(), Event()
RAN: list[str] = []


@agent
class Interrupted:
    def __init__(self, name: str) -> None:
        self.seen: list[str] = []

    def block(self, what: str) -> list[str]:
        RAN.append(what)
        REACHED.set()
        GATE.wait(30)
        self.seen.append(what)
        return self.seen

    async def rest(self) -> None:
        await asyncio.sleep(1e7)

    def note(self, what: str) -> list[str]:
        RAN.append(what)
        self.seen.append(what)
        return self.seen


@pytest.fixture
def engine() -> Refusing:
    return Refusing()


@pytest.fixture
def runtime(engine: Refusing) -> Iterator[Runtime]:
    for event in (GATE, REACHED):
        event.clear()
    RAN.clear()
    settings = Settings(suspend_after_s=1e6, write_behind_s=None)
    environment = VirtualEnvironment()
    with Runtime.over(engine, environment, settings) as opened:
        opened.get(Interrupted, "x").note("it exists")
        RAN.clear()
        yield opened
        GATE.set()
    environment.join(30)  # what was blocked notes nothing in the next test


def rest(runtime: Runtime) -> None:
    runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one


def actor_of(runtime: Runtime, name: str) -> Actor:
    return runtime._kernel.actor("Interrupted", f'Interrupted("{name}")')


def interrupt(runtime: Runtime, name: str) -> None:
    with pytest.raises(UsageError, match="cannot drop 99"):
        runtime.revert(f'Interrupted("{name}")', invocations=99)


def check_queue(runtime: Runtime) -> None:
    """Nothing waits, on disk or in memory."""
    rest(runtime)
    runtime._kernel.accepted()
    assert not load_inbox(runtime._kernel.engine, 'Interrupted("x")')
    assert not actor_of(runtime, "x").queue


def test_p3_one_that_ends_meanwhile_does_not_run_again(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = runtime.trigger(runtime.get(Interrupted, "x").block, "a", key="a")
    assert REACHED.wait(30)
    surrender = Actor.surrender

    def late(actor: Actor) -> Any:
        left = surrender(actor)
        GATE.set()
        rest(runtime)
        return left

    monkeypatch.setattr(Actor, "surrender", late)
    interrupt(runtime, "x")
    assert blocked.result(30)[1:] == ["a"]
    assert runtime.get(Interrupted, "x").note("b")[1:] == ["a", "b"]
    check_queue(runtime)


def test_one_whose_end_is_being_told_is_over_for_its_next_actor(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, once = Completion.settle, [True]

    def late(*given: Any) -> None:
        if once:
            once.clear()
            interrupt(runtime, "x")
        settle(*given)

    monkeypatch.setattr(Completion, "settle", late)
    assert runtime.get(Interrupted, "x").note("a")[1:] == ["a"]
    rest(runtime)
    handle = runtime.trigger(runtime.get(Interrupted, "x").note, "b", key="b")
    assert handle.result(30)[1:] == ["a", "b"]
    rest(runtime)
    assert not actor_of(runtime, "x").completions
    check_queue(runtime)


def test_p4_what_the_store_refuses_meanwhile_does_not_run(
    runtime: Runtime, engine: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller has learnt that it was not accepted."""
    agent_of_it = runtime.get(Interrupted, "x")
    runtime.trigger(agent_of_it.block, "b", key="b")
    assert REACHED.wait(30)
    accepted = runtime._kernel.accepted

    def interrupted_before(*ticket: Any) -> None:
        monkeypatch.setattr(runtime._kernel, "accepted", accepted)
        engine.refusal = StoreFullError("no room")
        with pytest.raises(StoreFullError):
            runtime.revert(agent_of_it, invocations=1)
        accepted(*ticket)

    monkeypatch.setattr(runtime._kernel, "accepted", interrupted_before)
    with pytest.raises(StoreFullError):
        runtime.trigger(agent_of_it.note, "refused", key="refused")
    GATE.set()
    rest(runtime)
    with suppress(StoreFullError):
        agent_of_it.note("c")
    assert agent_of_it.note("d")[-1] == "d"
    assert "refused" not in RAN


def test_one_that_falls_asleep_meanwhile_sets_no_timer_for_its_next_actor(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    teardown, set_for, is_awaited = Pump.teardown, list[int](), Event()
    asleep = runtime.get(Interrupted, "x")

    def late(pump: Pump) -> None:
        monkeypatch.setattr(Pump, "teardown", teardown)
        assert is_awaited.wait(30)
        runtime.revert(asleep, invocations=1)
        teardown(pump)

    monkeypatch.setattr(Pump, "teardown", late)
    monkeypatch.setattr(Sleepers, "add", lambda *given: set_for.append(given[2]))
    told = runtime.trigger(asleep.rest, key="dropped")._completion()
    is_awaited.set()
    with pytest.raises(InvocationCancelledError):
        told.outcome(30)
    assert asleep.note("a")[-1] == "a"
    rest(runtime)
    assert set_for == []
