"""Flushes and writes of a store's file, as strace sees them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["cumulative", "watched", "why_not"]

_CALLS = "openat,fdatasync,fsync,msync,sync_file_range,write,writev,pwrite64,pwritev,pwritev2"
_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((\d+)<([^>]*)>")
_SYNCED = re.compile(r"O_D?SYNC\b.*\) = (\d+)<([^>]*)>")
_MARK = re.compile(r'openat\(.*mark-\d+"')


def why_not() -> str:
    """Why nothing can be watched here; ``""``: it can."""
    strace = shutil.which("strace")
    if strace is None:
        return "strace is not installed"
    command = [strace, "-o", os.devnull, "true"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"strace may not trace here: {tried.stderr.strip()}" if tried.returncode else ""


def watched(command: Sequence[str], trace: Path) -> list[str]:
    """The command under which the calls of this command are written to `trace`."""
    return ["strace", "-f", "-y", "-e", f"trace={_CALLS}", "-o", str(trace), *command]


def cumulative(lines: Iterable[str]) -> list[dict[str, float]]:
    """At each mark: how many flushes and writes of ``data.mdb`` there were until then.

    A write to a file that was opened with O_DSYNC is a flush, too: so LMDB writes its meta pages.
    """
    synced: set[tuple[str, str]] = set()
    seen = Counter(flushes=0, writes=0)
    marks: list[dict[str, float]] = []
    for line in lines:
        if _MARK.search(line):
            marks.append(dict(seen))
        if found := _SYNCED.search(line):
            synced.add((found[1], found[2]))
        call = _CALL.match(line)
        if call is None or not call[3].endswith("/data.mdb"):
            continue
        is_write = "write" in call[1]
        seen["writes"] += is_write
        seen["flushes"] += not is_write or (call[2], call[3]) in synced
    return marks
