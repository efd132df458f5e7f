"""``python -m benchmarks --compare A.json B.json``: what has changed between two runs, and what is noise.

A verdict needs two things: that a rank test finds the samples of both runs different (Mann and Whitney,
exact, two-sided), and that they differ by more than anybody would notice. What the disk decides is compared
as a share of the raw commits measured beside each sample, so that a slower hour of the disk is not taken
for a slower program. The processor has no such limit: run both on an idle machine, best in turns.
"""

from __future__ import annotations

import json
import math
import random
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from benchmarks.figures import TARGETS, Figure
from benchmarks.report import aligned, number

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Change", "chance", "change", "compare_files"]

_SURE: Final = 0.005
"""Of two hundred figures that are the same, one may be called different."""

_NOTICEABLE: Final = 0.03
_RESAMPLES: Final = 2000
_HEADER = ("", "what", "unit", "before", "after", "change", "95 % of it", "chance", "verdict")

_FOOTNOTE = f"""\
change: of the medians; of what the disk decides, of their shares of the raw commits. 95 %: by bootstrap.
chance: how often samples of the same thing would differ so much (Mann and Whitney). better, worse: it is
at most {_SURE:.1%}, and the change more than {_NOTICEABLE:.0%}; six rounds or more on both sides can tell."""


@frozen
class Change:
    """One figure in two runs.

    Attributes:
        ratio: after divided by before.
        low, high: between which 95 % of the resampled ratios are.
        chance: that both are the same and their samples differ so much all the same.
        verdict: ``better``, ``worse``, ``no difference`` or ``too few rounds``.
    """

    before: Figure
    after: Figure
    ratio: float
    low: float
    high: float
    chance: float
    verdict: str


def compare_files(before: Path, after: Path) -> str:
    """A table of the figures that both files have, and the names of those that one of them lacks."""
    old, new = _figures(before), _figures(after)
    changes = [change(old[name], new[name]) for name in old if name in new]
    lines = aligned([_HEADER, *map(_row, changes)], {0, 1, 2, 8})
    lonely = [name for name in {**old, **new} if name not in old or name not in new]
    if lonely:
        lines.append(f"in one of the files only: {', '.join(lonely)}")
    return "\n".join([*lines, "", _FOOTNOTE])


def _figures(path: Path) -> dict[str, Figure]:
    told: dict[str, Any] = json.loads(path.read_text())
    return {
        row["name"]: Figure(row["name"], row["samples"], row["raw_us"])
        for row in told["figures"]
        if row["name"] in TARGETS
    }


def change(before: Figure, after: Figure) -> Change:
    """Compare two runs of one figure."""
    paired = bool(before.raw_us and after.raw_us)
    old, new = (each.ratios if paired else each.samples for each in (before, after))
    ratio = _ratio(old, new)
    low, high = _interval(old, new)
    found = chance(old, new)
    verdict = _verdict(before.target.more_is_better, ratio, found, _least_chance(old, new))
    return Change(before, after, ratio, low, high, found, verdict)


def _verdict(more_is_better: bool, ratio: float, found: float, least: float) -> str:
    if least > _SURE:
        return "too few rounds"
    if found > _SURE or abs(ratio - 1) <= _NOTICEABLE:
        return "no difference"
    return "better" if (ratio > 1) == more_is_better else "worse"


def _ratio(old: list[float], new: list[float]) -> float:
    before, after = median(old), median(new)
    if before == after:
        return 1.0
    return after / before if before else math.inf


def _interval(old: list[float], new: list[float]) -> tuple[float, float]:
    dice = random.Random(1)  # the same files give the same interval
    ratios = sorted(
        _ratio(dice.choices(old, k=len(old)), dice.choices(new, k=len(new)))
        for _ in range(_RESAMPLES)
    )
    return ratios[_RESAMPLES // 40], ratios[-1 - _RESAMPLES // 40]


def chance(old: list[float], new: list[float]) -> float:
    """Of all ways to deal the samples to both runs, the share in which the ranks differ as much."""
    ranks = _doubled_ranks(old + new)
    expected = sum(ranks) * len(old) / len(ranks)
    seen = abs(sum(ranks[: len(old)]) - expected)
    ways = _sums(ranks, len(old))
    as_far = sum(count for total, count in ways.items() if abs(total - expected) >= seen - 1e-9)
    return as_far / math.comb(len(ranks), len(old))


def _doubled_ranks(values: list[float]) -> list[int]:
    """Twice the rank of each, from 2; equal ones share the mean of theirs."""
    return [
        sum(other < value for other in values) * 2 + values.count(value) + 1 for value in values
    ]


def _sums(ranks: list[int], size: int) -> dict[int, int]:
    """How many choices of so many ranks have each sum."""
    ways: list[dict[int, int]] = [{0: 1}, *({} for _ in range(size))]
    for rank in ranks:
        for chosen in range(size, 0, -1):
            for total, count in ways[chosen - 1].items():
                ways[chosen][total + rank] = ways[chosen].get(total + rank, 0) + count
    return ways[size]


def _least_chance(old: list[float], new: list[float]) -> float:
    """The smallest that so many samples can give."""
    return 2 / math.comb(len(old) + len(new), len(old))


def _row(found: Change) -> tuple[str, ...]:
    target = found.before.target
    return (
        found.before.name,
        target.what,
        target.unit,
        number(found.before.median),
        number(found.after.median),
        _percent(found.ratio),
        f"{_percent(found.low)} .. {_percent(found.high)}",
        f"{found.chance:.2%}",
        found.verdict,
    )


def _percent(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f} %"
