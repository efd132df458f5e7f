"""The order in which answers of concurrent calls arrive: as in the run from which they come."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import Lock, Semaphore
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.testing.environment import VirtualEnvironment

__all__ = ["Turns"]


class Turns:
    """Lets those who wait go on one by one, by rank, each when everything else has come to rest.

    A turn is a timer that was due long ago: the virtual clock fires it before all real ones, and only when
    nothing else goes on.

    Args:
        environment: whose clock it is; who waits is active there.
    """

    def __init__(self, environment: VirtualEnvironment) -> None:
        self._environment = environment
        self._mutex = Lock()
        self._waiting: set[_Turn] = set()
        self._closed = False

    def wait(self, rank: int) -> None:
        """Wait on a thread that is active in the environment."""
        go = Semaphore(0)
        self._begin(rank, go.release)
        go.acquire()

    async def wait_async(self, rank: int) -> None:
        """The same on an event loop."""
        loop = asyncio.get_running_loop()
        go = asyncio.Event()

        def release() -> None:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(go.set)

        turn = self._begin(rank, release)
        try:
            await go.wait()
        finally:
            turn.take()

    def close(self) -> None:
        """The life is over: everybody goes on now."""
        with self._mutex:
            self._closed = True
            waiting = list(self._waiting)
        for turn in waiting:
            turn.take()

    def _begin(self, rank: int, release: Callable[[], object]) -> _Turn:
        turn = _Turn(self, release)
        with self._mutex:
            self._waiting.add(turn)
            closed = self._closed
        if closed:
            turn.take()
        else:
            self._environment.call_at(rank, turn.take)
        self._environment.leave()
        return turn


class _Turn:
    """One who waits."""

    def __init__(self, turns: Turns, release: Callable[[], object]) -> None:
        self._turns = turns
        self._release = release

    def take(self) -> None:
        """Go on, active again in the environment. Idempotent."""
        turns = self._turns
        with turns._mutex:
            if self not in turns._waiting:
                return
            turns._waiting.remove(self)
        turns._environment.enter()
        self._release()
