"""The process in which one hot path is counted: ``PATH SIZE HOW DIRECTORY``, see `do`. It prints JSON."""

from __future__ import annotations

import faulthandler
import json
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from benchmarks.budget.paths import PATHS
from benchmarks.budget.tracing import Blocks, Tracing
from golem_sdk import Runtime
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.lmdb import LmdbEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.runtime.environment import Source

__all__ = ["WAYS", "do"]


T = TypeVar("T")

_PATIENCE_S = 300.0
_YEAR_2100_NS = 4_102_444_800_000_000_000


class Counting(Protocol):
    """Counts from when it is made."""

    def counts(self) -> dict[str, float]:
        """So far."""
        ...


WAYS: Final[dict[str, Callable[[Path], Counting]]] = {
    "tracing": lambda directory: Tracing(),
    "blocks": Blocks,
}


def do(name: str, size: int, way: str, directory: Path) -> list[dict[str, float]]:
    """Do a path on a new store in this directory: a few, `size`, and twice as many.

    The few pay for what is made on first use; what twice as many take more is what grows with their number.

    Returns:
        What was counted after each.
    """
    path, sizes = PATHS[name], (2, size, 2 * size)
    with _opened(directory) as runtime:
        for run, each in enumerate(sizes):
            path.prepare(runtime, run, each)
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        thread.join(_PATIENCE_S)  # what it leaves would be counted, or not
    counting = WAYS[way](directory)
    seen = []
    with _opened(directory) as runtime:
        for run, each in enumerate(sizes):
            path.work(runtime, run, each)
            seen.append(counting.counts())
    return seen


class _Repeated(RealEnvironment):
    """Whose clock and entropy give the same in every run: how a number is decoded depends on its bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._now_ns = _YEAR_2100_NS  # so late that no real timer comes due

    def now_ns(self) -> int:
        self._now_ns += 1000
        return self._now_ns

    def entropy(self, size: int) -> bytes:
        return self.now_ns().to_bytes(8, "big") * (size // 8) + bytes(size % 8)

    def reading(self, real: Callable[[], T], virtual: Callable[[Source], T]) -> Callable[[], T]:
        return lambda: virtual(self)


def _opened(directory: Path) -> Runtime:
    """A runtime without the thread that commits what nobody waits for: when that happens is by the clock."""
    settings = Settings(
        suspend_after_s=1e6, write_behind_s=None, workspaces=directory / "workspaces"
    )
    return Runtime.over(LmdbEngine(directory / "store"), _Repeated(), settings)


if __name__ == "__main__":
    faulthandler.dump_traceback_later(_PATIENCE_S, exit=True)
    print(json.dumps(do(sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))))
