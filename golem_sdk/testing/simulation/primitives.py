"""Locks, threads and queues of a simulation, in the place of those that the runtime's rooms use.

Each behaves as its twin in `threading` or `queue` and hands on the baton where that would block, and now
and then where it would not.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from golem_sdk import originals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from golem_sdk.testing.simulation.baton import Baton, Strand

__all__ = ["TWINS", "rooms", "substituted"]

_ROOMS = (
    "golem_sdk.runtime",
    "golem_sdk.oplog",
    "golem_sdk.stores",
    "golem_sdk.storage.committer",
    "golem_sdk.storage.tickets",
)
"""Whose threads and locks are simulated. The rest holds a lock only for a moment, with the baton."""

_start_thread = originals.start_thread


class _Queueing:
    """Strands that wait for something, woken in an order that the seed decides."""

    def __init__(self, baton: Baton) -> None:
        self._baton = baton
        self._waiting: list[Strand] = []

    def until(self, ready: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until ``ready()``, which is asked whenever somebody calls `ring`; whether it is."""
        baton = self._baton
        end_ns = None if timeout_s is None else baton.now_ns + round(timeout_s * 1e9)
        while not ready():
            left_s = None if end_ns is None else (end_ns - baton.now_ns) / 1e9
            if left_s is not None and left_s <= 0:
                return False
            me = baton.current
            self._waiting.append(me)
            try:
                woken = baton.wait(left_s)
            finally:
                if me in self._waiting:
                    self._waiting.remove(me)
            if not woken and not ready():
                return False
        return True

    def ring(self) -> None:
        """Something has changed: wake one who waits for it."""
        if self._waiting:
            chosen = self._baton.draw.choice(self._waiting)
            self._waiting.remove(chosen)
            self._baton.wake(chosen)

    def ring_all(self) -> None:
        """Wake all."""
        while self._waiting:
            self.ring()


class _Lock:
    """`threading.Lock`: anybody may release it."""

    def __init__(self, baton: Baton) -> None:
        self._baton = baton
        self._queueing = _Queueing(baton)
        self._held = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        self._baton.point()
        if self._held:
            if not blocking:
                return False
            if not self._queueing.until(lambda: not self._held, None if timeout < 0 else timeout):
                return False
        self._held = True
        return True

    def release(self) -> None:
        if not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False
        self._queueing.ring()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()


class _RLock:
    """`threading.RLock`."""

    def __init__(self, baton: Baton) -> None:
        self._baton = baton
        self._queueing = _Queueing(baton)
        self._owner: Strand | None = None
        self._count = 0

    def acquire(self) -> bool:
        self._baton.point()
        if self._owner is not self._baton.current:
            self._queueing.until(lambda: self._owner is None, None)
            self._owner = self._baton.current
        self._count += 1
        return True

    def release(self) -> None:
        if self._owner is not self._baton.current:
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            self._owner = None
            self._queueing.ring()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()


class _Event:
    """`threading.Event`."""

    def __init__(self, baton: Baton) -> None:
        self._queueing = _Queueing(baton)
        self._set = False

    def set(self) -> None:
        self._set = True
        self._queueing.ring_all()

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        return self._queueing.until(lambda: self._set, timeout)


class _Semaphore:
    """`threading.Semaphore`."""

    def __init__(self, baton: Baton, value: int = 1) -> None:
        self._queueing = _Queueing(baton)
        self._value = value

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        if not self._value and (
            not blocking or not self._queueing.until(lambda: self._value > 0, timeout)
        ):
            return False
        self._value -= 1
        return True

    def release(self) -> None:
        self._value += 1
        self._queueing.ring()


class _SimpleQueue:
    """`queue.SimpleQueue`."""

    def __init__(self, baton: Baton) -> None:
        self._queueing = _Queueing(baton)
        self._items: deque[Any] = deque()

    def put(self, item: object) -> None:
        self._items.append(item)
        self._queueing.ring()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if not self._queueing.until(lambda: len(self._items) > 0, timeout if block else 0.0):
            raise queue.Empty
        return self._items.popleft()


class _Thread(threading.Thread):
    """`threading.Thread`, as a strand."""

    def __init__(self, baton: Baton, **options: Any) -> None:
        super().__init__(**options)
        self.daemon = True
        self._baton = baton
        self._strand: Strand | None = None

    def start(self) -> None:
        self._strand = self._baton.thread(self, self.name)
        _start_thread(self)

    def run(self) -> None:
        assert self._strand is not None
        self._baton.begin(self._strand)
        self._baton.guarded(super().run)
        self._baton.end(self._strand)

    def join(self, timeout: float | None = None) -> None:
        strand = self._strand
        if strand is None or not self._baton.is_running:
            super().join(timeout)
        elif not strand.over:
            strand.joiners.append(self._baton.current)
            self._baton.wait(timeout)


TWINS: dict[Any, Callable[..., Any]] = {
    originals.Lock: _Lock,  # agents' have been put in their place, if a runtime was opened before
    originals.RLock: _RLock,
    threading.Event: _Event,
    threading.Semaphore: _Semaphore,
    threading.Thread: _Thread,
    queue.SimpleQueue: _SimpleQueue,
}


class _Maker:
    """In the place of a class or function that makes primitives: twins for strands, else the real ones."""

    def __init__(self, baton: Baton, real: Callable[..., Any]) -> None:
        self._baton = baton
        self._real = real

    def __call__(self, *args: Any, **options: Any) -> Any:
        if self._baton.is_mine():
            return TWINS[self._real](self._baton, *args, **options)
        return self._real(*args, **options)


def _start(baton: Baton, thread: threading.Thread) -> None:
    if isinstance(thread, _Thread) or not baton.is_mine():
        thread.start()
        return
    # One that agent code has made: it is a strand from here on.
    strand, run = baton.thread(thread, thread.name), thread.run

    def as_strand() -> None:
        baton.begin(strand)
        baton.guarded(run)
        baton.end(strand)

    vars(thread)["run"] = as_strand
    _start_thread(thread)


@contextmanager
def substituted(baton: Baton) -> Iterator[None]:
    """Inside this block what the runtime makes of locks, threads and queues belongs to a simulation."""
    kept: list[tuple[Any, str, Any]] = []

    def put(module: Any, name: str, value: Any) -> None:
        kept.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    try:
        for module in rooms():
            for name, value in list(vars(module).items()):
                if any(value is real for real in TWINS):
                    put(module, name, _Maker(baton, value))
        put(originals, "start_thread", lambda thread: _start(baton, thread))
        yield
    finally:
        for module, name, value in reversed(kept):
            setattr(module, name, value)


def rooms() -> list[ModuleType]:
    """The modules whose threads and locks are simulated."""
    return [module for name, module in sorted(sys.modules.items()) if name.startswith(_ROOMS)]
