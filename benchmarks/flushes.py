"""How often the disk is flushed for one of each, counted by strace: no load of the machine changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.budget.counting import count_flushes
from benchmarks.budget.flushes import why_not
from benchmarks.figures import Figure

if TYPE_CHECKING:
    from benchmarks.__main__ import Plan

__all__ = ["flushes"]

_FIGURES: Final = {
    "flushes W1": "write step",
    "flushes W1r": "read step",
    "flushes W2": "flow",
    "flushes W4": "replay",
    "flushes call": "invocation",
    "flushes agents": "agent call",
}
"""The hot path of the budget for each figure."""


def flushes(plan: Plan) -> list[Figure]:
    """Nothing where nothing can be traced; it says why."""
    if reason := why_not():
        print(f"flushes could not be counted: {reason}\n")
        return []
    return [Figure(name, [count_flushes(path)]) for name, path in _FIGURES.items()]
