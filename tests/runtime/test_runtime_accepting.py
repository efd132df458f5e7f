"""An invocation is accepted when it is on disk, and not before, whatever fails meanwhile for others."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent
from golem_sdk.core.ids import AgentId
from golem_sdk.errors import InvocationNotFoundError, StoreError, StoreFullError
from golem_sdk.runtime.handles import InvocationHandle
from golem_sdk.runtime.settings import Settings
from golem_sdk.stores.invocations import InvocationStatus, load_result
from golem_sdk.testing.environment import VirtualEnvironment
from runtime.acting import Refusing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


X = AgentId("AcceptedTally", 'AcceptedTally("x")')


GATE, REACHED = Event(), Event()


@agent
class AcceptedTally:
    def __init__(self, name: str) -> None:
        self.value = 0

    def block(self) -> None:
        REACHED.set()
        GATE.wait(30)

    def nap(self) -> None:
        time.sleep(86_400)

    def add(self, by: int) -> int:
        self.value += by
        return self.value


@pytest.fixture
def engine() -> Refusing:
    return Refusing()


@pytest.fixture
def runtime(engine: Refusing) -> Iterator[Runtime]:
    settings = Settings(suspend_after_s=1e6, write_behind_s=None)
    environment = VirtualEnvironment()
    with Runtime.over(engine, environment, settings) as opened:
        environment.enter()  # time stands still
        for event in (GATE, REACHED):
            event.clear()
        opened.trigger(opened.get(AcceptedTally, "x").block, key="first")
        assert REACHED.wait(30)
        yield opened
        GATE.set()
        environment.leave()
    environment.join(30)  # what was blocked notes nothing in the next test


def _trigger(runtime: Runtime) -> InvocationHandle[int]:
    return runtime.trigger(runtime.get(AcceptedTally, "x").add, 1, key="k")


def _schedule(runtime: Runtime) -> InvocationHandle[int]:
    add = runtime.get(AcceptedTally, "x").add
    return runtime.schedule(timedelta(days=1), add, 1, key="k")


def others_commit_fails_first(
    runtime: Runtime, engine: Refusing, patch: pytest.MonkeyPatch
) -> None:
    """Another thread's commit takes what was queued with it, fails, and all of that is behind us."""
    accepted, once = runtime._kernel.accepted, [True]

    def after_another(*given: Any) -> None:
        if once:
            once.clear()
            engine.refusal = StoreFullError("no room")
            with suppress(StoreError):
                accepted()
        accepted(*given)

    patch.setattr(runtime._kernel, "accepted", after_another)


@pytest.mark.parametrize("ask", [_trigger, _schedule])
def test_p4_what_was_lost_with_anothers_commit_is_not_taken_for_accepted(
    runtime: Runtime,
    engine: Refusing,
    ask: Callable[[Runtime], InvocationHandle[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others_commit_fails_first(runtime, engine, monkeypatch)
    with pytest.raises(StoreFullError, match="no room"):
        ask(runtime)
    lost = InvocationHandle[int](runtime._kernel, X, "k")
    with pytest.raises(InvocationNotFoundError):
        lost.status()
    ask(runtime)
    assert lost.status() is not InvocationStatus.CANCELLED, "now it is accepted"


def test_who_was_refused_may_try_again_at_once(
    runtime: Runtime, engine: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the thread that is told of the failure comes to it much later."""
    engine.refusal = StoreFullError("no room")
    with monkeypatch.context() as patch:
        patch.setattr(runtime._kernel.environment, "spawn", lambda _: None)
        with pytest.raises(StoreFullError, match="no room"):
            _trigger(runtime)
    assert _trigger(runtime).status() is InvocationStatus.PENDING


def test_p4_a_cancelling_that_was_lost_with_anothers_commit_is_not_taken_for_done(
    runtime: Runtime, engine: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = _schedule(runtime)
    others_commit_fails_first(runtime, engine, monkeypatch)
    with pytest.raises(StoreFullError, match="no room"):
        handle.cancel()
    assert handle.status() is InvocationStatus.SCHEDULED


def _falls_asleep(runtime: Runtime) -> None:
    kernel = runtime._kernel
    kernel.rested(kernel._actors[X.text])
    nap = InvocationHandle[None](kernel, X, "nap")
    assert nap.status() is InvocationStatus.RUNNING


def _cancels_too(runtime: Runtime) -> None:
    kernel = runtime._kernel
    assert InvocationHandle[int](kernel, X, "add").cancel() is True
    result = load_result(kernel.engine, X.text, "add")
    assert result is not None, "what it was told is on disk"
    assert result.status is InvocationStatus.CANCELLED


@pytest.mark.parametrize("meanwhile", [_falls_asleep, _cancels_too])
def test_p4_until_a_cancelling_is_on_disk_nobody_finds_what_it_takes_back(
    meanwhile: Callable[[Runtime], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = VirtualEnvironment()
    environment.enter()
    with Runtime.over(Refusing(), environment, Settings(write_behind_s=None)) as runtime:
        tally, kernel = runtime.get(AcceptedTally, "x"), runtime._kernel
        nap, add = runtime.trigger(tally.nap, key="nap"), runtime.trigger(tally.add, 1, key="add")
        environment.join(30)
        actor, accepted = kernel._actors[X.text], kernel.accepted

        def accepted_later(*args: Any) -> None:
            monkeypatch.setattr(kernel, "accepted", accepted)
            meanwhile(runtime)
            accepted(*args)

        monkeypatch.setattr(kernel, "accepted", accepted_later)
        assert add.cancel() is True
        environment.leave()
        nap.result(30)
        environment.join(30)
        assert add.status() is InvocationStatus.CANCELLED
        assert tally.add(2) == 2
        environment.join(30)
        assert actor.completions == {}
