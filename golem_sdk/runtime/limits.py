"""Numbers and times that users give: in range, or an error that says what is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from golem_sdk.errors import UsageError

__all__ = ["agent_count", "due_ns", "patience_s", "received_bytes", "timeout_s"]

_LONGEST_S = 30 * 365 * 86_400
_TOO_LATE = datetime(2500, 1, 1, tzinfo=UTC)
"""Due times are stored as 64 bits of nanoseconds, which end in 2554."""


def patience_s(value: object) -> float:
    """``suspend_after`` of a runtime.

    Raises:
        UsageError: it is out of range.
    """
    if isinstance(value, int | float) and 0 <= value <= _LONGEST_S:
        return value
    raise UsageError(
        f"suspend_after is a number of seconds from 0 to {_LONGEST_S:_} (30 years), not {value!r}"
    )


def agent_count(value: object) -> int:
    """``max_loaded`` of a runtime.

    Raises:
        UsageError: it is out of range.
    """
    if isinstance(value, int) and value >= 1:
        return value
    raise UsageError(f"max_loaded is a whole number of agents from 1, not {value!r}")


def received_bytes(value: object) -> int:
    """``max_received_bytes`` of a runtime.

    Raises:
        UsageError: it is out of range.
    """
    if isinstance(value, int) and value >= 1 and not isinstance(value, bool):
        return value
    raise UsageError(f"max_received_bytes is a whole number of bytes from 1, not {value!r}")


def timeout_s(value: object) -> float | None:
    """How long a caller waits. Infinite is as long as it takes; no time is left of a negative one.

    Raises:
        UsageError: it is not a number.
    """
    if value is None or (isinstance(value, int | float) and value == value):
        return value
    raise UsageError(f"timeout is a number of seconds, or None: as long as it takes; not {value!r}")


def due_ns(at: object, now_ns: int) -> int:
    """When something scheduled is due, nanoseconds since the epoch.

    Raises:
        UsageError: ``at`` is no aware datetime and no timedelta, or too late.
    """
    if isinstance(at, timedelta):
        due = now_ns + max(0, round(at / timedelta(microseconds=1)) * 1000)
    elif isinstance(at, datetime) and at.tzinfo is not None:
        due = max(0, round(at.timestamp() * 1e9))
    else:
        raise UsageError(f"schedule at an aware datetime or after a timedelta, not at {at!r}")
    if due >= _TOO_LATE.timestamp() * 1e9:
        raise UsageError(f"schedule at a time before the year {_TOO_LATE.year}, not at {at!r}")
    return due
