"""Paired figures: what each round gave us, the peer, and the ratio of both."""

from __future__ import annotations

from statistics import median
from typing import Final

from attrs import field, frozen

from benchmarks.figures import Figure
from benchmarks.report import aligned, machine, number

__all__ = ["ROWS", "Comparison", "Pairs", "as_json", "report"]

ROWS: Final = {
    "W1": ("1 workflow, sequential steps", "steps/s"),
    "W2/1": ("one-step workflows, 1 in flight", "flows/s"),
    "W2/1 p50": ("the same, half of them take", "ms"),
    "W2/1 p99": ("the same, 99 % take at most", "ms"),
    "W2/64": ("one-step workflows, 64 in flight", "flows/s"),
    "W2/64 p50": ("the same, half of them take", "ms"),
    "W2/64 p99": ("the same, 99 % take at most", "ms"),
    "W3": ("1 workflow, concurrent steps", "steps/s"),
    "W4 whole": ("killed after many steps: start to finish", "s"),
    "W4 replay": ("the same, each replayed step", "us"),
}
"""What each figure says, and its unit. Of "…/s" more is better, of everything else less."""

_HEADER = ("", "what", "unit", "ours", "peer", "ratio", "middle half", "floor", "verdict")
_TEXT_COLUMNS = {0, 1, 2, 8}

_FOOTNOTE = """\
ours, peer: medians. ratio: how many times better ours is, the median of the rounds' ratios; in a round ours
and the peer do the same one after the other on the same disk. W4: from the start of a process to its result,
after the process with the workflow was killed (SIGKILL); servers (PostgreSQL, Restate) live on, and what
they and DBOS wait before they try again is theirs. Everybody's results are on disk when they are told."""


@frozen
class Pairs:
    """One row: the samples of ours and the peer's, of the same rounds.

    Attributes:
        floor: the ratio that must hold; ``None``: it is only told.
    """

    name: str
    ours: list[float]
    peer: list[float]
    floor: float | None = None

    @property
    def ratios(self) -> list[float]:
        """How many times better ours was, in each round."""
        pairs = zip(self.ours, self.peer, strict=True)
        if ROWS[self.name][1].endswith("/s"):
            return [ours / peer for ours, peer in pairs]
        return [peer / ours for ours, peer in pairs]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return median(self.ratios)

    @property
    def verdict(self) -> str:
        """``holds``, ``MISSED``, or nothing for what is only told."""
        if self.floor is None:
            return ""
        return "holds" if self.ratio >= self.floor else "MISSED"


@frozen
class Comparison:
    """What came out of the rounds with one peer.

    Attributes:
        label: the peer and its database.
        versions: of its packages, as installed.
        raw_us: raw LMDB commits, measured before and after every pair of works.
        not_run: why what is missing could not be run.
    """

    label: str
    versions: dict[str, str] = field(factory=dict)
    pairs: list[Pairs] = field(factory=list)
    raw_us: list[float] = field(factory=list)
    not_run: list[str] = field(factory=list)


def report(comparisons: list[Comparison]) -> str:
    """A table per peer, and what could not be run."""
    blocks = ["\n".join(_block(comparison)) for comparison in comparisons]
    return "\n\n".join([*blocks, f"{machine()}\n{_FOOTNOTE}"])


def as_json(comparison: Comparison) -> dict[str, object]:
    """Everything about one peer, for other programs."""
    rows = [
        {
            "name": pairs.name,
            "unit": ROWS[pairs.name][1],
            "ours": pairs.ours,
            "peer": pairs.peer,
            "ratio": pairs.ratio,
            "floor": pairs.floor,
            "verdict": pairs.verdict,
        }
        for pairs in comparison.pairs
    ]
    return {
        "peer": comparison.label,
        "versions": comparison.versions,
        "figures": rows,
        "raw_us": comparison.raw_us,
        "not_run": comparison.not_run,
    }


def _block(comparison: Comparison) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in comparison.versions.items())
    lines = [f"beside {comparison.label}" + (f" ({versions})" if versions else "")]
    if comparison.pairs:
        lines += aligned([_HEADER, *map(_row, comparison.pairs)], _TEXT_COLUMNS)
    if comparison.raw_us:
        raw = Figure("raw", comparison.raw_us)
        low, high = raw.spread
        lines.append(
            f"raw LMDB commit in these rounds: {number(raw.median)} us"
            f" (middle half {number(low)} .. {number(high)})"
        )
    return [*lines, *(f"could not be run: {reason}" for reason in comparison.not_run)]


def _row(pairs: Pairs) -> tuple[str, ...]:
    what, unit = ROWS[pairs.name]
    low, high = Figure("raw", pairs.ratios).spread
    return (
        pairs.name,
        what,
        unit,
        number(median(pairs.ours)),
        number(median(pairs.peer)),
        f"{pairs.ratio:.2f}",
        f"{low:.2f} .. {high:.2f}",
        "" if pairs.floor is None else f"{pairs.floor:g}",
        pairs.verdict,
    )
