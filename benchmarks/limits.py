"""What the machine can do at best: the physical limit beside which everything is measured."""

from __future__ import annotations

import os
from statistics import mean
from time import perf_counter
from typing import TYPE_CHECKING

import lmdb

from benchmarks.latencies import Sample, between

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RawStore", "syncs"]

_RECORD = b"x" * 290
"""As long as the record of one step of W1."""


class RawStore:
    """A bare LMDB environment on the same disk: no layer of ours, one commit per record."""

    def __init__(self, path: Path) -> None:
        self._env = lmdb.open(str(path), map_size=1 << 30, max_dbs=1)
        self._database = self._env.open_db(b"records")
        self._next = 0

    def commit_us(self, commits: int) -> float:
        """Microseconds per put and commit, from so many in a row."""
        return self.commits(commits).value

    def commits(self, commits: int) -> Sample:
        """The same, with what each of them took."""
        stamps = [perf_counter()]
        for number in range(self._next, self._next + commits):
            with self._env.begin(write=True, db=self._database) as txn:
                txn.put(b"one-agent" + number.to_bytes(8, "big"), _RECORD)
            stamps.append(perf_counter())
        self._next += commits
        return Sample((stamps[-1] - stamps[0]) / commits * 1e6, between(stamps))

    def close(self) -> None:
        """Let go of the file."""
        self._env.close()


def syncs(path: Path, times: int) -> Sample:
    """Microseconds per write and fdatasync of one page of a file."""
    page = b"x" * 4096
    taken = []
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        for _ in range(times):
            os.pwrite(file, page, 0)
            begin = perf_counter()
            os.fdatasync(file)
            taken.append(perf_counter() - begin)
    finally:
        os.close(file)
    return Sample(mean(taken) * 1e6, taken)
