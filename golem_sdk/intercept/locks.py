"""What threads of an agent wait with: locks, and all that Python itself makes of them.

Covers: `threading.Lock` and ``RLock`` that agent code makes, and with them its conditions, events,
semaphores, barriers, queues and futures. A thread that waits lets the others of its agent go on, and goes on
itself in the same order in every run; its time-out is a durable timer.

Does not cover: what was made outside agents (at the top of a module) and `queue.SimpleQueue`: who waits for
these blocks the whole agent.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.intercept.patching import Patch, replacement_of
from golem_sdk.intercept.threads import with_lanes

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["lock_patches"]


def lock_patches(module: ModuleType) -> list[Patch]:
    """The patches of `threading`."""
    return [
        Patch(module, "Lock", _lock, spread=True),
        Patch(module, "RLock", _rlock, spread=True),
        Patch(module.Condition, "wait", _wait),
    ]


def _lock(original: Callable[[], Any]) -> Any:
    if isinstance(original, type):  # since Python 3.13
        return _LockType("lock", (), {"_original": original, "__doc__": original.__doc__})

    def lock(_home: object) -> Any:
        return _made(original)

    return replacement_of(original, lock, "threading")


def _made(original: Callable[[], Any]) -> Any:
    if with_lanes() is None:
        return original()
    caller = sys._getframe(2)
    if caller.f_globals.get("__name__") == "threading" and caller.f_code.co_name == "wait":
        return original()  # in it waits who waits for a condition of the outside
    return durability.AgentLock()


class _LockType(type):
    """A class of which all locks are instances, as `threading.Lock` is one."""

    _original: Any

    def __call__(cls) -> Any:
        return _made(cls._original)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls._original | durability.AgentLock)


def _rlock(original: Callable[..., Any]) -> Any:
    def rlock(_home: object, *args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs) if with_lanes() is None else durability.AgentRLock()

    return replacement_of(original, rlock, "threading")


def _wait(original: Callable[..., bool]) -> Callable[..., bool]:
    @functools.wraps(original)
    def wait(self: Any, timeout: float | None = None) -> bool:
        if with_lanes() is None or not durability.is_agents_own(self._lock):
            return original(self, timeout)
        if not self._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        waiter = durability.AgentLock()
        waiter.acquire()
        self._waiters.append(waiter)
        saved = self._release_save()
        is_notified = False
        try:
            is_notified = waiter.acquire(True, -1 if timeout is None else max(0, timeout))
        finally:
            self._acquire_restore(saved)
            if not is_notified and waiter in self._waiters:
                self._waiters.remove(waiter)
        return is_notified

    return wait
