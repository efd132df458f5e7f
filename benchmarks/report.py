"""The figures as one aligned table, and as JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
from typing import TYPE_CHECKING

from benchmarks.figures import REFERENCE_RAW_US

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figures import Figure

__all__ = ["table", "write_json"]

_HEADER = ("", "what", "median", "middle half", "unit", "of raw", "floor", "aim", "verdict")
_TEXT_COLUMNS = {0, 1, 4, 8}

_FOOTNOTE = f"""\
of raw: the median of what each round reached, divided by the raw LMDB commits just before and after it
(rates: 1.00 is one durable thing per raw commit; times: how many raw commits fit in).
Floor and aim of W1, W2 and W3 stem from peers, measured where a raw commit took {REFERENCE_RAW_US:.0f} us:
they are shown scaled by this run, and judged by the paired ratios. What the processor decides
(W1r, W4, W6, outside) is not scaled: that assumes a machine about as fast. LMDB flushes twice per
commit, stores with a write-ahead log once: on a slow disk those may win W1; group commit hides it
where many wait at once."""


def table(figures: list[Figure]) -> str:
    """One row per figure, then what the columns mean."""
    rows = [_HEADER, *map(_row, figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if at in _TEXT_COLUMNS else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, "", _machine(), _FOOTNOTE])


def write_json(figures: list[Figure], path: Path) -> None:
    """Everything that was measured, for other programs."""
    rows = [
        {
            "name": figure.name,
            "what": figure.target.what,
            "unit": figure.target.unit,
            "samples": figure.samples,
            "raw_us": figure.raw_us,
            "median": figure.median,
            "ratio": figure.ratio,
            "floor": figure.scaled(figure.target.floor),
            "aim": figure.scaled(figure.target.aim),
            "verdict": figure.verdict,
        }
        for figure in figures
    ]
    path.write_text(json.dumps({"machine": _machine(), "figures": rows}, indent=1) + "\n")


def _row(figure: Figure) -> tuple[str, ...]:
    low, high = figure.spread
    ratio, target = figure.ratio, figure.target
    return (
        figure.name,
        target.what,
        _number(figure.median),
        f"{_number(low)} .. {_number(high)}",
        target.unit,
        "" if ratio is None else f"{ratio:.2f}",
        _goal(figure.scaled(target.floor)),
        _goal(figure.scaled(target.aim)),
        figure.verdict,
    )


def _goal(value: float | None) -> str:
    return "" if value is None else _number(value)


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _machine() -> str:
    python = platform.python_version()
    return f"CPython {python}, {os.cpu_count()} CPUs, {sys.platform} {platform.release()}"
