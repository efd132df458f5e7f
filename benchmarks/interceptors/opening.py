"""What opening a runtime costs for patching the libraries that are installed.

As a script (``none`` or ``all``: which libraries are imported before) it is the process that opens one.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

from attrs import frozen

from golem_sdk import Runtime, agent, originals
from golem_sdk.intercept.interceptor import PYTHON
from golem_sdk.intercept.table import TABLE

__all__ = ["Opening", "opening"]

_MODULES: Final = sorted({name for row in TABLE if row.library != PYTHON for name in row.adapters})
"""By whose import an interceptor of a library becomes active."""


@frozen
class Opening:
    """One pair of processes.

    Attributes:
        none_ms, all_ms: opening the first runtime of a process, when no library was imported before, and when
            every one was that is installed.
        first_none_ms, first_all_ms: running the first agent of the same process, for which names that were
            bound to originals are looked for in all that the process holds.
        patched: how many libraries those are.
        imported: libraries that opening has imported though nobody else had.
    """

    none_ms: float
    all_ms: float
    first_none_ms: float
    first_all_ms: float
    patched: int
    imported: list[str]


def opening() -> Opening:
    """Open one in each of two new processes."""
    without, with_all = _told("none"), _told("all")
    imported = without["imported"] + with_all["imported"]
    return Opening(
        without["ms"],
        with_all["ms"],
        without["first_ms"],
        with_all["first_ms"],
        with_all["patched"],
        imported,
    )


def _told(libraries: str) -> dict[str, Any]:
    command = [sys.executable, "-m", __name__, libraries]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@agent
def first_agent() -> None:
    """Does nothing."""


def main() -> None:
    if sys.argv[1] == "all":
        for name in _MODULES:
            with suppress(ImportError):
                import_module(name)
    before = set(sys.modules)
    gc.collect()  # the imports have made one due: it is not to be had here or there by chance
    begin = originals.perf_counter()
    runtime = Runtime.memory()
    opened = originals.perf_counter()
    runtime.run(first_agent)
    ran = originals.perf_counter()
    runtime.close()
    imported = [name for name in _MODULES if name in sys.modules and name not in before]
    patched = sum(name in before for name in _MODULES)
    told = {
        "ms": (opened - begin) * 1e3,
        "first_ms": (ran - opened) * 1e3,
        "patched": patched,
        "imported": imported,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
