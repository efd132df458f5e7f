"""What the single ones of a sample took: half of them at most p50, 99 % of them at most p99."""

from __future__ import annotations

from collections.abc import Sequence  # attrs classes are resolved at run time
from itertools import pairwise
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Sample", "between", "percentiles_us"]


@frozen
class Sample:
    """What one round gives for one figure.

    Attributes:
        value: in the figure's unit.
        taken_s: what each single one took, in seconds; empty: that was not measured.
    """

    value: float
    taken_s: Sequence[float] = field(factory=list)


def between(stamps: Iterable[float]) -> list[float]:
    """From points in time to the times between them."""
    return [after - before for before, after in pairwise(stamps)]


def percentiles_us(taken_s: Iterable[float]) -> tuple[float, float]:
    """p50 and p99, from seconds to microseconds."""
    ordered = sorted(taken_s)
    return ordered[len(ordered) // 2] * 1e6, ordered[len(ordered) * 99 // 100] * 1e6
