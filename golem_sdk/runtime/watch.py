"""Tells of agent code that stands still while threads of its agent wait.

Locks that agent code makes are no such case: their waits pass the turn on. But who waits for a lock that was
made outside agents keeps the turn; and if a thread of the agent has it, in a durable call, none ever goes on.
That cannot be told apart from a lock that another agent has for long, so nothing is done but to say it.
"""

from __future__ import annotations

import logging
import sys
import threading
from contextvars import Context
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from golem_sdk import originals
from golem_sdk.runtime.sites import user_line

if TYPE_CHECKING:
    from types import FrameType

    from golem_sdk.runtime.crews import Lanes

__all__ = ["watch"]

_PERIOD_S = 5.0
"""How long code stands still before that is told, at least; at most twice that."""

_WAITS = ("golem_sdk.intercept.locks", "golem_sdk.intercept.threads")
"""Modules of the SDK in which code may stand still that waits for what was made outside."""

_ENTRANCES = frozenset(
    f"golem_sdk.runtime.{name}" for name in ("execution", "lanes", "loop", "threads")
)
"""Modules of the SDK that call agent code."""

_log = logging.getLogger("golem_sdk")


class _Watch:
    """One thread for all agents of the process that have threads, as long as there are any."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        # Weak: an agent that has ended meanwhile is not kept in memory for the rest of the period.
        self._watched: WeakKeyDictionary[Lanes, tuple[object, ...]] = WeakKeyDictionary()
        self._told: set[str] = set()
        self._is_running = False

    def begin(self, lanes: Lanes) -> None:
        """Watch an agent until it has no threads left."""
        with self._mutex:
            self._watched.setdefault(lanes, ())
            starts, self._is_running = not self._is_running, True
        if starts:
            Context().run(self._start)

    def _start(self) -> None:
        # Not by a name of this module: a simulation, which has no part of it, would take it over.
        thread = threading.Thread(target=self._run, name="golem-watch", daemon=True)
        thread.start()

    def _run(self) -> None:
        while self._look_at_all():
            pass

    def _look_at_all(self) -> bool:
        """Wait for a period and look at everybody; whether anybody is left."""
        originals.sleep(_PERIOD_S)
        with self._mutex:
            watched = [(lanes, at) for lanes, at in self._watched.items() if len(lanes)]
            self._watched = WeakKeyDictionary(watched)
            self._is_running = bool(watched)
        for lanes, before in watched:
            self._watched[lanes] = self._look(lanes, before)
        return bool(watched)

    def _look(self, lanes: Lanes, before: tuple[object, ...]) -> tuple[object, ...]:
        """Where the agent's code is, after a look at whether it was there before."""
        frame = sys._current_frames().get(lanes.baton.holder or 0)
        if frame is None or not _is_agent_code(frame):
            return ()
        now = (id(frame), frame.f_lasti, lanes.baton.turns)
        if now == before:
            self._tell(lanes, user_line(frame))
        return now

    def _tell(self, lanes: Lanes, place: str) -> None:
        waiting = lanes.waiting_at()
        if not waiting or place in self._told:
            return
        self._told.add(place)
        _log.warning(
            "An agent's code stands still at %s, and threads of the agent wait for it to go on: at %s. If it"
            " waits for a lock that one of them has, that is for ever. Then let agent code make the lock (not"
            " the top of a module), or give it back before durable calls. If it waits for a"
            " queue.SimpleQueue (aiosqlite does), use a queue.Queue, which lets the others go on. If it waits"
            " for the outside, put that into a function decorated with @durable.",
            place,
            ", ".join(waiting),
        )


def _is_agent_code(frame: FrameType) -> bool:
    """Whether code runs past every durable call, and the SDK's own."""
    at: FrameType | None = frame
    while at is not None:
        name = str(at.f_globals.get("__name__"))
        if name.startswith("golem_sdk.") and name not in _WAITS:
            return name in _ENTRANCES and at is not frame
        at = at.f_back
    return False


_watch = _Watch()


def watch(lanes: Lanes) -> None:
    """Have an agent watched until it has no threads left."""
    _watch.begin(lanes)
