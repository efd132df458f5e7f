"""What a run has shown, as a table for people and as JSON, and the README's section made of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict, frozen

from proof.figures import FIGURES, NAMES
from proof.suites import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proof.figures import Counts

__all__ = ["README", "RECORD", "Run", "load_run", "section", "table", "too_few", "with_section"]

README = ROOT / "README.md"
RECORD = Path(__file__).with_name("last_full_run.json")
BEGIN = "<!-- what `python tests/prove.py` writes, begin -->\n"
END = "<!-- what `python tests/prove.py` writes, end -->\n"
NOTHING = "No full run has been recorded yet.\n"


@frozen
class Run:
    """A full run, as it is recorded.

    Attributes:
        date: of its end, UTC.
        python, golem_sdk: versions.
        cpus: of the machine.
        seed: ``--seed`` repeats it.
        seconds: how long it took.
        tests: how many tests passed; none failed, otherwise nothing is recorded.
        counts: by figure, and by ``figure: detail``.
        suites: by name, the size, the seconds and the counts of each suite.
    """

    date: str
    python: str
    golem_sdk: str
    cpus: int
    seed: int
    seconds: int
    tests: int
    counts: dict[str, float]
    suites: dict[str, dict[str, Any]]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


def load_run(path: Path = RECORD) -> Run | None:
    """The recorded run; ``None``: there is none."""
    return Run(**json.loads(path.read_text())) if path.exists() else None


def table(counts: Counts) -> str:
    """One row for each figure, in Markdown."""
    rows = ["| done | how often | asked for | what came of it |", "| --- | ---: | ---: | --- |"]
    for name in NAMES:
        figure = FIGURES[name]
        details = {each: f"{counts[f'{name}: {each}']:,.0f}" for each in figure.details}
        seen = figure.seen.format_map(details)
        rows.append(
            f"| {figure.what} | {figure.number(counts[name])} | {figure.least:,} | {seen} |"
        )
    return "\n".join(rows) + "\n"


def too_few(counts: Counts) -> Iterator[str]:
    """The figures that are smaller than asked for."""
    for name in NAMES:
        figure = FIGURES[name]
        if counts[name] < figure.least:
            yield f"{name}: {figure.number(counts[name])} of {figure.least:,}"


def section(run: Run | None) -> str:
    """What the README shows of the last full run."""
    if run is None:
        return NOTHING
    minutes, seconds = divmod(run.seconds, 60)
    return (
        f"{table(Counter(run.counts))}\n"
        f"The last full run: {run.date}, golem_sdk {run.golem_sdk}, CPython {run.python}, {run.cpus} CPUs,\n"
        f"{minutes} min {seconds} s, seed {run.seed}; {run.tests} tests, none of which failed.\n"
    )


def with_section(readme: str, shown: str, marks: tuple[str, str] = (BEGIN, END)) -> str:
    """The README with another section between these marks.

    Raises:
        ValueError: it does not have the two marks.
    """
    before, begin, rest = readme.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"README.md lacks its marks: {marks[0]!r}, {marks[1]!r}")
    return before + begin + shown + end + after
