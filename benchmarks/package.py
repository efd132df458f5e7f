"""W6: what importing and installing cost; and what a patched function costs outside agents."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from importlib.metadata import distribution, requires
from pathlib import Path
from statistics import median
from timeit import timeit
from typing import TYPE_CHECKING

import golem_sdk
from benchmarks.figures import Figure
from golem_sdk import Runtime, intercept
from golem_sdk.originals import perf_counter

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.__main__ import Plan

__all__ = ["outside", "w6"]


def w6(plan: Plan) -> list[Figure]:
    """Import time as a difference of paired processes; direct dependencies; size with all of them."""
    _started_s("import golem_sdk")  # compiles
    over = [
        (_started_s("import golem_sdk") - _started_s("pass")) * 1e3 for _ in range(plan.rounds * 2)
    ]
    needed = _needed("golem_sdk")
    size = sum(map(_installed_bytes, _closure(needed))) + _tree_bytes(
        Path(golem_sdk.__file__).parent
    )
    return [
        Figure("W6 import", over),
        Figure("W6 needs", [len(needed)]),
        Figure("W6 size", [size / 2**20]),
    ]


def _started_s(code: str) -> float:
    begin = perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return perf_counter() - begin


def _needed(name: str) -> set[str]:
    """The distributions that one needs, without its extras."""
    lines = [line for line in requires(name) or () if "extra ==" not in line]
    return {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in lines}


def _closure(names: set[str]) -> set[str]:
    found: set[str] = set()
    todo = set(names)
    while todo:
        name = todo.pop()
        found.add(name)
        todo |= {other for other in _needed(name) if _is_installed(other)} - found
    return found


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except ModuleNotFoundError:
        return False
    return True


def _installed_bytes(name: str) -> int:
    files = distribution(name).files or ()
    return sum(size for file in files if (size := _size(Path(str(file.locate())))))


def _tree_bytes(directory: Path) -> int:
    return sum(map(_size, directory.rglob("*.*")))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def outside(plan: Plan) -> list[Figure]:
    """Nanoseconds that a patched function costs more than the original."""
    with Runtime.memory():
        patched: dict[str, Callable[[], float]] = {
            "outside time": time.time,
            "outside random": random.random,
        }
    intercept.uninstall()
    original = {"outside time": time.time, "outside random": random.random}
    return [
        Figure(name, [_over_ns(patched[name], original[name], plan) for _ in range(plan.rounds)])
        for name in patched
    ]


def _over_ns(slow: Callable[[], float], fast: Callable[[], float], plan: Plan) -> float:
    calls = plan.size * 10
    pairs = [(timeit(slow, number=calls), timeit(fast, number=calls)) for _ in range(5)]
    return median(a - b for a, b in pairs) / calls * 1e9
