"""Readings of real clocks in a run whose waits take no time: moved ahead by what was not waited."""

from __future__ import annotations

from typing import Any

__all__ = ["shifted"]

_SECONDS = frozenset(
    f"time.{name}"
    for name in (
        "time",
        "monotonic",
        "perf_counter",
        "clock_gettime",
        "localtime",
        "gmtime",
        "ctime",
        "asctime",
        "strftime",
    )
)
_NANOSECONDS = frozenset(
    f"time.{name}" for name in ("time_ns", "monotonic_ns", "perf_counter_ns", "clock_gettime_ns")
)
_HALF_MICROSECONDS = frozenset({"datetime.now", "datetime.utcnow"})
"""The wall clock as `golem_sdk.intercept.dates` records it: microseconds, times two, plus the fold."""


def shifted(name: str, value: Any, skipped_ns: int) -> Any:
    """A reading of the clock ``name``, ``skipped_ns`` later; any other value as it is."""
    if not skipped_ns or not isinstance(value, int | float):
        return value
    if name in _SECONDS:
        return value + skipped_ns / 1e9
    if name in _NANOSECONDS:
        return value + skipped_ns
    if name in _HALF_MICROSECONDS:
        return value + skipped_ns // 1000 * 2
    return value
