"""Agents in memory: who is woken, laid asleep, unloaded and interrupted."""

from __future__ import annotations

from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk.core.entries import Suspend
from golem_sdk.errors import StoreFullError
from golem_sdk.runtime import actor as actors
from golem_sdk.runtime.actor import Actor
from golem_sdk.runtime.completion import Completion
from golem_sdk.runtime.loading import load_session
from golem_sdk.runtime.mailbox import Mail
from golem_sdk.runtime.session import Session
from golem_sdk.storage.committer import Committer
from golem_sdk.stores.invocations import InvocationStatus
from golem_sdk.testing.environment import VirtualEnvironment
from runtime.acting import (
    GATE,
    REACHED,
    SEEN,
    Acting,
    Patient,
    Refusing,
    acting,
    actor_of,
    acts_once,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from golem_sdk import Runtime


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment()


@pytest.fixture
def engine() -> Refusing:
    return Refusing()


@pytest.fixture
def runtime(environment: VirtualEnvironment, engine: Refusing) -> Iterator[Runtime]:
    with acting(environment, engine) as opened:
        yield opened


def suspends(runtime: Runtime, agent_id: str) -> int:
    runtime._kernel.accepted()
    return sum(isinstance(entry, Suspend) for _, entry in runtime.oplog(agent_id))


# --- asleep, or in memory -----------------------------------------------------------------------------


def test_who_asks_about_a_suspended_agent_does_not_wake_it(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    handle = runtime.trigger(runtime.get(Acting, "x").nap, 10, key="nap")
    environment.join(30)
    actor = actor_of(runtime, "x")
    assert actor.session is None
    assert actor.asleep
    for _ in range(3):
        assert handle.status() is InvocationStatus.RUNNING
        environment.join(30)
    assert actor.session is None
    assert suspends(runtime, handle.agent_id) == 1
    environment.leave()
    assert handle.result(30) == 10


def test_an_agent_is_not_brought_back_for_what_came_before_it_fell_asleep(
    runtime: Runtime, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def suspend(session: Session, wake_at: int, *, only_timers: bool) -> Any:
        session.mailbox.post(Mail(99, b"", failed=False))  # its thread has just looked for mail
        return real(session, wake_at, only_timers=only_timers)

    real = Session.suspend
    monkeypatch.setattr(Session, "suspend", suspend)
    handle = runtime.trigger(runtime.get(Acting, "x").nap, 10, key="nap")
    environment.join(30)
    assert actor_of(runtime, "x").asleep
    assert suspends(runtime, handle.agent_id) == 1
    environment.leave()
    assert handle.result(30) == 10


def test_who_asks_about_an_agent_in_memory_gives_it_no_turn(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    handle = runtime.trigger(runtime.get(Acting, "x").wait, key="wait")
    assert REACHED.wait(30)
    environment.join(30)
    actor = actor_of(runtime, "x")
    turn = actor._turn
    assert handle.status() is InvocationStatus.RUNNING
    environment.join(30)
    assert actor._turn == turn
    assert not actor.asleep
    GATE.set()
    assert handle.result(30) == "waited"


def test_who_asks_about_a_busy_agent_unloads_no_idle_one(
    runtime: Runtime, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Committer, "is_busy", False)  # one that was put off would unload it
    assert runtime.get(Acting, "idle").add(1) == 1
    environment.join(30)
    busy = runtime.trigger(runtime.get(Acting, "busy").block, key="block")
    assert REACHED.wait(30)
    assert busy.status() is InvocationStatus.RUNNING
    assert actor_of(runtime, "idle").session is not None


def test_who_waits_long_for_another_is_unloaded_once(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    handle = runtime.trigger(runtime.get(Patient, "x").ask, 10, key="ask")
    before = environment.now_ns()
    environment.leave()
    assert handle.result(30) == 10
    environment.enter()
    entries = [e for _, e in runtime.oplog(handle.agent_id) if isinstance(e, Suspend)]
    assert len(entries) == 1
    assert 60e9 <= entries[0].timestamp - before < 61e9, "not before its patience was over"
    assert entries[0].wake_at == 0, "a message wakes it, not a timer"


def test_who_waits_shorter_than_its_patience_stays(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    patient = runtime.get(Patient, "x")
    environment.leave()
    assert patient.ask.run(0) == 0  # type: ignore[attr-defined]  # it is a proxy's method
    environment.enter()
    assert suspends(runtime, 'Patient("x")') == 0


def test_an_agent_that_has_run_once_is_not_kept(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    assert runtime.run(acts_once, "x") == "x"
    environment.join(30)
    assert not runtime._kernel._actors


def test_an_end_that_another_thread_writes_unloads_the_agent(
    runtime: Runtime, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Committer, "is_busy", False)  # its begin is not told of
    told: list[Callable[[], object]] = []
    committer = runtime._kernel.committer
    tell = committer.tell
    monkeypatch.setattr(committer, "tell", lambda *given: told.append(lambda: tell(*given)))
    handle = runtime.trigger(acts_once, "x")
    environment.join(30)
    assert runtime._kernel._actors, "somebody may wait for it"
    told.pop()()
    assert not runtime._kernel._actors
    assert handle.result(30) == "x"


def test_what_keeps_an_agent_in_memory(runtime: Runtime) -> None:
    runtime.trigger(runtime.get(Acting, "x").block)
    assert REACHED.wait(30)
    assert actor_of(runtime, "x").retire() is False
    actor = actor_of(runtime, "idle")
    assert actor.is_vacant
    actor._scheduled = True
    assert actor.retire() is False
    actor._scheduled = False
    actor.completions["k"] = Completion(actor.agent_id, "k", InvocationStatus.PENDING)
    assert actor.retire() is False
    actor.completions.clear()
    assert actor.retire() is True


# --- interrupted --------------------------------------------------------------------------------------


def test_what_is_given_away_is_not_kept(runtime: Runtime) -> None:
    runtime.trigger(runtime.get(Acting, "x").block, key="block")
    assert REACHED.wait(30)
    later = runtime.schedule(timedelta(days=1), runtime.get(Acting, "x").add, 1, key="later")
    actor = actor_of(runtime, "x")
    left = actor.surrender()
    assert actor.retired
    assert not actor.queue
    assert not actor.completions
    assert set(left.completions) == {"block", "later"}
    assert later.key in left.completions


def test_what_had_begun_waits_again_and_what_is_scheduled_stays_so(runtime: Runtime) -> None:
    runtime.trigger(runtime.get(Acting, "x").block, key="block")
    assert REACHED.wait(30)
    runtime.schedule(timedelta(days=1), runtime.get(Acting, "x").add, 1, key="later")
    actor = actor_of(runtime, "x")
    assert actor.completions["block"].status is InvocationStatus.RUNNING
    left = runtime._kernel._interrupt(actor)
    assert not runtime._kernel._actors
    following = runtime._kernel._made("Acting", actor.agent_id, left)
    states = {key: completion.status for key, completion in following.completions.items()}
    assert states == {"block": InvocationStatus.PENDING, "later": InvocationStatus.SCHEDULED}


def test_one_that_is_interrupted_while_it_is_loaded_does_nothing(
    runtime: Runtime, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no session yet that could be ended."""
    loading, load = Event(), Event()

    def slowly(kernel: Any, actor: Actor) -> Session:
        session = load_session(kernel, actor)
        loading.set()
        load.wait(30)
        return session

    surrender = Actor.surrender

    def late(actor: Actor) -> Any:
        load.set()
        environment.join(30)
        return surrender(actor)

    monkeypatch.setattr(actors, "load_session", slowly)
    monkeypatch.setattr(Actor, "surrender", late)
    GATE.set()
    runtime.trigger(runtime.get(Acting, "x").block, key="block")
    assert loading.wait(30)
    runtime._kernel._interrupt(actor_of(runtime, "x"))
    assert SEEN == []


def test_code_that_waits_is_unwound_when_its_agent_is_interrupted(runtime: Runtime) -> None:
    runtime.get(Acting, "x").add(1)
    runtime.trigger(runtime.get(Acting, "x").wait, key="wait")
    assert REACHED.wait(30)
    runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
    runtime.revert('Acting("x")', invocations=1)
    runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
    assert SEEN == ["unwound"]


def test_code_that_waits_for_a_time_is_unwound_too(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    runtime.get(Acting, "x").add(1)
    runtime.trigger(runtime.get(Acting, "x").doze, key="doze")
    environment.join(30)
    assert SEEN == []
    runtime.revert('Acting("x")', invocations=1)
    assert SEEN == ["unwound"]


def test_an_idle_one_is_unloaded_when_it_is_interrupted(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    assert runtime.get(Acting, "x").add(1) == 1
    environment.join(30)
    actor = actor_of(runtime, "x")
    assert actor.session is not None
    runtime._kernel._interrupt(actor)
    assert actor.session is None


def test_one_that_was_interrupted_unloads_no_other_later(runtime: Runtime) -> None:
    assert runtime.get(Acting, "x").add(1) == 1
    runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
    assert list(runtime._kernel._resting) == ['Acting("x")']
    runtime._kernel._interrupt(actor_of(runtime, "x"))
    assert not runtime._kernel._resting
    assert not runtime._kernel._actors


def test_one_that_falls_asleep_unloads_no_other_later(runtime: Runtime) -> None:
    assert runtime.get(Acting, "x").add(1) == 1
    runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
    assert list(runtime._kernel._resting) == ['Acting("x")']
    runtime.trigger(runtime.get(Acting, "x").nap, 1, key="nap")
    runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
    assert not runtime._kernel._resting


def test_one_that_a_full_store_stopped_unloads_no_other_later(
    runtime: Runtime, engine: Refusing
) -> None:
    assert runtime.get(Acting, "x").add(1) == 1
    runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
    assert list(runtime._kernel._resting) == ['Acting("x")']
    engine.refusal = StoreFullError("no room")
    with pytest.raises(StoreFullError):
        runtime.get(Acting, "y").add(1)
    assert not runtime._kernel._resting


@pytest.mark.parametrize("ends", ["reverted", "failed"])
def test_who_comes_just_before_is_taken_along(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """It has got hold of the actor, and finds it retired."""
    tally = runtime.get(Acting, "x")
    assert tally.add(1) == 1
    kernel = runtime._kernel
    actor, once = kernel.actor, [True]

    def and_end(*given: Any, **named: Any) -> Actor:
        found = actor(*given, **named)
        if once:
            once.clear()
            if ends == "reverted":
                runtime.revert('Acting("x")', invocations=1)
            else:
                kernel.agent_ended(found, RuntimeError("a fault of ours"))
        return found

    monkeypatch.setattr(kernel, "actor", and_end)
    assert tally.add(5) == (5 if ends == "reverted" else 6)
    assert actor("Acting", 'Acting("x")').session is not None, "its next actor has done it"
