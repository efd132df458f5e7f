"""The table at the end of the demo."""

from __future__ import annotations

from collections import Counter
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from golem_sdk.cli.output import Ink, table, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from golem_sdk.cli.demo.verdict import EffectCheck, Recovery, Verdict

__all__ = ["report_lines", "report_values"]

_HEADERS = ("EFFECT", "EXPECTED", "HAPPENED", "LOST", "TWICE", "WRONG", "ASKED AGAIN")
_LIFE_HEADERS = (
    "KILL",
    "AGENTS UNDER WAY",
    "ENTRIES",
    "REPLAYED",
    "PYTHON'S START",
    "FIRST LIVE STEP",
)


def report_lines(verdict: Verdict, ink: Ink, width: int) -> Iterator[str]:
    """The report, a line at a time."""
    yield ink("What the outside saw (from the service's ledger)", "bold")
    rows = [_effect_row(check) for check in verdict.effects]
    lines = table(_HEADERS, rows, width=width, elastic=0, right=range(1, len(_HEADERS)))
    for line, check in zip(lines, (None, *verdict.effects), strict=True):
        yield ink(line, "dim") if check is None else ink(line, "green" if check.ok else "red")
    yield from _repetitions(verdict, ink, width)
    yield from _problems(verdict, ink)
    if verdict.recoveries:
        yield ""
        yield ink("What each kill -9 cost, from the start of the new process", "bold")
        yield ink("entries that are not replayed are notes: log lines, source lines, timers", "dim")
        lives = [_life_row(number, r) for number, r in enumerate(verdict.recoveries, start=1)]
        columns = range(len(_LIFE_HEADERS))
        header, *lines = table(_LIFE_HEADERS, lives, width=width, elastic=1, right=columns)
        yield ink(header, "dim")
        yield from lines
    yield ""
    yield _conclusion(verdict, ink)


def report_values(verdict: Verdict) -> dict[str, Any]:
    """The report as plain data for JSON."""
    return {
        "passed": verdict.ok,
        "seed": verdict.seed,
        "effects": [
            {
                "endpoint": check.endpoint,
                "expected": check.expected,
                "happened": check.happened,
                "lost": list(check.lost),
                "twice": list(check.twice),
                "wrong": list(check.wrong),
                "asked_again": [{"subject": r.subject, "key": r.key} for r in check.repeated],
            }
            for check in verdict.effects
        ],
        "results": {
            "expected": verdict.results.expected,
            "different": list(verdict.results.different),
            "relabelled": list(verdict.results.relabelled),
        },
        "kills": [
            {
                "agents": recovery.agents,
                "entries": recovery.entries,
                "replayed": recovery.replayed,
                "start_s": recovery.start_s,
                "first_live_step_s": recovery.total_s,
            }
            for recovery in verdict.recoveries
        ],
    }


def _effect_row(check: EffectCheck) -> list[str]:
    found = (check.lost, check.twice, check.wrong, check.repeated)
    return [check.endpoint, str(check.expected), str(check.happened), *(str(len(f)) for f in found)]


def _life_row(number: int, recovery: Recovery) -> list[str]:
    counts = (number, recovery.agents, recovery.entries, recovery.replayed)
    return [*map(str, counts), _seconds(recovery.start_s), _seconds(recovery.total_s)]


def _seconds(time_s: float | None) -> str:
    return "killed before" if time_s is None else f"{time_s:.2f} s"


def _repetitions(verdict: Verdict, ink: Ink, width: int) -> Iterator[str]:
    if not any(check.repeated for check in verdict.effects):
        return
    yield ""
    yield ink("Asked again, because a kill came before the answer was recorded", "bold")
    yield ink("under the same Idempotency-Key, so the service gave its first answer again", "dim")
    for check in filter(lambda check: check.repeated, verdict.effects):
        counts = Counter(visible(row.subject) for row in check.repeated)
        subjects = [name if count == 1 else f"{name} ({count}x)" for name, count in counts.items()]
        indent = " " * len(f"{check.endpoint}  ")
        yield from wrap(f"{check.endpoint}  {', '.join(subjects)}", width, subsequent_indent=indent)


def _problems(verdict: Verdict, ink: Ink) -> Iterator[str]:
    for check in verdict.effects:
        for what, subjects in (
            ("LOST", check.lost),
            ("TWICE", check.twice),
            ("WRONG", check.wrong),
        ):
            yield from _problem(f"{what} {check.endpoint}", subjects, ink)
    yield from _problem("WRONG RESULT of", verdict.results.different, ink)
    yield from _problem("ANOTHER RANDOM LABEL after a crash for", verdict.results.relabelled, ink)


def _problem(what: str, names: Sequence[str], ink: Ink) -> Iterator[str]:
    for name in names:
        yield ink(f"{what} {visible(name)}", "red", "bold")


def _conclusion(verdict: Verdict, ink: Ink) -> str:
    kills = len(verdict.recoveries)
    if not verdict.ok:
        return ink(
            f"FAILED: after {kills} kills it is not as if nothing had happened (seed {verdict.seed})",
            "red",
            "bold",
        )
    total, effects = verdict.results.expected, sum(check.happened for check in verdict.effects)
    return ink(
        f"PASSED: killed {kills} times; all {effects} effects happened exactly once,"
        f" all {total} results are right.",
        "green",
        "bold",
    )
