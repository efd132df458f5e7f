"""``python -m benchmarks [NAME ...]``.

W1 W1r W2 W3 W4 W5 W6 W7 flushes volume guards outside agents interceptors curves peers; without names, all.

``peers`` installs other systems into a cache of its own and does the same work with them and with us.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from benchmarks import readme
from benchmarks.agent_calls import agent_calls
from benchmarks.comparing import compare_files
from benchmarks.curves import curve as growth
from benchmarks.curves.questions import curves
from benchmarks.flushes import flushes
from benchmarks.guards import guards
from benchmarks.interceptors import costs as interceptors
from benchmarks.package import outside, w6
from benchmarks.peers.comparisons import as_json, report
from benchmarks.peers.environments import default_cache
from benchmarks.peers.peers import PEERS
from benchmarks.peers.rounds import compare
from benchmarks.plots import plot
from benchmarks.recovery import w4
from benchmarks.report import disk, table, write_json
from benchmarks.rounds import WORKLOADS, run_rounds, w7
from benchmarks.sleepers import w5
from benchmarks.volume import volume

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.figures import Figure


@frozen
class Plan:
    """How much is measured.

    Attributes:
        directory: where the stores are made: the disk that is measured.
        rounds: samples of each figure.
        size: steps, workflows or calls of a sample.
        raw_commits: raw commits of a sample of the limit.
        recovered_steps, kills: steps before a kill, and how many kills.
        largest: to how many entries and agents the curves go.
        sleepers: how many agents sleep.
        volume: how many workflows one process does; and ten times as many reads.
    """

    directory: Path
    rounds: int = 7
    size: int = 1000
    raw_commits: int = 300
    recovered_steps: int = 10_000
    kills: int = 3
    largest: int = 1000
    sleepers: int = 10_000
    volume: int = 10_000


SINGLES: dict[str, Callable[[Plan], list[Figure]]] = {
    "W4": w4,
    "W5": w5,
    "W6": w6,
    "W7": w7,
    "flushes": flushes,
    "volume": volume,
    "guards": guards,
    "outside": outside,
    "agents": agent_calls,
}
NAMES = [*WORKLOADS, *SINGLES, "interceptors", "curves", "peers"]


def main() -> None:
    # Else each process that is measured compiles the package anew, as none does where it is installed.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    options = _options()
    if options.compare:
        print(compare_files(*options.compare))
        return
    if options.plot:
        print(*plot(*options.plot), sep="\n")
        return
    if options.readme:
        print(*readme.write(options.readme), sep="\n")
        return
    names = options.names or NAMES
    sizes = {name: getattr(options, name) for name in ("largest", "sleepers", "volume")}
    plan = Plan(options.directory, options.rounds, **sizes)
    if options.smoke:
        plan = evolve(plan, rounds=1, size=20, raw_commits=5, recovered_steps=30, kills=1)
        plan = evolve(plan, largest=10, sleepers=100, volume=100)
    figures = run_rounds(plan, names) if set(names) & set(WORKLOADS) else []
    for name, measure in SINGLES.items():
        if name in names:
            figures += measure(plan)
    costs = interceptors.costs(plan) if "interceptors" in names else None
    if costs is not None:
        figures += interceptors.figures(costs)
    if figures:
        print(table(figures, disk(options.directory)))
    if costs is not None:
        print(interceptors.report(costs))
    grown = curves(plan) if "curves" in names else []
    if grown:
        print(growth.report(grown))
    chosen = (options.peer or PEERS) if "peers" in names else []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leaves no server behind
    compared = [compare(plan, PEERS[name], options.cache) for name in chosen]
    if compared:
        print(report(compared))
    if options.json is not None:
        told = {
            "peers": list(map(as_json, compared)),
            "curves": list(map(growth.as_json, grown)),
        }
        if costs is not None:
            told["interceptors"] = [interceptors.as_json(costs)]
        write_json(figures, told, disk(options.directory), options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME")
    parser.add_argument("--rounds", type=int, default=7, help="samples of each figure (7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")
    parser.add_argument(
        "--directory", type=Path, default=Path(), help="where the stores are made (here)"
    )
    parser.add_argument(
        "--largest", type=int, default=1000, help="how far the curves go: entries, agents (1000)"
    )
    parser.add_argument(
        "--sleepers", type=int, default=10_000, help="how many agents sleep in W5 (10000)"
    )
    parser.add_argument(
        "--volume", type=int, default=10_000, help="how many workflows one process does (10000)"
    )
    parser.add_argument(
        "--peer", action="append", choices=PEERS, help="which peers (all); may be repeated"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=default_cache(),
        help="where peers are installed (%(default)s)",
    )
    parser.add_argument(
        "--compare",
        type=Path,
        nargs=2,
        metavar=("BEFORE", "AFTER"),
        help="measure nothing: tell what has changed between two files that --json wrote",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        nargs=2,
        metavar=("FILE", "DIRECTORY"),
        help="measure nothing: draw the curves of a file that --json wrote, as PNG and SVG",
    )
    parser.add_argument(
        "--readme",
        type=Path,
        metavar="FILE",
        help="measure nothing: write the README's tables from a file that --json wrote",
    )
    parser.add_argument("--smoke", action="store_true", help="only see whether everything runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
