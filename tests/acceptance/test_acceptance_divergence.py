"""Code that changed under a running agent is noticed, explained, parked and taken up again (D1)."""

from __future__ import annotations

import linecache
import sys
import types
from datetime import timedelta
from threading import Semaphore
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime
from golem_sdk.core.status import AgentStatus
from golem_sdk.errors import AgentFailedError, DivergenceError
from golem_sdk.runtime.settings import Settings
from golem_sdk.runtime.timers import Timer
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.stores.invocations import load_inbox
from golem_sdk.testing.environment import VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ORIGINAL = """
import time
from golem_sdk import agent, durable

@durable
def call(name, cents=1):
    return name

@agent
class Order:
    def __init__(self, number):
        self.number = number

    def fulfil(self):
        call("reserve")
        call("charge", 100)
        time.sleep(3600)
        return call("ship")

@agent
class Bystander:
    def __init__(self, number):
        self.number = number

    def greet(self):
        return call("hello")
"""

CHANGES = {
    "argument": ('call("charge", 100)', 'call("charge", 200)'),
    "added": ('        call("reserve")\n', '        call("check")\n        call("reserve")\n'),
    "removed": ('        call("reserve")\n', ""),
    "reordered": (
        '        call("reserve")\n        call("charge", 100)\n',
        '        call("charge", 100)\n        call("reserve")\n',
    ),
    "other call": ('        call("charge", 100)\n', "        time.sleep(1)\n"),
    "ends early": ('        call("charge", 100)\n', "        return 1\n"),
}


class Module:
    """The user's module in one of its versions, as a fresh process would import it."""

    def __init__(self, path: Path) -> None:
        self.path = path / "orders.py"

    def load(self, source: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        self.path.write_text(source)
        linecache.checkcache(str(self.path))
        module = types.ModuleType("orders_under_test")
        module.__file__ = str(self.path)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(source, str(self.path), "exec"), module.__dict__)
        return vars(module)


def runtime(engine: MemoryEngine) -> Runtime:
    return Runtime.over(
        engine, VirtualEnvironment(), Settings(suspend_after_s=0, write_behind_s=None)
    )


def half_way(module: dict[str, Any]) -> MemoryEngine:
    """A store in which an order waits between its second and third call, and another call is scheduled."""
    engine = MemoryEngine()
    armed = Semaphore(0)
    with runtime(engine) as first:
        environment = first._kernel.environment

        def never(when_ns: int, callback: Callable[[], None]) -> Timer:
            armed.release()
            return Timer(callback)

        environment.call_at = never  # type: ignore[method-assign]  # time stands still
        first.trigger(first.get(module["Order"], 1).fulfil, key="fulfil")
        first.schedule(timedelta(hours=1), first.get(module["Order"], 1).fulfil, key="later")
        for _ in ("the sleep", "the suspension", "the schedule"):
            assert armed.acquire(timeout=30)
        return engine.snapshot()


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_explained_and_the_agent_is_parked(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = Module(tmp_path)
    engine = half_way(module.load(ORIGINAL, monkeypatch))
    changed = module.load(ORIGINAL.replace(*CHANGES[change]), monkeypatch)
    with runtime(engine) as second:
        order = second.get(changed["Order"], 1)
        with pytest.raises(DivergenceError) as caught:
            second.trigger(order.fulfil, key="fulfil").result()
        error, text = caught.value, str(caught.value)
        assert error.agent_id == "Order(1)"
        assert error.index is not None
        assert "orders.py:" in error.recorded or "sleep" in error.recorded
        assert error.attempted in text
        assert error.recorded in text
        assert "likely cause: the source file of this agent changed" in text
        assert "what to do:" in text
        assert "invocation of fulfil" in text, "the last entries on which both agreed"
        assert second.get(changed["Bystander"], 2).greet() == "hello", "others run on"
        metadata = second.metadata(order)
        assert metadata.status is AgentStatus.FAILED
        assert metadata.error == text
        with pytest.raises(AgentFailedError, match="parked"):
            second.trigger(order.fulfil, key="another")
        entries = len(list(second.oplog(order)))
        engine = engine.snapshot()
    with runtime(engine) as third:  # the same code again: not tried again
        with pytest.raises(AgentFailedError, match="parked"):
            third.trigger(third.get(changed["Order"], 1).fulfil, key="fulfil").result()
        assert len(list(third.oplog("Order(1)"))) == entries
        engine = engine.snapshot()
    mended = module.load(ORIGINAL, monkeypatch)
    with runtime(engine) as last:
        order = last.get(mended["Order"], 1)
        for key in ("fulfil", "later"):
            assert last.trigger(order.fulfil, key=key).result() == "ship", "nothing was lost"
        assert last.metadata(order).status is AgentStatus.IDLE


def test_what_comes_due_for_a_parked_agent_waits_in_its_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = Module(tmp_path)
    engine = half_way(module.load(ORIGINAL, monkeypatch))
    changed = module.load(ORIGINAL.replace(*CHANGES["argument"]), monkeypatch)
    environment, timers = VirtualEnvironment(), list[Timer]()

    def not_yet(when_ns: int, callback: Callable[[], None]) -> Timer:
        timers.append(Timer(callback))
        return timers[-1]

    environment.call_at = not_yet  # type: ignore[method-assign]  # time goes on below
    with Runtime.over(engine, environment, Settings(write_behind_s=None)) as second:
        handle = second.trigger(second.get(changed["Order"], 1).fulfil, key="fulfil")
        later, sleep = timers
        sleep.fire()
        with pytest.raises(DivergenceError):
            handle.result()
        later.fire()
        environment.join(30)
        second._kernel.accepted()
        queued = [invocation.key for invocation in load_inbox(engine, "Order(1)")]
    assert queued == ["fulfil", "later"]


def test_both_source_lines_and_the_difference_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = Module(tmp_path)
    engine = half_way(module.load(ORIGINAL, monkeypatch))
    changed = module.load("\n\n" + ORIGINAL.replace(*CHANGES["argument"]), monkeypatch)
    with runtime(engine) as second, pytest.raises(DivergenceError) as caught:
        second.trigger(second.get(changed["Order"], 1).fulfil, key="fulfil").result()
    assert 'orders.py:16 in Order.fulfil(): call("charge", 100)' in caught.value.recorded
    assert 'orders.py:18 in Order.fulfil(): call("charge", 200)' in caught.value.attempted
    assert "first difference: request[0][1]: recorded 100, attempted 200" in str(caught.value)
