"""Everything that has a budget, counted in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from benchmarks.budget import flushes
from benchmarks.budget.paths import PATHS

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Counts", "count_everything", "count_flushes"]

_SIZE: Final = 200  # so many that one more thread, which keeps some 30 blocks, hardly matters
_PROGRAMS: Final = {
    "import": "import golem_sdk",
    "open": "import golem_sdk; golem_sdk.Runtime({store!r}).close()",
}
_LOADED: Final = """
import faulthandler, sys
faulthandler.dump_traceback_later(120, exit=True)
sys.path[:] = {path!r}
before = set(sys.modules)
{program}
print(*set(sys.modules) - before)
"""


@frozen
class Counts:
    """What was counted, or may be.

    Attributes:
        python: the minor version with which.
        paths: by the path's name and the kind of count: per one of it.
        modules: by ``"import"`` and ``"open"``: what importing golem_sdk loads, and opening a runtime.
        skipped: why what is missing was not counted.
    """

    python: str
    paths: dict[str, dict[str, float]] = field(factory=dict)
    modules: dict[str, list[str]] = field(factory=dict)
    skipped: list[str] = field(factory=list)


def count_everything(names: Iterable[str] = PATHS) -> Counts:
    """Count these paths, and the modules."""
    reason = flushes.why_not()
    return Counts(
        f"{sys.version_info.major}.{sys.version_info.minor}",
        {name: _counted(name, is_watched=not reason) for name in names},
        {name: _loaded(program) for name, program in _PROGRAMS.items()},
        [f"flushes and writes: {reason}"] if reason else [],
    )


def count_flushes(name: str) -> float:
    """Of one path, where `flushes.why_not` has nothing against it."""
    return _blocks(name, is_watched=True)["flushes"]


def _counted(name: str, *, is_watched: bool) -> dict[str, float]:
    return _per_one(_done(name, "tracing")) | _blocks(name, is_watched=is_watched)


def _blocks(name: str, *, is_watched: bool) -> dict[str, float]:
    with TemporaryDirectory() as scratch:
        trace = Path(scratch, "trace")
        per_one = _per_one(_done(name, "blocks", trace if is_watched else None))
        if is_watched:
            per_one |= _per_one(flushes.cumulative(trace.read_text().splitlines()))
    return per_one


def _per_one(seen: list[dict[str, float]]) -> dict[str, float]:
    """From what was counted before, after so many and after twice as many more."""
    before, small, large = seen
    slopes = {kind: (large[kind] - 2 * small[kind] + before[kind]) / _SIZE for kind in before}
    return {kind: round(slope, 3) for kind, slope in slopes.items()}


def _done(name: str, way: str, trace: Path | None = None) -> list[dict[str, float]]:
    with TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "benchmarks.budget.work", name, str(_SIZE), way, scratch]
        if trace is not None:
            command = flushes.watched(command, trace)
        seen: list[dict[str, float]] = json.loads(_output(command))
        return seen


def _loaded(program: str) -> list[str]:
    """By an interpreter that has loaded nothing for its environment (``.pth`` files) before."""
    path = [str(Path.cwd()), *filter(None, sys.path)]
    with TemporaryDirectory() as scratch:
        code = _LOADED.format(program=program.format(store=scratch), path=path)
        loaded = _output([sys.executable, "-S", "-c", code]).split()
    return sorted({root for name in loaded if (root := _told(name))})


def _told(name: str) -> str:
    """Ours in full, of others the package: their parts, and private modules, differ with their builds."""
    root = name.partition(".")[0]
    return name if root == "golem_sdk" else "" if root.startswith("_") else root


def _output(command: list[str]) -> str:
    # The seed of hashes decides the order of sets, and with it a few bytecodes.
    done = subprocess.run(
        ["env", "PYTHONHASHSEED=0", *command], stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout
