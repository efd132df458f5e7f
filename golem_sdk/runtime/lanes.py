"""Threads of an agent, of which one at a time runs: who has the baton."""

from __future__ import annotations

import logging
from queue import SimpleQueue
from threading import Semaphore, Thread, local
from typing import TYPE_CHECKING, Any

from golem_sdk import originals

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextvars import Context

__all__ = ["Lane", "current_lane"]

_log = logging.getLogger("golem_sdk")
_here = local()

_LAST_WORDS_S = 1.0
"""How long a lane that is told to end may take before it is left to itself."""


def current_lane() -> Lane | None:
    """The lane whose thread runs this code, ``None`` on all other threads."""
    lane: Lane | None = getattr(_here, "lane", None)
    return lane


class Lane:
    """A function of the agent on a thread of its own.

    The thread that drives the agent hands over the baton and waits until it comes back: agent code never
    runs in parallel, so the order of deliveries is all there is to record. While the lane waits for a
    durable call it has no baton; the real effect is performed on its thread meanwhile.
    """

    def __init__(self, context: Context, function: Callable[[], Any]) -> None:
        self._context = context
        self._function = function
        self._messages: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._baton_back = Semaphore(0)
        self._result: Any = None
        self._error: BaseException | None = None
        self._over = False
        self._performing = False
        self._ended: Callable[[], None] | None = None

    # --- on the driver's thread -------------------------------------------------------------------

    def begin(self, ended: Callable[[], None]) -> None:
        """Start the thread, with the baton; ``ended`` is called here when the function is over."""
        self._ended = ended
        originals.start_thread(Thread(target=self._run, name="golem-lane", daemon=True))
        self._wait()

    def resume(self, value: object) -> None:
        """Hand over the baton with what `park` is to return; returns when it comes back."""
        self._messages.put(("resume", value))
        self._wait()

    def abandon(self, signal: BaseException) -> None:
        """End the lane by raising ``signal`` where it is parked."""
        if self._ended is None or self._over:
            return
        self._messages.put(("throw", signal))
        if not self._performing and not self._baton_back.acquire(timeout=_LAST_WORDS_S):
            _log.warning("a thread of an unloaded agent does not end; it cannot do durable calls")

    def perform(self, effect: Callable[[], None]) -> None:
        """Have a real effect performed on the lane's thread, without the baton. Does not wait."""
        self._performing = True
        self._messages.put(("perform", effect))

    def reveal(self, future: asyncio.Future[Any]) -> None:
        """Give the outcome of the function, which is over, to a future."""
        error = self._error
        if error is None:
            future.set_result(self._result)
        elif isinstance(error, StopIteration):
            future.set_exception(RuntimeError(f"a thread of the agent raised {error!r}"))
        else:
            future.set_exception(error)

    def _wait(self) -> None:
        self._baton_back.acquire()
        if self._over and self._ended is not None:
            self._ended()

    # --- on the lane's own thread -----------------------------------------------------------------

    def park(self) -> object:
        """Give the baton back and wait for it.

        Raises:
            BaseException: the signal that ended the session meanwhile.
        """
        self._baton_back.release()
        while True:
            kind, value = self._messages.get()
            if kind == "perform":
                value()
                self._performing = False
            elif kind == "resume":
                return value
            else:
                raise value

    def _run(self) -> None:
        _here.lane = self
        try:
            self._result = self._context.run(self._function)
        except BaseException as error:  # it is the future's outcome
            self._error = error
        self._over = True
        self._baton_back.release()
