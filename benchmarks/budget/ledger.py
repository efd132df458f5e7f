"""The recorded budget, and what was counted beside it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, Final

from attrs import asdict, frozen

from benchmarks.budget.counting import Counts

__all__ = ["BUDGET", "Line", "compared", "dumps", "loads"]

BUDGET: Final = Path(__file__).with_name("budget.toml")

_HEADER: Final = """\
# What the hot paths may cost: per one of each, counted. Written by `python -m benchmarks.budget --record`.
"""

# How much more than recorded may be counted: a share of it, and so many. Bytecodes and calls are nearly the
# same in every run (threads meet in one order or another), but versions of attrs and msgpack differ.
_TOLERANCES: Final = {
    "bytecodes": (0.02, 2.0),
    "calls": (0.02, 0.5),
    "blocks": (0.05, 0.5),
    "garbage": (0.0, 0.5),
    "flushes": (0.0, 0.1),
    "writes": (0.5, 1.0),  # which pages are neighbours changes with the length of every record
}


@frozen
class Line:
    """One count beside its budget.

    Attributes:
        name: what was counted.
        budget, counted: ``None``: there is none.
        verdict: ``""``, ``"less"`` (worth recording), or what makes the guard fail: ``"MORE"``, ``"NEW"``.
    """

    name: str
    budget: float | None
    counted: float | None
    verdict: str

    @property
    def is_broken(self) -> bool:
        """Whether the budget does not allow it."""
        return self.verdict.isupper()


def compared(budget: Counts, counts: Counts) -> list[Line]:
    """A line for every count, and one for every module that is loaded and was not, or the reverse."""
    lines = []
    for name in {**budget.paths, **counts.paths}:
        old, new = budget.paths.get(name, {}), counts.paths.get(name, {})
        lines += [
            _line(f"{name}: {kind}", kind, old.get(kind), new.get(kind))
            for kind in _TOLERANCES
            if kind in new or (kind in old and not counts.skipped)
        ]
    for name, loaded in counts.modules.items():
        allowed = set(budget.modules.get(name, ()))
        lines += [
            *(
                Line(f"{name}: {module}", None, 1, "NEW")
                for module in loaded
                if module not in allowed
            ),
            *(Line(f"{name}: {module}", 1, None, "less") for module in sorted(allowed - {*loaded})),
        ]
    return lines


def _line(name: str, kind: str, budget: float | None, counted: float | None) -> Line:
    if budget is None:
        return Line(name, budget, counted, "NEW")
    if counted is None:
        return Line(name, budget, counted, "less")
    share, some = _TOLERANCES[kind]
    slack = abs(budget) * share + some
    verdict = "MORE" if counted > budget + slack else "less" if counted < budget - slack else ""
    return Line(name, budget, counted, verdict)


def loads(text: str) -> Counts:
    """From TOML."""
    told: dict[str, Any] = tomllib.loads(text)
    return Counts(told["python"], told["paths"], told["modules"])


def dumps(counts: Counts) -> str:
    """As TOML: a line per path, and one per module, so that a diff says what has changed."""
    told = asdict(counts)
    lines = [_HEADER, f"python = {json.dumps(counts.python)}", "", "[paths]"]
    for name, kinds in told["paths"].items():
        values = ", ".join(f"{kind} = {value}" for kind, value in kinds.items())
        lines.append(f"{json.dumps(name)} = {{ {values} }}")
    lines += ["", "[modules]"]
    for name, loaded in told["modules"].items():
        lines += [f"{name} = [", *(f"    {json.dumps(module)}," for module in loaded), "]"]
    return "\n".join([*lines, ""])
