"""Where an agent is crashed: points, schedules of points, and the plan that holds them all. Pure values."""

from __future__ import annotations

import random
from enum import Enum
from typing import TYPE_CHECKING

from attrs import frozen

from golem_sdk.core.entries import OplogIndex
from golem_sdk.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "CrashAt",
    "Moment",
    "Row",
    "Schedule",
    "first_pairs",
    "parse_schedule",
    "random_schedules",
    "schedule_text",
    "second_points",
    "single_points",
    "spread",
]

_MOST_CRASHES = 4
_NONE = "none"


class Moment(Enum):
    """When, around the effect that an oplog entry tells of, the process dies."""

    EFFECT = "before the effect"
    BEFORE = "after the effect, before its entry is appended"
    LOST = "after its entry is appended, which is lost"
    DURABLE = "after its entry is on disk"


@frozen
class Row:
    """One oplog entry of the run without crashes.

    Attributes:
        agent: whose.
        index: its position there.
        kind: the entry's kind in a word; of a durable call its function type.
        text: what happened.
        source: file and line of the call, or empty.
        call: the durable call's number if the entry tells of one, else 0.
        after: the newest earlier entry that tells of a call with this number (0: none): the call is made
            again after an atomic region or a jump.
    """

    agent: str
    index: OplogIndex
    kind: str
    text: str
    source: str = ""
    call: int = 0
    after: OplogIndex = 0

    @property
    def moments(self) -> tuple[Moment, ...]:
        """When there is something to crash: before its effect only what has one."""
        return tuple(Moment) if self.call else tuple(Moment)[1:]


@frozen
class CrashAt:
    """The process dies when an agent's oplog reaches an index.

    Attributes:
        index: of the entry, as ``golem agent oplog`` counts them.
        moment: when, around its effect.
        agent: whose oplog; empty: that of the agent under test.
    """

    index: OplogIndex
    moment: Moment
    agent: str = ""

    def __str__(self) -> str:
        of_agent = f"@{self.agent}" if self.agent else ""
        return f"{self.index}:{self.moment.name.lower()}{of_agent}"


Schedule = tuple[CrashAt, ...]
"""The crash points of the first run, of the first recovery, and so on."""


def schedule_text(schedule: Schedule) -> str:
    """A schedule as it is written on the command line: ``7:lost,9:before``, or ``none``."""
    return ",".join(map(str, schedule)) or _NONE


def parse_schedule(text: str) -> Schedule:
    """The schedule that `schedule_text` wrote.

    Raises:
        UsageError: it is none.
    """
    if text.strip() == _NONE:
        return ()
    return tuple(_parse_point(part) for part in _parts(text))


def _parts(text: str) -> list[str]:
    """Split at commas, but not at those of an agent's id: every point begins with a number."""
    parts: list[str] = []
    for part in text.split(","):
        if parts and not part.lstrip().split(":")[0].isdecimal():
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    return parts


def _parse_point(text: str) -> CrashAt:
    place, _, agent = text.strip().partition("@")
    index, _, moment = place.partition(":")
    try:
        at = int(index)
        if at < 1:
            raise ValueError
        return CrashAt(at, Moment[moment.strip().upper()], agent)
    except (ValueError, KeyError):
        moments = ", ".join(moment.name.lower() for moment in Moment)
        raise UsageError(
            f"{text.strip()!r} is no crash point: write INDEX:MOMENT, as in 7:lost; the moments are {moments}"
        ) from None


def single_points(rows: Iterable[Row], main: str) -> list[CrashAt]:
    """Every moment at every entry; ``main`` is the agent under test."""
    return [
        CrashAt(row.index, moment, "" if row.agent == main else row.agent)
        for row in rows
        for moment in row.moments
    ]


def second_points(
    rows: Iterable[Row], main: str, first: CrashAt, survived: OplogIndex
) -> list[CrashAt]:
    """Where the recovery from a crash at ``first`` can crash again.

    Args:
        rows: the entries of the run without crashes.
        main: the agent under test.
        first: the first crash, of whose agent ``survived`` entries were on disk afterwards.
        survived: so many.
    """
    agent = first.agent or main
    later = (row for row in rows if row.agent == agent and row.index > survived)
    return single_points(later, main)


def first_pairs(second: Sequence[CrashAt]) -> list[CrashAt]:
    """Of `second_points`, those at the first entry that the recovery appends."""
    return [point for point in second if point.index == second[0].index]


def random_schedules(points: Sequence[CrashAt], count: int, seed: int) -> Iterator[Schedule]:
    """``count`` schedules of two to four crashes, in the order of their indices."""
    draw = random.Random(seed)
    for _ in range(count if points else 0):
        drawn = [draw.choice(points) for _ in range(draw.randint(2, _MOST_CRASHES))]
        yield tuple(sorted(drawn, key=lambda point: point.index))


def spread(points: Sequence[CrashAt], most: int) -> list[CrashAt]:
    """At most so many of the points, evenly spread, the last one included."""
    if len(points) <= most:
        return list(points)
    step = len(points) / most
    return [points[-1 - int(number * step)] for number in reversed(range(most))]
