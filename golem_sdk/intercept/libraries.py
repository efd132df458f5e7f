"""Clocks of library internals: what a library measures for itself is no decision of the agent.

* *Virtual* modules (HTTP clients, cookie jars, logging, retry helpers) see the timestamp of the last
  delivered entry while agent code runs: no entry is written, and ``response.elapsed`` or a log record's
  time is the same on replay.
* *Real* modules wait with the clock (queues, threads, sockets, event loops): they keep the real one,
  because a virtual clock that stands still would let their time-outs never expire. But where an agent's own
  threads wait for each other, time-outs are durable timers, and the clock is the virtual one.

Outside an agent both follow the `time` module, whatever another tool put there. Only clock readings
differ: ``time.sleep`` in such a module is the intercepted one.

Does not cover: clocks that a library reached through another module, or kept in an object.
"""

from __future__ import annotations

import sys
import time
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.intercept.threads import with_lanes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["LibraryClocks"]

_VIRTUAL = (
    "anthropic._base_client",
    "anthropic._retry",
    "asyncpg",
    "http.cookiejar",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "logging",
    "openai._base_client",
    "redis",
    "requests",
    "sqlalchemy",
    "tenacity",
    "urllib3",
)
_REAL = (
    "asyncio",
    "concurrent.futures",
    "multiprocessing",
    "queue",
    "selectors",
    "socket",
    "ssl",
    "subprocess",
    "threading",
)
_UNITS_PER_SECOND = 1e9


def _those_in(packages: Iterable[str]) -> Callable[[str], bool]:
    """Whether the module with a name is one of these, or inside one. Asked of every module there is."""
    prefixes = tuple(f"{package}." for package in packages)
    return lambda name: f"{name}.".startswith(prefixes)


_is_virtual = _those_in(_VIRTUAL)
_has_own_clock = _those_in(_VIRTUAL + _REAL)


class _ClockModule(ModuleType):
    """Stands where a library has ``import time``; everything but clock readings is `time`'s own."""

    def __init__(self, readings: Mapping[str, Callable[[], Any]]) -> None:
        super().__init__("time", time.__doc__)
        vars(self).update(readings)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class LibraryClocks:
    """Puts the clocks into modules that are there, and into those that are imported later.

    Args:
        readings: the intercepted functions of `time` that only read a clock: name -> original.
    """

    def __init__(self, readings: Mapping[str, Callable[[], Any]]) -> None:
        virtual = {name: _virtual(name) for name in readings}
        real = {name: _real(name, original) for name, original in readings.items()}
        self._virtual = virtual, _ClockModule(virtual)
        self._real = real, _ClockModule(real)
        self._originals = readings

    def fit_all(self) -> None:
        """Give every listed module that is imported its clock."""
        clocks = [self._new_of(is_virtual) for is_virtual in (False, True)]
        for name in filter(_has_own_clock, list(sys.modules)):
            _fit(name, clocks[_is_virtual(name)])

    def fit(self, name: str) -> None:
        """Give this module its clock, if it is listed and imported."""
        if _has_own_clock(name):
            _fit(name, self._new_of(_is_virtual(name)))

    def _new_of(self, is_virtual: bool) -> dict[int, Any]:
        """The clocks of such modules by the ids of what is there."""
        readings, module = self._virtual if is_virtual else self._real
        new_of: dict[int, Any] = {
            id(original): readings[key] for key, original in self._originals.items()
        }
        new_of |= {id(vars(time)[key]): reading for key, reading in readings.items()}
        new_of[id(time)] = module
        return new_of

    def pairs(self) -> list[tuple[Any, Any]]:
        """``(ours, original)`` of everything that was put somewhere, for the way back."""
        back: list[tuple[Any, Any]] = []
        for readings, module in (self._virtual, self._real):
            back += [(reading, self._originals[key]) for key, reading in readings.items()]
            back.append((module, time))
        return back


def _fit(name: str, new_of: Mapping[int, Any]) -> None:
    module = sys.modules.get(name)
    if module is None:  # nobody is to import it
        return
    names = vars(module)
    for key in [key for key, value in names.items() if id(value) in new_of]:
        names[key] = new_of[id(names[key])]


def _virtual(name: str) -> Callable[[], Any]:
    current, virtual_time_ns, names = durability.current, durability.virtual_time_ns, vars(time)
    in_seconds = not name.endswith("_ns")

    def reading() -> Any:
        session = current()
        if session is None:
            return names[name]()
        now_ns = virtual_time_ns(session)
        return now_ns / _UNITS_PER_SECOND if in_seconds else now_ns

    return reading


def _real(name: str, original: Callable[[], Any]) -> Callable[[], Any]:
    current, names = durability.current, vars(time)

    virtual = _virtual(name)

    def reading() -> Any:
        if current() is None:
            return names[name]()
        return virtual() if _waits_with_agent(sys._getframe(1)) else original()

    return reading


def _waits_with_agent(frame: FrameType) -> bool:
    """Whether who asks for the time waits with a lock that agent code has made."""
    if with_lanes() is None:
        return False
    if str(frame.f_globals.get("__name__")).startswith("concurrent.futures."):
        return True
    asking = frame.f_locals.get("self")
    parts = [getattr(asking, name, None) for name in ("_lock", "_cond", "mutex")]
    parts += [getattr(part, "_lock", None) for part in parts]
    return any(map(durability.is_agents_own, parts))
