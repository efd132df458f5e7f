"""A peer that needs no network and always takes equally long.

``compare DIRECTORY`` does rounds with it and prints what came out. Otherwise this is its process: ``work``,
``die STEPS``, ``finish STEPS``. It ends when it has done the work ``ENDS_IN`` ``ENDS_AFTER`` times.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.__main__ import Plan
from benchmarks.peers.comparisons import as_json, report
from benchmarks.peers.contestants import Contestant, library
from benchmarks.peers.peers import Peer
from benchmarks.peers.rounds import compare
from benchmarks.peers.worker import Life, Values, serve, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAN = {"rounds": 3, "size": 20, "raw_commits": 5, "recovered_steps": 30, "kills": 2}
FLOORS = {"W1": 1e-6, "W2/1": 1e9, "W2/64 p50": 1e-6, "W4 whole": 1e9}
ALWAYS: dict[str, Values] = {
    "W1": {"W1": 8.0},
    "W2/1": {"W2/1": 4.0, "W2/1 p50": 250.0, "W2/1 p99": 500.0},
    "W2/64": {"W2/64": 16.0, "W2/64 p50": 125.0, "W2/64 p99": 1000.0},
    "W3": {"W3": 32.0},
}

often = Counter[str]()


@contextmanager
def start(_cache: Path, directory: Path) -> Iterator[Contestant]:
    with library((sys.executable, __file__), directory) as contestant:
        yield contestant


def work(name: str, _run: int, _size: int) -> Values:
    often[name] += 1
    if name == os.environ.get("ENDS_IN") and often[name] > int(os.environ["ENDS_AFTER"]):
        sys.exit(f"{name} was too much")
    return ALWAYS[name]


def main() -> None:
    kind, *rest = sys.argv[1:]
    if kind == "compare":
        plan = Plan(Path(rest[0]), **PLAN)
        comparison = compare(plan, Peer("a fake", start, FLOORS), Path(rest[0], "cache"))
        print(json.dumps(as_json(comparison)), report([comparison]), sep="\n")
    elif kind == "work":
        serve({"fake": "1.5"}, {name: partial(work, name) for name in ALWAYS})
    else:
        life = Life(kind)
        life.replays()
        if life.performs_last():
            sys.stdin.read()
        tell({"result": int(rest[0])})


if __name__ == "__main__":
    main()
