"""What crash fuzzing found: a value, and its forms as text, plain data, JUnit and HTML."""

from __future__ import annotations

import html
import shlex
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any
from xml.etree import ElementTree

from attrs import field, frozen

from golem_sdk.cli.output import Ink, counted, shorten, table, visible
from golem_sdk.testing.crews import Task
from golem_sdk.testing.schedules import Row
from golem_sdk.testing.verdicts import Judgement, Verdict

__all__ = [
    "COLUMNS",
    "Finding",
    "Report",
    "report_html",
    "report_junit",
    "report_lines",
    "report_values",
]

COLUMNS = ("effect", "before", "lost", "durable", "pairs", "seeds")
"""When the process dies: at one crash; at two and more; at one that another hash seed takes up."""

_WIDTH = 100
_OPERATORS = ("likely cause:", "what to do:")
"""Lines of a `DivergenceError` for who meets it in production: here the cause is found out."""

_WIDEST_CALL = 64
_LEGEND = {
    Verdict.AGAIN: "a write was made again under its idempotency key, as promised: who gets it must honour"
    " that; with `once` it is a fault",
    Verdict.PARKED: "the agent stopped with an unknown outcome, as idempotence_mode(False) promises",
    Verdict.REPEATED: "the outside saw an effect twice and cannot tell",
    Verdict.DIVERGED: "other calls, results or state than without crashes",
    Verdict.LOST: "an effect or result is missing",
}
_STYLE = {
    Verdict.SAME: "green",
    Verdict.AGAIN: "yellow",
    Verdict.PARKED: "yellow",
    Verdict.UNREACHED: "dim",
}


@frozen
class Finding:
    """One fault, in its shortest form.

    Attributes:
        task: with which crashes it shows.
        judgement: what was seen.
        count: how many runs showed it.
        steps: the crashes in words.
        explanation: why it happens, and what to do.
    """

    task: Task
    judgement: Judgement
    count: int
    steps: tuple[str, ...]
    explanation: tuple[str, ...]


@frozen(repr=False)
class Report:
    """What crashing an agent at every index has shown.

    Attributes:
        agent_id: the agent.
        rows: the oplogs of the calm run.
        cells: the worst verdict by agent, index and column (see `COLUMNS`).
        findings: the faults, each in its shortest form.
        verdicts: how many runs had which verdict.
        tried, left_out: how many runs there were, and how many were planned and not made.
        calm_s, took_s: how long the calm run and all together took, in seconds.
        notes: what else is to be said.
        seed: of random schedules.
        command: how the command line was called; empty: by a program.
    """

    agent_id: str
    rows: tuple[Row, ...]
    cells: Mapping[tuple[str, int, str], Verdict]
    findings: tuple[Finding, ...]
    verdicts: Mapping[Verdict, int]
    tried: int
    left_out: int
    calm_s: float
    took_s: float
    notes: tuple[str, ...] = ()
    seed: int = 1
    command: str = field(default="")

    @property
    def ok(self) -> bool:
        """Whether something was tried and no fault was found."""
        return not self.findings and any(v is not Verdict.UNREACHED for v in self.verdicts)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What else is to be said, and what was left out."""
        if not self.left_out:
            return self.notes
        more = "more runs were planned and not made: the time was up, or a run did not end."
        return (*self.notes, f"{self.left_out} {more}")

    def reproduction(self, finding: Finding) -> str:
        """What shows this fault alone: a command line, or a call."""
        task = finding.task
        seeds = task.hash_seed if task.hash_seed is not None and task.hash_seed > 0 else 0
        if not self.command:
            more = f", hash_seeds={seeds}" if seeds else ""
            return f'crash_at_every_index(..., at="{task}"{more})'
        more = f" --hash-seeds {seeds}" if seeds else ""
        return f"{self.command} --at {shlex.quote(str(task))}{more}"

    def __str__(self) -> str:
        return "\n".join(report_lines(self))

    def __repr__(self) -> str:
        """One line: all that pytest shows of it beside `ok`."""
        return f"<Report of {visible(self.agent_id)}: {_conclusion(self, _plain_ink())}; print it>"


# --- text -----------------------------------------------------------------------------------------


def report_lines(report: Report, ink: Ink | None = None, width: int = _WIDTH) -> Iterator[str]:
    """The matrix and the findings as inert text, for a terminal of so many cells."""
    ink = ink or _plain_ink()
    yield ink(f"{visible(report.agent_id)}: {_summary(report)}", "bold")
    if report.cells:
        yield ""
        yield from _matrix(report, ink, width)
    for number, finding in enumerate(report.findings, 1):
        yield ""
        yield from _finding_lines(number, report, finding, ink, width)
    yield ""
    for remark in report.remarks:
        yield visible(remark)
    yield _conclusion(report, ink)


def _summary(report: Report) -> str:
    calls = sum(1 for row in report.rows if row.call)
    rate = report.tried / report.took_s if report.took_s else 0.0
    return (
        f"{len(report.rows)} oplog entries, {counted(calls, 'durable call')};"
        f" {counted(report.tried, 'run')} in {report.took_s:.1f} s ({rate:.0f}/s)"
    )


def _matrix(report: Report, ink: Ink, width: int) -> Iterator[str]:
    used = [c for c in COLUMNS if any(column == c for _, _, column in report.cells)]
    several = len({row.agent for row in report.rows}) > 1
    rows: list[list[str]] = []
    verdicts: list[list[Verdict]] = []
    for row in report.rows:
        cells = [report.cells.get((row.agent, row.index, column)) for column in used]
        if not any(cells):
            continue
        agent = f"{row.agent} " if several else ""
        call = visible(f"{agent}{row.kind} {row.text}".rstrip())
        words = ["·" if cell is None else cell.value for cell in cells]
        rows.append([str(row.index), shorten(call, _WIDEST_CALL), *words, visible(row.source)])
        verdicts.append([cell for cell in cells if cell is not None])
    titles = ["#", "ENTRY", *(f"{column}".upper() for column in used), "SOURCE"]
    title, *lines = table(titles, rows, width=width, elastic=1, right=(0,))
    yield ink(title, "dim")
    for line, found in zip(lines, verdicts, strict=True):
        yield ink(line, "red") if any(verdict.is_fault for verdict in found) else line
    shown = {verdict for found in verdicts for verdict in found}
    for verdict, meaning in _LEGEND.items():
        if verdict in shown:
            yield ink(f"  {verdict.value}: {meaning}", _STYLE.get(verdict, "red"))


def _finding_lines(
    number: int, report: Report, finding: Finding, ink: Ink, width: int
) -> Iterator[str]:
    judgement = finding.judgement
    times = "" if finding.count == 1 else f" ({finding.count} runs show it)"
    yield ink(f"{number}. {judgement.verdict.value}: {judgement.cause.value}{times}", "red", "bold")
    if judgement.source:
        yield f"   at   {visible(judgement.source)}"
    for step in finding.steps:
        yield from _wrapped("   when ", visible(step), width)
    for line in judgement.reason.splitlines():
        if line.strip().startswith(_OPERATORS):
            continue
        yield from _wrapped("   saw  ", visible(line.strip()), width)
    for line in finding.explanation:
        word, _, text = line.partition(": ")
        yield from _wrapped(f"   {word:4} ", visible(text), width)
    yield ink(f"   try  {visible(report.reproduction(finding))}", "cyan")


def _wrapped(head: str, text: str, width: int) -> list[str]:
    return wrap(text, max(width, 40), initial_indent=head, subsequent_indent=" " * len(head)) or [
        head.rstrip()
    ]


def _conclusion(report: Report, ink: Ink) -> str:
    told = ", ".join(
        f"{times} {verdict.value if verdict is not Verdict.UNREACHED else 'not reached'}"
        for verdict, times in sorted(report.verdicts.items(), key=lambda item: -item[1])
    )
    if report.ok:
        return ink(f"no fault: {told}", "green")
    if not report.findings:
        return ink(f"nothing was shown: {told or 'nothing was tried'}", "red")
    return ink(f"{counted(len(report.findings), 'fault')}: {told}", "red")


# --- plain data -----------------------------------------------------------------------------------


def report_values(report: Report) -> dict[str, Any]:
    """The report as plain data, for JSON and YAML."""
    return {
        "agent_id": report.agent_id,
        "ok": report.ok,
        "runs": report.tried,
        "left_out": report.left_out,
        "calm_s": round(report.calm_s, 3),
        "took_s": round(report.took_s, 3),
        "seed": report.seed,
        "verdicts": {verdict.name.lower(): times for verdict, times in report.verdicts.items()},
        "entries": [_row_values(report, row) for row in report.rows],
        "findings": [_finding_values(report, finding) for finding in report.findings],
        "notes": list(report.notes),
    }


def _row_values(report: Report, row: Row) -> dict[str, Any]:
    verdicts = {
        column: report.cells[row.agent, row.index, column].name.lower()
        for column in COLUMNS
        if (row.agent, row.index, column) in report.cells
    }
    return {
        "agent_id": row.agent,
        "index": row.index,
        "kind": row.kind,
        "call": row.text,
        "source": row.source,
        "verdicts": verdicts,
    }


def _finding_values(report: Report, finding: Finding) -> dict[str, Any]:
    judgement = finding.judgement
    return {
        "verdict": judgement.verdict.name.lower(),
        "cause": judgement.cause.value,
        "source": judgement.source,
        "at": str(finding.task),
        "hash_seed": finding.task.hash_seed,
        "runs": finding.count,
        "steps": list(finding.steps),
        "reason": judgement.reason,
        "explanation": list(finding.explanation),
        "reproduction": report.reproduction(finding),
    }


# --- JUnit and HTML -------------------------------------------------------------------------------


def report_junit(report: Report) -> str:
    """A JUnit file: a test case per entry and column, and one per finding that explains it."""
    faults = [verdict for verdict in report.cells.values() if verdict.is_fault]
    shown = bool(report.findings) or report.ok
    failures = len(report.findings) + len(faults) + (not shown)
    suite = ElementTree.Element(
        "testsuite",
        name=f"golem fuzz {visible(report.agent_id)}",
        tests=str(len(report.cells) + len(report.findings) + (not shown)),
        failures=str(failures),
        time=f"{report.took_s:.3f}",
    )
    for (agent, index, column), verdict in report.cells.items():
        name = f"{index} {column}"  # the same in every run, so that histories can be kept
        case = ElementTree.SubElement(suite, "testcase", classname=visible(agent), name=name)
        if verdict.is_fault:
            ElementTree.SubElement(case, "failure", message=verdict.value)
        else:
            ElementTree.SubElement(case, "system-out").text = verdict.value
    for number, finding in enumerate(report.findings, 1):
        name = f"fault {number}: {finding.judgement.cause.value}"
        case = ElementTree.SubElement(
            suite, "testcase", classname=visible(report.agent_id), name=name
        )
        lines = _finding_lines(number, report, finding, _plain_ink(), _WIDTH)
        failure = ElementTree.SubElement(case, "failure", message=finding.judgement.verdict.value)
        failure.text = "\n".join(lines)
    if not shown:
        case = ElementTree.SubElement(
            suite, "testcase", classname=visible(report.agent_id), name="something was tried"
        )
        ElementTree.SubElement(case, "failure", message=_conclusion(report, _plain_ink()))
    if report.remarks:
        ElementTree.SubElement(suite, "system-out").text = "\n".join(map(visible, report.remarks))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True)


def report_html(report: Report) -> str:
    """One page without scripts or links."""
    used = [c for c in COLUMNS if any(column == c for _, _, column in report.cells)]
    head = "".join(f"<th>{_inert(name)}</th>" for name in ("#", "entry", *used, "source"))
    body = "".join(_html_row(report, row, used) for row in report.rows)
    found = "".join(
        f"<pre>{_inert_lines(_finding_lines(number, report, finding, _plain_ink(), _WIDTH))}</pre>"
        for number, finding in enumerate(report.findings, 1)
    )
    remarks = "".join(f"<p>{_inert(remark)}</p>" for remark in report.remarks)
    legend = "".join(f"<li>{v.value}: {_inert(words)}</li>" for v, words in _LEGEND.items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>golem fuzz</title><style>{_CSS}</style>'
        f"<h1>{_inert(report.agent_id)}</h1><p>{_inert(_summary(report))}</p>"
        f"<p>{_inert(_conclusion(report, _plain_ink()))}</p>{remarks}{found}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><ul>{legend}</ul></html>\n"
    )


_CSS = (
    "body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}"
    "td,th{padding:2px 8px;text-align:left;border-bottom:1px solid #ddd}"
    "td{font-family:monospace}.same{background:#dfd}"
    ".again,.parked{background:#ffc}.repeated,.diverged,.lost{background:#fbb;font-weight:bold}"
    "pre{background:#f6f6f6;padding:1em;white-space:pre-wrap}"
)


def _html_row(report: Report, row: Row, used: list[str]) -> str:
    cells = []
    for column in used:
        verdict = report.cells.get((row.agent, row.index, column))
        name = "" if verdict is None else verdict.name.lower()
        cells.append(f'<td class="{name}">{"" if verdict is None else verdict.value}</td>')
    entry = _inert(f"{row.kind} {row.text}")
    return f"<tr><td>{row.index}</td><td>{entry}</td>{''.join(cells)}<td>{_inert(row.source)}</td></tr>"


def _inert(text: str) -> str:
    return html.escape(visible(text))


def _inert_lines(lines: Iterator[str]) -> str:
    return "\n".join(html.escape(line) for line in lines)


class _Plain(Ink):
    def __init__(self) -> None:
        self.colourful = False


def _plain_ink() -> Ink:
    return _Plain()
