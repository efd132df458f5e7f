"""The locks of agents, where no thread of an agent waits for one."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest

from golem_sdk import Runtime, agent
from golem_sdk.durability import current
from golem_sdk.errors import AgentFailedError, AgentFencedSignal, RuntimeClosedError
from golem_sdk.runtime.locks import AgentLock, AgentRLock, _here, is_agents_own
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.environment import VirtualEnvironment

TOLD: list[Exception] = []


def test_outside_agents_it_is_a_lock_as_any() -> None:
    lock = AgentLock()
    assert lock.locked() is False
    assert repr(lock) == "<unlocked lock of an agent>"
    with lock:
        assert lock.locked() is True
        assert repr(lock) == "<locked lock of an agent>"
        assert lock.acquire(False) is False
        assert lock.acquire(timeout=0) is False
        with pytest.raises(ValueError, match="timeout"):
            lock.acquire(True, -2)
    assert lock.acquire() is True
    lock.release()
    with pytest.raises(RuntimeError):
        lock.release()


def test_what_was_never_taken_cannot_be_released() -> None:
    with pytest.raises(RuntimeError):
        AgentLock().release()


def test_a_forked_child_has_it_free() -> None:
    lock = AgentLock()
    lock.acquire()
    lock._at_fork_reinit()
    assert lock.locked() is False


def test_one_that_can_be_taken_again_is_made_of_it() -> None:
    lock = AgentRLock()
    assert isinstance(lock._block, AgentLock)
    with lock, lock:
        assert lock._block.locked()
    assert not lock._block.locked()
    assert is_agents_own(lock)
    assert is_agents_own(lock._block)


@agent
def takes_a_lock(name: str) -> str:
    lock = AgentLock()
    with lock:
        assert lock._holder is current()
        assert lock.acquire(False) is False
        before = time.time()
        assert lock.acquire(timeout=5) is False
        assert time.time() >= before + 5
    assert lock._holder is None, "or it would keep the agent in memory"
    with lock, pytest.raises(ValueError, match="timeout"):
        lock.acquire(True, -2)
    return name


def test_it_knows_the_agent_for_as_long_as_it_has_it() -> None:
    with Runtime.over(MemoryEngine(), VirtualEnvironment(), Settings()) as runtime:
        assert runtime.run(takes_a_lock, "x") == "x"


@agent
async def takes_a_lock_at_its_end(name: str) -> None:
    lock, session = AgentLock(), current()
    assert session is not None
    lock.acquire()
    session.end(AgentFencedSignal(RuntimeClosedError("it was interrupted")))
    try:
        lock.acquire()
    except Exception as error:  # with which it could go on
        TOLD.append(error)


def test_code_that_was_ended_waits_for_none_and_does_not_go_on() -> None:
    TOLD.clear()
    with (
        Runtime.over(MemoryEngine(), VirtualEnvironment(), Settings()) as runtime,
        pytest.raises(AgentFailedError, match="it was interrupted"),
    ):
        runtime.run(takes_a_lock_at_its_end, "x")
    assert TOLD == []


@pytest.mark.parametrize(
    "name",
    [
        "threading",
        "queue",
        "concurrent.futures.thread",
        "golem_sdk.runtime.x",
        "golem_sdk.intercept.x",
    ],
)
def test_the_line_that_is_told_is_none_of_the_machinery(name: str) -> None:
    machinery: dict[str, Any] = {"__name__": name}
    exec("def call(ask):\n    return ask()", machinery)
    place = machinery["call"](lambda: _here(sys._getframe(1)))
    assert place is not None
    assert place[0] == __file__
