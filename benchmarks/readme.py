"""``python -m benchmarks --readme FILE``: the README's tables, made of a file that ``--json`` wrote.

The file is kept as `RECORD`; a test compares the README with it, so that no figure is typed by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final

from benchmarks.figures import TARGETS, Figure
from benchmarks.report import number

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MARKS", "RECORD", "renewed", "write"]

README: Final = Path(__file__).resolve().parents[1] / "README.md"
RECORD: Final = Path(__file__).with_name("last_run.json")
MARKS: Final = (
    "<!-- what `python -m benchmarks --readme FILE` writes, begin -->\n",
    "<!-- what `python -m benchmarks --readme FILE` writes, end -->\n",
)

_WIDTH: Final = 110

_ROWS: Final = {
    "W1": "one agent, one remote write after the other",
    "W1r read": "one agent, one read after the other",
    "W1r clock": "`time.time()` in an agent",
    "W2/1": "workflows of one remote write, one after the other",
    "W2/64": "the same, 64 at a time",
    "W3": "one agent, 1,000 writes under one `gather`",
    "agent call": "a call from agent to agent, answered",
    "W4 whole": "killed after 10,000 steps: from process start to finished",
    "W4 replay": "the same, replayed",
    "W5 resident": "an agent that sleeps and is kept in memory",
    "W5 unloaded": "one that sleeps as usual: unloaded after a second at most",
    "W5 evicted": "the same after a restart",
    "W6 import": "`import golem_sdk`",
    "W7 W1": "on disk, for each step",
    "outside time": "`time.time()` outside agents, over the original",
}
"""The figures that the README shows; ``python -m benchmarks`` prints them all."""

_WORKS: Final = {
    "W1": "one workflow, one step after the other",
    "W2/1": "one-step workflows, one after the other",
    "W2/64": "the same, 64 at a time",
    "W3": "one workflow, 1,000 steps at a time",
    "W4 whole": "killed after 10,000 steps: start to finish",
    "W4 replay": "the same, each replayed step",
}

_MEASURED: Final = """\
Measured {date}: {machine}, {disk}; {versions}; {rounds} rounds. Everything is on disk, flushed, when a
step or a call returns. In the same run a bare LMDB commit took {raw} us, a flush {sync} us. Floor and aim
are this project's own; of what the disk decides they are scaled to it. Beside the peers: ours : theirs,
and how many times better ours is, as the median of rounds in which both do the same on the same disk,
each as its documentation starts it."""
_SLOWER: Final = """\
**Where we are slower, and why.** A durable step costs one commit of LMDB: two flushes, one after the
other. Stores with a write-ahead log need one (DBOS on PostgreSQL, or on SQLite in WAL mode; on SQLite as
it comes, four; Restate two). Where a flush takes milliseconds (hard disks, network disks, cheap cloud
volumes), flushes are all that counts, and such a store can be up to twice as fast as we are with one
agent at a time. Agents that run at the same time share their flushes, which hides it. What does not wait
for the disk waits for Python: a workflow of one step takes some 0.25 ms of processor time, so that many
small ones at once are held up by the interpreter, not by flushes."""


def write(file: Path) -> list[Path]:
    """Keep a result file as the record, and renew the README. Gives what was written."""
    told = json.loads(file.read_text())
    RECORD.write_text(json.dumps(told) + "\n")
    README.write_text(renewed(README.read_text(), told))
    return [README, RECORD]


def renewed(readme: str, told: dict[str, Any]) -> str:
    """The README with the tables of these results.

    Raises:
        ValueError: it does not have the two marks.
    """
    before, begin, rest = readme.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise ValueError(f"README.md lacks its marks: {MARKS[0]!r}, {MARKS[1]!r}")
    return before + begin + "\n".join(_section(told)) + end + after


def _section(told: dict[str, Any]) -> Iterator[str]:
    figures = {
        row["name"]: Figure(row["name"], row["samples"], row["raw_us"])
        for row in told["figures"]
        if row["name"] in TARGETS
    }
    rows = {row["name"]: row for row in told["figures"]}
    yield "| work | median | p50, p99 of one | of what the disk can do | floor | aim | |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | --- |"
    for name, what in _ROWS.items():
        if name in figures:
            yield _row(what, figures[name], rows[name])
    yield ""
    if told.get("peers"):
        yield from _peers(told["peers"])
        yield ""
    yield from _words(told, figures)


def _row(what: str, figure: Figure, row: dict[str, Any]) -> str:
    target = figure.target
    p50_us, p99_us = row.get("p50_us"), row.get("p99_us")
    each = "" if p50_us is None or p99_us is None else f"{_time(p50_us)}, {_time(p99_us)}"
    ratio = figure.ratio
    share = f"{ratio:.0%}" if ratio is not None and target.more_is_better else ""
    goals = (_goal(figure.scaled(goal)) for goal in (target.floor, target.aim))
    value = f"{number(figure.median)} {target.unit}"
    return f"| {what} | {value} | {each} | {share} | {' | '.join(goals)} | {figure.verdict} |"


def _goal(value: float | None) -> str:
    return "" if value is None else number(value)


def _time(us: float) -> str:
    return f"{number(us)} us" if us < 1000 else f"{number(us / 1000)} ms"


def _peers(peers: list[dict[str, Any]]) -> Iterator[str]:
    measured = [peer for peer in peers if peer["figures"]]
    yield f"| the same work | {' | '.join(_label(peer) for peer in measured)} |"
    yield f"| --- |{' ---: |' * len(measured)}"
    for name, what in _WORKS.items():
        cells = [_pair(peer, name) for peer in measured]
        if any(cells):
            yield f"| {what} | {' | '.join(cells)} |"


def _label(peer: dict[str, Any]) -> str:
    versions = peer["versions"]
    shown = [
        versions[name] for name in ("dbos", "PostgreSQL", "restate-server") if name in versions
    ]
    return f"{peer['peer']} ({', '.join(shown)})"


def _pair(peer: dict[str, Any], name: str) -> str:
    for row in peer["figures"]:
        if row["name"] == name:
            ours, theirs = median(row["ours"]), median(row["peer"])
            return f"{number(ours)} : {number(theirs)} {row['unit']}, **{row['ratio']:.1f}x**"
    return ""


def _words(told: dict[str, Any], figures: dict[str, Figure]) -> Iterator[str]:
    facts = {
        **{name: told[name] for name in ("date", "machine", "disk")},
        "versions": ", ".join(f"{name} {version}" for name, version in told["versions"].items()),
        "rounds": len(figures["W1"].samples),
        **{name: number(figures[name].median) for name in ("raw", "sync")},
    }
    yield fill(_MEASURED.format_map(facts), _WIDTH)
    yield ""
    compared = [(peer["peer"], row) for peer in told.get("peers", ()) for row in peer["figures"]]
    worse = [f"{row['name']} than {peer}" for peer, row in compared if row["ratio"] < 1]
    missed = [name for name, figure in figures.items() if figure.verdict == "MISSED"]
    missed += [
        f"{row['name']} beside {peer}" for peer, row in compared if row["verdict"] == "MISSED"
    ]
    found = [
        f"Slower in this run: {', '.join(worse) or 'nothing that was compared'}.",
        f"Floors missed: {', '.join(missed) or 'none'}.",
    ]
    yield fill(" ".join([_SLOWER, *found]), _WIDTH) + "\n"
