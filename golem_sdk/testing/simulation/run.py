"""`simulate`: a workload under one seed, through crashes, takeovers and failing storage."""

from __future__ import annotations

import gc
import logging
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import frozen

from golem_sdk.runtime.definitions import passing_listeners
from golem_sdk.testing.environment import START_NS
from golem_sdk.testing.simulation.baton import Baton, SimulationStuckError
from golem_sdk.testing.simulation.callers import Callers
from golem_sdk.testing.simulation.disk import Disk
from golem_sdk.testing.simulation.fates import Fates
from golem_sdk.testing.simulation.faults import CALM, WILD, Faults, Tally
from golem_sdk.testing.simulation.primitives import substituted
from golem_sdk.testing.simulation.verdict import Ends, ends_of, violations
from golem_sdk.testing.simulation.world import World, set_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from golem_sdk.testing.driver import Step

__all__ = ["Report", "SimulationFault", "simulate"]


class SimulationFault(AssertionError):  # noqa: N818  # what a failed assertion is
    """A promise was broken. The message has the seed, and what repeats the run.

    Attributes:
        report: of the run.
    """

    def __init__(self, report: Report, repeat: str) -> None:
        lines = "\n".join(f"  {line}" for line in report.violations[:20])
        super().__init__(
            f"seed {report.seed} broke {len(report.violations)} promises:\n{lines}\nRepeat it with: {repeat}"
        )
        self.report = report


@frozen
class Report:
    """What a run was.

    Attributes:
        seed: it decided everything.
        violations: promises that were broken, by number. `simulate` raises if there are any.
        results: what each call gave: ``("result", value)`` or ``("error", type, text)``.
        effects: the names of the effects, as often as they were performed.
        processes: how many processes there were; ``crashes``: how many of them were killed or taken over.
        simulated_s: virtual seconds from the first to the last moment.
        branches: how often each of `BRANCHES` was taken.
        points: how often the baton could have been handed on.
        digest: of the trace: equal for two runs that were the same.
        newest: the end of the trace.
    """

    seed: int
    violations: tuple[str, ...]
    results: Mapping[str, tuple[Any, ...]]
    effects: tuple[str, ...]
    processes: int
    crashes: int
    simulated_s: float
    branches: Mapping[str, int]
    points: int
    digest: str
    newest: tuple[str, ...]


def simulate(
    steps: Sequence[Step | Sequence[Step]],
    *,
    seed: int,
    faults: Faults = WILD,
    never_twice: Sequence[str] = (),
    ordered: Sequence[str] = (),
    repeat: str = "",
    trace: list[str] | None = None,
) -> Report:
    """Run a workload under one seed: clock, order of threads, crashes and faults all follow from it.

    It is run twice, first without any fault; then what both runs tell must be the same. Threads are real,
    but one at a time runs. No time passes but virtual time. Effects of the agents act upon `world()`.

    Args:
        steps: the calls that the outside makes, all at about the same time, in any order: results must not
            depend on it. Those in a list of their own are of one caller, who makes one after the other.
        seed: of every decision.
        faults: what may go wrong, and how likely it is.
        never_twice: names of effects made with ``idempotence_mode(False)``; if it is not known whether one
            happened, a simulated operator looks at the world and says so. One that the world refuses (the
            fault "effect failed") is not made again by itself: unless the agent does it, its result differs.
        ordered: ids of agents in which nothing races: their oplogs must be equal entry by entry.
        repeat: the command that repeats the run, for the message.
        trace: gets every event, to compare runs that should have been the same.

    Raises:
        SimulationFault: a promise was broken.
    """
    calm = _run(steps, seed, CALM, never_twice, None)
    wild = _run(steps, seed, faults, never_twice, trace)
    found = violations(calm.ends, wild.ends, never_twice=never_twice, ordered=ordered)
    report = wild.report(seed, [*calm.problems, *wild.problems, *found])
    if report.violations:
        raise SimulationFault(report, repeat or f"simulate(..., seed={seed})")
    return report


@frozen
class _Run:
    ends: Ends
    baton: Baton
    tally: Tally
    processes: int
    problems: tuple[str, ...]

    def report(self, seed: int, found: Sequence[str]) -> Report:
        baton = self.baton
        return Report(
            seed,
            tuple(found),
            self.ends.results,
            tuple(p.name for p in self.ends.performances),
            self.processes,
            self.ends.crashes,
            (baton.now_ns - START_NS) / 1e9,
            dict(self.tally),
            baton.points,
            baton.trace.digest,
            tuple(baton.trace.newest),
        )


def _run(
    steps: Sequence[Step | Sequence[Step]],
    seed: int,
    faults: Faults,
    never_twice: Sequence[str],
    trace: list[str] | None,
) -> _Run:
    restless = (0.02, 0.1, 0.4)[seed % 3] if faults.fates else 0.0
    baton, tally, disk = Baton(seed, restless), Tally(), Disk()
    baton.trace.copy = trace
    world = World(baton, disk, seed)
    callers = Callers(baton, world, disk, steps, never_twice)
    fates = Fates(baton, disk, callers, faults, tally)
    problems: list[str] = []
    with _alone(baton, world):
        try:
            fates.run()
        except SimulationStuckError as error:
            problems.append(f"P2: it does not come to an end: {error}")
        finally:
            baton.close()
    ends = ends_of(disk, world, callers, fates)
    return _Run(ends, baton, tally, fates.processes, tuple(problems))


@contextmanager
def _alone(baton: Baton, world: World) -> Iterator[None]:
    """Nothing else decides what happens: no collector that comes when it likes, no other world."""
    logger = logging.getLogger("golem_sdk")
    quiet, collecting = logger.disabled, gc.isenabled()
    gc.collect()
    gc.disable()
    logger.disabled = True
    set_world(world)
    try:
        with substituted(baton), passing_listeners():
            yield
    finally:
        set_world(None)
        logger.disabled = quiet
        if collecting:
            gc.enable()
