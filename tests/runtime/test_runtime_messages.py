"""Invocations: each is made once, in its place, and what becomes of it is told to whoever asked."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent, durable, get, schedule
from golem_sdk.core.entries import Error
from golem_sdk.errors import AgentFailedError, GolemError, StoreError, UsageError
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.stores.invocations import InvocationStatus
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive
from golem_sdk.testing.environment import VirtualEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# --- calls of one agent ---------------------------------------------------------------------------


@agent
class Abacus:
    def __init__(self, name: str) -> None:
        self.sum = 0

    async def add(self, by: int) -> int:
        self.sum += by
        return self.sum


@agent
async def counts_together(name: str) -> list[int]:
    abacus = get(Abacus, name)
    made_early = abacus.add(1000)
    both = await asyncio.gather(abacus.add(1), abacus.add(10))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(abacus.add(100)) for _ in range(3)]
    return [*both, *(task.result() for task in tasks), await made_early]


def test_p3_calls_of_one_agent_that_are_made_together_are_all_made() -> None:
    with Runtime.memory() as runtime:
        assert runtime.run(counts_together, "x") == [1, 11, 111, 211, 311, 1311]


@agent
async def makes_and_drops(name: str) -> int:
    abacus = get(Abacus, name)
    abacus.add(100).close()
    return await abacus.add(5)


def test_a_call_that_is_never_awaited_is_not_made() -> None:
    with Runtime.memory() as runtime:
        assert runtime.run(makes_and_drops, "y") == 5


# --- an agent that takes no calls -----------------------------------------------------------------


@agent
class Unsteady:
    def __init__(self, name: str) -> None:
        self.name = name

    def work(self) -> list[str]:
        order = ["a", "b"] if CHOICE["order"] == "forth" else ["b", "a"]
        done = [named(name) for name in order]
        time.sleep(3)
        return done

    def ok(self) -> int:
        return 1


CHOICE = {"order": "forth"}


@durable
def named(name: str) -> str:
    return name


@agent
def asks_parked(name: str) -> str:
    try:
        return f"ok {get(Unsteady, name).ok()}"
    except AgentFailedError as error:
        return f"caught {type(error).__name__}"


class Computer:
    """A store whose processes may die. No time passes before `run_on`."""

    def __init__(self) -> None:
        self.engine = MemoryEngine()
        self.lives = 0
        self.died = Event()

    def boot(self) -> Runtime:
        self.lives += 1
        self.environment = VirtualEnvironment(self.lives)
        self.environment.enter()
        return Runtime.over(self.engine, self.environment, Settings(write_behind_s=None))

    def run_on(self) -> None:
        self.environment.leave()

    def commit_after(self, seconds: float, runtime: Runtime) -> None:
        """Have everything committed then that is queued."""
        due = self.environment.now_ns() + round(seconds * 1e9)
        self.environment.call_at(due, runtime._kernel.accepted)

    def run_and_die(self, after_s: float) -> None:
        """Let time pass, and lose the process after so many seconds."""
        due = self.environment.now_ns() + round(after_s * 1e9)
        self.environment.call_at(due, self._die)
        self.died.clear()
        self.run_on()
        assert self.died.wait(60)

    def _die(self) -> None:
        survivor = self.engine.snapshot()
        self.engine.kill(StoreError("the process was killed"))
        self.engine = survivor
        self.died.set()


@pytest.fixture
def computer() -> Computer:
    return Computer()


@pytest.fixture
def forth() -> Iterator[None]:
    CHOICE["order"] = "forth"
    yield
    CHOICE["order"] = "forth"


def diverged(computer: Computer, name: str) -> None:
    """An agent is parked, since a dictionary of this process is not as it was."""
    runtime = computer.boot()
    runtime.trigger(runtime.get(Unsteady, name).work)
    computer.run_and_die(1.5)
    with suppress(GolemError):
        runtime.close()
    CHOICE["order"] = "back"


@pytest.mark.usefixtures("forth")
def test_calling_a_parked_agent_is_an_error_that_can_be_caught(computer: Computer) -> None:
    diverged(computer, "p")
    with computer.boot() as runtime:
        computer.run_on()
        assert runtime.run(asks_parked, "p") == "caught DivergenceError"
        with pytest.raises(AgentFailedError):
            runtime.get(Unsteady, "p").ok()


@pytest.mark.usefixtures("forth")
def test_d1_what_diverged_is_tried_again_by_the_next_runtime(computer: Computer) -> None:
    diverged(computer, "d")
    for _ in range(2):  # it is noted once
        with computer.boot() as runtime:
            computer.run_on()
            with pytest.raises(AgentFailedError, match="diverged"):
                runtime.get(Unsteady, "d").ok()
            notes = [e for _, e in runtime.oplog('Unsteady("d")') if isinstance(e, Error)]
            assert len(notes) == 1
        computer.engine = computer.engine.snapshot()
    CHOICE["order"] = "forth"
    with computer.boot() as runtime:
        computer.run_on()
        assert runtime.get(Unsteady, "d").ok() == 1


# --- queues and crashes ---------------------------------------------------------------------------


@agent
class QueueClerk:
    def __init__(self, name: str) -> None:
        self.done: list[str] = []

    def nap(self, name: str) -> None:
        time.sleep(3)
        self.done.append(name)

    def work(self, name: str) -> None:
        self.done.append(name)

    def log(self) -> list[str]:
        return self.done


def test_p4_what_has_begun_is_not_taken_back_after_a_crash(computer: Computer) -> None:
    runtime = computer.boot()
    clerk = runtime.get(QueueClerk, "c")
    runtime.trigger(clerk.nap, "begun", key="k")
    runtime.trigger(clerk.work, "waiting", key="l")
    computer.run_and_die(1.5)
    with suppress(GolemError):
        runtime.close()
    with computer.boot() as runtime:
        clerk = runtime.get(QueueClerk, "c")
        begun = runtime.trigger(clerk.nap, "begun", key="k")
        waiting = runtime.trigger(clerk.work, "waiting", key="l")
        assert begun.status() is InvocationStatus.RUNNING
        assert waiting.status() is InvocationStatus.PENDING
        assert not begun.cancel()
        assert waiting.cancel()
        computer.run_on()
        begun.result(timeout=60)
        assert clerk.log() == ["begun"]


@agent
def takes_back_twice(name: str) -> list[bool]:
    later = schedule(timedelta(days=3), get(QueueClerk, name).work, "never")
    return [later.cancel(), later.cancel()]


def test_p2_an_agent_that_crashes_after_cancelling_gets_the_same_answer() -> None:
    step = Step(takes_back_twice, ("t",))
    calm = drive([step])
    assert calm.results == (("result", [True, True]),)
    for append in range(1, calm.appends + 1):
        for moment in CrashMoment:
            assert drive([step], [CrashPoint(append, moment)]).results == calm.results


@pytest.mark.parametrize("dies", [False, True], ids=["calm", "killed"])
def test_p2_a_queue_keeps_its_order_over_a_crash(computer: Computer, dies: bool) -> None:
    runtime = computer.boot()
    clerk = runtime.get(QueueClerk, "q")
    last = runtime.schedule(timedelta(seconds=0.8), clerk.work, "scheduled", key="s")
    runtime.trigger(clerk.nap, "busy")
    runtime.trigger(clerk.work, "triggered")
    if dies:
        computer.commit_after(1, runtime)
        computer.run_and_die(1.5)
        with suppress(GolemError):
            runtime.close()
        runtime = computer.boot()
        clerk = runtime.get(QueueClerk, "q")
        last = runtime.trigger(clerk.work, "scheduled", key="s")
    computer.run_on()
    last.result(timeout=60)
    assert clerk.log() == ["busy", "triggered", "scheduled"]
    runtime.close()


def test_p2_a_clock_that_steps_back_changes_no_order(computer: Computer) -> None:
    runtime = computer.boot()
    runtime.trigger(runtime.get(QueueClerk, "b").nap, "first")
    runtime.trigger(runtime.get(QueueClerk, "b").work, "second")
    computer.run_and_die(1.5)
    with suppress(GolemError):
        runtime.close()
    runtime = computer.boot()
    computer.environment._now_ns -= 3_600_000_000_000
    runtime.trigger(runtime.get(QueueClerk, "b").work, "third")
    computer.run_and_die(1.5)
    with suppress(GolemError):
        runtime.close()
    runtime = computer.boot()
    clerk = runtime.get(QueueClerk, "b")
    computer.run_on()
    assert clerk.log() == ["first", "second", "third"]
    runtime.close()


# --- sizes ----------------------------------------------------------------------------------------


@durable
def takes(text: str) -> int:
    return len(text)


@agent
def talks(times: int) -> int:
    for number in range(times):
        print(f"{number}" + "x" * 30_000)
    return sum(takes("y" * 60_000) for _ in range(times))


def test_much_that_is_not_committed_yet_needs_no_more_room_than_a_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        with Runtime(tmp_path / "store") as runtime:
            assert runtime.run(talks, 40) == 40 * 60_000
    assert len(capsys.readouterr().out) > 40 * 30_000


@agent
def summarises(text: str) -> int:
    return named(text[:5]) == "begin" and len(text)


def test_a_long_argument_makes_no_long_name(tmp_path: Path) -> None:
    text = "begin" + "x" * 1_100_000
    for _ in range(2):
        with Runtime(tmp_path / "store") as runtime:
            assert runtime.run(summarises, text) == len(text)
            assert runtime.run(summarises, text + "y") == len(text) + 1
            assert all(len(each.agent_id) < 100 for each in runtime.agents())


def test_keys_are_not_endless() -> None:
    with Runtime.memory() as runtime:
        clerk: Any = runtime.get(QueueClerk, "k")
        for key in ("", "\0", "k" * 5000):
            with pytest.raises(UsageError, match="idempotency key"):
                runtime.trigger(clerk.log, key=key)
