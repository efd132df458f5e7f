"""Runs the tests against every mutant, each in a forked child of a process that has all of them loaded.

A mutant of a function's body gets its code into the loaded functions. One of what runs at import is loaded
by a child that has nothing of the package yet. The tests are those that ran the line before, the
fastest first, until one fails or the time for a mutant is used up.
"""

from __future__ import annotations

import gc
import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence  # attrs classes are resolved at run time
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING

import pytest
from attrs import define, field

from mutation.forks import (
    KILLED,
    SURVIVED,
    Session,
    Verdict,
    check_mutated,
    forked,
    load_mutated,
    run_items,
)
from mutation.mutants import Mutant, changed_functions
from mutation.timing import Timed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Campaign", "Key", "run_fresh", "run_loaded"]

_FIRST = 10

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
        sources: the digest of each file that has mutants.
        mutants: all of these files.
        verdicts: what came of each so far.
        killers: by function and by file: how many mutants each test has killed.
    """

    package: str
    root: Path
    timed: Timed
    seconds: float
    results: Path
    sources: dict[str, str]
    mutants: Sequence[Mutant]
    verdicts: list[tuple[Mutant, Verdict]] = field(factory=list)
    killers: dict[str, Counter[str]] = field(factory=lambda: defaultdict(Counter))
    _unchanged: dict[str, CodeType] = field(factory=dict)
    _reaches: dict[str, Counter[str]] = field(factory=dict)

    def tests_for(self, mutant: Mutant) -> list[str]:
        """The tests to run, the most promising first."""
        by_line = self.timed.lines[mutant.file]
        direct = {test for line in mutant.lines for test in by_line.get(line, ())}
        tests = of_file = direct
        if self.is_at_import(mutant):
            room = (
                f"/{mutant.file.split('/')[0]}/"  # tables and defaults have no lines that tests run
            )
            of_file = {test for some in by_line.values() for test in some}
            tests = of_file | {test for test in self.timed.seconds if room in test}
            tests = tests or set(self.timed.seconds)
        room, name = mutant.file.split("/")[0], Path(mutant.file).stem
        function = self.killers[f"{mutant.file} {mutant.function}"]
        reach = self._reach(mutant.file)

        def order(test: str) -> tuple[float, ...]:
            near = (f"/{room}/" in test) + (name in test) + (test in direct) + (test in of_file)
            return (
                -function[test],
                -reach[test],
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

    def _reach(self, file: str) -> Counter[str]:
        """How much of a file each test runs, in quarters: what nearly all tests run few of them look at."""
        if file not in self._reaches:
            lines = Counter(test for some in self.timed.lines[file].values() for test in some)
            most = max(lines.values(), default=0)
            self._reaches[file] = Counter({test: 4 * n // most for test, n in lines.items()})
        return self._reaches[file]

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
        line = {"key": mutant.key, "line": mutant.lines[0], "source": self.sources[mutant.file]}
        line |= {"status": verdict.status, "killer": verdict.killer, "seconds": round(took, 2)}
        with self.results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        count = len(self.verdicts)
        if verdict.status != KILLED or count % 50 == 0:
            print(
                f"{count}/{len(self.mutants)} {verdict.status} in {took:.1f} s: {mutant}",
                flush=True,
            )

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
        # Most mutants are killed by one of the first: for those the other tests need not be loaded.
        verdict = Verdict(SURVIVED)
        for part in (tests[:_FIRST], tests[_FIRST:]):
            if not part or verdict.status != SURVIVED:
                continue
            verdict = _against_fresh(campaign, mutant, code, part)
            if verdict.status == KILLED and not verdict.killer and tuple(part) not in sound:
                # It could not be loaded. So say, unless the tests cannot be loaded without it, either.
                control = _against_fresh(campaign, mutant, None, part)
                if control.status != SURVIVED:
                    raise RuntimeError(f"without a mutant there is a {control} in {part}")
                sound.add(tuple(part))
        campaign.note(mutant, verdict, began)


def _against_fresh(
    campaign: Campaign, mutant: Mutant, code: CodeType | None, tests: list[str]
) -> Verdict:
    name = ".".join((campaign.package, *Path(mutant.file).with_suffix("").parts))
    name = name.removesuffix(".__init__")

    def attempt(say: Callable[[str], object]) -> bool:
        if code is not None:
            load_mutated(name, code)
        passed: list[bool] = []

        def work(items: list[pytest.Item]) -> None:
            items.sort(key=lambda item: tests.index(item.nodeid))
            limits_s = campaign.limits_s(tests) if code is not None else {}
            passed.append(run_items(items, limits_s, say))

        with suppress(pytest.PytestUnraisableExceptionWarning):  # the tests have passed, or not
            Session(work).collect(tests)
        if code is not None:
            check_mutated(name)
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
