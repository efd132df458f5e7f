"""Whether memory is bounded: a day's work by volume in one process, and what stays of it.

Blocks of Python's memory are counted: that is the same in every run. What the system gives the process also
depends on the threads between which it was dealt out, and on LMDB, and is only told.

Run as a script (``STORE WORKFLOWS``) it is that process.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path
from statistics import linear_regression
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from benchmarks import workloads
from benchmarks.figures import Figure
from benchmarks.memory import can_be_told, own_kib
from benchmarks.rounds import flows
from golem_sdk import Runtime, agent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.__main__ import Plan

__all__ = ["growth", "volume"]

Point = tuple[int, int, int]
"""Work done, blocks of memory that are in use, and KiB of the process."""

_STAGES: Final = 10
_READS_EACH: Final = 10
_IN_FLIGHT: Final = 64


@agent
class Enduring:
    """Is never unloaded, and its history becomes longer and longer."""

    def __init__(self, number: int) -> None:
        self.number = number

    def work(self, reads: int) -> None:
        for number in range(reads):
            workloads.read(number)


def volume(plan: Plan) -> list[Figure]:
    """Memory against work done: how steep it is, once all that is made on first use is there."""
    with TemporaryDirectory(dir=plan.directory) as scratch:
        command = [sys.executable, "-m", "benchmarks.volume", scratch, str(plan.volume)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    told = json.loads(done.stdout)
    workflows, reads = told["workflows"], told["reads"]
    found = [
        Figure("volume workflow", [growth((done, blocks) for done, blocks, _ in workflows)]),
        Figure("volume read", [growth((done, blocks) for done, blocks, _ in reads)]),
    ]
    if can_be_told():
        kib = growth((done, kib) for done, _, kib in workflows)
        found += [
            Figure("volume growth", [kib * 1024]),
            Figure("volume process", [workflows[-1][2] / 1024]),
        ]
    return found


def growth(points: Iterable[tuple[float, float]]) -> float:
    """How steep it is, by least squares; the first half only warms up."""
    late = [*points]
    late = late[len(late) // 2 :]
    return linear_regression(*zip(*late, strict=True)).slope


def measure(store: Path, workflows: int) -> dict[str, list[Point]]:
    """Workflows of one step, many at a time; then one agent that stays and makes ten times as many reads."""
    told: dict[str, list[Point]] = {"workflows": [], "reads": []}
    stage = max(workflows // _STAGES, 1)
    with Runtime(store) as runtime:
        for first in range(0, stage * _STAGES, stage):
            flows(runtime, iter(range(first, first + stage)), _IN_FLIGHT)
            workloads.PERFORMED.clear()
            told["workflows"].append(_point(first + stage))
        enduring = runtime.get(Enduring, 0)
        for number in range(_STAGES):
            enduring.work(stage * _READS_EACH)
            told["reads"].append(_point((number + 1) * stage * _READS_EACH))
    return told


def _point(done: int) -> Point:
    gc.collect()
    return done, sys.getallocatedblocks(), own_kib() if can_be_told() else 0


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))))
