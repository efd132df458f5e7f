"""The host loop of a simulation: an asyncio loop whose waits hand on the baton and whose time is virtual."""

from __future__ import annotations

import asyncio
import functools
import math
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack

from golem_sdk.testing.environment import START_NS

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from golem_sdk.testing.simulation.baton import Baton, Strand

__all__ = ["SimulatedLoop"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Waiter:
    """In the place of a selector: there is no I/O, only time and calls from other strands."""

    def __init__(self, baton: Baton) -> None:
        self._baton = baton
        self._strand: Strand | None = None
        self._rung = False

    def select(self, timeout: float | None) -> list[Any]:
        """Wait for a call from elsewhere, or until the time is up."""
        if timeout is not None and timeout <= 0:
            self._baton.point()
        elif not self._rung:
            self._strand = self._baton.current
            # Rounded up: a loop that wakes a moment early would look again and again.
            self._baton.wait(None if timeout is None else math.ceil(timeout * 1e6 + 1) / 1e6)
            self._strand = None
        self._rung = False
        return []

    def ring(self) -> None:
        """Something is to be done."""
        self._rung = True
        if self._strand is not None:
            self._baton.wake(self._strand)


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs the real effects of asynchronous agents. Sockets, pipes and signals are not to be had."""

    def __init__(self, baton: Baton) -> None:
        super().__init__()
        self._baton = baton
        self._selector = _Waiter(baton)

    def time(self) -> float:
        """Virtual seconds since the simulation began."""
        return (self._baton.now_ns - START_NS) / 1e9

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run a function on a strand of its own."""
        future: asyncio.Future[T] = self.create_future()

        def settle(done: Callable[[], None]) -> None:
            if not future.done():  # it may have been cancelled meanwhile
                done()

        def job() -> None:
            try:
                result = func(*args)
            except Exception as raised:  # the future's outcome
                self.call_soon_threadsafe(settle, functools.partial(future.set_exception, raised))
            else:
                self.call_soon_threadsafe(settle, functools.partial(future.set_result, result))

        self._baton.spawn(self._baton.current.machine, job, "executor")
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        self._selector.ring()
