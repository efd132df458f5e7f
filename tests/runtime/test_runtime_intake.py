"""Invocations on their way into the store: scheduled, due, taken back; and what is on disk at each step."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent, get, trigger
from golem_sdk.codec.values import encode
from golem_sdk.core.ids import storage_key
from golem_sdk.errors import (
    AgentFailedError,
    InvocationCancelledError,
    RuntimeClosedError,
    StoreBrokenError,
    StoreCorruptError,
    StoreFullError,
)
from golem_sdk.runtime.kernel import Kernel
from golem_sdk.runtime.settings import Origin, Settings
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.stores.heads import load_head
from golem_sdk.stores.invocations import (
    Invocation,
    InvocationStatus,
    inbox_key,
    load_inbox,
    load_scheduled,
    scheduled_key,
)
from golem_sdk.testing.environment import START_NS, VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from golem_sdk.runtime.actor import Actor
    from golem_sdk.runtime.handles import InvocationHandle
    from golem_sdk.runtime.intake import Intake
    from golem_sdk.runtime.timers import Timer
    from golem_sdk.storage.base import Row

DAY = timedelta(days=1)
GATE, REACHED = Event(), Event()


class Watched(MemoryEngine):
    """Tells when something is queued."""

    def __init__(self) -> None:
        super().__init__()
        self.queued = Event()

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        happened = super().commit(batches)
        if any(space is Space.INBOX for batch in batches for space, _, _ in batch.puts):
            self.queued.set()
        return happened


@agent
class TakenIn:
    def __init__(self, name: str) -> None:
        self.value = 0

    def add(self, by: int) -> int:
        self.value += by
        return self.value

    def block(self) -> int:
        REACHED.set()
        GATE.wait(30)
        return self.value

    def send(self, other: str) -> str:
        trigger(get(TakenIn, other).add, 5)
        return other

    def send_and_wait(self, other: str) -> int:
        value: int = trigger(get(TakenIn, other).add, 5).result()
        return value


@pytest.fixture
def engine() -> Watched:
    return Watched()


@pytest.fixture
def runtime(engine: Watched) -> Iterator[Runtime]:
    for event in (GATE, REACHED):
        event.clear()
    with opened(engine) as made:
        yield made
        GATE.set()
    rest(made)  # what was blocked tells nothing to the next test


def opened(engine: MemoryEngine, start_ns: int = START_NS, **settings: Any) -> Runtime:
    environment = VirtualEnvironment(start_ns=start_ns)
    environment.enter()  # time stands still until a test leaves
    chosen = Settings(**{"suspend_after_s": 1e6, "write_behind_s": None, **settings})
    return Runtime.over(engine, environment, chosen)


def tomorrow(runtime: Runtime, key: str = "k") -> InvocationHandle[int]:
    return runtime.schedule(DAY, runtime.get(TakenIn, "x").add, 1, key=key)


def run_on(runtime: Runtime) -> None:
    runtime._kernel.environment.leave()


def rest(runtime: Runtime) -> None:
    runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one


def timers(runtime: Runtime) -> list[Timer]:
    return [timer for _, _, timer in runtime._kernel.intake._timers.values()]


# --- taking back ------------------------------------------------------------------------------------


def test_what_was_taken_back_is_taken_back_on_disk(runtime: Runtime, engine: Watched) -> None:
    handle = tomorrow(runtime)
    waits = handle._completion()
    assert handle.cancel() is True
    assert waits.status is InvocationStatus.CANCELLED
    with pytest.raises(InvocationCancelledError, match="was cancelled before it began"):
        waits.outcome(0)
    with opened(engine.snapshot()) as later:
        run_on(later)
        again = tomorrow(later)
        assert again.status() is InvocationStatus.CANCELLED
        with pytest.raises(InvocationCancelledError, match="was cancelled before it began"):
            again.result(30)


def test_what_was_taken_back_lets_no_time_pass(runtime: Runtime) -> None:
    tomorrow(runtime, "a").cancel()
    tomorrow(runtime, "b")
    (armed,) = timers(runtime)
    runtime._kernel.intake.forget(RuntimeClosedError("closed"))
    assert armed.callback is None, "nor does what was given up"
    run_on(runtime)
    assert runtime._kernel.environment.now_ns() < START_NS + 1e12


def test_what_is_due_at_that_moment_is_not_taken_back(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, answers = tomorrow(runtime), []
    holding, once = runtime._kernel.holding, [True]

    @contextmanager
    def late(*given: str) -> Iterator[Actor]:
        if once:
            once.clear()
            answers.append(handle.cancel())
        with holding(*given) as actor:
            yield actor

    monkeypatch.setattr(runtime._kernel, "holding", late)
    run_on(runtime)
    rest(runtime)  # or who asks for the result might be first
    assert handle.result(30) == 1
    assert answers == [False]


def test_an_unknown_key_is_not_taken_back(runtime: Runtime) -> None:
    handle = tomorrow(runtime)
    handle.key = "another"
    assert handle.cancel() is False


# --- scheduling -------------------------------------------------------------------------------------


def test_nothing_is_scheduled_for_a_parked_agent(runtime: Runtime) -> None:
    actor = runtime._kernel.actor("TakenIn", 'TakenIn("x")')
    actor.parked = AgentFailedError(actor.agent_id, "it is parked")
    with pytest.raises(AgentFailedError, match="it is parked"):
        tomorrow(runtime)
    assert timers(runtime) == []


def test_what_is_due_waits_in_the_queue_and_can_be_taken_back(
    runtime: Runtime, engine: Watched
) -> None:
    runtime.trigger(runtime.get(TakenIn, "x").block)
    assert REACHED.wait(30)
    handle = tomorrow(runtime)
    (timer,) = timers(runtime)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime._kernel.environment, "spawn", lambda job: job())
        timer.fire()
    assert handle.status() is InvocationStatus.PENDING
    assert handle.cancel() is True
    assert list(load_scheduled(engine)) == []
    GATE.set()
    assert runtime.get(TakenIn, "x").add(0) == 0


def test_what_is_due_is_committed_though_the_agent_is_busy(engine: Watched) -> None:
    for event in (GATE, REACHED):
        event.clear()
    with opened(engine, write_behind_s=0.0) as runtime:
        runtime.trigger(runtime.get(TakenIn, "x").block)
        assert REACHED.wait(30)
        tomorrow(runtime)
        engine.queued.clear()
        (timer,) = timers(runtime)
        timer.fire()
        assert engine.queued.wait(30)
        assert list(load_scheduled(engine)) == []
        GATE.set()


def test_what_was_done_meanwhile_is_scheduled_no_more(engine: Watched) -> None:
    with opened(engine) as runtime:
        assert runtime.trigger(runtime.get(TakenIn, "x").add, 1, key="k").result(30) == 1
        done = engine.snapshot()
    leftover = Invocation("TakenIn", 'TakenIn("x")', "k", "add", b"", b"", 7)
    row = (Space.SCHEDULED, scheduled_key(START_NS + 10**9, 7), leftover.to_row())
    done.commit([Batch(puts=(row,))])
    with opened(done) as runtime:
        assert len(list(load_scheduled(done))) == 1
        run_on(runtime)
        rest(runtime)
        runtime._kernel.accepted()
        assert list(load_scheduled(done)) == []
        assert runtime.get(TakenIn, "x").add(0) == 1


class Scanned(MemoryEngine):
    """Counts how often a queue is read."""

    queues = 0

    def scan(
        self, space: Space, lo: bytes, hi: bytes | None, *, limit: int, reverse: bool = False
    ) -> list[Row]:
        if space is Space.INBOX and lo.startswith(b"TakenIn"):
            self.queues += 1
        return super().scan(space, lo, hi, limit=limit, reverse=reverse)


def test_nothing_is_read_for_an_agent_of_which_there_is_nothing() -> None:
    engine = Scanned()
    with opened(engine) as runtime:
        tomorrow(runtime)
        assert engine.queues == 0
        assert load_head(engine, 'TakenIn("x")') is not None, "what is accepted comes with a head"
        runtime.get(TakenIn, "y").add(1)
        assert engine.queues == 0
        left = engine.snapshot()
    headless = Scanned()
    left.commit([Batch(dels=((Space.HEAD, storage_key('TakenIn("y")')),))])
    headless._spaces = left._spaces
    with opened(headless) as runtime:
        headless.queues = 0
        runtime.trigger(runtime.get(TakenIn, "y").add, 1, key="again")
        assert headless.queues == 1, "it has an oplog: only its head was lost"


def test_what_an_older_version_has_queued_without_a_head_runs(engine: Watched) -> None:
    agent_id, args, none = 'TakenIn("x")', encode([[1], {}]), encode([["x"], {}])
    queued = Invocation("TakenIn", agent_id, "queued", "add", args, none, 7)
    later = Invocation("TakenIn", agent_id, "later", "add", args, none, 8)
    rows = (
        (Space.INBOX, inbox_key(agent_id, 7), queued.to_row()),
        (Space.SCHEDULED, scheduled_key(START_NS + 10**9, 8), later.to_row()),
    )
    engine.commit([Batch(puts=rows)])
    with opened(engine) as runtime:
        rest(runtime)
        assert [i.key for i in load_inbox(engine, agent_id)] == []
        run_on(runtime)
        rest(runtime)
        add = runtime.get(TakenIn, "x").add
        assert runtime.trigger(add, 0, key="queued").result(30) == 1
        assert runtime.trigger(add, 0, key="later").result(30) == 2


def test_what_alone_an_older_version_has_queued_without_a_head_runs(engine: Watched) -> None:
    agent_id, none = 'TakenIn("x")', encode([["x"], {}])
    queued = Invocation("TakenIn", agent_id, "queued", "add", encode([[1], {}]), none, 7)
    engine.commit([Batch(puts=((Space.INBOX, inbox_key(agent_id, 7), queued.to_row()),))])
    with opened(engine) as runtime:
        rest(runtime)
        assert load_inbox(engine, agent_id) == []


def test_what_is_given_up_before_it_was_read_is_read_yet(engine: Watched) -> None:
    with opened(engine) as runtime:
        handle = tomorrow(runtime)
    left, environment = engine.snapshot(), VirtualEnvironment()
    environment.enter()  # time stands still
    kernel = Kernel(left, environment, Settings(), Origin("0", {}), lambda: None)
    kernel.intake.forget(StoreFullError("no room"))
    found = kernel.intake.find(handle._agent, handle.key)
    assert found is not None
    assert found.status is InvocationStatus.SCHEDULED
    kernel.close()


# --- places in the queue ----------------------------------------------------------------------------


def test_places_are_microseconds(runtime: Runtime, engine: Watched) -> None:
    before_us = runtime._kernel.environment.now_ns() // 1000
    tomorrow(runtime)
    ((_, invocation),) = load_scheduled(engine)
    assert before_us <= invocation.order <= before_us + 1000


def test_places_that_are_taken_on_disk_come_before_new_ones(engine: Watched) -> None:
    with opened(engine) as runtime:
        tomorrow(runtime, "first")
    left = engine.snapshot()
    with opened(left, start_ns=START_NS // 2) as runtime:  # the clock was set back
        tomorrow(runtime, "second")
        orders = {invocation.key: invocation.order for _, invocation in load_scheduled(left)}
    assert orders["second"] > orders["first"]


# --- messages of agents -----------------------------------------------------------------------------


def test_a_message_rides_in_the_commit_of_who_sends_it(runtime: Runtime, engine: Watched) -> None:
    runtime.trigger(runtime.get(TakenIn, "busy").block)
    assert REACHED.wait(30)
    assert runtime.get(TakenIn, "x").send("busy") == "busy"
    assert [i.method for i in load_inbox(engine, 'TakenIn("busy")')] == ["block", "add"]


def test_a_message_that_was_done_before_its_sender_commits_is_done(
    runtime: Runtime, engine: Watched
) -> None:
    assert runtime.get(TakenIn, "x").send_and_wait("y") == 5
    rest(runtime)
    runtime._kernel.accepted()
    assert load_inbox(engine, 'TakenIn("y")') == []


# --- what is due when something fails -----------------------------------------------------------------


def deliveries(intake: Intake, patch: pytest.MonkeyPatch, error: Exception) -> Callable[[], None]:
    """What makes the one that is scheduled due, and fails in the middle."""
    ((_, _, timer),) = intake._timers.values()
    patch.setattr(intake._kernel.environment, "spawn", lambda job: job())

    def fail(*_: object) -> None:
        raise error

    patch.setattr(intake, "_deliver", fail)
    assert timer.callback is not None
    return timer.callback


def test_what_is_due_when_the_runtime_closes_waits_for_the_next(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    tomorrow(runtime)
    deliveries(runtime._kernel.intake, monkeypatch, RuntimeClosedError("closed"))()
    assert runtime._kernel.closed is None


def test_what_is_due_for_a_damaged_agent_is_reported(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tomorrow(runtime)
    damage = StoreCorruptError("it is damaged", "INBOX", b"k")
    deliveries(runtime._kernel.intake, monkeypatch, damage)()
    (record,) = caplog.records
    assert record.name == "golem_sdk"
    assert record.getMessage().startswith("a damaged record was set aside")
    assert "it is damaged" in record.getMessage()
    assert runtime._kernel.closed is None


def test_a_store_that_fails_when_something_is_due_ends_the_runtime(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    tomorrow(runtime)
    broken = StoreBrokenError("the disk is gone")
    deliveries(runtime._kernel.intake, monkeypatch, broken)()
    assert runtime._kernel.closed is broken
