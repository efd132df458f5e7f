"""How much memory this process takes that is its own."""

from __future__ import annotations

import gc
from pathlib import Path

__all__ = ["can_be_told", "own_kib"]

_STATUS = Path("/proc/self/status")


def can_be_told() -> bool:
    """Whether the system tells (Linux)."""
    return _STATUS.exists() and "RssAnon:" in _STATUS.read_text()


def own_kib() -> int:
    """Resident memory of this process after a garbage collection, in KiB.

    Without the pages of files: those of the store, which LMDB maps, are the system's cache and go when others
    need the room.
    """
    gc.collect()
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1])
