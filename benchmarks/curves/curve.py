"""One cost at several sizes, and how steeply it grows."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import median
from typing import Final

from attrs import frozen

from benchmarks.report import aligned, number

__all__ = ["Curve", "as_json", "report"]

_STEEP: Final = 1.15
"""A slope of one is linear; this leaves room for noise and for the depth of trees."""

_HEADER = ("", "what", "size", "ms", "us per one", "slope", "")

_FOOTNOTE = f"""\
ms: of all of that size, the median of the rounds. slope: by which power of the size it has grown since the
size before: 0 is constant, 1 linear. Above {_STEEP} between the two largest sizes it is called steep: run it
again with more rounds and a larger --largest before believing or dismissing that."""


@frozen
class Curve:
    """A cost against the size of the work.

    Attributes:
        name, what: for people.
        taken_s: by size, from the smallest: seconds for all of it, one sample per round.
    """

    name: str
    what: str
    taken_s: dict[int, list[float]]

    @property
    def slopes(self) -> list[float]:
        """Between neighbouring sizes: the exponent with which the cost grows."""
        points = [(size, median(taken_s)) for size, taken_s in self.taken_s.items()]
        return [
            math.log(after_s / before_s) / math.log(after / before)
            for (before, before_s), (after, after_s) in pairwise(points)
        ]

    @property
    def is_steep(self) -> bool:
        """Whether it grows faster than linear where it is largest."""
        return bool(self.slopes) and self.slopes[-1] > _STEEP


def report(curves: list[Curve]) -> str:
    """A row for every point."""
    rows: list[tuple[str, ...]] = [_HEADER]
    for curve in curves:
        slopes = ["", *(f"{slope:.2f}" for slope in curve.slopes)]
        for (size, taken_s), slope in zip(curve.taken_s.items(), slopes, strict=True):
            is_last = size == max(curve.taken_s)
            rows.append(
                (
                    curve.name,
                    curve.what,
                    f"{size:,}",
                    number(median(taken_s) * 1e3),
                    number(median(taken_s) / size * 1e6),
                    slope,
                    "STEEP" if is_last and curve.is_steep else "",
                )
            )
    return "\n".join([*aligned(rows, {0, 1, 6}), "", _FOOTNOTE])


def as_json(curve: Curve) -> dict[str, object]:
    """All samples, for other programs."""
    return {
        "name": curve.name,
        "what": curve.what,
        "taken_s": [[size, samples] for size, samples in curve.taken_s.items()],
        "slopes": curve.slopes,
        "steep": curve.is_steep,
    }
