"""What is measured, what it must be, and how good it is."""

from __future__ import annotations

from statistics import median, quantiles
from typing import Final

from attrs import field, frozen

__all__ = ["REFERENCE_RAW_US", "TARGETS", "Figure", "Target"]

REFERENCE_RAW_US: Final = 201.0
"""One raw LMDB commit on the machine and at the time at which the peers were measured."""


@frozen
class Target:
    """What one figure must be (floor) and where it should be (aim), on the reference machine.

    Attributes:
        unit: of samples, floor and aim. Of "…/s" more is better, of everything else less.
        floor, aim: ``None``: the figure is only told.
        disk: whether the disk decides it: floor and aim are scaled by the raw commits of the same run.
    """

    what: str
    unit: str
    floor: float | None = None
    aim: float | None = None
    disk: bool = False

    @property
    def more_is_better(self) -> bool:
        """Whether a greater number is a better one."""
        return self.unit.endswith("/s")


_RAW_RATE: Final = 1e6 / REFERENCE_RAW_US

# Per second, with their defaults: DBOS 3.4 on SQLite, and Restate 1.7.
_DBOS: Final = {"W1": 644, "W2/1": 231, "W2/64": 205, "W3": 372}
_RESTATE: Final = {"W1": 955, "W2/64": 847, "W3": 1184}
_DBOS_RECOVERY_S: Final = 4.0

_MILLIONTH_KIB: Final = (500 - 60) * 1024 / 1e6
"""A million sleepers are to fit into 500 MiB, with a process that takes 60 MiB without them."""

TARGETS: Final[dict[str, Target]] = {
    "raw": Target("LMDB put + commit, a record like W1's", "us"),
    "sync": Target("fdatasync of one 4 KiB page", "us"),
    "W1": Target(
        "1 agent, sequential write-remote steps",
        "steps/s",
        max(0.70 * _RAW_RATE, 5 * _DBOS["W1"], 3.5 * _RESTATE["W1"]),
        0.85 * _RAW_RATE,
        disk=True,
    ),
    "W1r read": Target("1 agent, sequential read steps", "us", 25, 12),
    "W1r clock": Target("1 agent, time.time() in a row", "us", 25, 12),
    "W2/1": Target(
        "one-step workflows, 1 in flight", "flows/s", 4 * _DBOS["W2/1"], 2000, disk=True
    ),
    "W2/1 p50": Target("the same, half of them take", "ms", 1.0, disk=True),
    "W2/1 p99": Target("the same, 99 % take at most", "ms"),
    "W2/64": Target(
        "one-step workflows, 64 in flight",
        "flows/s",
        max(10 * _DBOS["W2/64"], 4.5 * _RESTATE["W2/64"]),
        8000,
        disk=True,
    ),
    "W2/64 p50": Target("the same, half of them take", "ms"),
    "W2/64 p99": Target("the same, 99 % take at most", "ms", 50, disk=True),
    "W2/64 CPU": Target("the same, processor time of a workflow", "us"),
    "W3": Target(
        "1 async agent, steps under one gather",
        "steps/s",
        max(15 * _DBOS["W3"], 7.5 * _RESTATE["W3"]),
        20_000,
        disk=True,
    ),
    "W4 whole": Target(
        "killed after 10,000 steps: start to finish", "s", _DBOS_RECOVERY_S / 10, 0.25
    ),
    "W4 replay": Target("the same, replayed", "steps/s", 100_000, 250_000),
    "W5 resident": Target("an agent that sleeps and is kept in memory", "KiB", 5),
    "W5 unloaded": Target("one that sleeps as usual, where it has begun", "KiB", 5),
    "W5 evicted": Target("one that sleeps unloaded, after a restart", "KiB", 0.5, _MILLIONTH_KIB),
    "W5 process": Target("the process with all of those (--sleepers)", "MiB"),
    "W5 opening": Target("opening their store, for each", "us"),
    "W6 import": Target("import golem_sdk, over a bare interpreter", "ms", 100, 70),
    "W6 needs": Target("packages that it depends on", "packages", 6, 6),
    "W6 size": Target("installed, with them", "MiB"),
    "W7 W1": Target("bytes on disk per step of W1", "B", 350, 260),
    "W7 W2": Target("bytes on disk per workflow of W2", "B"),
    "flushes W1": Target("flushes for a write-remote step", "flushes", 2, 2),
    "flushes W1r": Target("for a read", "flushes", 0, 0),
    "flushes W2": Target("for a one-step workflow, 1 in flight", "flushes", 4, 4),
    "flushes W4": Target("for a step that is replayed", "flushes", 0, 0),
    "flushes call": Target("for a call of an agent that is loaded", "flushes"),
    "flushes agents": Target("for a call from agent to agent, answered", "flushes"),
    "volume workflow": Target("blocks of memory that stay of a workflow", "blocks", 0.5, 0.1),
    "volume read": Target("the same, of a read by an agent that stays", "blocks", 0.5, 0.1),
    "volume growth": Target("the process, per workflow done", "B"),
    "volume process": Target("the process after all those workflows (--volume)", "MiB"),
    "guard atomically": Target("entering and leaving atomically()", "us"),
    "guard idempotence": Target("idempotence_mode(True)", "us"),
    "guard level": Target("persistence_level(PERSIST_NOTHING)", "us"),
    "guard retry": Target("retry_policy(...)", "us"),
    "guard commits": Target("commits that atomically() adds to a write", "commits", 0.02, 0.02),
    "agent call": Target("a call from agent to agent, answered", "us"),
    "outside time": Target("time.time() outside agents, over the original", "ns", 150, 60),
    "outside random": Target("random.random() outside agents, over it", "ns", 150, 60),
    "interceptors outside": Target("replaced functions outside agents: the dearest", "ns", 150, 60),
    "interceptors opening": Target("opening a runtime: all libraries over none", "ms", 30, 30),
    "interceptors first": Target("running the first agent: the same", "ms"),
    "interceptors imported": Target("libraries that this imports", "libraries", 0, 0),
}


@frozen
class Figure:
    """Samples of one measurement, one per round.

    Attributes:
        name: its row in `TARGETS`.
        samples: in the target's unit.
        raw_us: the raw commit around each sample, if the disk decides it.
        each_us: p50 and p99 of the single ones of each sample, in microseconds, where that was measured.
    """

    name: str
    samples: list[float]
    raw_us: list[float] = field(factory=list)
    each_us: list[tuple[float, float]] = field(factory=list)

    @property
    def p50_us(self) -> float | None:
        """What half of the single ones take at most: the median of the rounds."""
        return median(half for half, _ in self.each_us) if self.each_us else None

    @property
    def p99_us(self) -> float | None:
        """What 99 % of them take at most."""
        return median(most for _, most in self.each_us) if self.each_us else None

    @property
    def target(self) -> Target:
        """What it must be."""
        return TARGETS[self.name]

    @property
    def median(self) -> float:
        """The middle sample."""
        return median(self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        """Between which values the middle half of the samples lies."""
        if len(self.samples) < 2:
            return self.median, self.median
        low, _, high = quantiles(self.samples, n=4, method="inclusive")
        return low, high

    @property
    def ratio(self) -> float | None:
        """Median of the paired ratios to the raw limit: raw commits per second or per time taken."""
        return median(self.ratios) if self.raw_us else None

    @property
    def ratios(self) -> list[float]:
        """Each sample as a share of the raw commits around it; nothing if the disk does not decide it."""
        raw = [_in_unit(self.target.unit, us) for us in self.raw_us]
        return [sample / limit for sample, limit in zip(self.samples, raw, strict=bool(raw))]

    def scaled(self, goal: float | None) -> float | None:
        """Floor or aim on this machine in this run."""
        if goal is None or not self.target.disk:
            return goal
        factor = REFERENCE_RAW_US / median(self.raw_us)
        return goal * factor if self.target.more_is_better else goal / factor

    @property
    def verdict(self) -> str:
        """``aim``, ``floor``, ``MISSED``, or nothing for what is only told."""
        target = self.target
        if target.floor is None:
            return ""
        if target.aim is not None and self._holds(target.aim):
            return "aim"
        return "floor" if self._holds(target.floor) else "MISSED"

    def _holds(self, goal: float) -> bool:
        measured, wanted = self.median, goal
        if target_ratio := self.ratio if self.target.disk else None:
            measured, wanted = target_ratio, goal / _in_unit(self.target.unit, REFERENCE_RAW_US)
        return measured >= wanted if self.target.more_is_better else measured <= wanted


def _in_unit(unit: str, raw_us: float) -> float:
    """A raw commit of so many microseconds, as a rate or in this unit of time."""
    if unit.endswith("/s"):
        return 1e6 / raw_us
    return {"us": raw_us, "ms": raw_us / 1e3}[unit]
