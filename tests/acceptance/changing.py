"""A user's module that changes while one of its agents waits."""

from __future__ import annotations

import linecache
import sys
import types
from datetime import timedelta
from threading import Semaphore
from typing import TYPE_CHECKING, Any

from golem_sdk import Runtime
from golem_sdk.runtime.settings import Settings
from golem_sdk.runtime.timers import Timer
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.environment import VirtualEnvironment
from golem_sdk.testing.witness import Witness
from promises.checkers import Parked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

__all__ = ["CHANGES", "LINES", "ORIGINAL", "Module", "half_way", "park", "runtime"]

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


LINES: dict[str, tuple[str, str]] = {
    "argument": ('orders.py:16 in Order.fulfil(): call("charge", 100)', 'call("charge", 200)'),
    "added": ('orders.py:15 in Order.fulfil(): call("reserve")', "orders.py:15 in Order.fulfil()"),
    "removed": (
        "orders.py:15 in Order.fulfil()",
        'orders.py:15 in Order.fulfil(): call("charge", 100)',
    ),
    "reordered": ("orders.py:15 in Order.fulfil()", 'Order.fulfil(): call("charge", 100)'),
    "other call": (
        "orders.py:16 in Order.fulfil()",
        "orders.py:16 in Order.fulfil(): time.sleep(1)",
    ),
    "ends early": ("orders.py:16 in Order.fulfil()", ""),
}
"""Of each change: what the recorded call and the attempted one look like in the source."""


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


def runtime(engine: MemoryEngine, witness: Witness | None = None) -> Runtime:
    settings = Settings(suspend_after_s=0, write_behind_s=None, performer=witness)
    return Runtime.over(engine, VirtualEnvironment(), settings)


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


def park(
    engine: MemoryEngine, changed: dict[str, Any], lines: tuple[str, str]
) -> tuple[Parked, MemoryEngine]:
    """What becomes of the waiting order with the changed code, in two lives; and what they leave."""
    told: list[BaseException | None] = []
    witness = Witness()
    entries = []
    for _ in ("diverges", "is parked"):
        with runtime(engine, witness) as life:
            order = life.get(changed["Order"], 1)
            try:
                life.trigger(order.fulfil, key="fulfil").result(60)
                told.append(None)
            except Exception as error:
                told.append(error)
            status = life.metadata(order).status
            entries.append(len(list(life.oplog(order))))
            engine = engine.snapshot()
    first, later = told
    assert first is not None
    performed = len(witness.notes.performances)
    appended = entries[1] - entries[0]
    seen = Parked(first, "Order(1)", lines, performed, status, later, appended)
    return seen, engine
