"""What a run has shown, and which promises that breaks: pure functions over values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from golem_sdk.core.entries import Entry, OplogIndex
from golem_sdk.core.status import StatusRecord
from golem_sdk.testing import checkers
from golem_sdk.testing.checkers import Append, Observation, Performance, Told
from golem_sdk.testing.driver import visible
from golem_sdk.testing.states import States

__all__ = ["Evidence", "Notes", "broken_oplogs", "violations"]


@frozen
class Notes:
    """What was seen while a run went on, over all its lives.

    Attributes:
        performances: every remote call that was performed, under its own name and key.
        readings: the same of local ones.
        observations: what agent code said it saw.
        told: what callers were told.
        appends: what was committed to oplogs.
    """

    performances: list[Performance] = field(factory=list)
    readings: list[Performance] = field(factory=list)
    observations: list[Observation] = field(factory=list)
    told: list[Told] = field(factory=list)
    appends: list[Append] = field(factory=list)


@frozen
class Evidence:
    """What a run with all its lives has shown.

    Attributes:
        results: what each call from outside gave, by its number.
        states: every class agent's attributes, encoded, as they were when all was done.
        replayed: the same after every agent was unloaded and replayed.
        oplogs: every agent's entries with their indices.
        heads: every agent's stored status.
        notes: what was seen while it went on.
        crashes: how many lives ended in a crash.
        written: how much the last replay has appended to oplogs.
    """

    results: Mapping[str, Any]
    states: States
    replayed: States
    oplogs: Mapping[str, Sequence[tuple[OplogIndex, Entry]]]
    heads: Mapping[str, StatusRecord]
    notes: Notes
    crashes: int
    written: int


def violations(calm: Evidence, end: Evidence, *, ordered: bool = False) -> list[str]:
    """Which promises a run has broken, by their numbers.

    Args:
        calm: the run without crashes: it says what should have been.
        end: the run in question.
        ordered: nothing races in it: the oplogs must be equal entry by entry.
    """
    times = Counter(performance.name for performance in calm.notes.performances)
    notes = end.notes
    found = broken_oplogs(end.oplogs, end.heads)
    found += checkers.check_p1([*notes.performances, *notes.readings])
    if end.written:
        found.append(f"P1: replay has appended {end.written} chunks of entries")
    found += checkers.check_p2(calm.results, end.results)
    found += checkers.check_p2(calm.states, end.states)
    found += checkers.check_p2(end.states, end.replayed)
    if ordered:
        found += checkers.check_p2(
            *({a: visible(o) for a, o in e.oplogs.items()} for e in (calm, end))
        )
    found += checkers.check_p3(
        times,
        notes.performances,
        crashes=end.crashes,
        again={name: count - 1 for name, count in times.items()},
    )
    found += checkers.check_p4(notes.performances, notes.told)
    found += checkers.check_p5(notes.observations)
    found += checkers.check_p6(notes.observations)
    found += checkers.check_c1(notes.appends)
    found += checkers.check_x1(notes.appends)
    return found


def broken_oplogs(
    oplogs: Mapping[str, Sequence[tuple[OplogIndex, Entry]]], heads: Mapping[str, StatusRecord]
) -> list[str]:
    """What is wrong with every agent's oplog, and with its stored status, by itself (L1 L2 R1 R2 S1 S2)."""
    found = []
    for agent, oplog in oplogs.items():
        of_one = (
            *checkers.check_l1(oplog),
            *checkers.check_l2(oplog),
            *checkers.check_r1(oplog),
            *checkers.check_r2(oplog),
            *checkers.check_s1(oplog, heads[agent]),
            *checkers.check_s2(oplog),
        )
        found += [f"{violation} (agent {agent})" for violation in of_one]
    return found
