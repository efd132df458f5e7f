"""Runs one agent under one schedule of crashes, in one process, on a store in memory and on virtual time."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard

from golem_sdk import originals
from golem_sdk.app import Runtime
from golem_sdk.cli.entries import entry_rows
from golem_sdk.codec.values import encode
from golem_sdk.core.entries import Entry, ImportedFunctionInvoked, OplogIndex
from golem_sdk.core.ids import storage_key
from golem_sdk.core.status import AgentStatus
from golem_sdk.errors import AgentFailedError, GolemError
from golem_sdk.oplog.reader import survey
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.storage.payloads import load_payload
from golem_sdk.stores.heads import load_heads
from golem_sdk.testing.effects import Stage
from golem_sdk.testing.environment import VirtualEnvironment
from golem_sdk.testing.observations import Failure, Observed, Outcome
from golem_sdk.testing.quiet import silence
from golem_sdk.testing.schedules import CrashAt, Row, Schedule
from golem_sdk.testing.states import look_at_agents
from golem_sdk.testing.subjects import Calm, HalfWay, Subject
from golem_sdk.testing.traps import IndexTrap
from golem_sdk.testing.unjournaled import Watch
from golem_sdk.viewer import Viewer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from golem_sdk.testing.crash import MortalEngine
    from golem_sdk.testing.states import States

__all__ = ["Bench"]

_SHORTEST_S = 10.0
_CALMLY = 30
"""A run with crashes may take so many times as long as the calm run, and ten seconds at least."""

_ROOM = 60


class Bench:
    """Runs a subject again and again.

    Args:
        subject: what is run.
        calm: its run without crashes, if another process has made that.
        limit_s: how many seconds one run may take at most; ``None``: the calm run as long as it likes.
    """

    def __init__(
        self, subject: Subject, calm: Calm | None = None, limit_s: float | None = None
    ) -> None:
        self.subject = subject
        self.agent_id = subject.agent_id()
        self._calm = calm
        self._limit_s = limit_s
        self._thorough = bool(calm is not None and calm.observed.unjournaled)

    def calm(self) -> Calm:
        """Make the run without crashes, with real (or stubbed) effects, and keep what it shows.

        Raises:
            TimeoutError: it did not end in time.
        """
        start_ns, began = originals.time_ns(), originals.monotonic()
        run = _Run(self, Stage(None, self.subject.stubs), thorough=True)
        observed = run.through((), start_ns, self._limit_s)
        if observed.unfinished:
            raise TimeoutError(observed.unfinished)
        took_s = originals.monotonic() - began
        rows = _rows(run.engine, self.agent_id)
        recording = run.stage.recorded()
        self._calm = Calm(self.agent_id, observed, recording, rows, start_ns, took_s)
        self._thorough = bool(observed.unjournaled)
        return self._calm

    def run(self, schedule: Schedule, *, fresh: bool = False) -> Observed:
        """Run with these crashes (none: as in the calm run, but with its answers)."""
        calm = self._calmed()
        with silence():
            return self._started(fresh=fresh).through(schedule, calm.start_ns, self._run_limit())

    def run_half(self, point: CrashAt) -> HalfWay | None:
        """Run until this crash; ``None``: the run does not come there."""
        calm = self._calmed()
        with silence():
            return self._started().until(point, calm.start_ns, self._run_limit())

    def take_up(self, half: HalfWay) -> Observed:
        """Recover from such a crash and run to the end."""
        with silence():
            return self._started().from_half(half, self._run_limit())

    def resolved(self, point: CrashAt | None) -> tuple[str, int, OplogIndex]:
        """Agent, call number and earlier entry of the effect before which a crash is wanted."""
        if point is None:
            return "", 0, 0
        agent = point.agent or self.agent_id
        for row in self._calmed().rows if self._calm else ():
            if (row.agent, row.index) == (agent, point.index):
                return agent, row.call, row.after
        return agent, 0, 0

    def _started(self, *, fresh: bool = False) -> _Run:
        subject = self.subject
        recording = self._calmed().recording
        stage = Stage(recording, subject.stubs, effects=subject.effects, fresh=fresh)
        return _Run(self, stage, thorough=self._thorough)

    def _calmed(self) -> Calm:
        assert self._calm is not None, "the run without crashes comes first"
        return self._calm

    def _run_limit(self) -> float:
        limit_s = max(_SHORTEST_S, _CALMLY * self._calmed().took_s)
        return limit_s if self._limit_s is None else min(limit_s, self._limit_s)


class _Run:
    """One run with all its lives."""

    def __init__(self, bench: Bench, stage: Stage, *, thorough: bool) -> None:
        self.engine: MortalEngine = MemoryEngine()
        self.stage = stage
        self._bench = bench
        self._watch = Watch(bench.subject.allowed)
        self._thorough = thorough
        self._outcomes: dict[int, Outcome] = {}
        self._states: States = {}
        self._survived: list[OplogIndex] = []
        self._lives = 0
        self._now_ns = 0

    def through(self, schedule: Schedule, start_ns: int, limit_s: float | None) -> Observed:
        """Run to the end, crashing at these points."""
        self._now_ns = start_ns
        ends_at = None if limit_s is None else originals.monotonic() + limit_s
        try:
            for point in (*schedule, None):
                if not self._live(point, ends_at):
                    break
        except TimeoutError:
            number, calls = len(self._outcomes), max(1, len(self._bench.subject.calls))
            what = f"call {number + 1} from outside" if number < calls else "what the calls began"
            return self._observed(f"{what} had not ended after {limit_s:g} s")
        return self._observed()

    def until(self, point: CrashAt, start_ns: int, limit_s: float) -> HalfWay | None:
        """Run until this crash."""
        self._now_ns = start_ns
        with suppress(TimeoutError):
            if self._live(point, originals.monotonic() + limit_s):
                return HalfWay(_records(self.engine), self._observed(), self._now_ns)
        return None

    def from_half(self, half: HalfWay, limit_s: float) -> Observed:
        """Take up what such a crash left."""
        self.engine = _engine_of(half.rows)
        self.stage.resume(half.observed.performed)
        self._watch.seen.extend(half.observed.unjournaled)
        self._outcomes = dict(enumerate(half.observed.outcomes))
        self._survived, self._lives = list(half.observed.survived), half.observed.crashes
        return self.through((), half.now_ns, limit_s)

    # --- one life ---------------------------------------------------------------------------------

    def _live(self, point: CrashAt | None, ends_at: float | None) -> bool:
        """One life of the process; whether it crashed."""
        environment = VirtualEnvironment(self._lives, self._now_ns, performs=True)
        agent, call, after = self._bench.resolved(point)
        trap = IndexTrap(self.engine, point, agent, call, after)
        settings = Settings(
            suspend_after_s=self._bench.subject.suspend_after_s,
            write_behind_s=None,
            writer_class=trap.writer_class(),
            performer=self.stage,
        )
        self.stage.enter(environment, trap.at_effect)
        hung = False
        try:
            with (
                self._watch.on(thorough=self._thorough),
                Runtime.over(self.engine, environment, settings) as runtime,
            ):
                self._make_calls(runtime, partial(_left_s, ends_at))
                environment.rest(_left_s(ends_at))
                self._states = look_at_agents(
                    runtime._kernel, lambda: environment.rest(_left_s(ends_at))
                )
        except TimeoutError:
            hung = trap.survivor is None
            if hung:
                raise
        except GolemError:
            if trap.survivor is None:
                raise
        finally:
            self.stage.leave()
            self._now_ns = environment.now_ns()
            if not hung:
                with suppress(TimeoutError):  # it is dead, and what it still does is of no account
                    environment.join(_left_s(ends_at))
        if trap.survivor is None:
            self.engine = self.engine.snapshot()
            return False
        self.engine = trap.survivor
        self._lives += 1
        self._survived.append(survey(self.engine, storage_key(agent)).last)
        return True

    def _make_calls(self, runtime: Runtime, left_s: Callable[[], float]) -> None:
        subject = self._bench.subject
        if not subject.calls:
            self._call(
                0, partial(runtime.trigger, subject.agent, *subject.args, **subject.kwargs), left_s
            )
            return
        handle: Any = runtime.get(subject.agent, *subject.args, **subject.kwargs)
        for number, call in enumerate(subject.calls):
            method = getattr(handle, call.method)
            key = f"call-{number + 1}"
            trigger = partial(runtime.trigger, method, *call.args, key=key, **call.kwargs)
            self._call(number, trigger, left_s)

    def _call(self, number: int, trigger: Callable[[], Any], left_s: Callable[[], float]) -> None:
        if number in self._outcomes:
            return
        try:
            data, failed = trigger()._completion().outcome(left_s())
        except AgentFailedError as error:
            self._outcomes[number] = Outcome("parked", encode(error))
        else:
            self._outcomes[number] = Outcome("error" if failed else "value", data)

    def _observed(self, unfinished: str = "") -> Observed:
        engine = self.engine.snapshot()
        failures = tuple(
            Failure(head.agent_id, head.record.error_type, head.record.error)
            for head in load_heads(engine)
            if head.record.status is AgentStatus.FAILED
        )
        return Observed(
            tuple(outcome for _, outcome in sorted(self._outcomes.items())),
            self._states,
            tuple(self.stage.performed),
            tuple(self._watch.seen),
            failures,
            unfinished,
            self._lives,
            tuple(self._survived),
            self.stage.redrawn,
        )


def _left_s(ends_at: float | None) -> float:
    return 1e9 if ends_at is None else max(0.0, ends_at - originals.monotonic())


def _rows(engine: MortalEngine, main: str) -> tuple[Row, ...]:
    """The committed oplogs as rows, that of agent ``main`` first."""
    found: list[Row] = []
    viewer = Viewer(engine)
    agents = sorted((m.agent_id for m in viewer.agents()), key=lambda name: (name != main, name))
    for agent in agents:
        entries = list(viewer.oplog(agent))
        newest: dict[int, OplogIndex] = {}
        told = entry_rows(entries, partial(load_payload, engine), _ROOM)
        for (index, entry), row in zip(entries, told, strict=True):
            call = entry.call if _has_effect(entry) else 0
            after = newest.get(call, 0)
            if call:
                newest[call] = index
            found.append(Row(agent, index, row.kind, row.text, row.source, call, after))
    return tuple(found)


def _has_effect(entry: Entry) -> TypeGuard[ImportedFunctionInvoked]:
    """Whether somebody performed what it tells of: waits and calls of other agents only complete."""
    return isinstance(entry, ImportedFunctionInvoked) and not entry.function_name.startswith(
        ("golem:clock/sleep", "golem:rpc/")
    )


def _records(engine: MortalEngine) -> tuple[tuple[int, bytes, bytes], ...]:
    copy = engine.snapshot()
    return tuple(
        (int(space), key, value)
        for space in Space
        if space is not Space.META
        for key, value in copy.scan(space, b"\0", None, limit=1 << 30)
    )


def _engine_of(records: Sequence[tuple[int, bytes, bytes]]) -> MemoryEngine:
    engine = MemoryEngine()
    engine.commit(
        [Batch(None, tuple((Space(space), key, value) for space, key, value in records), ())]
    )
    return engine
