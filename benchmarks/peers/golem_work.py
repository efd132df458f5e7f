"""Ours at the peers' work: ``work``, or a life of W4: ``die STEPS``, ``finish STEPS``. The store is here."""

from __future__ import annotations

import sys
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from benchmarks import workloads
from benchmarks.peers.worker import IN_FLIGHT, Life, callers, serve, tell, timed
from benchmarks.row import ROW, Row
from golem_sdk import Runtime, agent, durable

if TYPE_CHECKING:
    from benchmarks.peers.worker import Values

STORE = "store"

life = Life("die")


@durable
def remembered_step(number: int) -> Row:
    life.performs(number)
    return ROW


@durable
def last_step() -> None:
    if life.performs_last():
        sys.stdin.read()


@agent
def killed(steps: int) -> int:
    """W4: many steps, and one in which the process is killed."""
    count = sum(bool(remembered_step(number)["paid"]) for number in range(steps))
    last_step()
    return count


def steps_of(runtime: Runtime, work: str, run: int, size: int) -> Values:
    target = workloads.many if work == "W1" else workloads.together
    return timed(work, size, lambda: runtime.run(target, run, size))


def flows(runtime: Runtime, work: str, in_flight: int, run: int, size: int) -> Values:
    runs = range(run * size, (run + 1) * size)
    return callers(work, in_flight, runs, lambda number: runtime.run(workloads.flow, number))


def main() -> None:
    global life
    kind, *steps = sys.argv[1:]
    life = Life(kind)
    with Runtime(STORE) as runtime:
        if kind != "work":
            tell({"result": runtime.run(killed, int(*steps))})
            return
        works = {
            "W1": partial(steps_of, runtime, "W1"),
            "W2/1": partial(flows, runtime, "W2/1", 1),
            "W2/64": partial(flows, runtime, "W2/64", IN_FLIGHT),
            "W3": partial(steps_of, runtime, "W3"),
        }
        serve({"golem_sdk": version("golem_sdk")}, works)


if __name__ == "__main__":
    main()
