"""Which test runs which lines, and how long it takes."""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence  # attrs classes are resolved at run time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field, frozen
from coverage import Coverage

from mutation.forks import SURVIVED, Session, forked, run_items

if TYPE_CHECKING:
    import pytest

__all__ = ["Timed", "time_tests"]


@frozen
class Timed:
    """The tests that pass.

    Attributes:
        seconds: how long each takes.
        lines: by file, relative to the package: the lines, each with the tests that run it.
        at_import: by file: the lines that run before any test does.
    """

    seconds: dict[str, float] = field(factory=dict)
    lines: dict[str, dict[int, set[str]]] = field(
        factory=lambda: defaultdict(lambda: defaultdict(set))
    )
    at_import: dict[str, set[int]] = field(factory=lambda: defaultdict(set))


def time_tests(package: Path, tests: Sequence[Path], kept: Path) -> Timed:
    """Run all tests of these files, each file once for each state of it and of the package.

    Args:
        package: the directory of what is tested.
        tests: files of tests.
        kept: the directory in which to keep what was found.
    """
    state = _digest(*sorted(package.rglob("*.py")))
    places = {test: kept / f"{_digest(test)[:16]}-{state[:16]}.json" for test in tests}
    kept.mkdir(parents=True, exist_ok=True)
    for test, place in places.items():
        if not place.exists():
            print(f"looking at what {test.name} runs", flush=True)
            verdict = forked(partial(_record, package, test, place))
            if verdict.status != SURVIVED:
                raise RuntimeError(f"{test.name} cannot be run, it was in {verdict.killer}")
    timed = Timed()
    for place in places.values():
        found = json.loads(place.read_text())
        timed.seconds.update(found["seconds"])
        if found["failed"]:
            print(f"left out, they fail by themselves: {found['failed']}", flush=True)
        for file, lines in found["lines"].items():
            for line, names in lines.items():
                timed.lines[file][int(line)].update(found["names"][i] for i in names)
        for file, lines in found["at_import"].items():
            timed.at_import[file].update(lines)
    return timed


def _digest(*files: Path) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()


@define
class _Recorder:
    """Runs tests, and has coverage note the lines of each."""

    coverage: Coverage
    say: Callable[[str], object]
    seconds: dict[str, float] = field(factory=dict)
    failed: list[str] = field(factory=list)

    def run(self, items: list[pytest.Item]) -> None:
        for item in items:
            self.coverage.switch_context(item.nodeid)
            began = time.perf_counter()
            if run_items([item], {}, self.say):
                self.seconds[item.nodeid] = time.perf_counter() - began
            else:
                self.failed.append(item.nodeid)


def _record(package: Path, test: Path, place: Path, say: Callable[[str], object]) -> bool:
    coverage = Coverage(data_file=None, config_file=False, source=[str(package)])
    recorder = _Recorder(coverage, say)
    coverage.start()
    status = Session(recorder.run).collect([str(test)])
    coverage.stop()
    data = coverage.get_data()
    number = {name: i for i, name in enumerate(recorder.seconds)}
    lines: dict[str, dict[int, list[int]]] = {}
    at_import: dict[str, list[int]] = {}
    for path in data.measured_files():
        file, ran = str(Path(path).relative_to(package)), data.contexts_by_lineno(path)
        at_import[file] = [line for line, names in ran.items() if "" in names]
        lines[file] = {n: [number[t] for t in names if t in number] for n, names in ran.items()}
    found = {"seconds": recorder.seconds, "failed": recorder.failed, "names": list(number)}
    place.write_text(json.dumps({**found, "lines": lines, "at_import": at_import}))
    return not status
