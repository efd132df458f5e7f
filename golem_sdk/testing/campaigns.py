"""The whole of a crash fuzz: the calm run, every schedule, the verdicts, the experiments, the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence

from attrs import define, evolve, field, frozen

from golem_sdk import originals
from golem_sdk.testing.crews import Crew, Task
from golem_sdk.testing.explaining import Restart, explain, schedule_words
from golem_sdk.testing.observations import Observed, value_text
from golem_sdk.testing.reports import Finding, Report
from golem_sdk.testing.schedules import (
    CrashAt,
    Moment,
    first_pairs,
    random_schedules,
    second_points,
    single_points,
    spread,
)
from golem_sdk.testing.subjects import Calm
from golem_sdk.testing.verdicts import Cause, Judgement, Verdict, judge

__all__ = ["Options", "Progress", "fuzz"]

_SEED_POINTS = 12
"""At so many entries, evenly spread, a process with another hash seed takes over."""

_MOST_FINDINGS = 20

Progress = Callable[[int, int, int], None]
"""Told how many runs are done, how many there will be as far as is known, and how many showed a fault."""


@frozen
class Options:
    """How much is tried.

    Attributes:
        at: this schedule only; ``None``: all.
        all_pairs: every pair of crashes, not only those at the first entry of each recovery.
        random: so many schedules of two to four crashes more, drawn with ``seed``.
        hash_seeds: with these PYTHONHASHSEEDs, in processes of their own.
        once: names of calls that must not be repeated.
        stubs: names of calls in whose place something else is called.
        time_limit_s: nothing is begun later than this.
    """

    at: Sequence[CrashAt] | None = None
    all_pairs: bool = False
    random: int = 0
    seed: int = 1
    hash_seeds: tuple[int, ...] = ()
    once: Collection[str] = ()
    stubs: Collection[str] = ()
    time_limit_s: float | None = None


def fuzz(crew: Crew, options: Options, progress: Progress | None = None) -> Report:
    """Have a crew make the calm run and all others; the report.

    Raises:
        CrewError, TimeoutError: the calm run did not come to an end.
    """
    began = originals.monotonic()
    calm = crew.calm()
    ends_at = None if options.time_limit_s is None else began + options.time_limit_s
    notes = (*_raised(calm.observed), *_unmet(calm.observed, options))
    work = _Work(crew, calm, options, ends_at, progress, notes=notes)
    work.go()
    return Report(
        calm.agent_id,
        calm.rows,
        work.cells,
        tuple(work.findings),
        dict(work.verdicts),
        work.tried,
        work.planned - work.tried,
        calm.took_s,
        originals.monotonic() - began,
        work.notes,
        options.seed,
    )


_Key = tuple[Cause | Verdict, str]
"""What makes two faults one: their kind and the place in the code."""


@define
class _Work:
    """Everything after the calm run."""

    crew: Crew
    calm: Calm
    options: Options
    ends_at: float | None
    progress: Progress | None
    cells: dict[tuple[str, int, str], Verdict] = field(factory=dict)
    findings: list[Finding] = field(factory=list)
    verdicts: Counter[Verdict] = field(factory=Counter)
    notes: tuple[str, ...] = ()
    tried: int = 0
    planned: int = 0
    _faults: dict[_Key, tuple[Task, Judgement, int]] = field(factory=dict)
    _survived: dict[CrashAt, int] = field(factory=dict)
    _redrawn: list[Task] = field(factory=list)
    _alone: Judgement | None = None

    def go(self) -> None:
        """Try everything, shortest schedules first."""
        if self.options.at is not None:
            self._one(tuple(self.options.at))
        elif not self._has_forgotten():
            self._all()
        self.findings.extend(self._found(key) for key in list(self._faults)[:_MOST_FINDINGS])
        self.findings.sort(key=lambda finding: _size(finding.task))

    def _one(self, schedule: tuple[CrashAt, ...]) -> None:
        """One schedule, and if there is nothing else to be seen with other hash seeds."""
        seeds = self.options.hash_seeds
        tasks = [Task(schedule, hash_seed=seed) for seed in seeds] or [Task(schedule)]
        self._try(tasks)
        self._try([evolve(task, fresh=True) for task in self._redrawn])
        if set(self.verdicts) == {Verdict.UNREACHED}:
            self.notes += (_not_reached(self.calm),)
        elif not self._faults:
            steps = schedule_words(tasks[0], self.calm.rows)
            self.notes += tuple(step[:1].upper() + step[1:] + "." for step in steps)

    def _all(self) -> None:
        self._try([Task(())])
        points = single_points(self.calm.rows, self.calm.agent_id)
        self._try([Task((point,)) for point in points])
        self._try([evolve(task, fresh=True) for task in self._redrawn])
        self._try([Task((first, second)) for first in points for second in self._seconds(first)])
        self._try(
            [Task(s) for s in random_schedules(points, self.options.random, self.options.seed)]
        )
        durable = [point for point in points if point.moment is Moment.DURABLE]
        self._try(
            [
                Task((point,), hash_seed=seed)
                for point in spread(durable, _SEED_POINTS)
                for seed in self.options.hash_seeds
            ]
        )

    def _has_forgotten(self) -> bool:
        """Whether effects that nothing intercepts are repeated: then no more is tried."""
        if not self.calm.observed.unjournaled:
            return False
        last = {row.agent: row for row in self.calm.rows}
        main = self.calm.agent_id
        for agent, row in last.items():
            self._try([Task((CrashAt(row.index, Moment.BEFORE, "" if agent == main else agent),))])
            if any(kind is Cause.UNJOURNALED for kind, _ in self._faults):
                self.notes += (
                    "Nothing more was tried: every run would really do it again. Mend it first.",
                )
                return True
        return False

    def _seconds(self, first: CrashAt) -> list[CrashAt]:
        survived = self._survived.get(first)
        if survived is None:
            return []
        seconds = second_points(self.calm.rows, self.calm.agent_id, first, survived)
        return seconds if self.options.all_pairs else first_pairs(seconds)

    # --- one phase --------------------------------------------------------------------------------

    def _try(self, tasks: Sequence[Task]) -> None:
        self.planned += len(tasks)
        for task, observed in self.crew.run(tasks, self.ends_at) if tasks else ():
            self.tried += 1
            self._judge(task, observed)
            if self.progress is not None:
                faults = sum(times for verdict, times in self.verdicts.items() if verdict.is_fault)
                self.progress(self.tried, self.planned, faults)

    def _judge(self, task: Task, observed: Observed | None) -> None:
        if observed is None:
            judgement = Judgement(Verdict.UNREACHED)
        else:
            judgement = judge(
                self.calm.observed,
                observed,
                crashes=len(task.schedule),
                once=self.options.once,
                fresh=task.fresh,
            )
        if observed is not None and len(task.schedule) == 1 and observed.crashes:
            self._survived[task.schedule[0]] = observed.survived[0]
        if observed is not None and observed.redrawn and not task.fresh and task.hash_seed is None:
            self._redrawn.append(task)
        self._note(task, judgement)

    def _note(self, task: Task, judgement: Judgement) -> None:
        verdict = judgement.verdict
        self.verdicts[verdict] += 1
        if task.schedule:
            first = task.schedule[0]
            column = "seeds" if task.hash_seed is not None else first.moment.name.lower()
            column = "pairs" if len(task.schedule) > 1 else column
            cell = (first.agent or self.calm.agent_id, first.index, column)
            self.cells[cell] = max(self.cells.get(cell, Verdict.UNREACHED), verdict, key=_weight)
        elif verdict.is_fault:
            self._alone = judgement
        if verdict.is_fault:
            kind = verdict if verdict is Verdict.DIVERGED else judgement.cause
            key = (kind, judgement.place)
            known = self._faults.get(key)
            count = 1 if known is None else known[2] + 1
            shortest = known is None or _size(task) < _size(known[0])
            best = (task, judgement) if known is None or shortest else known[:2]
            self._faults[key] = (*best, count)

    # --- what was found ---------------------------------------------------------------------------

    def _found(self, key: _Key) -> Finding:
        task, judgement, count = self._faults[key]
        restart = self._restarted(task, judgement)
        return Finding(
            task,
            judgement,
            count,
            tuple(schedule_words(task, self.calm.rows)),
            tuple(explain(judgement, task, restart, alone=self._alone is not None)),
        )

    def _restarted(self, task: Task, judgement: Judgement) -> Restart:
        """The experiment that tells what a process remembers from what is not recorded at all."""
        if not self.crew.can_leave or judgement.verdict is Verdict.REPEATED:
            return Restart.UNKNOWN
        schedule = task.schedule[:1]
        for _, observed in self.crew.run([Task(schedule, hash_seed=-1)], self.ends_at):
            if observed is not None:
                again = judge(self.calm.observed, observed, crashes=len(schedule))
                return Restart.DIFFERS if again.verdict.is_fault else Restart.SAME
        return Restart.UNKNOWN


def _raised(calm: Observed) -> tuple[str, ...]:
    """What is to be said of a calm run that was not as calm as one may have wished."""
    return tuple(
        f"Without crashes, call {number} from outside already raises {value_text(outcome.data)}."
        for number, outcome in enumerate(calm.outcomes, 1)
        if outcome.kind != "value"
    )


def _unmet(calm: Observed, options: Options) -> Iterator[str]:
    """Names that were given and that no call has: misspelt, they would have no effect, in silence."""
    made = {performance.name for performance in calm.performed}
    for option, names in (("once", options.once), ("stub", options.stubs)):
        for name in sorted(set(names) - made):
            yield (
                f"{option} {name!r} has had no effect: no call has this name. The calls are"
                f" {', '.join(sorted(made)) or 'none'}."
            )


def _not_reached(calm: Calm) -> str:
    last = {row.agent: row.index for row in calm.rows}
    ends = ", ".join(f"{index} of {agent}" for agent, index in last.items())
    return f"The run does not come to its crash. The last entries without crashes: {ends}."


_ORDER = (
    Verdict.UNREACHED,
    Verdict.SAME,
    Verdict.AGAIN,
    Verdict.PARKED,
    Verdict.REPEATED,
    Verdict.LOST,
    Verdict.DIVERGED,
)


def _weight(verdict: Verdict) -> int:
    return _ORDER.index(verdict)


def _size(task: Task) -> tuple[int, tuple[int, ...], int]:
    """Shorter schedules first, earlier crashes first, without hash seeds first."""
    indices = tuple(point.index for point in task.schedule)
    return len(task.schedule), indices, -1 if task.hash_seed is None else task.hash_seed
