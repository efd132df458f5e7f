"""The figures as one aligned table, and as JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.figures import REFERENCE_RAW_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.figures import Figure

__all__ = ["DURABILITY", "aligned", "disk", "machine", "number", "table", "versions", "write_json"]

_HEADER = (
    *("", "what", "median", "middle half", "unit"),
    *("p50 us", "p99 us", "of raw", "floor", "aim", "verdict"),
)
_TEXT_COLUMNS = {0, 1, 4, 10}

DURABILITY: Final = (
    "durable: on disk, flushed, when a step or a call returns (LMDB's default flags)"
)
"""There is no other mode."""

_FOOTNOTE = f"""\
median, middle half: of the rounds. p50, p99: what half and 99 % of the single steps, calls or workflows of a
round take at most, the median of the rounds (W3: each step since all have begun).
of raw: the median of what each round reached, divided by the raw LMDB commits just before and after it
(rates: 1.00 is one durable thing per raw commit; times: how many raw commits fit in).
Floor and aim of W1, W2 and W3 stem from peers, measured where a raw commit took {REFERENCE_RAW_US:.0f} us:
they are shown scaled by this run, and judged by the paired ratios. What the processor decides
(W1r, W4, W6, outside) is not scaled: that assumes a machine about as fast. LMDB flushes twice per
commit, stores with a write-ahead log once: on a slow disk those may win W1; group commit hides it
where many wait at once."""


def table(figures: list[Figure], disk: str) -> str:
    """One row per figure, then what the columns mean."""
    lines = aligned([_HEADER, *map(_row, figures)], _TEXT_COLUMNS)
    told = ", ".join(f"{name} {version}" for name, version in versions().items())
    return "\n".join([*lines, "", f"{machine()}, {disk}; {told}", DURABILITY, _FOOTNOTE])


def aligned(rows: Sequence[tuple[str, ...]], text_columns: set[int]) -> list[str]:
    """A line per row: text begins, numbers end, at the same place in all of them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if at in text_columns else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def write_json(
    figures: list[Figure], others: dict[str, list[dict[str, object]]], disk: str, path: Path
) -> None:
    """Everything that was measured, for other programs; `others` is what has tables of its own."""
    rows = [
        {
            "name": figure.name,
            "what": figure.target.what,
            "unit": figure.target.unit,
            "samples": figure.samples,
            "raw_us": figure.raw_us,
            "median": figure.median,
            "p50_us": figure.p50_us,
            "p99_us": figure.p99_us,
            "ratio": figure.ratio,
            "floor": figure.scaled(figure.target.floor),
            "aim": figure.scaled(figure.target.aim),
            "verdict": figure.verdict,
        }
        for figure in figures
    ]
    told = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine(),
        "disk": disk,
        "versions": versions(),
        "durability": DURABILITY,
        "figures": rows,
        **others,
    }
    path.write_text(json.dumps(told, indent=1) + "\n")


def _row(figure: Figure) -> tuple[str, ...]:
    low, high = figure.spread
    ratio, target = figure.ratio, figure.target
    return (
        figure.name,
        target.what,
        number(figure.median),
        f"{number(low)} .. {number(high)}",
        target.unit,
        _maybe(figure.p50_us),
        _maybe(figure.p99_us),
        "" if ratio is None else f"{ratio:.2f}",
        _maybe(figure.scaled(target.floor)),
        _maybe(figure.scaled(target.aim)),
        figure.verdict,
    )


def _maybe(value: float | None) -> str:
    return "" if value is None else number(value)


def number(value: float) -> str:
    """Three digits or more."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def versions() -> dict[str, str]:
    """Of the packages that decide what is measured."""
    found = {}
    for name in ("golem_sdk", "lmdb", "msgpack", "attrs"):
        with suppress(PackageNotFoundError):  # golem_sdk from a checkout that is not installed
            found[name] = version(name)
    return found


def machine() -> str:
    """What everything was measured on."""
    python = platform.python_version()
    processor = f"{os.cpu_count()} CPUs{_processor()}"
    return f"CPython {python}, {processor}, {sys.platform} {platform.release()}"


def _processor() -> str:
    """Its name, where Linux knows it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f" ({line.partition(':')[2].strip()})"
    return ""


def disk(directory: Path) -> str:
    """What kind of file system the stores are on, where Linux knows it."""
    kinds = {}
    with suppress(OSError):
        for line in Path("/proc/mounts").read_text().splitlines():
            _, place, kind, *_ = line.split()
            kinds[Path(place)] = kind
    here = directory.resolve()
    return next((kinds[place] for place in (here, *here.parents) if place in kinds), "some disk")
