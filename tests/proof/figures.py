"""The figures that the proof publishes: what is counted, how much is asked for, what is told of it."""

from __future__ import annotations

from collections import Counter
from string import Formatter
from typing import TYPE_CHECKING, Literal, get_args

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FIGURES", "NAMES", "Counts", "Figure", "FigureName"]

FigureName = Literal[
    "single crashes",
    "double crashes",
    "simulated years",
    "real kills",
    "power-loss states",
    "damaged stores",
    "hostile decodes",
]
NAMES: tuple[FigureName, ...] = get_args(FigureName)

Counts = Counter[str]
"""By ``figure`` and by ``figure: detail``."""


@frozen
class Figure:
    """One row of the published table.

    Attributes:
        what: what was done so often.
        least: how often at least, in a run of the full size.
        seen: what came of it. The names in braces are counted, too.
        places: digits after the point.
    """

    what: str
    least: int
    seen: str
    places: int = 0

    @property
    def details(self) -> list[str]:
        """The names in `seen`."""
        return [name for _, name, _, _ in Formatter().parse(self.seen) if name]

    def number(self, count: float) -> str:
        """A count of this figure, rounded down: so much was really done."""
        scale = 10**self.places
        return f"{int(count * scale) / scale:,.{self.places}f}"


_CRASHED = "{effects} effects seen outside, {again} of them repeats under the same key"

FIGURES: Mapping[FigureName, Figure] = {
    "single crashes": Figure(
        "crash points: before, at or after the append of an entry", 2_000, _CRASHED
    ),
    "double crashes": Figure("pairs of them: crashed again during the recovery", 20_000, _CRASHED),
    "simulated years": Figure(
        "simulated years of whole runtimes, with injected faults",
        1,
        "{runs} runs, {processes} processes, {faults} faults",
        places=1,
    ),
    "real kills": Figure(
        "real kills (SIGKILL) of a process at work, with a witness in another process",
        2_000,
        "{writes} writes seen by the witness, {again} of them repeats under the same key",
    ),
    "power-loss states": Figure(
        "different states that a power cut can leave of a store's file",
        20_000,
        "{sound} opened with every acknowledged commit, whole",
    ),
    "damaged stores": Figure(
        "differently damaged stores: bits flipped, pages zeroed, swapped or older, files cut",
        5_000,
        "{noticed} noticed, {harmless} read without any difference",
    ),
    "hostile decodes": Figure(
        "different hostile inputs to all that reads stored bytes",
        50_000,
        "{refused} refused with a documented error, {read} read within bounds",
    ),
}
