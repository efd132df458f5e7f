"""What becomes of agents, and of who waits for them, when an agent or the store cannot go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent, durable, idempotence_mode
from golem_sdk.core.entries import NoOp
from golem_sdk.core.status import AgentStatus, StatusRecord
from golem_sdk.errors import (
    AgentFailedError,
    AgentFencedSignal,
    InvocationCancelledError,
    RuntimeClosedError,
    StoreBrokenError,
    StoreFullError,
    UnknownOutcomeError,
    UsageError,
)
from golem_sdk.runtime import actor as actors
from golem_sdk.runtime.announcing import Announcements
from golem_sdk.runtime.completion import Completion
from golem_sdk.runtime.definitions import code_of
from golem_sdk.runtime.leavings import Leavings
from golem_sdk.runtime.loading import load_session
from golem_sdk.storage.committer import Committer
from golem_sdk.stores.invocations import InvocationStatus
from golem_sdk.testing.environment import VirtualEnvironment
from runtime.acting import (
    ENGINE,
    GATE,
    REACHED,
    SEEN,
    Acting,
    Refusing,
    acting,
    actor_of,
    asks_who_fails,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from golem_sdk.runtime.actor import Actor
    from golem_sdk.runtime.session import Session


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
    with pytest.raises(RuntimeClosedError, match="the runtime was closed; its agents go on when"):
        runtime.get(Acting, "x").add(1)


def test_agents_are_told_nothing_when_the_store_fails(runtime: Runtime) -> None:
    runtime.trigger(runtime.get(Acting, "x").block, key="block")
    assert REACHED.wait(30)
    told: list[object] = []
    waits = actor_of(runtime, "x").completions["block"]
    waits.listen(lambda *outcome: told.append(outcome))
    runtime._kernel.store_failed(StoreBrokenError("the disk is gone"))
    with pytest.raises(StoreBrokenError):
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


def test_an_agent_that_was_dropped_while_it_was_loaded_does_nothing(
    runtime: Runtime, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who drops it has not come to its queue yet."""
    dropped: list[Actor] = []
    error = StoreFullError("no room")

    def and_drop(kernel: Any, actor: Actor) -> Session:
        session = load_session(kernel, actor)
        dropped.extend(kernel._drop_all(error))
        return session

    monkeypatch.setattr(actors, "load_session", and_drop)
    GATE.set()
    request = runtime.get(Acting, "x").block._request((), {}, "k")  # type: ignore[attr-defined]  # a proxy's
    waits = runtime._kernel.intake.enqueue(request)
    environment.join(30)
    assert SEEN == []
    for actor in dropped:
        actor.fail(error, refuse=False)
    with pytest.raises(StoreFullError):
        waits.outcome(0)


def test_an_agent_that_cannot_go_on_is_not_kept(runtime: Runtime) -> None:
    actor = actor_of(runtime, "x")
    runtime._kernel.agent_ended(actor, AgentFailedError(actor.agent_id, "it is parked"))
    assert not runtime._kernel._actors
    assert list(runtime._kernel._failures) == [actor.agent_id]


def test_an_agent_with_something_to_come_is_not_blank(runtime: Runtime) -> None:
    actor = actor_of(runtime, "x")
    actor.inherit(Leavings())
    assert actor.blank is True
    waits = Completion(actor.agent_id, "k", InvocationStatus.SCHEDULED)
    actor.inherit(Leavings({"k": waits}))
    assert actor.blank is False


def test_why_an_agent_failed_is_told_with_its_details(runtime: Runtime) -> None:
    kernel, agent_id = runtime._kernel, 'Acting("x")'
    failure = AgentFailedError(agent_id, "it failed, with details")
    kernel._failures[agent_id] = failure
    code = code_of("Acting") or ""
    record = StatusRecord(AgentStatus.FAILED, error="it failed", error_code=code)
    assert kernel.parked("Acting", agent_id, record) is failure
    assert kernel.parked("Acting", agent_id, StatusRecord()) is None, "it goes on by now"
    assert "it failed" in str(kernel.parked("Acting", 'Acting("y")', record))


def test_what_an_agent_has_written_is_there_for_its_next_actor(
    runtime: Runtime, environment: VirtualEnvironment
) -> None:
    runtime.get(Acting, "x").add(1)
    environment.join(30)
    before = len(list(runtime.oplog('Acting("x")')))
    actor = actor_of(runtime, "x")
    assert actor.session is not None
    actor.session.writer.append(NoOp(1))
    actor.session.writer.flush()
    runtime._kernel.agent_ended(actor, AgentFailedError(actor.agent_id, "it failed"))
    assert len(list(runtime.oplog('Acting("x")'))) == before + 1


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
    environment.join(30)
    assert SEEN == ["unwound"]


def test_a_failure_is_over_when_it_was_dealt_with(
    runtime: Runtime,
    environment: VirtualEnvironment,
    engine: Refusing,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kernel = runtime._kernel
    engine.refusal = StoreFullError("no room")
    with pytest.raises(StoreFullError):
        kernel.accepted()
    environment.join(30)  # it may be a thread of the runtime that deals with it, and tells of it
    runtime.trigger(runtime.get(Acting, "x").block, key="block")
    assert REACHED.wait(30)
    kernel.store_failed(StoreFullError("no room"))  # whom it concerned notices late
    assert 'Acting("x")' in kernel._actors
    first, second = StoreBrokenError("the disk is gone"), StoreBrokenError("it is still gone")
    kernel.store_failed(first)
    kernel.store_failed(second)
    assert kernel.closed is first
    assert {record.name for record in caplog.records} == {"golem_sdk"}
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


@pytest.mark.parametrize(
    ("is_begun", "told"), [(False, StoreBrokenError), (True, InvocationCancelledError)]
)
def test_a_revert_whose_agent_cannot_be_made_anew_is_told_to_who_waits(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, is_begun: bool, told: type[Exception]
) -> None:
    """What has begun on disk was dropped there; the rest is left to the next runtime."""
    kernel = runtime._kernel
    runtime.get(Acting, "x").add(1)
    monkeypatch.setattr(Committer, "is_busy", is_begun)  # then it is put off until that is written
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
    with pytest.raises(told):
        waits.outcome(0)
    assert not kernel._actors


# --- an operator ------------------------------------------------------------------------------------------


@durable
def lost(what: str) -> None:
    SEEN.append(what)


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
        session = writes.operations.session
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
