"""The command: which mutants are run against which tests, and what is told of them."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections import Counter, defaultdict
from datetime import UTC, datetime
from fnmatch import fnmatch
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mutation.forks import KILLED, SURVIVED, Verdict
from mutation.listed import Listed, read_list
from mutation.mutants import Mutant, mutants_of
from mutation.record import (
    RECORD,
    add_to_record,
    clean_files,
    digest,
    is_recorded,
    read_record,
    told,
)
from mutation.run import Campaign, Key, run_fresh, run_loaded
from mutation.timing import time_tests

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ROOMS", "all_mutants", "main"]

ROOMS = ("core", "runtime")
TESTS = (
    "core",
    "codec",
    "golden",
    "oplog",
    "runtime",
    "guards",
    "testing",
    "acceptance",
    "intercept",
)
OF_PROCESSES = (
    "*_kill.py",
    "*_scripts.py",
    "*_fork.py",
    "*_plugin.py",
    "*_readme.py",
    "*_cassette.py",
    "*_fuzz_agents.py",
    "*_libraries.py",
    "*_every_index.py",
)
"""They start processes, which know nothing of the mutant, or take long for what others show, too."""

HEAVY = ("hypothesis", "cattrs", "httpx", "tenacity")
"""Loaded once, before anything of the package."""


def report(campaign: Campaign, listed: Listed) -> int:
    """Print what came of it; gives the exit status."""
    mutants, survived = campaign.mutants, defaultdict[Key, bool](bool)
    for mutant, verdict in campaign.verdicts:
        survived[mutant.key] |= verdict.status == SURVIVED
    unexplained = [
        mutant
        for mutant, verdict in campaign.verdicts
        if verdict.status == SURVIVED and mutant.key not in listed.reasons
    ]
    for title, lines in (
        ("survived", [str(mutant) for mutant in unexplained]),
        ("listed, but there is no such mutant", listed.without_mutant(mutants)),
        ("listed, but a test kills it", listed.killed(survived)),
    ):
        for line in lines:
            print(f"{title}: {line}")
    counts = Counter(verdict.status for _, verdict in campaign.verdicts)
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    explained = counts[SURVIVED] - len(unexplained)
    print(f"{len(mutants)} mutants: {told}; {explained} listed, {len(unexplained)} unexplained")
    return int(bool(unexplained or listed.without_mutant(mutants) or listed.killed(survived)))


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("mutation", description=__doc__)
    parser.add_argument("files", nargs="*", default=ROOMS, help="rooms or files of the package")
    parser.add_argument("--tests", nargs="*", type=Path, help="files or directories of tests")
    parser.add_argument("--seconds", type=float, default=6.0, help="of tests for one mutant")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="only mutants that have not been killed since their file changed",
    )
    parser.add_argument("--record", action="store_true", help="which files are run and explained")
    parser.add_argument(
        "--changed", action="store_true", help="only files that are not so recorded as they are"
    )
    parser.add_argument("--status", action="store_true", help="print the record, run nothing")
    parser.add_argument("--record-file", type=Path, default=RECORD)
    parser.add_argument(
        "--kept", type=Path, default=Path(".mutation"), help="where results are kept"
    )
    parser.add_argument("--package", default="golem_sdk")
    parser.add_argument("--list", type=Path, help="of the mutants that no test can kill")
    return parser.parse_args(arguments)


def all_mutants(root: Path, files: Sequence[str]) -> list[Mutant]:
    """Of the files, and of all in the rooms, that are named."""
    return [mutant for file in _files(root, files) for mutant in _mutants(root, file)]


def _files(root: Path, names: Sequence[str]) -> list[str]:
    paths = [
        path for name in names for path in (sorted((root / name).rglob("*.py")) or [root / name])
    ]
    return [path.relative_to(root).as_posix() for path in paths]


def _mutants(root: Path, file: str) -> list[Mutant]:
    return mutants_of(file, (root / file).read_text())


def _tests(places: Sequence[Path] | None) -> list[Path]:
    here = Path(__file__).resolve().parents[1]
    files = [
        file
        for place in places or [here / name for name in TESTS]
        for file in (
            sorted(place.resolve().rglob("test_*.py")) if place.is_dir() else [place.resolve()]
        )
    ]
    return [file for file in files if not any(fnmatch(file.name, name) for name in OF_PROCESSES)]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; gives its exit status: 0 no unexplained survivor and no idle entry of the list."""
    given = _arguments(arguments)
    spec = find_spec(given.package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"there is no package {given.package}")
    root = Path(spec.origin).parent
    sources = {file: digest(root / file) for file in _files(root, given.files)}
    record = read_record(given.record_file)
    asked = {
        file: source
        for file, source in sources.items()
        if not (given.changed and is_recorded(record, file, source))
    }
    status = 0
    if asked and not given.status:
        listed = read_list(given.list) if given.list else read_list()
        campaign = _run(given, root, asked)
        status = report(campaign, listed)
        if given.record:
            clean = clean_files(campaign, listed, datetime.now(UTC).date())
            record = add_to_record(given.record_file, root, clean)
    print(*told(record, sources), sep="\n")
    return status


def _run(given: argparse.Namespace, root: Path, sources: dict[str, str]) -> Campaign:
    """Every mutant of these files, but with `--resume` not those that were killed before."""
    for name in HEAVY:
        import_module(name)
    mutants = all_mutants(root, list(sources))
    timed = time_tests(root, _tests(given.tests), given.kept)
    results = given.kept / "results.jsonl"
    killed = _killed(results, sources) if given.resume else Counter()
    if not given.resume:
        results.write_text("")
    campaign = Campaign(given.package, root, timed, given.seconds, results, sources, mutants)
    todo = []
    for mutant in mutants:
        if killed[mutant.key, mutant.lines[0]]:
            killed[mutant.key, mutant.lines[0]] -= 1
            campaign.verdicts.append((mutant, Verdict(KILLED)))
        else:
            todo.append((mutant, campaign.changed(mutant)))
    bodies = [(mutant, changed) for mutant, changed in todo if changed is not None]
    _in_child(lambda: run_loaded(campaign, bodies))
    campaign.read_verdicts([mutant for mutant, _ in bodies])
    run_fresh(campaign, [mutant for mutant, changed in todo if changed is None])
    return campaign


def _in_child(work: Callable[[], object]) -> None:
    """Do something that loads the package: this process must not, for the sake of `run_fresh`."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(1)


def _killed(results: Path, sources: dict[str, str]) -> Counter[tuple[Key, int]]:
    """Mutants of the files as they are that were killed, each with its line."""
    lines = results.read_text().splitlines() if results.exists() else []
    found = [line for line in map(json.loads, lines) if line["status"] != SURVIVED]
    return Counter(
        (tuple(line["key"]), line["line"])
        for line in found
        if line["source"] == sources.get(line["key"][0])
    )
