"""Each checker keeps quiet about what is right, and names its promise when a fault is planted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from golem_sdk.core.entries import (
    BeginAtomicRegion,
    Create,
    EndAtomicRegion,
    Entry,
    ExportedFunctionCompleted,
    ExportedFunctionInvoked,
    Jump,
    Log,
    NoOp,
    OplogRegion,
)
from golem_sdk.core.status import fold_status
from golem_sdk.testing import checkers
from golem_sdk.testing.checkers import Append, Observation, Performance, Told

if TYPE_CHECKING:
    from collections.abc import Callable

CREATE = Create(1, "t", "t(1)", b"", "code", 7, "0", {})


def oplog(*entries: Entry) -> list[tuple[int, Entry]]:
    return list(enumerate((CREATE, *entries), start=1))


BEGIN, NOOP = BeginAtomicRegion(2), NoOp(3)
GOOD = oplog(BEGIN, EndAtomicRegion(3, 2), NOOP, NOOP, Jump(4, OplogRegion(5, 6)))
RUN = oplog(ExportedFunctionInvoked(2, "k", "m", b""), ExportedFunctionCompleted(3, b"", False))
DONE = Performance("w", "key", 1)
TOLD = Told("call", ("result", 1), True)
SEEN = Observation("t(1)", 0, "here", "1")
APPENDS = [Append(b"a", 1, 2, 1, 1), Append(b"b", 1, 1, 1, 1), Append(b"a", 3, 1, 2, 2)]


def unknown(message: str, call: str) -> list[str]:
    told = ("error", "UnknownOutcomeError", ("agent", message, 3, call), None)
    return checkers.check_p3_unknown({"a": ("result", 1)}, {"a": told}, ["pay"])


def p3(*done: Performance, **more: Any) -> list[str]:
    return checkers.check_p3(["w"], done, crashes=1, **more)


CASES: dict[str, tuple[Callable[[], list[str]], list[Callable[[], list[str]]]]] = {
    "L1": (
        lambda: checkers.check_l1(GOOD),
        [
            lambda: checkers.check_l1([GOOD[0], *GOOD[2:]]),
            lambda: checkers.check_l1(oplog(CREATE)),
            lambda: checkers.check_l1([(1, NOOP)]),
        ],
    ),
    "L2": (
        lambda: checkers.check_l2(GOOD),
        [
            lambda: checkers.check_l2(oplog(EndAtomicRegion(2, 1))),
            lambda: checkers.check_l2(oplog(BEGIN, *[EndAtomicRegion(3, 2)] * 2)),
            lambda: checkers.check_l2(
                oplog(BEGIN, Jump(3, OplogRegion(2, 3)), EndAtomicRegion(4, 2))
            ),
        ],
    ),
    "R1": (
        lambda: checkers.check_r1(GOOD),
        [
            lambda: checkers.check_r1(
                oplog(NOOP, NOOP, Jump(4, OplogRegion(3, 4)), Jump(5, OplogRegion(4, 5)))
            )
        ],
    ),
    "R2": (
        lambda: checkers.check_r2(GOOD),
        [lambda: checkers.check_r2(oplog(Jump(2, OplogRegion(1, 2))))],
    ),
    "S1": (
        lambda: checkers.check_s1(RUN, fold_status(RUN)),
        [lambda: checkers.check_s1(RUN, evolve(fold_status(RUN), completed=9))],
    ),
    "S2": (
        lambda: checkers.check_s2(GOOD),
        [lambda: checkers.check_s2(oplog(Log(2, "info", "here", ("not", "text"))))],  # type: ignore[arg-type]  # the planted fault
    ),
    "P1": (
        lambda: checkers.check_p1([DONE]),
        [lambda: checkers.check_p1([evolve(DONE, live=False)])],
    ),
    "P2": (
        lambda: checkers.check_p2({"a": 1}, {"a": 1}),
        [
            lambda: checkers.check_p2({"a": 1}, {"a": 2}),
            lambda: checkers.check_p2({"a": 1}, {}),
            lambda: checkers.check_p2({}, {"a": None}),
        ],
    ),
    "P3": (
        lambda: p3(DONE, evolve(DONE, process=2)) + p3(DONE, DONE, failures={1: 1}),
        [
            p3,
            lambda: p3(DONE, DONE),
            lambda: p3(DONE, DONE, failures={2: 1}),
            lambda: p3(*(evolve(DONE, process=number) for number in range(3))),
            lambda: p3(DONE, evolve(DONE, process=2, key="other")),
            lambda: p3(DONE, evolve(DONE, name="unwanted")),
            lambda: p3(DONE, evolve(DONE, process=2), never_twice=["w"]),
        ],
    ),
    "P3_unknown": (
        lambda: unknown("it is not known: pay() at a.py:1", "pay() at a.py:1"),
        [
            lambda: unknown("it is not known", ""),
            lambda: unknown("it is not known", "pay() at a.py:1"),
            lambda: unknown("it is not known: ship() at a.py:1", "ship() at a.py:1"),
            lambda: checkers.check_p3_unknown({"a": 1}, {"a": ("result", 2)}, ["pay"]),
        ],
    ),
    "P4": (
        lambda: checkers.check_p4([DONE], [TOLD, TOLD]),
        [
            lambda: checkers.check_p4([evolve(DONE, unwritten=1)], []),
            lambda: checkers.check_p4([], [evolve(TOLD, on_disk=False)]),
            lambda: checkers.check_p4([], [TOLD, evolve(TOLD, outcome=("result", 2))]),
        ],
    ),
    "P5": (
        lambda: checkers.check_p5([SEEN, evolve(SEEN, live=False)]),
        [lambda: checkers.check_p5([SEEN, evolve(SEEN, live=False, place="there")])],
    ),
    "P6": (
        lambda: checkers.check_p6(
            [SEEN, evolve(SEEN, look="2"), evolve(SEEN, live=False, look="2")]
        ),
        [lambda: checkers.check_p6([SEEN, evolve(SEEN, live=False, look="2")])],
    ),
    "C1": (
        lambda: checkers.check_c1(APPENDS),
        [lambda: checkers.check_c1(APPENDS[1:]), lambda: checkers.check_c1(APPENDS[::-1])],
    ),
    "X1": (
        lambda: checkers.check_x1(APPENDS),
        [lambda: checkers.check_x1([evolve(APPENDS[0], owner=2)])],
    ),
}


@pytest.mark.parametrize("promise", CASES)
def test_what_is_right_passes(promise: str) -> None:
    right, _ = CASES[promise]
    assert right() == []


@pytest.mark.parametrize("promise", CASES)
def test_a_planted_fault_is_named(promise: str) -> None:
    for fault in CASES[promise][1]:
        found = fault()
        assert found
        number = promise.partition("_")[0]
        assert all(violation.startswith(f"{number}: ") for violation in found)


def test_every_checker_has_its_planted_fault() -> None:
    named = {name.removeprefix("check_") for name in checkers.__all__ if name.startswith("check_")}
    assert named == {promise.lower() for promise in CASES}
