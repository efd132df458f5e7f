"""Locks that agent code makes: who waits for one gives up the baton, so that whoever has it can go on.

Conditions, events, semaphores, barriers, queues and the futures of thread pools are made of locks by Python
itself, so they wait alike. Who waits is handed the lock in the order of asking; the same in every run.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from golem_sdk import originals
from golem_sdk.errors import UsageError
from golem_sdk.runtime.context import current
from golem_sdk.runtime.lanes import current_lane

if TYPE_CHECKING:
    from types import FrameType

    from golem_sdk.runtime.lanes import Waiter
    from golem_sdk.runtime.session import Session

__all__ = ["AgentLock", "AgentRLock", "is_agents_own", "wait"]

_MACHINERY = (
    "threading",
    "queue",
    "concurrent.futures",
    "golem_sdk.runtime",
    "golem_sdk.intercept",
)


class AgentLock:
    """A `threading.Lock`, for which the threads of one agent wait in turn.

    For all others, durable calls of the agent among them, it is a lock as any: they wait with their thread.
    """

    __slots__ = ("__weakref__", "_holder", "_lock", "_place", "_waiters")

    def __init__(self) -> None:
        self._lock = originals.allocate_lock()
        self._holder: Session | None = None  # if agent code has it
        self._place: tuple[str, int] | None = None
        self._waiters: deque[Waiter] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """See `threading.Lock`."""
        session = current()
        if self._lock.acquire(False):
            return self._taken(session)
        if session is None or self._holder is not session or not blocking or 0 > timeout != -1:
            return self._lock.acquire(blocking, timeout) and self._taken(session)
        what = f"a lock that was taken at {_text(self._place)}"
        if not wait(session, self._waiters, None if timeout == -1 else timeout, what):
            return False
        return self._taken(session)  # it was handed over

    def release(self) -> None:
        """See `threading.Lock`."""
        holder, waiters = self._holder, self._waiters
        if waiters and holder is not None and holder.ended is None and self._lock.locked():
            assert holder.pump.loop is not None, "a lane waits"
            holder.pump.loop.check_driven()
            holder.pump.loop.lanes.rouse(waiters[0])
            return
        self._holder = self._place = None
        self._lock.release()

    def locked(self) -> bool:
        """See `threading.Lock`."""
        return self._lock.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        state = "locked" if self.locked() else "unlocked"
        return f"<{state} lock of an agent>"

    def _at_fork_reinit(self) -> None:
        """A forked child has no threads that could have it."""
        self.__init__()  # type: ignore[misc]  # as the original does: it is new

    def _taken(self, session: Session | None) -> bool:
        self._holder = session
        if session is not None:
            self._place = _here(sys._getframe(1))
        return True


class AgentRLock(threading._RLock):  # type: ignore[misc]  # the one that is written in Python
    """A `threading.RLock` that is made of an `AgentLock`."""

    def __init__(self) -> None:
        super().__init__()
        self._block = AgentLock()


def is_agents_own(lock: object) -> bool:
    """Whether agent code has made a lock, so that its threads wait for it in turn."""
    return isinstance(lock, AgentLock | AgentRLock)


def wait(session: Session, queue: deque[Waiter], timeout_s: float | None, what: str) -> bool:
    """Have agent code wait in a queue until another thread of the agent rouses it.

    Returns:
        Whether it was roused: ``False`` if the time was up first.

    Raises:
        UsageError: that would block the agent for ever.
    """
    session.check()
    lane = current_lane()
    text = f"{threading.current_thread().name} waits at {_text(_here(sys._getframe(1)))} for {what}"
    if lane is not None:
        return session.pump.open_loop().lanes.wait(lane, queue, timeout_s, text)
    if session.pump.is_running:
        raise UsageError(
            f"A task of the agent would block its event loop: {text}. While it blocks, nothing of the agent"
            " can go on. Await an asyncio.Lock, Event or Queue, asyncio.wrap_future(...) of a future, or"
            " asyncio.to_thread(...) around what blocks"
        )
    if timeout_s is None:
        raise UsageError(
            f"An agent would wait for ever: {text}. No other thread of the agent is there to end it. What"
            " waits for threads of the outside belongs into a function decorated with @durable"
        )
    session.sleep(timeout_s)
    return False


def _here(frame: FrameType | None) -> tuple[str, int] | None:
    """File and line of the innermost code that is no machinery of threads."""
    while frame is not None:
        if not str(frame.f_globals.get("__name__")).startswith(_MACHINERY):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None


def _text(place: Any) -> str:
    return "an unknown line" if place is None else f"{place[0]}:{place[1]}"
