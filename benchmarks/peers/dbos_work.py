"""DBOS Transact at the same work, as its documentation writes and starts it: ``work``, or a life of W4.

The database is the default one, an SQLite file in this directory, or ``DBOS_SYSTEM_DATABASE_URL``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from dbos import DBOS, DBOSConfig, SetWorkflowID

from benchmarks.peers.worker import IN_FLIGHT, Life, callers, serve, tell, timed
from benchmarks.row import ROW, Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.peers.worker import Values

life = Life("die")


@DBOS.step()
def step(number: int) -> Row:
    return ROW


@DBOS.step()
async def concurrent_step(number: int) -> Row:
    return ROW


@DBOS.workflow()
def many(steps: int) -> int:
    return sum(bool(step(number)["paid"]) for number in range(steps))


@DBOS.workflow()
def flow(run: int) -> object:
    return step(run)["id"]


@DBOS.workflow()
async def together(steps: int) -> int:
    calls = (concurrent_step(number) for number in range(steps))
    return len(await asyncio.gather(*calls, return_exceptions=True))


@DBOS.step()
def remembered_step(number: int) -> Row:
    life.performs(number)
    return ROW


@DBOS.step()
def last_step() -> None:
    if life.performs_last():
        sys.stdin.read()


@DBOS.workflow()
def killed(steps: int) -> int:
    life.replays()
    count = sum(bool(remembered_step(number)["paid"]) for number in range(steps))
    last_step()
    life.over.set()
    return count


def sequential(_run: int, size: int) -> Values:
    return timed("W1", size, lambda: many(size))


def concurrent(_run: int, size: int) -> Values:
    return timed("W3", size, lambda: asyncio.run(together(size)))


def flows(work: str, in_flight: int, _run: int, size: int) -> Values:
    """Each thread calls the workflow as the function that it is; `DBOS.start_workflow` took no less."""
    return callers(work, in_flight, range(size), flow)


def main() -> None:
    global life
    kind, *steps = sys.argv[1:]
    life = Life(kind)
    config: DBOSConfig = {
        "name": "peer",
        "system_database_url": os.environ.get("DBOS_SYSTEM_DATABASE_URL"),
    }
    DBOS(config=config)
    DBOS.launch()
    if kind == "work":
        works: dict[str, Callable[[int, int], Values]] = {
            "W1": sequential,
            "W2/1": partial(flows, "W2/1", 1),
            "W2/64": partial(flows, "W2/64", IN_FLIGHT),
            "W3": concurrent,
        }
        serve({"dbos": version("dbos")}, works)
    elif kind == "die":
        with SetWorkflowID("killed"):
            killed(int(*steps))
    else:  # it goes on by itself; asking for the result every second would only delay it
        life.over.wait()
        handle = DBOS.retrieve_workflow("killed")
        tell({"result": handle.get_result(polling_interval_sec=0.01)})
    DBOS.destroy()


if __name__ == "__main__":
    main()
