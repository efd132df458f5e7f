"""A store that refuses: nothing that it has not written is taken for written, and no agent runs twice."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from golem_sdk import Runtime, agent, get, schedule, trigger
from golem_sdk.core.entries import Create, NoOp
from golem_sdk.core.ids import AgentId, storage_key
from golem_sdk.errors import (
    AgentSuspendedSignal,
    RuntimeClosedError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
)
from golem_sdk.oplog.reader import no_entries
from golem_sdk.oplog.writer import OplogWriter
from golem_sdk.runtime.context import current
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.handles import InvocationHandle
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.committer import Committer
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.stores.invocations import InvocationStatus, load_scheduled
from golem_sdk.testing.environment import VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


class Failing(MemoryEngine):
    """Refuses the next commit, or the next read of an agent's results, when it is told to."""

    full = False
    unreadable: bytes | None = None

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        if self.full:
            self.full = False
            raise StoreFullError("no room")
        return super().commit(batches)

    def get(self, space: Space, key: bytes) -> bytes | None:
        prefix, is_result = self.unreadable, space is Space.RESULT
        if prefix is not None and is_result and key.startswith(prefix):
            self.unreadable = None
            raise StoreError("cannot read")
        return super().get(space, key)


@agent
class RefusedTally:
    def __init__(self, name: str) -> None:
        self.value = 0

    def add(self, by: int) -> int:
        self.value += by
        return self.value


def virtual(engine: MemoryEngine | None = None) -> Runtime:
    settings = Settings(suspend_after_s=1e6, write_behind_s=None)
    return Runtime.over(engine or MemoryEngine(), VirtualEnvironment(), settings)


def real(engine: MemoryEngine) -> Runtime:
    """Where time does not jump to what is due next."""
    return Runtime.over(engine, RealEnvironment(), Settings())


# --- what is not written --------------------------------------------------------------------------


def test_p4_what_a_refused_flush_has_dropped_is_not_taken_for_written() -> None:
    engine = Failing()
    committer = Committer(engine, write_behind_s=None)
    writer = OplogWriter("log", committer, no_entries())
    writer.append(Create(1, "t", "t(1)", b"", "code", 7, "0", {}))
    writer.commit()
    engine.full = True
    with pytest.raises(StoreFullError):
        committer.wait(committer.submit(Batch()))
    writer.append(NoOp(2))
    with suppress(StoreFullError):  # as the write-behind thread does
        writer.flush()
    with pytest.raises(StoreFullError):
        writer.commit()


def test_a_commit_that_fails_while_nobody_waits_for_it_keeps_nothing_closed() -> None:
    engine = Failing()
    with virtual(engine) as runtime:
        tally, kernel = runtime.get(RefusedTally, "unwaited"), runtime._kernel
        assert tally.add(1) == 1
        engine.full = True
        kernel.agent_ended(kernel.actor("RefusedTally", 'RefusedTally("gone")'), OSError("a fault"))
        assert not engine.full, "it was tried"
        kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
        assert tally.add(1) == 2


def test_an_agent_that_is_being_loaded_is_dropped_with_the_others() -> None:
    with virtual() as runtime:
        runtime.get(RefusedTally, "loading").add(1)
        dropped = runtime._kernel._drop_all(StoreFullError("no room"))
        assert dropped
        assert all(actor.retired for actor in dropped)


def test_closing_while_an_agent_is_being_suspended_raises_nothing() -> None:
    runtime = virtual()
    runtime.get(RefusedTally, "suspending").add(1)
    (actor,) = runtime._kernel._actors.values()
    assert actor.session is not None
    actor.session.end(AgentSuspendedSignal("the agent waits"))
    runtime.close()
    with pytest.raises(RuntimeClosedError):
        runtime.get(RefusedTally, "suspending").add(1)


def test_k2_a_head_that_was_lost_is_made_anew(tmp_path: Path) -> None:
    with Runtime(tmp_path) as runtime:
        runtime.trigger(runtime.get(RefusedTally, "x").add, 1, key="once").result()
        before = runtime.metadata('RefusedTally("x")')
    engine = LmdbEngine(tmp_path)
    engine.commit([Batch(dels=((Space.HEAD, storage_key('RefusedTally("x")')),))])
    engine.close()
    with Runtime(tmp_path) as runtime:
        assert runtime.trigger(runtime.get(RefusedTally, "x").add, 1, key="once").result() == 1
        assert runtime.get(RefusedTally, "x").add(2) == 3
        after = runtime.metadata('RefusedTally("x")')
    assert (after.created_at, after.completed) == (before.created_at, before.completed + 1)


# --- what an agent asks of the runtime --------------------------------------------------------------


@agent
def triggers(name: str) -> int:
    total: int = trigger(get(RefusedTally, name).add, 2).result()
    return total


@agent
def schedules(name: str) -> int:
    total: int = schedule(timedelta(days=3), get(RefusedTally, name).add, 3).result()
    return total


@agent
def looks(name: str) -> str:
    return _handle(name).status().name


@agent
def takes_back(name: str) -> bool:
    return _handle(name).cancel()


@agent
async def takes_back_in_a_thread(name: str) -> bool:
    return await asyncio.to_thread(_handle(name).cancel)


def _handle(name: str) -> InvocationHandle[int]:
    session = current()
    assert session is not None
    agent_id = AgentId("RefusedTally", f'RefusedTally("{name}")')
    return InvocationHandle(session.kernel, agent_id, "known")


@pytest.mark.parametrize(
    ("asks", "answer"),
    [
        (triggers, 2),
        (schedules, 3),
        (looks, "COMPLETED"),
        (takes_back, False),
        (takes_back_in_a_thread, False),
    ],
)
def test_p2_a_store_that_cannot_be_read_is_no_outcome_of_a_call(
    asks: Callable[[str], object], answer: object
) -> None:
    engine = Failing()
    with virtual(engine) as runtime:
        runtime.trigger(runtime.get(RefusedTally, "asked").add, 0, key="known").result()
        # Until its thread is done with it, what became of it is known in memory.
        runtime._kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
        engine.unreadable = b"RefusedTally"
        with pytest.raises(StoreError, match="cannot read"):
            runtime.run(asks, "asked")
    with virtual(engine.snapshot()) as runtime:
        assert runtime.run(asks, "asked") == answer


# --- what is scheduled ------------------------------------------------------------------------------


def test_what_is_scheduled_is_known_while_a_full_store_is_waited_for() -> None:
    with virtual() as runtime:
        tally, kernel = runtime.get(RefusedTally, "scheduled"), runtime._kernel
        kernel.environment.enter()  # time stands still
        handle = runtime.schedule(timedelta(days=1), tally.add, 1, key="tomorrow")
        with kernel._mutex:
            kernel._drop_all(StoreFullError("no room"))
        assert handle.status() is InvocationStatus.SCHEDULED
        kernel.environment.leave()
        kernel.recover()
        assert handle.result(60) == 1


def test_what_is_scheduled_is_not_unknown_when_the_store_fails_at_that_moment() -> None:
    with real(MemoryEngine()) as runtime:
        tally, kernel = runtime.get(RefusedTally, "lately"), runtime._kernel
        handle = runtime.schedule(timedelta(days=1), tally.add, 1, key="tomorrow")
        recover = kernel.intake.recover

        def recover_and_fail() -> None:
            recover()
            kernel._drop_all(StoreFullError("no room, again"))

        kernel._drop_all(StoreFullError("no room"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kernel.intake, "recover", recover_and_fail)
            with pytest.raises(StoreFullError, match="again"):
                handle.status()
        assert handle.status() is InvocationStatus.SCHEDULED


def test_what_is_due_when_the_store_is_full_runs_once_when_there_is_room() -> None:
    engine = Failing()
    with virtual(engine) as runtime:
        tally, environment = runtime.get(RefusedTally, "due"), runtime._kernel.environment
        environment.enter()  # time stands still
        handle = runtime.schedule(timedelta(days=1), tally.add, 1, key="tomorrow")
        waits = handle._completion()
        engine.full = True
        environment.leave()
        with pytest.raises(StoreFullError):
            waits.outcome(60)
        assert handle.result(60) == 1
        assert tally.add(0) == 1


# --- what is scheduled, when the store is taken up again ------------------------------------------


def test_p3_what_was_delivered_while_it_was_read_is_not_delivered_again() -> None:
    with virtual() as runtime:
        kernel = runtime._kernel
        add = runtime.get(RefusedTally, "late").add
        kernel.environment.enter()  # time stands still
        handle = runtime.schedule(timedelta(seconds=5), add, 1, key="k")
        (read,) = load_scheduled(kernel.engine)
        kernel.environment.leave()
        assert handle.result(60) == 1
        kernel.intake._take_up(*read)
        kernel.environment.join(30)  # type: ignore[attr-defined]  # it is the virtual one
        assert add(0) == 1


def test_k2_a_damaged_agent_with_something_scheduled_stops_no_other() -> None:
    engine = MemoryEngine()
    with real(engine) as runtime:
        runtime.get(RefusedTally, "sound").add(1)
        runtime.schedule(timedelta(days=1), runtime.get(RefusedTally, "hurt").add, 1)
        left = engine.snapshot()
    left.commit([Batch(puts=((Space.HEAD, storage_key('RefusedTally("hurt")'), b"\x91\xc0"),))])
    with real(left) as runtime:
        assert runtime.get(RefusedTally, "sound").add(1) == 2
        with pytest.raises(StoreCorruptError):
            runtime.get(RefusedTally, "hurt").add(1)


def test_who_waits_for_a_call_whose_cancelling_fails_is_told() -> None:
    engine = Failing()
    with real(engine) as runtime:
        add = runtime.get(RefusedTally, "later").add
        handle = runtime.schedule(timedelta(days=1), add, 1, key="k")
        waits = handle._completion()
        engine.full = True
        with pytest.raises(StoreFullError):
            handle.cancel()
        with pytest.raises(StoreFullError):
            waits.outcome(30)


def test_who_waits_for_a_call_whose_cancelling_fails_is_told_though_another_thread_tells_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That thread has not come to this agent yet."""
    engine = Failing()
    with real(engine) as runtime:
        handle = runtime.schedule(timedelta(days=1), runtime.get(RefusedTally, "later").add, 1)
        waits = handle._completion()
        engine.full = True
        monkeypatch.setattr(runtime._kernel, "store_failed", lambda error: None)
        with pytest.raises(StoreFullError):
            handle.cancel()
        with pytest.raises(StoreFullError):
            waits.outcome(0)


def test_what_is_accepted_for_an_actor_that_was_given_up_is_refused() -> None:
    with virtual() as runtime:
        kernel = runtime._kernel
        runtime.get(RefusedTally, "x").add(1)
        actor = kernel.actor("RefusedTally", 'RefusedTally("x")')
        kernel.intake.forget(StoreFullError("no room"))
        with pytest.raises(StoreFullError, match="no room"):
            kernel.intake._write(actor, None, [])
