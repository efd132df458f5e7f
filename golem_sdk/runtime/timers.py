"""Timers: a heap of due times, and the one thread that fires them."""

from __future__ import annotations

import heapq
import logging
from itertools import count
from threading import Condition, Thread
from typing import TYPE_CHECKING

from golem_sdk import originals

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AGAIN_NS", "Timer", "TimerHeap", "TimerThread"]

_log = logging.getLogger("golem_sdk")

AGAIN_NS = 1_000_000_000
"""What the system refused (a new thread, mostly) is tried again after this."""

_FEW = 64


class Timer:
    """An armed timer; ``cancel`` keeps it from firing if it has not fired yet."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the callback. Idempotent."""
        self.callback = None

    def fire(self) -> None:
        """Run the callback once, unless cancelled. One that raises has not fired."""
        callback = self.callback
        if callback is not None:
            callback()
            self.callback = None


class TimerHeap:
    """Timers in the order of their due times, of equal ones in the order of adding. Not thread-safe.

    Cancelling must not take a lock (garbage collection may cancel anywhere), so nothing is removed then.
    Whenever the heap is twice as large as what was left of it last time, the cancelled ones are thrown out:
    as many timeouts as a program likes cost no more memory than twice those that are armed at one time.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._order = count()
        self._tidy_at = _FEW

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, when_ns: int, timer: Timer) -> None:
        """Arm a timer."""
        if len(self._heap) >= self._tidy_at:
            self._heap = [armed for armed in self._heap if armed[2].callback is not None]
            heapq.heapify(self._heap)
            self._tidy_at = max(_FEW, 2 * len(self._heap))
        heapq.heappush(self._heap, (when_ns, next(self._order), timer))

    def due_ns(self) -> int | None:
        """When the first one that is not cancelled is due, ``None``: there is none."""
        while self._heap and self._heap[0][2].callback is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self) -> Timer:
        """Take out the first one."""
        return heapq.heappop(self._heap)[2]

    def clear(self) -> None:
        """Forget them all."""
        self._heap.clear()


class TimerThread:
    """A heap of due times and one thread, started with the first timer.

    It waits by the monotonic clock but at most a minute at a time, so that a stepped wall clock neither
    loses nor hastens a timer for longer. A timer that raises fires again a second later, and keeps no
    other one from firing.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._heap = TimerHeap()
        self._thread: Thread | None = None
        self._closed = False

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Timer:
        """See `Environment.call_at`."""
        timer = Timer(callback)
        self._arm(when_ns, timer)
        return timer

    def close(self) -> None:
        """No timer fires any more."""
        with self._changed:
            self._closed = True
            self._heap.clear()
            self._changed.notify()

    def _arm(self, when_ns: int, timer: Timer) -> None:
        with self._changed:
            if self._closed:
                return
            first_ns = self._heap.due_ns()
            self._heap.add(when_ns, timer)
            if self._thread is None:
                self._start()
            elif first_ns is None or when_ns < first_ns:
                self._changed.notify()

    def _start(self) -> None:
        thread = Thread(target=self._run, name="golem-timers", daemon=True)
        try:
            originals.start_thread(thread)
        except RuntimeError as error:
            _log.error("timers wait, until the next one is set: %s", error)
        else:
            self._thread = thread

    def _run(self) -> None:
        while (timer := self._next()) is not None:
            try:
                timer.fire()
            except BaseException:  # no signal arrives here; the others must not wait for ever
                _log.exception("a timer failed, it fires again in %s s", AGAIN_NS / 1e9)
                self._arm(originals.time_ns() + AGAIN_NS, timer)

    def _next(self) -> Timer | None:
        with self._changed:
            while not self._closed:
                due_ns = self._heap.due_ns()
                if due_ns is None:
                    self._changed.wait()
                    continue
                left_ns = due_ns - originals.time_ns()
                if left_ns <= 0:
                    return self._heap.pop()
                self._changed.wait(min(60.0, left_ns / 1e9 + 0.0001))
            return None
