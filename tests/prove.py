"""Runs the proof at its full size and publishes what it has counted.

    python tests/prove.py              # all suites; writes the README's table and its record, if all is well
    python tests/prove.py --dry        # the same, and writes nothing
    python tests/prove.py --read FILE  # the table of a run of the tests with --junit-xml=FILE, of any size

What is lost, repeated beyond the promise P3 or silently wrong fails the test that finds it. If any test fails
or is missing, or a figure is smaller than asked for, nothing is published and the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from proof.figures import NAMES
from proof.junit import Results, read_junit
from proof.report import README, RECORD, Run, section, table, too_few, with_section
from proof.suites import SUITES, Outcome, run_suite

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proof.suites import Suite


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    if options.read:
        return read(options.read)
    suites = [suite for suite in SUITES if not options.only or suite.name in options.only]
    begun = time.monotonic()
    outcomes = []
    for outcome in run_all(suites, options.seed, options.jobs):
        outcomes.append(outcome)
        print(line(outcome), flush=True)
    results = sum((outcome.results for outcome in outcomes), Results())
    print(f"\n{table(results.counts)}")
    wrong = [*complaints(results, outcomes, options.seed)]
    run = recorded(outcomes, results, options.seed, time.monotonic() - begun)
    if wrong:
        print("Nothing is published:", *wrong, sep="\n  ")
    elif options.dry or options.only:
        print(section(run).partition("\n\n")[2])
    else:
        RECORD.write_text(run.to_json())
        README.write_text(with_section(README.read_text(), section(run)))
        print(f"Written: {README.name}, {RECORD.name}")
    return bool(wrong)


def run_all(suites: Sequence[Suite], seed: int, jobs: int) -> Iterator[Outcome]:
    """The outcomes as they come."""
    with TemporaryDirectory() as scratch, ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(run_suite, suite, seed, Path(scratch)) for suite in suites]
        for outcome in as_completed(running):
            yield outcome.result()


def line(outcome: Outcome) -> str:
    """What a suite has counted, on one line."""
    counts = outcome.results.counts
    shown = ", ".join(f"{counts[name]:,.0f} {name}" for name in NAMES if counts[name])
    state = f"{len(outcome.results.failed)} of {outcome.results.tests} FAILED, " * bool(
        outcome.results.failed
    )
    took = f"{outcome.seconds:4.0f} s, {outcome.cpu_s:4.0f} s CPU"
    return f"{outcome.suite.name:22} x{outcome.suite.scale:<3} {took}  {state}{shown}"


def complaints(results: Results, outcomes: Sequence[Outcome], seed: int) -> Iterator[str]:
    """Why what was counted cannot be published."""
    for outcome in outcomes:
        suite = outcome.suite
        if outcome.broken:
            yield f"{suite.name}: {outcome.broken}"
        yield from (f"failed: {name}" for name in outcome.results.failed)
        if outcome.results.failed:
            yield f"  again: GOLEM_FUZZ={suite.scale} GOLEM_SEED={seed} python -m pytest {suite.path}"
    if small := [*too_few(results.counts)]:
        yield from small
        yield from (f"skipped: {reason}" for reason in results.skipped)


def recorded(outcomes: Sequence[Outcome], results: Results, seed: int, seconds: float) -> Run:
    return Run(
        date=datetime.now(UTC).date().isoformat(),
        python=platform.python_version(),
        golem_sdk=version("golem_sdk"),
        cpus=os.cpu_count() or 1,
        seed=seed,
        seconds=round(seconds),
        tests=results.tests,
        counts=dict(sorted(results.counts.items())),
        suites={
            each.suite.name: {
                "GOLEM_FUZZ": each.suite.scale,
                "seconds": round(each.seconds),
                "cpu_s": round(each.cpu_s),
                "tests": each.results.tests,
                "skipped": len(each.results.skipped),
                **each.results.counts,
            }
            for each in sorted(outcomes, key=lambda each: each.suite.name)
        },
    )


def read(files: Sequence[Path]) -> int:
    """The table of runs that others have made. Of each figure there has to be something."""
    results = sum(map(read_junit, files), Results())
    print(table(results.counts))
    wrong = [f"failed: {name}" for name in results.failed]
    wrong += [f"nothing was counted: {name}" for name in NAMES if not results.counts[name]]
    print(*wrong, sep="\n")
    return bool(wrong)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python tests/prove.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dry", action="store_true", help="write nothing")
    parser.add_argument("--read", type=Path, nargs="+", metavar="FILE", help="show JUnit files")
    parser.add_argument(
        "--only", nargs="+", metavar="SUITE", choices=[suite.name for suite in SUITES]
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="suites at a time")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
