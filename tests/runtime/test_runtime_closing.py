"""Closing a runtime leaves what agents did on disk, and in memory nothing: no code, no thread, no runtime."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from datetime import timedelta
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import FunctionType, Runtime, agent, durability, durable, originals
from golem_sdk.core.entries import ImportedFunctionInvoked, NoOp
from golem_sdk.durability import begin_durable_function
from golem_sdk.errors import (
    AgentFailedError,
    AgentFencedSignal,
    RuntimeClosedError,
    StoreForkedError,
)
from golem_sdk.runtime.actor import Actor
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.base import Space
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.stores.invocations import load_inbox
from golem_sdk.testing.environment import VirtualEnvironment
from runtime.acting import GATE, REACHED, SEEN, Acting, actor_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.runtime.session import Session


@agent
async def reads_and_waits(name: str) -> None:
    time.time()
    REACHED.set()
    try:
        await asyncio.Event().wait()
    finally:
        SEEN.append("unwound")


def begin() -> None:
    for event in (GATE, REACHED):
        event.clear()
    SEEN.clear()


def test_what_was_not_yet_on_disk_is_written_and_code_that_waits_is_unwound() -> None:
    begin()
    engine, environment = MemoryEngine(), VirtualEnvironment()
    runtime = Runtime.over(engine, environment, Settings(write_behind_s=None))
    runtime.trigger(reads_and_waits, "x")
    environment.join(30)
    assert SEEN == []
    runtime.close()
    assert SEEN == ["unwound"]
    with Runtime.over(engine.snapshot(), VirtualEnvironment(), Settings()) as opened:
        entries = [entry for _, entry in opened.oplog('reads_and_waits("x")')]
    assert sum(isinstance(entry, ImportedFunctionInvoked) for entry in entries) == 1


@pytest.mark.parametrize("begins", [False, True])
def test_p4_what_was_accepted_as_it_was_closed_is_there_when_it_is_opened_again(
    monkeypatch: pytest.MonkeyPatch, begins: bool
) -> None:
    """Or whoever asked would ask again, and have it done twice: its agent may have written by itself."""
    begin()
    engine, environment = MemoryEngine(), VirtualEnvironment()
    runtime = Runtime.over(engine, environment, Settings(write_behind_s=None))
    accepted = runtime._kernel.accepted

    def closed_before(*ticket: Any) -> None:
        assert not begins or REACHED.wait(30)
        runtime.close()
        accepted(*ticket)

    monkeypatch.setattr(runtime._kernel, "accepted", closed_before)
    if not begins:
        monkeypatch.setattr(environment, "spawn", lambda _: None)
    runtime.trigger(runtime.get(Acting, "x").block, key="once")
    GATE.set()
    assert [invocation.key for invocation in load_inbox(engine.snapshot(), 'Acting("x")')] == [
        "once"
    ]


def test_a_forked_child_is_refused_before_anything_is_locked_or_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runtime = Runtime.over(MemoryEngine(), VirtualEnvironment(), Settings())
    with runtime, monkeypatch.context() as patch:
        patch.setattr(originals, "getpid", lambda: -1)
        with pytest.raises(StoreForkedError, match="a runtime was opened by process"):
            actor_of(runtime, "x")


def test_no_thread_is_left() -> None:
    begin()
    before = set(threading.enumerate())
    runtime = Runtime.over(MemoryEngine(), RealEnvironment(), Settings(write_behind_s=0.0))
    assert runtime.get(Acting, "x").add(1) == 1
    runtime.trigger(runtime.get(Acting, "x").wait, key="wait")
    assert REACHED.wait(30)
    runtime._kernel.committer.soon()
    own = {thread.name: thread for thread in set(threading.enumerate()) - before}
    GATE.set()
    runtime.close()
    for name in ("golem-host", "golem-write-behind"):
        own[name].join(30)  # closing waits a second for the one of the host
        assert not own[name].is_alive()


def test_no_directory_of_agents_is_left() -> None:
    runtime = Runtime.over(MemoryEngine(), VirtualEnvironment(), Settings())
    place = runtime._kernel.workspaces._root()
    assert place.is_dir()
    runtime.close()
    assert not place.exists()


def test_nobody_keeps_it_in_memory() -> None:
    begin()
    before = set(threading.enumerate())
    runtime = Runtime.over(MemoryEngine(), VirtualEnvironment(), Settings())
    assert runtime.get(Acting, "x").add(1) == 1
    kernel = weakref.ref(runtime._kernel)
    runtime.close()
    del runtime
    for thread in set(threading.enumerate()) - before:
        thread.join(30)  # it may be on its way home from the agent
    gc.collect()
    assert kernel() is None


def test_what_has_not_noticed_that_its_agent_was_ended_appends_nothing() -> None:
    settings = Settings(write_behind_s=None)
    with Runtime.over(MemoryEngine(), VirtualEnvironment(), settings) as runtime:
        assert runtime.get(Acting, "x").add(1) == 1
        session = actor_of(runtime, "x").session
        assert session is not None
        session.end(AgentFencedSignal(RuntimeClosedError("it was interrupted")))
        with pytest.raises(RuntimeClosedError, match="it was interrupted"):
            session.writer.append(NoOp(1))


@durable
def answer() -> str:
    return "answered"


@agent
def is_ended_in_replay(name: str) -> None:
    time.sleep(10)
    session = durability.current()
    assert session is not None
    if not durability.is_live():
        session.end(AgentFencedSignal(RuntimeClosedError("the runtime was closed")))
    try:
        SEEN.append(answer())
    except AgentFencedSignal:
        SEEN.append("refused")
        raise
    time.sleep(10)


def test_code_whose_session_has_ended_gets_nothing_that_was_recorded() -> None:
    begin()
    settings, ended = Settings(suspend_after_s=0), pytest.raises(AgentFailedError, match="closed")
    with Runtime.over(MemoryEngine(), VirtualEnvironment(), settings) as runtime, ended:
        runtime.run(is_ended_in_replay, "x")
    assert SEEN[0] == "answered"
    assert set(SEEN[1:]) == {"refused"}, "in every later life"


class Fading(Actor):
    """Is unloaded by its own thread as soon as somebody has looked."""

    __slots__ = ()

    @property
    def session(self) -> Session | None:
        slot: Any = vars(Actor)["session"]
        seen: Session | None = slot.__get__(self)
        slot.__set__(self, None)
        return seen

    @session.setter
    def session(self, session: Session | None) -> None:
        vars(Actor)["session"].__set__(self, session)


def test_agents_that_are_unloaded_just_now_do_not_keep_the_store_open() -> None:
    engine = MemoryEngine()
    runtime = Runtime.over(engine, VirtualEnvironment(), Settings(write_behind_s=None))
    for name in ("fades", "has no thread"):
        assert runtime.get(Acting, name).add(1) == 1
    actor_of(runtime, "fades").__class__ = Fading
    session = actor_of(runtime, "has no thread").session
    assert session is not None
    session.end(AgentFencedSignal(RuntimeError("can't start new thread")))
    runtime.close()
    with pytest.raises(RuntimeClosedError):
        engine.get(Space.META, b"any")


@agent
class ParkedForGood:
    def __init__(self, name: str) -> None:
        self.name = name

    def begin(self) -> None:
        begin_durable_function(FunctionType.WRITE_REMOTE)  # and persist nothing


def asked(ask: Callable[[], object]) -> int:
    """How many calls an error tells of with which ``ask`` is refused."""
    with pytest.raises((AgentFailedError, RuntimeClosedError)) as told:
        ask()
    return len(extract_tb(told.value.__traceback__))


def test_asking_in_vain_again_and_again_piles_up_nothing() -> None:
    with Runtime.memory() as runtime:
        begin = runtime.get(ParkedForGood, "x").begin
        first, later = runtime.trigger(begin, key="first"), timedelta(days=1)
        ways = first.result, begin, lambda: runtime.schedule(later, begin)
        told = [[asked(way) for _ in range(6)] for way in ways]
    told.append([asked(begin) for _ in range(6)])
    assert [len({*depths[1:]}) for depths in told] == [1] * 4, told
