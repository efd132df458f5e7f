"""Agents in memory: who is woken, laid asleep, unloaded, and told when an agent cannot go on."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent, durable, get, idempotence_mode
from golem_sdk.core.entries import Suspend
from golem_sdk.errors import (
    AgentFailedError,
    AgentFencedSignal,
    RuntimeClosedError,
    StoreBrokenError,
    StoreFullError,
    UnknownOutcomeError,
    UsageError,
)
from golem_sdk.runtime import actor as actors
from golem_sdk.runtime.announcing import Announcements
from golem_sdk.runtime.completion import Completion
from golem_sdk.runtime.loading import load_session
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.stores.invocations import InvocationStatus
from golem_sdk.testing.environment import VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from golem_sdk.runtime.actor import Actor
    from golem_sdk.runtime.session import Session
    from golem_sdk.storage.base import Batch, Row, Space

GATE, REACHED = Event(), Event()
SEEN: list[str] = []
ENGINE: list[Refusing] = []


class Refusing(MemoryEngine):
    """Refuses the next commit, or the next scan, when it is told to."""

    refusal: Exception | None = None
    unreadable: Exception | None = None

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        refusal, self.refusal = self.refusal, None
        if refusal is not None:
            raise refusal
        return super().commit(batches)

    def scan(
        self, space: Space, lo: bytes, hi: bytes | None, *, limit: int, reverse: bool = False
    ) -> list[Row]:
        unreadable, self.unreadable = self.unreadable, None
        if unreadable is not None:
            raise unreadable
        return super().scan(space, lo, hi, limit=limit, reverse=reverse)


@durable
async def wait_outside() -> str:
    REACHED.set()
    await asyncio.to_thread(GATE.wait, 30)
    return "waited"


@durable
def lost(what: str) -> None:
    SEEN.append(what)


@agent
class Acting:
    def __init__(self, name: str) -> None:
        self.value = 0

    def add(self, by: int) -> int:
        self.value += by
        return self.value

    def block(self) -> int:
        REACHED.set()
        GATE.wait(30)
        SEEN.append("block")
        return self.value

    async def wait(self) -> str:
        try:
            return await wait_outside()
        finally:
            SEEN.append("unwound")

    async def nap(self, days: int) -> int:
        await asyncio.sleep(days * 86400)
        return days

    def fill(self) -> int:
        ENGINE[0].refusal = StoreFullError("no room")
        self.value += 1
        return self.value


@agent
class Patient:
    def __init__(self, name: str) -> None:
        self.name = name

    async def ask(self, days: int) -> int:
        days_slept: int = await get(Acting, self.name).nap(days)
        return days_slept


@agent
def asks_who_fails(name: str) -> str:
    try:
        return str(get(Acting, name).add(1))
    except AgentFailedError as error:
        return f"caught: {error}"


@agent
def acts_once(name: str) -> str:
    return name


@pytest.fixture
def environment() -> VirtualEnvironment:
    made = VirtualEnvironment()
    made.enter()  # time stands still until a test leaves
    return made


@pytest.fixture
def engine() -> Refusing:
    return Refusing()


@pytest.fixture
def runtime(environment: VirtualEnvironment, engine: Refusing) -> Iterator[Runtime]:
    for event in (GATE, REACHED):
        event.clear()
    SEEN.clear()
    ENGINE[:] = [engine]
    settings = Settings(suspend_after_s=60.0, max_loaded=1, write_behind_s=None)
    with Runtime.over(engine, environment, settings) as opened:
        yield opened
        GATE.set()
    environment.join(30)  # what was blocked notes nothing in the next test


def actor_of(runtime: Runtime, name: str) -> Actor:
    return runtime._kernel.actor("Acting", f'Acting("{name}")')


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
    assert actor.doze() is False, "it is not laid asleep, either"
    assert not actor.asleep
    GATE.set()
    assert handle.result(30) == "waited"


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
    following = runtime._kernel._made("Acting", actor.agent_id, left)
    states = {key: completion.status for key, completion in following.completions.items()}
    assert states == {"block": InvocationStatus.PENDING, "later": InvocationStatus.SCHEDULED}


def test_code_that_waits_is_unwound_when_its_agent_is_interrupted(runtime: Runtime) -> None:
    runtime.get(Acting, "x").add(1)
    runtime.trigger(runtime.get(Acting, "x").wait, key="wait")
    assert REACHED.wait(30)
    runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
    runtime.revert('Acting("x")', invocations=1)
    assert SEEN == ["unwound"]


def test_one_that_was_interrupted_unloads_no_other_later(runtime: Runtime) -> None:
    assert runtime.get(Acting, "x").add(1) == 1
    runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
    assert list(runtime._kernel._resting) == ['Acting("x")']
    runtime._kernel._interrupt(actor_of(runtime, "x"))
    assert not runtime._kernel._resting
    assert not runtime._kernel._actors


def test_who_comes_just_before_is_taken_along(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has got hold of the actor, and finds it retired."""
    tally = runtime.get(Acting, "x")
    assert tally.add(1) == 1
    kernel = runtime._kernel
    actor, once = kernel.actor, [True]

    def and_revert(*given: Any, **named: Any) -> Actor:
        found = actor(*given, **named)
        if once:
            once.clear()
            runtime.revert('Acting("x")', invocations=1)
        return found

    monkeypatch.setattr(kernel, "actor", and_revert)
    assert tally.add(5) == 5
    assert actor("Acting", 'Acting("x")').session is not None, "its next actor has done it"


# --- cannot go on ---------------------------------------------------------------------------------------


def test_a_fault_outside_agent_code_ends_the_agent_only(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    def fault() -> None:
        runtime._kernel.before_invocation = lambda: None
        raise RuntimeError("a fault of ours")

    runtime._kernel.before_invocation = fault
    with pytest.raises(AgentFailedError, match="a fault of ours"):
        runtime.get(Acting, "x").add(1)
    assert "agent Acting" in caplog.text
    assert runtime.get(Acting, "y").add(1) == 1
    assert runtime.get(Acting, "x").add(1) == 2, "its next life does what was left"


def test_agents_that_wait_learn_that_another_cannot_go_on(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(kernel: Any, actor: Actor) -> Session:
        if actor.agent_type == "Acting":
            raise AgentFailedError(actor.agent_id, "it is parked")
        return load_session(kernel, actor)

    monkeypatch.setattr(actors, "load_session", refuse)
    assert runtime.trigger(asks_who_fails, "x").result(30) == "caught: it is parked"
    assert "it is parked" in [record.getMessage() for record in caplog.records]


def test_agents_that_wait_learn_of_a_fault_in_another(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(kernel: Any, actor: Actor) -> Session:
        if actor.agent_type == "Acting":
            raise RuntimeError("a fault of ours")
        return load_session(kernel, actor)

    monkeypatch.setattr(actors, "load_session", fail)
    result = runtime.trigger(asks_who_fails, "x").result(30)
    assert "stopped for a reason that is not its own" in result
    assert "a fault of ours" in result


def test_agents_are_told_nothing_when_the_runtime_closes(runtime: Runtime) -> None:
    """Or they would take it for the outcome of the call."""
    runtime.trigger(runtime.get(Acting, "x").block, key="block")
    assert REACHED.wait(30)
    told: list[object] = []
    waits = actor_of(runtime, "x").completions["block"]
    waits.listen(lambda *outcome: told.append(outcome))
    runtime.close()
    with pytest.raises(RuntimeClosedError):
        waits.outcome(0)
    assert told == []


def test_an_agent_that_is_being_loaded_when_the_store_fails_does_nothing(
    runtime: Runtime, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def and_fail(kernel: Any, actor: Actor) -> Session:
        session = load_session(kernel, actor)
        kernel.store_failed(StoreBrokenError("the disk is gone"))
        return session

    monkeypatch.setattr(actors, "load_session", and_fail)
    GATE.set()
    with pytest.raises(StoreBrokenError):
        runtime.trigger(runtime.get(Acting, "x").block).result(30)
    environment.join(30)
    assert SEEN == []


# --- a store that fails ---------------------------------------------------------------------------------


def test_an_end_that_cannot_be_written_is_told_and_made_anew(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    runtime.trigger(runtime.get(Acting, "x").block)
    assert REACHED.wait(30)
    handle = runtime.trigger(runtime.get(Acting, "x").fill, key="fill")
    waits = handle._completion()
    GATE.set()
    with pytest.raises(StoreFullError):
        waits.outcome(30)
    environment.join(30)
    ENGINE[:] = [Refusing()]
    environment.leave()
    assert handle.result(30) == 1
    environment.enter()


def test_code_that_waits_is_unwound_when_the_store_fails(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    runtime.trigger(runtime.get(Acting, "x").wait, key="wait")
    assert REACHED.wait(30)
    environment.join(30)
    runtime._kernel.store_failed(StoreBrokenError("the disk is gone"))
    assert SEEN == ["unwound"]


def test_a_failure_is_over_when_it_was_dealt_with(
    runtime: Runtime, engine: Refusing, caplog: pytest.LogCaptureFixture
) -> None:
    kernel = runtime._kernel
    engine.refusal = StoreFullError("no room")
    with pytest.raises(StoreFullError):
        kernel.accepted()
    runtime.trigger(runtime.get(Acting, "x").block, key="block")
    assert REACHED.wait(30)
    kernel.store_failed(StoreFullError("no room"))  # whom it concerned notices late
    assert 'Acting("x")' in kernel._actors
    first, second = StoreBrokenError("the disk is gone"), StoreBrokenError("it is still gone")
    kernel.store_failed(first)
    kernel.store_failed(second)
    assert kernel.closed is first
    assert [record.getMessage() for record in caplog.records] == [
        "the store refused a commit: no room",
        "the store refused a commit: the disk is gone",
    ]


def test_a_store_that_is_broken_when_it_is_tried_again_ends_the_runtime(
    runtime: Runtime, environment: VirtualEnvironment, engine: Refusing
) -> None:
    engine.refusal = StoreFullError("no room")
    with pytest.raises(StoreFullError):
        runtime._kernel.accepted()
    engine.unreadable = StoreBrokenError("the disk is gone")
    environment.leave()
    environment.join(30)
    environment.enter()
    with pytest.raises(StoreBrokenError, match="the disk is gone"):
        runtime.get(Acting, "x").add(1)


def test_a_revert_in_a_broken_store_is_told_to_who_waits(
    runtime: Runtime, engine: Refusing
) -> None:
    runtime.get(Acting, "x").add(1)
    handle = runtime.trigger(runtime.get(Acting, "x").block, key="block")
    assert REACHED.wait(30)
    waits = handle._completion()
    engine.refusal = StoreBrokenError("the disk is gone")
    with pytest.raises(StoreBrokenError):
        runtime.revert(handle, invocations=1)
    with pytest.raises(StoreBrokenError):
        waits.outcome(0)


def test_a_revert_whose_agent_cannot_be_made_anew_is_told_to_who_waits(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = runtime._kernel
    runtime.get(Acting, "x").add(1)
    handle = runtime.trigger(runtime.get(Acting, "x").block, key="block")
    assert REACHED.wait(30)
    waits = handle._completion()
    made = kernel._made

    def close_before(*given: Any, **named: Any) -> Actor:
        kernel.store_failed(StoreBrokenError("the disk is gone"))
        return made(*given, **named)

    monkeypatch.setattr(kernel, "_made", close_before)
    with pytest.raises(StoreBrokenError):
        runtime.revert(handle, to_index=4)
    with pytest.raises(StoreBrokenError):
        waits.outcome(0)
    assert not kernel._actors


# --- an operator ------------------------------------------------------------------------------------------


@agent
class Writing:
    def __init__(self, name: str) -> None:
        self.name = name

    def write(self) -> str:
        with idempotence_mode(False):
            lost("write")
        GATE.set()
        return self.name


def test_an_agent_whose_write_is_settled_goes_on_by_itself(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(writes: Announcements, call: object) -> None:
        session = writes._operations.session
        session.end(AgentFencedSignal(RuntimeClosedError("it was killed")))
        session.check()

    with monkeypatch.context() as patch:
        patch.setattr(Announcements, "performed", die)
        handle = runtime.trigger(runtime.get(Writing, "x").write, key="w")
        runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
    runtime._kernel.recover()
    with pytest.raises(UnknownOutcomeError):
        handle.result(30)
    assert list(runtime._kernel._failures) == ['Writing("x")']
    runtime.resume(handle, happened=True)
    assert GATE.wait(30), "without anybody asking for it anew"
    assert runtime._kernel._failures == {}
    assert handle.result(30) == "x"
    with pytest.raises(UsageError, match="runs: it has no write with an unknown outcome"):
        runtime.resume(handle, happened=True)


def test_a_failure_that_was_reverted_is_forgotten(runtime: Runtime) -> None:
    assert runtime.get(Acting, "x").add(1) == 1
    runtime._kernel._failures['Acting("x")'] = AgentFailedError('Acting("x")', "it was parked")
    runtime.revert('Acting("x")', invocations=1)
    assert runtime._kernel._failures == {}
    assert runtime.get(Acting, "x").add(2) == 2


def test_what_was_not_committed_yet_can_be_reverted_to(runtime: Runtime) -> None:
    runtime.get(Acting, "x").add(1)
    runtime.trigger(runtime.get(Acting, "x").wait, key="wait")
    assert REACHED.wait(30)
    runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
    session = actor_of(runtime, "x").session
    assert session is not None
    session.writer.flush()
    last = session.writer.last
    assert runtime.revert('Acting("x")', to_index=last - 1) == last - 1
