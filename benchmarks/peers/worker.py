"""What the process of every contestant does: it reads from stdin what to run, and prints what it measured.

The peers' own environments import this module: it uses nothing of golem_sdk.
"""

from __future__ import annotations

import json
import sys
from threading import Event, Lock, Thread
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["IN_FLIGHT", "Life", "Values", "callers", "serve", "tell", "timed"]

Values = dict[str, float]

IN_FLIGHT = 64


def serve(versions: Mapping[str, str], works: Mapping[str, Callable[[int, int], Values]]) -> None:
    """Tell the versions, then run what each line ``{"work": …, "run": …, "size": …}`` asks for.

    Each work takes the number of its run, which is new in this store, and its size.
    """
    tell(versions)
    for line in sys.stdin:
        order = json.loads(line)
        tell(works[order["work"]](order["run"], order["size"]))


def tell(values: Mapping[str, object]) -> None:
    """One line for the process that started this one."""
    print(json.dumps(values), flush=True)


def timed(work: str, size: int, call: Callable[[], object]) -> Values:
    """Parts per second of one call that does `size` of them; it must give their number."""
    begin = perf_counter()
    done = call()
    taken_s = perf_counter() - begin
    if done != size:
        sys.exit(f"{work} did {done} parts of {size}")
    return {work: size / taken_s}


def callers(work: str, in_flight: int, runs: range, call: Callable[[int], object]) -> Values:
    """Calls by so many threads: how many per second, and how long each took its caller in milliseconds."""
    todo, mutex, taken_s = iter(runs), Lock(), list[float]()

    def caller() -> None:
        while True:
            with mutex:
                run = next(todo, None)
            if run is None:
                return
            begin = perf_counter()
            call(run)
            taken_s.append(perf_counter() - begin)

    threads = [Thread(target=caller) for _ in range(in_flight)]
    begin = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole_s = perf_counter() - begin
    if len(taken_s) != len(runs):
        sys.exit(f"{work}: {len(runs) - len(taken_s)} calls of {len(runs)} failed")
    taken_s.sort()
    return {
        work: len(taken_s) / whole_s,
        f"{work} p50": taken_s[len(taken_s) // 2] * 1e3,
        f"{work} p99": taken_s[len(taken_s) * 99 // 100] * 1e3,
    }


class Life:
    """One life of W4, ``die`` or ``finish``: what its steps do, and when its replay began and ended."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.over = Event()
        self._began = perf_counter()

    def replays(self) -> None:
        """From now on, what was done before the kill is done again from the log."""
        self._began = perf_counter()

    def performs(self, number: int) -> None:
        """A step of the first life is performed: never in the second."""
        if self.kind != "die":
            sys.exit(f"step {number} was performed again")

    def performs_last(self) -> bool:
        """The step in which the first life is killed. Gives whether to wait for that."""
        if self.kind == "die":
            tell({"killed": "here"})
            return True
        tell({"replay_s": perf_counter() - self._began})
        return False
