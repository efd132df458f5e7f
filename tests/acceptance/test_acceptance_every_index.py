"""Every shape is crashed at every append and goes on as if nothing had happened (P2, P3, P4, P6)."""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING

import pytest

from acceptance.ledger import LEDGER
from acceptance.shapes import SHAPES
from golem_sdk.core.plan import fold_plan
from golem_sdk.core.status import fold_status
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import End, drive, visible

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

UNLOADING = [pytest.param(0.0, id="unloaded-at-every-wait"), pytest.param(1e6, id="kept-in-memory")]

ORDERED = {"sync-writes", "constructor-raises", "chain", "exceptions", "timers", "heavy", "stream"}
"""Shapes in which nothing races: their oplogs are equal entry by entry."""

DOUBLE_CRASHES = 60


@cache
def never_crashed(name: str, suspend_after_s: float) -> tuple[End, Counter[tuple[str, str]]]:
    LEDGER.clear()
    end = drive(SHAPES[name], suspend_after_s=suspend_after_s)
    assert LEDGER.broken == []
    return end, LEDGER.effects.copy()


def check(name: str, suspend_after_s: float, points: Sequence[CrashPoint]) -> None:
    expected, effects = never_crashed(name, suspend_after_s)
    LEDGER.clear()
    end = drive(SHAPES[name], points, suspend_after_s=suspend_after_s)
    assert end.results == expected.results, "P2: results"
    assert LEDGER.broken == [], "P4"
    assert set(LEDGER.effects) == set(effects), "P3: every effect, under its own key, and no other"
    for effect, times in LEDGER.effects.items():
        assert times <= effects[effect] * (1 + end.crashes), f"P3: {effect} {times} times"
    for agent_id, oplog in end.oplogs.items():
        fold_plan(oplog)  # L1, L2, R1, R2
        record = fold_status(oplog)
        assert record.last == len(oplog), "S1"
        if name in ORDERED:
            assert visible(oplog) == visible(expected.oplogs[agent_id]), "P2: oplog"


@pytest.mark.parametrize("suspend_after_s", UNLOADING)
@pytest.mark.parametrize("name", SHAPES)
def test_crash_at_every_index(name: str, suspend_after_s: float) -> None:
    expected, _ = never_crashed(name, suspend_after_s)
    for append in range(1, expected.appends + 1):
        for moment in CrashMoment:
            check(name, suspend_after_s, [CrashPoint(append, moment)])


@pytest.mark.parametrize("suspend_after_s", UNLOADING)
@pytest.mark.parametrize("name", SHAPES)
def test_crash_again_during_recovery(
    name: str, suspend_after_s: float, fuzz_scale: int, fuzz_seed: int
) -> None:
    expected, _ = never_crashed(name, suspend_after_s)
    draw = random.Random(f"{fuzz_seed} {name} {suspend_after_s}")
    for _ in range(DOUBLE_CRASHES * fuzz_scale):
        points = [
            CrashPoint(draw.randint(1, expected.appends), draw.choice(list(CrashMoment)))
            for _ in range(draw.randint(2, 4))
        ]
        check(name, suspend_after_s, points)
