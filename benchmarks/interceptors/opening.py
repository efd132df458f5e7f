"""What opening a runtime costs for patching the libraries that are installed.

As a script (``none`` or ``all``: which libraries are imported before) it is the process that opens one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

from attrs import frozen

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
        patched: how many libraries those are.
        imported: libraries that opening has imported though nobody else had.
    """

    none_ms: float
    all_ms: float
    patched: int
    imported: list[str]


def opening() -> Opening:
    """Open one in each of two new processes."""
    without, with_all = _told("none"), _told("all")
    imported = without["imported"] + with_all["imported"]
    return Opening(without["ms"], with_all["ms"], with_all["patched"], imported)


def _told(libraries: str) -> dict[str, Any]:
    command = [sys.executable, "-m", __name__, libraries]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def main() -> None:
    from golem_sdk import Runtime, originals

    if sys.argv[1] == "all":
        for name in _MODULES:
            with suppress(ImportError):
                import_module(name)
    before = set(sys.modules)
    begin = originals.perf_counter()
    runtime = Runtime.memory()
    taken_s = originals.perf_counter() - begin
    runtime.close()
    imported = [name for name in _MODULES if name in sys.modules and name not in before]
    patched = sum(name in before for name in _MODULES)
    print(json.dumps({"ms": taken_s * 1e3, "patched": patched, "imported": imported}))


if __name__ == "__main__":
    main()
