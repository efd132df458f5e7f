"""Code that changed under a running agent is noticed, explained, parked and taken up again (D1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from acceptance.changing import CHANGES, LINES, ORIGINAL, Module, half_way, park, runtime
from golem_sdk import Runtime
from golem_sdk.core.status import AgentStatus
from golem_sdk.errors import AgentFailedError, DivergenceError
from golem_sdk.runtime.settings import Settings
from golem_sdk.runtime.timers import Timer
from golem_sdk.stores.invocations import load_inbox
from golem_sdk.testing.environment import VirtualEnvironment
from promises.checkers import check_d1

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_explained_and_the_agent_is_parked(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = Module(tmp_path)
    engine = half_way(module.load(ORIGINAL, monkeypatch))
    changed = module.load(ORIGINAL.replace(*CHANGES[change]), monkeypatch)
    seen, engine = park(engine, changed, LINES[change])
    assert check_d1(seen) == []
    text = str(seen.error)
    assert "likely cause: the source file of this agent changed" in text
    assert "what to do:" in text
    assert "invocation of fulfil" in text, "the last entries on which both agreed"
    with runtime(engine) as third:
        order = third.get(changed["Order"], 1)
        assert third.get(changed["Bystander"], 2).greet() == "hello", "others run on"
        third._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is tried once
        assert third.metadata(order).error == text
        with pytest.raises(AgentFailedError, match="parked"):
            third.trigger(order.fulfil, key="another")
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
