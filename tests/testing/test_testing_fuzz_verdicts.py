"""Each kind of fault has its verdict: the rules, on values."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from golem_sdk.codec.values import encode
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import DivergenceError, UsageError
from golem_sdk.testing.observations import Failure, Observed, Outcome, Performance, Unjournaled
from golem_sdk.testing.schedules import (
    CrashAt,
    Moment,
    Row,
    first_pairs,
    parse_schedule,
    random_schedules,
    schedule_text,
    second_points,
    single_points,
    spread,
)
from golem_sdk.testing.states import state_of
from golem_sdk.testing.verdicts import Cause, Verdict, judge


def write(what: object, key: str, **changes: Any) -> Performance:
    effect = Performance("a", "pay", FunctionType.WRITE_REMOTE, encode([[what], {}]), key)
    return evolve(effect, **changes)


def value(result: object) -> Outcome:
    return Outcome("value", encode(result))


READ = evolve(write("price", "k0"), name="look", function_type=int(FunctionType.READ_REMOTE))
CLOCK = evolve(write(None, "k9"), name="time.time", function_type=int(FunctionType.READ_LOCAL))
PAY, SHIP = write(1, "k1"), write(2, "k2")
STATE = {"a": {"items": encode([1])}}
CALM = Observed((value("done"),), STATE, (READ, PAY, CLOCK, SHIP))
PRINTED = Unjournaled("socket.sendto", "8080", "a.py:1")
DIVERGED = Failure("a", DivergenceError.__name__, "diverged at 4\n  attempted: x at a.py:7 in f()")
UNKNOWN = Failure("a", "UnknownOutcomeError", "nobody knows")


def end(*performed: Performance, crashes: int = 1, **changes: Any) -> Observed:
    return evolve(CALM, performed=performed or CALM.performed, crashes=crashes, **changes)


@pytest.mark.parametrize(
    ("ended", "verdict", "cause"),
    [
        pytest.param(end(), Verdict.SAME, Cause.NONE, id="same"),
        pytest.param(end(READ, READ, PAY, SHIP), Verdict.SAME, Cause.NONE, id="read-again"),
        pytest.param(end(READ, PAY, SHIP), Verdict.SAME, Cause.NONE, id="no-clock"),
        pytest.param(end(READ, PAY, PAY, SHIP), Verdict.AGAIN, Cause.NONE, id="again"),
        pytest.param(end(crashes=0), Verdict.UNREACHED, Cause.NONE, id="no-crash"),
        pytest.param(
            end(READ, PAY, PAY, PAY, SHIP), Verdict.REPEATED, Cause.TOO_OFTEN, id="too-often"
        ),
        pytest.param(
            end(READ, *[write(1, "k1", announced=True)] * 2, SHIP),
            Verdict.REPEATED,
            Cause.TOO_OFTEN,
            id="announced-write-again",
        ),
        pytest.param(
            end(READ, PAY, write(1, "k7"), SHIP), Verdict.REPEATED, Cause.OTHER_KEY, id="other-key"
        ),
        pytest.param(
            end(READ, PAY, write(5, "k1"), SHIP),
            Verdict.REPEATED,
            Cause.OTHER_REQUEST,
            id="other-request",
        ),
        pytest.param(
            end(READ, write(7, "k1"), SHIP), Verdict.DIVERGED, Cause.OTHER_CALLS, id="other-call"
        ),
        pytest.param(
            end(READ, PAY, SHIP, write(7, "k5")), Verdict.DIVERGED, Cause.OTHER_CALLS, id="one-more"
        ),
        pytest.param(end(READ, PAY), Verdict.LOST, Cause.MISSING, id="write-lost"),
        pytest.param(end(PAY, SHIP), Verdict.DIVERGED, Cause.MISSING, id="read-missing"),
        pytest.param(
            end(outcomes=(value("other"),)), Verdict.DIVERGED, Cause.OTHER_RESULT, id="result"
        ),
        pytest.param(end(outcomes=()), Verdict.LOST, Cause.NO_END, id="no-result"),
        pytest.param(
            end(states={"a": {"items": encode([2])}}),
            Verdict.DIVERGED,
            Cause.OTHER_STATE,
            id="state",
        ),
        pytest.param(end(states={}), Verdict.LOST, Cause.MISSING, id="agent-lost"),
        pytest.param(end(unfinished="60 s"), Verdict.LOST, Cause.NO_END, id="never-ends"),
        pytest.param(end(failures=(DIVERGED,)), Verdict.DIVERGED, Cause.DIVERGENCE, id="diverged"),
        pytest.param(
            end(READ, PAY, failures=(UNKNOWN,)), Verdict.PARKED, Cause.NONE, id="unknown-outcome"
        ),
        pytest.param(
            end(failures=(Failure("a", "StoreCorruptError", "damaged"),)),
            Verdict.LOST,
            Cause.STOPPED,
            id="stopped",
        ),
        pytest.param(
            end(unjournaled=(PRINTED,)), Verdict.REPEATED, Cause.UNJOURNALED, id="unjournaled"
        ),
    ],
)
def test_what_a_run_shows_has_its_verdict(ended: Observed, verdict: Verdict, cause: Cause) -> None:
    judgement = judge(CALM, ended, crashes=1)
    assert (judgement.verdict, judgement.cause) == (verdict, cause)
    assert bool(judgement.reason) == (verdict not in (Verdict.SAME, Verdict.UNREACHED))


def test_what_must_not_be_repeated_is_a_fault_when_it_is() -> None:
    judgement = judge(CALM, end(READ, PAY, PAY, SHIP), once=["pay"])
    assert (judgement.verdict, judgement.cause) == (Verdict.REPEATED, Cause.ONCE)
    assert judge(CALM, end(READ, PAY, PAY, SHIP), once=["other"]).verdict is Verdict.AGAIN


def test_fresh_readings_excuse_other_results_but_not_other_requests_under_one_key() -> None:
    other = end(READ, write(7, "k1"), SHIP, outcomes=(value("other"),), states={})
    assert judge(CALM, other, fresh=True).verdict is Verdict.SAME
    both = end(READ, PAY, write(7, "k1"), SHIP)
    assert judge(CALM, both, fresh=True).cause is Cause.OTHER_REQUEST


def test_a_call_that_was_withdrawn_may_be_missing() -> None:
    calm = evolve(CALM, performed=(PAY, evolve(SHIP, withdrawn=True)))
    assert judge(calm, end(PAY)).verdict is Verdict.SAME


def test_retried_attempts_count_as_often_as_without_crashes() -> None:
    calm = evolve(CALM, performed=(PAY, PAY, PAY))
    assert judge(calm, end(*[PAY] * 6)).verdict is Verdict.AGAIN
    assert judge(calm, end(*[PAY] * 7)).cause is Cause.TOO_OFTEN


def test_errors_are_equal_by_type_and_text() -> None:
    calm = evolve(CALM, outcomes=(Outcome("error", encode(ValueError("no"))),))
    noted = ValueError("no")
    noted.add_note("a note")
    same = end(outcomes=(Outcome("error", encode(noted)),))
    other = end(outcomes=(Outcome("error", encode(KeyError("no"))),))
    assert judge(calm, same).verdict is Verdict.SAME
    assert judge(calm, other).cause is Cause.OTHER_RESULT


# --- the plan -----------------------------------------------------------------------------------------

ROWS = (
    Row("a(1)", 1, "Create", ""),
    Row("a(1)", 2, "write-remote", "", "", 1),
    Row("a(1)", 3, "Completed", ""),
    Row("b(1)", 1, "Create", ""),
)


def test_every_moment_of_every_entry_is_planned() -> None:
    points = single_points(ROWS, "a(1)")
    assert len(points) == 3 + 4 + 3 + 3
    assert len(set(points)) == len(points)
    assert {point.index for point in points if point.moment is Moment.EFFECT} == {2}
    assert [point.agent for point in points[-3:]] == ["b(1)"] * 3


def test_a_recovery_crashes_only_at_what_it_appends() -> None:
    first = CrashAt(3, Moment.LOST)
    seconds = second_points(ROWS, "a(1)", first, 1)
    assert {point.index for point in seconds} == {2, 3}
    assert {point.index for point in first_pairs(seconds)} == {2}
    assert first_pairs(second_points(ROWS, "a(1)", first, 3)) == []


AGENTS = st.one_of(
    st.just(""),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(lambda t: f"A({t!r})"),
)
POINTS = st.builds(CrashAt, st.integers(1, 10**6), st.sampled_from(Moment), AGENTS)


@given(st.lists(POINTS.filter(lambda point: "," not in point.agent), max_size=4).map(tuple))
def test_a_schedule_is_read_as_it_is_written(schedule: tuple[CrashAt, ...]) -> None:
    assert parse_schedule(schedule_text(schedule)) == schedule


def test_an_agent_with_several_arguments_is_one_agent() -> None:
    text = '7:lost@Cart("a", 2),9:before'
    assert parse_schedule(text) == (
        CrashAt(7, Moment.LOST, 'Cart("a", 2)'),
        CrashAt(9, Moment.BEFORE),
    )
    assert schedule_text(parse_schedule(text)) == text


@pytest.mark.parametrize("text", ["", "7", "0:lost", "-1:lost", "x:lost", "7:never", "7:lost,"])
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="INDEX:MOMENT"):
        parse_schedule(text)


@given(st.lists(st.integers(1, 99), unique=True), st.integers(1, 20))
def test_a_spread_is_even_and_ends_at_the_end(indices: list[int], most: int) -> None:
    points = [CrashAt(index, Moment.DURABLE) for index in sorted(indices)]
    chosen = spread(points, most)
    assert len(chosen) == min(most, len(points))
    assert sorted(set(chosen), key=points.index) == chosen
    assert chosen[-1:] == points[-1:]


def test_random_schedules_repeat_themselves() -> None:
    points = single_points(ROWS, "a(1)")
    drawn = list(random_schedules(points, 20, 7))
    assert drawn == list(random_schedules(points, 20, 7))
    assert drawn != list(random_schedules(points, 20, 8))
    assert {len(schedule) for schedule in drawn} == {2, 3, 4}
    assert list(random_schedules([], 20, 7)) == []


# --- states --------------------------------------------------------------------------------


class Wallet:
    __slots__ = ("cents",)

    def __init__(self, cents: int) -> None:
        self.cents = cents


class Holder:
    def __init__(self, cents: int) -> None:
        self.wallet = Wallet(cents)
        self.itself = self
        self.known = {1, 2}
        self.callback = print
        self.several = [Wallet(cents), (Wallet(1),), {"w": Wallet(2)}]


def test_what_cannot_be_stored_counts_by_its_attributes() -> None:
    assert state_of(Holder(1)) == state_of(Holder(1))
    one, two = state_of(Holder(1)), state_of(Holder(2))
    assert {name for name in one if one[name] != two[name]} == {"itself", "several", "wallet"}
