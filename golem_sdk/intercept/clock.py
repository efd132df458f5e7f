"""Clock readings and waits of agent code: the `time` and `datetime` modules.

Covers: time, time_ns, monotonic(_ns), perf_counter(_ns), process_time(_ns), thread_time(_ns),
clock_gettime(_ns); localtime, gmtime, ctime, asctime and strftime where they mean "now"; sleep;
datetime.now, datetime.utcnow (subclasses too), datetime.today and date.today. Every reading is recorded
exactly, and on replay the recorded one is returned.

Does not cover: `asyncio.sleep` and loop timers (the agent's loop does), `os.times`, times of files,
the local time zone where a reading is converted later (``datetime.fromtimestamp(t)``: run with the
same ``TZ``), and clocks of compiled libraries.
"""

from __future__ import annotations

import operator
import time
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Any

from golem_sdk import durability, originals
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.patching import Patch, replacement_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import MethodType, ModuleType

__all__ = ["READINGS", "time_patches"]

READINGS = (
    "time",
    "time_ns",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
    "process_time",
    "process_time_ns",
    "thread_time",
    "thread_time_ns",
)
_LOCAL = FunctionType.READ_LOCAL


def time_patches(module: ModuleType) -> list[Patch]:
    """The patches of the `time` module."""

    def patch(name: str, make: Callable[[Any], MethodType]) -> Patch:
        return Patch(module, name, make, spread=True)

    return [
        *(patch(name, _reading(name)) for name in READINGS),
        *(patch(name, _of_clock(name)) for name in ("clock_gettime", "clock_gettime_ns")),
        *(patch(name, _of_now(name)) for name in ("localtime", "gmtime", "ctime")),
        patch("asctime", _asctime),
        patch("strftime", _strftime),
        patch("sleep", _sleep),
    ]


def _reading(name: str) -> Callable[[Any], MethodType]:
    def make(original: Callable[[], Any]) -> MethodType:
        nearby, current, call = durability.nearby, durability.current, durability.durable_call
        read, virtual, qualified = durability.reading, _virtual(name), f"time.{name}"

        def reading(_home: object) -> Any:
            if nearby() is None or (session := current()) is None:
                return original()
            return call(session, qualified, _LOCAL, None, read(session, original, virtual))

        return replacement_of(original, reading, "time")

    return make


def _of_clock(name: str) -> Callable[[Any], MethodType]:
    def make(original: Callable[[int], Any]) -> MethodType:
        def reading(_home: object, clock: int, /) -> Any:
            session = durability.current()
            if session is None:
                return original(clock)
            read = durability.reading(session, lambda: original(clock), _virtual(name))
            return durability.durable_call(session, f"time.{name}", _LOCAL, int(clock), read)

        return replacement_of(original, reading, "time")

    return make


def _now(session: Any, name: str) -> float:
    """The recorded time of day, in seconds."""
    read = durability.reading(session, _seconds, _seconds_of)
    return durability.durable_call(session, f"time.{name}", _LOCAL, None, read)


def _seconds() -> float:
    return originals.time_ns() / 1e9


def _virtual(name: str) -> Callable[[durability.Source], Any]:
    """What the function gives when the time is simulated: all clocks begin with 1970 then."""
    return _nanoseconds_of if name.endswith("_ns") else _seconds_of


def _seconds_of(source: durability.Source) -> float:
    return source.now_ns() / 1e9


def _nanoseconds_of(source: durability.Source) -> int:
    return source.now_ns()


def _of_now(name: str) -> Callable[[Any], MethodType]:
    def make(original: Callable[[float | None], Any]) -> MethodType:
        def convert(_home: object, seconds: float | None = None, /) -> Any:
            if seconds is None and (session := durability.current()) is not None:
                seconds = _now(session, name)
            return original(seconds)

        return replacement_of(original, convert, "time")

    return make


def _asctime(original: Callable[..., str]) -> MethodType:
    local = time.localtime

    def asctime(_home: object, /, *moment: Any) -> str:
        if not moment and (session := durability.current()) is not None:
            moment = (local(_now(session, "asctime")),)
        return original(*moment)

    return replacement_of(original, asctime, "time")


def _strftime(original: Callable[..., str]) -> MethodType:
    local = time.localtime

    def strftime(_home: object, pattern: str, /, *moment: Any) -> str:
        if not moment and (session := durability.current()) is not None:
            moment = (local(_now(session, "strftime")),)
        return original(pattern, *moment)

    return replacement_of(original, strftime, "time")


def _sleep(original: Callable[[float], None]) -> MethodType:
    def sleep(_home: object, seconds: Any, /) -> None:
        session = durability.current()
        if session is None:
            original(seconds)
            return
        delay_s = float(seconds if isinstance(seconds, float) else operator.index(seconds))
        if not delay_s >= 0:
            raise ValueError(f"time.sleep({seconds!r}): the length must not be negative")
        if delay_s > TIMEOUT_MAX:
            raise OverflowError(f"time.sleep({seconds!r}): the length is at most {TIMEOUT_MAX} s")
        durability.sleep(session, delay_s)

    return replacement_of(original, sleep, "time")
