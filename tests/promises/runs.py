"""What is run for each promise: small programs and stores, each giving what was broken, run by run."""

from __future__ import annotations

import asyncio
import time
import warnings
from contextlib import suppress
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings

from acceptance.changing import CHANGES, LINES, ORIGINAL, Module, half_way, park
from acceptance.modes import KEPT_S, every_index
from acceptance.shapes import SCENARIOS
from codec.strategies import values
from golem_sdk import FunctionType, Runtime, agent, durable
from golem_sdk.codec.codes import Code
from golem_sdk.codec.values import decode
from golem_sdk.core.ids import storage_key
from golem_sdk.errors import GolemError, StoreError
from golem_sdk.intercept import net
from golem_sdk.oplog.reader import chunk_key
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing import checkers, crash_at_every_index
from golem_sdk.testing.driver import Step, drive
from golem_sdk.testing.environment import VirtualEnvironment
from golem_sdk.testing.evidence import Evidence, violations
from golem_sdk.testing.histories import oplogs
from golem_sdk.testing.interpreter import WORLD, run_program
from golem_sdk.testing.witness import WatchedEngine, Witness, observe
from hostile.mutations import dangerous
from promises.checkers import (
    check_d1,
    check_d2,
    check_d2_running,
    check_k1,
    check_k1_refused,
    check_k2,
    check_s2_value,
    check_x1_lock,
)
from testing import planted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pytest

    from golem_sdk.storage.base import Row
    from golem_sdk.testing.checkers import Append
    from golem_sdk.testing.crash import CrashPoint

__all__ = [
    "AGAIN",
    "BUSY",
    "GUARDS",
    "KEEPS",
    "ONCE",
    "RACES",
    "WRITES",
    "Program",
    "changed_code",
    "damaged_agent",
    "hostile_data",
    "past_the_journal",
    "past_the_journal_unwatched",
    "stale_owner",
    "stored_entries",
    "stored_values",
    "two_owners",
    "unstorable_value",
]

# --- programs that are crashed ----------------------------------------------------------------------


class Program:
    """Calls of agents that are crashed at every append, and what that breaks.

    Args:
        name: what it is called.
        steps: the calls.
        once: effects whose request is this are made with ``idempotence_mode(False)``; only P3 is asked.
    """

    def __init__(self, name: str, steps: Sequence[Step], *, once: str = "") -> None:
        self.name = name
        self._steps = steps
        self._once = once

    def broken(self, *_given: object) -> Iterator[list[str]]:
        """What each run breaks; the first one is not crashed."""
        calm, appends = self._calm
        for points in [(), *every_index(appends)]:
            try:
                evidence = self._run(points)[0]
            except GolemError as error:  # code with a planted fault may stop by itself
                yield [f"{type(error).__name__}: {error}"]
                continue
            if self._once:
                names = [performance.name for performance in calm.notes.performances]
                found = checkers.check_p3(
                    names,
                    evidence.notes.performances,
                    crashes=evidence.crashes,
                    never_twice=[name for name in names if self._once in name.rpartition(":")[2]],
                    in_doubt=names,
                )
                yield found + checkers.check_p3_unknown(
                    calm.results, evidence.results, [self._once.strip("()")]
                )
            else:
                yield violations(calm, evidence)

    @cached_property
    def _calm(self) -> tuple[Evidence, int]:
        """The run without crashes, made by the first who asks: before any fault is planted."""
        return self._run(())

    def _run(self, points: Sequence[CrashPoint]) -> tuple[Evidence, int]:
        WORLD.clear()
        GROWING.clear()
        witness = Witness()
        end = drive(self._steps, points, suspend_after_s=KEPT_S, witness=witness)
        assert witness.evidence is not None
        return witness.evidence, end.appends


GROWING: list[int] = []


@durable(function_type=FunctionType.READ_REMOTE)
def growing() -> list[int]:
    """A list that its owner keeps and changes."""
    GROWING.append(len(GROWING))
    return GROWING


@agent
def promise_keeper(name: str) -> bool:
    first = growing()
    time.sleep(1)
    growing()
    observe("first", len(first) > 1)
    return True


@durable(function_type=FunctionType.READ_REMOTE)
async def one(number: int) -> int:
    return number


@agent
async def promise_racer(count: int) -> int:
    done, _ = await asyncio.wait({asyncio.create_task(one(number)) for number in range(count)})
    for task in done:
        observe(f"done {task.result()}")
    return await one(count)


@durable
def ask(number: int) -> int:
    return number


@durable(function_type=FunctionType.READ_LOCAL)
def page(number: int) -> str:
    return str(number) * 60_000


@agent
def promise_reader(count: int) -> int:
    """More than one chunk holds, of which nothing is asked to be on disk until the end."""
    for number in range(count):
        page(number)
    return ask(count)


WRITES = Program("writes", SCENARIOS["sync-writes"].steps)
TOKENS = Program("tokens", SCENARIOS["generator"].steps)
GUARDS = Program("guards", SCENARIOS["guards"].steps)
KEEPS = Program("keeps", [Step(promise_keeper, ("a",))])
RACES = Program("races", [Step(promise_racer, (8,))])
BUSY = Program("busy", [Step(promise_reader, (14,))])
ONCE = Program(
    "once", [Step(run_program, ([["once", "wire"], ["effect", "after"]],))], once="('wire')"
)
AGAIN = Program(
    "again",
    [Step(run_program, ([["atomically", [["effect", "a"], ["flaky", "b"], ["flaky", "c"]]]],))],
)
"""A region that runs three times: two jumps back to the same place."""


# --- a store that changes hands ---------------------------------------------------------------------


@agent
class PromiseCounter:
    def __init__(self, name: str) -> None:
        self.value = 0

    def add(self, by: int) -> int:
        self.value += ask(by)
        return self.value


def _open(engine: Any) -> Runtime:
    settings = Settings(suspend_after_s=KEPT_S, write_behind_s=None)
    return Runtime.over(engine, VirtualEnvironment(), settings)


class Taken(WatchedEngine):
    """Whoever reads an oplog owns it from then on: that is how a process takes an agent up."""

    owner = 0

    def __init__(self, engine: MemoryEngine, appends: list[Append], process: int) -> None:
        super().__init__(engine, appends, process, lambda: Taken.owner)
        self.scan = self._scan
        self.get = self._get

    def _get(self, space: Space, key: bytes) -> bytes | None:
        if space is Space.OPLOG:
            Taken.owner = self._process
        return self._engine.get(space, key)

    def _scan(self, space: Space, *given: Any, **named: Any) -> list[Row]:
        if space is Space.OPLOG:
            Taken.owner = self._process
        return self._engine.scan(space, *given, **named)


def stale_owner(*_: object) -> Iterator[list[str]]:
    """A process that lost its store while it had an agent loaded, and wakes up."""
    appends: list[Append] = []
    store = MemoryEngine()
    with _open(Taken(store, appends, 1)) as first:
        _add(first, "a", 1)
        with _open(Taken(store, appends, 2)) as second:
            _add(second, "a", 10)
            with suppress(StoreError):  # it is refused
                _add(first, "a", 100)
    yield checkers.check_x1(appends)


def _add(runtime: Runtime, name: str, by: int) -> int:
    counter = runtime.get(PromiseCounter, name)
    return runtime.trigger(counter.add, by, key=f"add {by}").result(30)


def two_owners(tmp_path: Path, *_: object) -> Iterator[list[str]]:
    yield check_x1_lock(tmp_path / "store")


# --- damage -----------------------------------------------------------------------------------------


def damaged_agent(*_: object) -> Iterator[list[str]]:
    """One agent's oplog has a flipped bit, or a chunk is missing."""
    for damage in (_rot, _lose):
        store = MemoryEngine()
        with _open(store) as runtime:
            for name in "abc":
                for by in (1, 2, 3):
                    _add(runtime, name, by)
            left = store.snapshot()
        damage(left, storage_key('PromiseCounter("b")'))
        seen: dict[str, object] = {}
        with _open(left) as runtime:
            for name in "abc":
                try:
                    seen[name] = _add(runtime, name, 4)
                except Exception as error:
                    seen[name] = error
        yield check_k2(dict.fromkeys("abc", 10), seen, "b")


def _chunks(store: MemoryEngine, agent_key: bytes) -> list[bytes]:
    lo, hi = chunk_key(agent_key, 1), chunk_key(agent_key, 2**60)
    return [key for key, _ in store.scan(Space.OPLOG, lo, hi, limit=100)]


def _rot(store: MemoryEngine, agent_key: bytes) -> None:
    key = _chunks(store, agent_key)[-1]
    sealed = store._spaces[Space.OPLOG].sealed
    at = sealed[key].rindex(b"\x03")  # what was added last
    sealed[key] = sealed[key][:at] + b"\x07" + sealed[key][at + 1 :]


def _lose(store: MemoryEngine, agent_key: bytes) -> None:
    store.commit([Batch(dels=((Space.OPLOG, _chunks(store, agent_key)[1]),))])


# --- values and entries -----------------------------------------------------------------------------


def stored_entries(*_: object) -> Iterator[list[str]]:
    found: list[str] = []

    @settings(max_examples=60)
    @given(oplogs())
    def check(oplog: Any) -> None:
        found.extend(checkers.check_s2(oplog))

    check()
    yield found


def stored_values(*_: object) -> Iterator[list[str]]:
    found: list[str] = []

    @settings(max_examples=200)
    @given(values)
    def check(value: Any) -> None:
        found.extend(check_s2_value(value))

    check()
    yield found


def hostile_data(*_: object) -> Iterator[list[str]]:
    for code in (Code.DATACLASS, Code.ENUM, Code.EXCEPTION):
        yield check_k1(decode, dangerous(code))


MADE: list[str] = []
GIVEN: list[object] = []


@durable
def make(what: str) -> object:
    MADE.append(what)
    return {"items": [1, Lock()]} if what == "lock" else what


@agent
def promise_of_a_lock(name: str) -> str:
    try:
        GIVEN.append(make("lock"))
    except Exception as error:
        GIVEN.append(error)
        return "refused"
    make("what builds on it")
    return "made"


def unstorable_value(*_: object) -> Iterator[list[str]]:
    MADE.clear()
    GIVEN.clear()
    drive([Step(promise_of_a_lock, ("a",))], suspend_after_s=KEPT_S)
    yield check_k1_refused(
        GIVEN[0], 'value["items"][1]', MADE.count("lock"), MADE.count("what builds on it")
    )


# --- code that does not fit -------------------------------------------------------------------------


def changed_code(tmp_path: Path, patch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    for change in ("argument", "other call"):
        module = Module(tmp_path)
        engine = half_way(module.load(ORIGINAL, patch))
        changed = module.load(ORIGINAL.replace(*CHANGES[change]), patch)
        seen, _ = park(engine, changed, LINES[change])
        yield check_d1(seen)


def past_the_journal(tmp_path: Path, *_: object) -> Iterator[list[str]]:
    report = crash_at_every_index(planted.planted_file, str(tmp_path / "log"))
    yield check_d2(report, ["open"], "planted.py")


def past_the_journal_unwatched(tmp_path: Path, *_: object) -> Iterator[list[str]]:
    net.forget()
    with warnings.catch_warnings(record=True) as said, Runtime.memory() as runtime:
        warnings.simplefilter("always")
        for name in ("one", "two"):
            runtime.run(planted.planted_file, str(tmp_path / name))
    yield check_d2_running(said, ["open"], planted.__file__)
