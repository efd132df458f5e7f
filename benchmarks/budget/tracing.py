"""What is counted inside a process: `Tracing` sees bytecodes and calls, `Blocks` memory."""

from __future__ import annotations

import gc
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

__all__ = ["Blocks", "Tracing"]


class Tracing:
    """Bytecodes and calls (of functions in Python and in C) of all threads that are started after it."""

    def __init__(self) -> None:
        self._of_threads: dict[int, Counter[str]] = {}
        gc.disable()  # when it runs, and calls back, is no matter of the path
        for module in (threading, sys):
            module.setprofile(self._profile)
            module.settrace(self._trace)

    def counts(self) -> dict[str, float]:
        """So far."""
        threads = list(self._of_threads.values())
        return {kind: sum(mine[kind] for mine in threads) for kind in ("bytecodes", "calls")}

    def _count(self, kind: str) -> None:
        thread = threading.get_ident()
        mine = self._of_threads.get(thread)
        if mine is None:
            mine = self._of_threads[thread] = Counter()
        mine[kind] += 1

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            self._count("bytecodes")
        return self._trace

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self._count("calls")


class Blocks:
    """Memory blocks that are in use when all garbage is gone, and objects that only the collector frees.

    Each look leaves a file ``mark-0``, ``mark-1`` and so on in the directory, for who watches the process.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._looks = 0
        self._garbage = 0
        gc.disable()

    def counts(self) -> dict[str, float]:
        """Now."""
        (self._directory / f"mark-{self._looks}").touch()
        self._looks += 1
        self._garbage += gc.collect()
        return {"blocks": sys.getallocatedblocks(), "garbage": self._garbage}
