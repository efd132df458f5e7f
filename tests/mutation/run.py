"""Runs the tests against every mutant, each in a forked child of a process that has all of them loaded.

A mutant of a function's body gets its code into the loaded functions. One of what runs at import is loaded
by a child that has nothing of the package yet. The tests are those that ran the line before, the
fastest first, until one fails or the time for a mutant is used up.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
import traceback
from collections import Counter, defaultdict
from fnmatch import fnmatch
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

from attrs import define, field

from mutation.forks import KILLED, SURVIVED, Session, Verdict, forked, load_mutated, run_items
from mutation.listed import Listed, read_list
from mutation.mutants import Mutant, changed_functions, mutants_of
from mutation.timing import Timed, time_tests

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

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

Functions = dict[tuple[str, str, int], list[FunctionType]]
Key = tuple[str, str, str, str]


@define
class Campaign:
    """One run over some mutants.

    Attributes:
        package: its name.
        root: its directory.
        timed: the tests.
        seconds: of tests for one mutant.
        results: the file to which each result is added.
        total: how many mutants there are.
        verdicts: what came of each so far.
        killers: by function and by file: how many mutants each test has killed.
    """

    package: str
    root: Path
    timed: Timed
    seconds: float
    results: Path
    total: int
    verdicts: list[tuple[Mutant, Verdict]] = field(factory=list)
    killers: dict[str, Counter[str]] = field(factory=lambda: defaultdict(Counter))
    _unchanged: dict[str, CodeType] = field(factory=dict)

    def tests_for(self, mutant: Mutant) -> list[str]:
        """The tests to run, the most promising first."""
        by_line = self.timed.lines[mutant.file]
        tests = {test for line in mutant.lines for test in by_line.get(line, ())}
        if self.is_at_import(mutant):
            room = (
                f"/{mutant.file.split('/')[0]}/"  # tables and defaults have no lines that tests run
            )
            tests |= {test for test in self.timed.seconds if room in test}
            tests |= {test for some in by_line.values() for test in some}
            tests = tests or set(self.timed.seconds)
        room, name = mutant.file.split("/")[0], Path(mutant.file).stem
        function = self.killers[f"{mutant.file} {mutant.function}"]

        def order(test: str) -> tuple[float, ...]:
            near = (f"/{room}/" in test) + (name in test)
            return (
                -function[test],
                -near,
                -self.killers[mutant.file][test],
                self.timed.seconds[test],
            )

        chosen: list[str] = []
        left = self.seconds
        for test in sorted(tests, key=order):
            if self.timed.seconds[test] <= min(left, self.seconds / 3):
                chosen.append(test)
                left -= self.timed.seconds[test]
        return chosen or sorted(tests, key=lambda test: self.timed.seconds[test])[:1]

    def is_at_import(self, mutant: Mutant) -> bool:
        """Whether it has its effect when the package is loaded."""
        early = self.timed.at_import[mutant.file]
        return mutant.at_import or mutant.lines[-1] in early

    def limits_s(self, tests: Sequence[str]) -> dict[str, float]:
        """How long each test may take."""
        return {test: 4 + 4 * self.timed.seconds[test] for test in tests}

    def changed(self, mutant: Mutant) -> dict[tuple[str, int], CodeType] | None:
        """The mutated functions; ``None``: they cannot be put in the place of loaded ones."""
        if self.is_at_import(mutant):
            return None
        path = str(self.root / mutant.file)
        if mutant.file not in self._unchanged:
            self._unchanged[mutant.file] = compile(mutant.tree, path, "exec", dont_inherit=True)
        return changed_functions(self._unchanged[mutant.file], mutant.code(path))

    def note(self, mutant: Mutant, verdict: Verdict, began: float) -> None:
        """Keep and print a result."""
        self._count(mutant, verdict)
        took = time.monotonic() - began
        line = {"key": mutant.key, "line": mutant.lines[0], "status": verdict.status}
        with self.results.open("a") as file:
            file.write(json.dumps({**line, "killer": verdict.killer, "seconds": round(took, 2)}))
            file.write("\n")
        count = len(self.verdicts)
        if verdict.status != KILLED or count % 50 == 0:
            print(f"{count}/{self.total} {verdict.status} in {took:.1f} s: {mutant}", flush=True)

    def read_verdicts(self, mutants: Sequence[Mutant]) -> None:
        """Take over what another process has noted of these mutants, in this order."""
        lines = self.results.read_text().splitlines()[-len(mutants) :] if mutants else []
        for mutant, line in zip(mutants, map(json.loads, lines), strict=True):
            assert tuple(line["key"]) == mutant.key, "one line for each mutant, in their order"
            self._count(mutant, Verdict(line["status"], line["killer"]))

    def _count(self, mutant: Mutant, verdict: Verdict) -> None:
        self.verdicts.append((mutant, verdict))
        if verdict.killer:
            self.killers[f"{mutant.file} {mutant.function}"][verdict.killer] += 1
            self.killers[mutant.file][verdict.killer] += 1


def run_fresh(campaign: Campaign, mutants: Sequence[Mutant]) -> None:
    """Mutants of what runs at import: each is loaded by a child of its own."""
    sound: set[tuple[str, ...]] = set()
    for mutant in mutants:
        began, tests = time.monotonic(), campaign.tests_for(mutant)
        if not tests:
            campaign.note(mutant, Verdict(SURVIVED), began)
            continue
        code = mutant.code(str(campaign.root / mutant.file))
        verdict = _against_fresh(campaign, mutant, code, tests)
        if verdict.status == KILLED and not verdict.killer and tuple(tests) not in sound:
            # It could not be loaded. So say, unless the tests cannot be loaded without it, either.
            control = _against_fresh(campaign, mutant, None, tests)
            if control.status != SURVIVED:
                raise RuntimeError(f"without a mutant there is a {control} in {tests}")
            sound.add(tuple(tests))
        campaign.note(mutant, verdict, began)


def _against_fresh(
    campaign: Campaign, mutant: Mutant, code: CodeType | None, tests: list[str]
) -> Verdict:
    name = ".".join((campaign.package, *Path(mutant.file).with_suffix("").parts))

    def attempt(say: Callable[[str], object]) -> bool:
        if code is not None:
            load_mutated(name.removesuffix(".__init__"), code)
        passed: list[bool] = []

        def work(items: list[pytest.Item]) -> None:
            items.sort(key=lambda item: tests.index(item.nodeid))
            limits_s = campaign.limits_s(tests) if code is not None else {}
            passed.append(run_items(items, limits_s, say))

        Session(work).collect(tests)
        return any(passed)

    return forked(attempt)


def run_loaded(
    campaign: Campaign, mutants: Sequence[tuple[Mutant, dict[tuple[str, int], CodeType]]]
) -> None:
    """Mutants of functions' bodies, in this process, which loads all tests for it."""

    def work(items: list[pytest.Item]) -> None:
        named = {item.nodeid: item for item in items}
        functions = _functions_of(campaign.package)
        gc.collect()
        gc.freeze()
        sound: dict[str, bool] = {"": True}

        def is_sound(test: str) -> bool:
            """Whether a test passes without a mutant, here where all are loaded."""
            if test not in sound:
                alone = forked(lambda say: run_items([named[test]], {}, say))
                sound[test] = alone.status == SURVIVED
                if not sound[test]:
                    print(f"left out, it fails where all tests are loaded: {test}", flush=True)
            return sound[test]

        for mutant, changed in mutants:
            began = time.monotonic()
            tests = [test for test in campaign.tests_for(mutant) if sound.get(test, True)]
            if not tests:
                campaign.note(mutant, Verdict(SURVIVED), began)
                continue
            places = {(str(campaign.root / mutant.file), *key): c for key, c in changed.items()}
            limits_s = campaign.limits_s(tests)

            def attempt(
                say: Callable[[str], object],
                tests: list[str] = tests,
                places: dict[tuple[str, str, int], CodeType] = places,
                limits_s: dict[str, float] = limits_s,
            ) -> bool:
                for place, code in places.items():
                    for function in functions[place]:
                        function.__code__ = code
                return run_items([named[test] for test in tests], limits_s, say)

            while not is_sound((verdict := forked(attempt)).killer):
                tests.remove(verdict.killer)
            campaign.note(mutant, verdict, began)

    Session(work).collect(sorted({test.split("::")[0] for test in campaign.timed.seconds}))


def _functions_of(package: str) -> Functions:
    """Every function of the package that is alive, by file, name and first line."""
    found: Functions = defaultdict(list)
    for item in gc.get_objects():
        if type(item) is FunctionType and str(item.__module__).startswith(package):
            code = item.__code__
            found[code.co_filename, code.co_qualname, code.co_firstlineno].append(item)
    return found


def report(campaign: Campaign, mutants: Sequence[Mutant], listed: Listed) -> int:
    """Print what came of it; gives the exit status."""
    survived: dict[Key, bool] = defaultdict(bool)
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
        "--resume", action="store_true", help="only mutants that have not been killed"
    )
    parser.add_argument(
        "--kept", type=Path, default=Path(".mutation"), help="where results are kept"
    )
    parser.add_argument("--package", default="golem_sdk")
    parser.add_argument("--list", type=Path, help="of the mutants that no test can kill")
    return parser.parse_args(arguments)


def all_mutants(root: Path, files: Sequence[str]) -> list[Mutant]:
    paths = [
        path for name in files for path in (sorted((root / name).rglob("*.py")) or [root / name])
    ]
    return [
        mutant
        for path in paths
        for mutant in mutants_of(path.relative_to(root).as_posix(), path.read_text())
    ]


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
    for name in HEAVY:
        import_module(name)
    root = Path(spec.origin).parent
    listed = read_list(given.list) if given.list else read_list()
    mutants = all_mutants(root, given.files)
    timed = time_tests(root, _tests(given.tests), given.kept)
    results = given.kept / "results.jsonl"
    killed = _killed(results) if given.resume else Counter[Key]()
    results = results if given.resume else _emptied(results)
    campaign = Campaign(given.package, root, timed, given.seconds, results, len(mutants))
    todo = []
    for mutant in mutants:
        if killed[mutant.key]:
            killed[mutant.key] -= 1
            campaign.verdicts.append((mutant, Verdict(KILLED)))
        else:
            todo.append((mutant, campaign.changed(mutant)))
    bodies = [(mutant, changed) for mutant, changed in todo if changed is not None]
    _in_child(lambda: run_loaded(campaign, bodies))
    campaign.read_verdicts([mutant for mutant, _ in bodies])
    run_fresh(campaign, [mutant for mutant, changed in todo if changed is None])
    return report(campaign, mutants, listed)


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


def _killed(results: Path) -> Counter[Key]:
    lines = results.read_text().splitlines() if results.exists() else []
    found = [json.loads(line) for line in lines]
    return Counter(tuple(line["key"]) for line in found if line["status"] != SURVIVED)


def _emptied(results: Path) -> Path:
    results.write_text("")
    return results
