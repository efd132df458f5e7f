"""What becomes of agents and callers when a store is full, or broken, or an agent fails by our fault."""

from __future__ import annotations

import time
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import FunctionType, Runtime, agent, durable
from golem_sdk.core.entries import ImportedFunctionInvoked, Revert
from golem_sdk.errors import (
    AgentFailedError,
    StoreBrokenError,
    StoreFencedError,
    StoreFullError,
)
from golem_sdk.oplog.writer import OplogWriter
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.environment import VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from golem_sdk.core.entries import Entry
    from golem_sdk.storage.base import Batch


class FullOnce(MemoryEngine):
    """Refuses the next commit when it is told to."""

    full = False
    broken = False

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        if self.full:
            self.full = False
            raise StoreFullError("no room")
        if self.broken:
            raise StoreBrokenError("the disk is gone")
        return super().commit(batches)


@agent
class StoppedTally:
    def __init__(self, name: str) -> None:
        self.value = 0

    def add(self, by: int) -> int:
        self.value += by
        return self.value


ENGINE: list[FullOnce] = []
PAID: list[str] = []
WENT_ON = Event()
AWAITED = Event()


@durable
def pay(what: str) -> None:
    PAID.append(what)


@durable(function_type=FunctionType.READ_LOCAL)
def went_on() -> None:
    WENT_ON.set()


@agent
class StoppedBuyer:
    def __init__(self, name: str) -> None:
        self.bought = 0

    def buy(self, fault: str) -> int:
        pay("pen")
        if not self.bought and len(PAID) == 1:
            setattr(ENGINE[0], fault, True)
        pay("ink")
        self.bought += 1
        went_on()
        return self.bought


@durable(function_type=FunctionType.READ_LOCAL)
def is_awaited() -> None:
    AWAITED.wait(30)


@agent
class AwaitedSleeper:
    """Sleeps when somebody waits for it: what it is to do is not found again in the store then."""

    def __init__(self, name: str) -> None:
        self.name = name

    def sleep(self, seconds: float) -> str:
        is_awaited()
        time.sleep(seconds)
        return f"{self.name} woke"


@agent
def awaited_sleeper(name: str) -> str:
    return AwaitedSleeper(name).sleep(60)


class Held(VirtualEnvironment):
    """Time passes when it may."""

    may_pass = False

    def _may_pass_to(self, when_ns: int) -> bool:
        return self.may_pass

    def go_on(self) -> None:
        self.may_pass = True
        self.enter()
        self.leave()


@pytest.fixture(autouse=True)
def fresh() -> None:
    WENT_ON.clear()
    AWAITED.clear()
    PAID.clear()
    ENGINE[:] = [FullOnce()]


def virtual(engine: MemoryEngine | None = None, **settings: Any) -> Runtime:
    chosen = Settings(**{"suspend_after_s": 1e6, "write_behind_s": None, **settings})
    return Runtime.over(engine or MemoryEngine(), VirtualEnvironment(), chosen)


def test_when_there_is_room_again_agents_go_on_by_themselves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with virtual(ENGINE[0]) as runtime:
        buy = runtime.get(StoppedBuyer, "x").buy
        before = runtime._kernel.environment.now_ns()
        request = buy._request(("full",), {}, "k")  # type: ignore[attr-defined]  # a proxy's method
        with pytest.raises(StoreFullError):  # asking anew would take it up at once
            runtime._kernel.intake.enqueue(request).outcome(30)
        assert WENT_ON.wait(30), "nobody has asked for it again"
        assert runtime.trigger(buy, "full", key="k").result(timeout=30) == 1
        assert runtime._kernel.environment.now_ns() - before > 0.9e9, "after a second"
    assert PAID[-1] == "ink"
    assert PAID.count("ink") == 1, "it was not sent before"
    assert caplog.text.count("the store refused a commit: no room") == 1


def test_a_broken_store_ends_the_runtime() -> None:
    with virtual(ENGINE[0]) as runtime:
        buyer = runtime.get(StoppedBuyer, "x")
        with pytest.raises(StoreBrokenError, match="the disk is gone"):
            buyer.buy("broken")
        ENGINE[0].broken = False
        with pytest.raises(StoreBrokenError, match="the disk is gone"):
            buyer.buy("broken")
    assert PAID == ["pen"]
    assert not WENT_ON.is_set()


class FaultyWriter(OplogWriter):
    """It has a fault of its own."""

    def append(self, entry: Entry) -> int:
        if isinstance(entry, ImportedFunctionInvoked):
            raise RuntimeError("a fault of the SDK")
        return super().append(entry)


def test_a_fault_of_the_sdk_stops_its_agent_only(caplog: pytest.LogCaptureFixture) -> None:
    with virtual(writer_class=FaultyWriter) as runtime:
        with pytest.raises(AgentFailedError, match="for a reason that is not its own") as failure:
            runtime.get(StoppedBuyer, "x").buy("full")
        assert isinstance(failure.value.__cause__, RuntimeError)
        assert failure.value.agent_id == 'StoppedBuyer("x")'
        assert runtime.get(StoppedTally, "x").add(1) == 1
    assert 'agent StoppedBuyer("x") stopped' in caplog.text
    assert "RuntimeError: a fault of the SDK" in caplog.text


def test_who_has_rested_longest_is_unloaded_first() -> None:
    with virtual(max_loaded=2) as runtime:
        kernel = runtime._kernel
        for name in ("a", "b", "a", "c"):
            runtime.get(StoppedTally, name).add(1)
            kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
        assert list(kernel._resting) == ['StoppedTally("a")', 'StoppedTally("c")']
        assert set(kernel._actors) == set(kernel._resting)


@pytest.mark.parametrize("suspend_after_s", [0.0, 1e6], ids=["unloaded", "kept"])
@pytest.mark.parametrize("is_class", [True, False], ids=["method", "function"])
def test_who_has_lost_the_store_while_an_agent_slept_does_nothing_twice(
    is_class: bool, suspend_after_s: float
) -> None:
    def begun(runtime: Runtime) -> Any:
        if not is_class:
            return runtime.trigger(awaited_sleeper, "x")
        return runtime.trigger(runtime.get(AwaitedSleeper, "x").sleep, 60, key="k")

    engine, stale = MemoryEngine(), Held()
    settings = Settings(suspend_after_s=suspend_after_s, write_behind_s=None)
    with Runtime.over(engine, stale, settings) as runtime:
        asked = begun(runtime)
        told = asked._completion()
        AWAITED.set()
        stale.rest(30)
        with virtual(engine) as other:  # as if somebody had removed the owner.lock
            assert begun(other).result(30) == "x woke"
            stale.go_on()
            with pytest.raises(StoreFencedError):
                told.outcome(30)
            with pytest.raises(StoreFencedError):
                asked.result(30)
            assert begun(other).result(30) == "x woke"


def test_who_has_lost_the_store_does_not_begin_anew_what_was_reverted_there() -> None:
    engine, stale = MemoryEngine(), Held()
    with Runtime.over(engine, stale, Settings(suspend_after_s=0.0)) as runtime:
        asked = runtime.trigger(runtime.get(AwaitedSleeper, "x").sleep, 60, key="k")
        told = asked._completion()
        AWAITED.set()
        stale.rest(30)
        with virtual(engine) as other:
            again = other.trigger(other.get(AwaitedSleeper, "x").sleep, 60, key="k")
            assert again.result(30) == "x woke"
            other.revert(asked.agent_id, invocations=1)
            stale.go_on()
            with pytest.raises(StoreFencedError):
                told.outcome(30)
            assert isinstance([entry for _, entry in other.oplog(asked.agent_id)][-1], Revert)
