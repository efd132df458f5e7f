"""Each promise has a checker, which the suites ask, and which finds a fault planted in the real code."""

from __future__ import annotations

import inspect
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from golem_sdk.testing import evidence
from promises.runs import Program
from promises.table import PROMISES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from promises.faults import Fault
    from promises.table import Check

pytestmark = pytest.mark.once

TESTS = Path(__file__).parents[1]
NUMBERS = ["L1", "L2", "R1", "R2", *(f"P{number}" for number in range(1, 7))]
NUMBERS += ["S1", "S2", "D1", "D2", "C1", "X1", "K1", "K2"]
PLANTED = [
    pytest.param(number, fault, check, id=f"{number}-{fault.__name__}")
    for number, promise in PROMISES.items()
    for fault, check in promise.planted.items()
]
CHECKS = list(
    dict.fromkeys(check for promise in PROMISES.values() for check in promise.planted.values())
)


def name_of(check: Check) -> str:
    program = getattr(check, "__self__", None)
    return program.name if isinstance(program, Program) else check.__name__


def found(number: str, runs: Iterator[list[str]]) -> list[str]:
    """What the first run breaks of this promise that breaks it."""
    for broken in runs:
        named = [violation for violation in broken if violation.startswith(f"{number}: ")]
        if named:
            return named
    return []


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # crashes and faults are told of in the log


def test_every_promise_is_in_the_table() -> None:
    assert list(PROMISES) == NUMBERS
    assert all(promise.checkers and promise.planted for promise in PROMISES.values())


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_honest_code_keeps_its_promises(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [broken for broken in check(tmp_path, monkeypatch) if broken] == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(("number", "fault", "check"), PLANTED)
def test_a_planted_fault_is_found(
    number: str, fault: Fault, check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "honest").mkdir()
    honest = next(check(tmp_path / "honest", monkeypatch))
    assert honest == []
    fault(monkeypatch)
    (tmp_path / "faulty").mkdir()
    assert found(number, check(tmp_path / "faulty", monkeypatch))


@pytest.mark.parametrize("number", PROMISES)
def test_the_suites_ask_the_checkers(number: str) -> None:
    promise = PROMISES[number]
    asked = set()
    for suite, name in promise.suites.items():
        assert f"{name}(" in (TESTS / suite).read_text(), f"{suite} does not call {name}"
        called = getattr(evidence, name, None)
        asked |= {name} if called is None else called_by(called)
    assert asked >= {checker.__name__ for checker in promise.checkers}


def called_by(function: Callable[..., object]) -> set[str]:
    """The checkers that a function of the evidence calls, itself or by the other one."""
    source = inspect.getsource(function)
    found = set(re.findall(r"checkers\.(check_\w+)\(", source))
    return found | (called_by(evidence.broken_oplogs) if "= broken_oplogs(" in source else set())
