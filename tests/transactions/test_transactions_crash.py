"""Money is moved exactly once, wherever the agent crashes, in every database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive
from transactions.banks import BANK, pay, pay_async, pay_carefully, pay_together

if TYPE_CHECKING:
    from transactions.banks import Bank

TIMES = 3
LEFT = [490, 470, 440]
MOVED = {"ada": 440, "bob": 60}


def reopen() -> None:
    BANK.open(BANK.bank, BANK.where)


@pytest.mark.parametrize(
    ("target", "result"),
    [
        (pay, [*LEFT, "no bob"]),
        (pay_async, [*LEFT, "no bob"]),
        (pay_carefully, LEFT),
        (pay_together, LEFT),
    ],
    ids=["sync", "async", "never-twice", "region"],
)
def test_p3_exactly_once_wherever_it_crashes(bank: Bank, target: Any, result: list[Any]) -> None:
    if bank.is_async and target is not pay_async:
        target = pay_async
        result = [*LEFT, "no bob"]
    appends = drive([Step(target, (TIMES,))]).appends
    assert BANK.balances() == MOVED
    assert BANK.outcomes() == TIMES
    for append in range(1, appends + 1):
        for moment in CrashMoment:
            reopen()
            end = drive([Step(target, (TIMES,))], [CrashPoint(append, moment)])
            assert end.results == (("result", result),)
            assert BANK.balances() == MOVED, "P3: exactly once"
            assert BANK.outcomes() == TIMES
            committed = BANK.bodies - (1 if "no bob" in result else 0)
            assert TIMES <= committed <= TIMES + 1, "what was committed is not run again"


def test_p3_two_crashes(sqlite: Bank) -> None:
    appends = drive([Step(pay, (TIMES,))]).appends
    for first in range(1, appends + 1):
        for second in range(1, appends + 1, 2):
            reopen()
            points = [
                CrashPoint(first, CrashMoment.BEFORE),
                CrashPoint(second, CrashMoment.LOST),
            ]
            assert drive([Step(pay, (TIMES,))], points).results == (("result", [*LEFT, "no bob"]),)
            assert BANK.balances() == MOVED
