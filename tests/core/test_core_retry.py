"""Retry policies: the algebra's laws, and what RetryPolicy makes of its fields."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from golem_sdk.core.delays import (
    LONGEST_DELAY_S,
    AddDelay,
    Clamp,
    CountLimit,
    Decision,
    Exponential,
    Failure,
    Fibonacci,
    Filtered,
    Immediate,
    Intersect,
    Jitter,
    Never,
    Periodic,
    Policy,
    Then,
    TimeLimit,
    Union,
)
from golem_sdk.core.http_status import HttpStatusError, wait_s
from golem_sdk.core.predicates import Always, Eq, Nothing, Or
from golem_sdk.core.retry import (
    DEFAULT_POLICY,
    NamedPolicy,
    RetryPolicy,
    choose,
    step,
    until_decided,
)


def failure(
    error: Exception | None = None,
    *,
    elapsed_s: float = 0,
    region: bool = False,
    least_delay_s: float = 0,
    **properties: Any,
) -> Failure:
    return Failure(
        error or ConnectionError(),
        properties,
        elapsed_s,
        region,
        lambda: 0.5,
        least_delay_s=least_delay_s,
    )


def delays(policy: Policy | RetryPolicy, most: int = 8, **given: Any) -> list[float | None]:
    """The decisions after one failure after the other, up to giving up; a policy's waits pass."""
    found: list[float | None] = []
    state, elapsed_s = None, 0.0
    for _ in range(most):
        decision = step(policy, state, failure(elapsed_s=elapsed_s, **given))
        state = decision.state
        found.append(decision.delay_s)
        if decision.delay_s is None:
            break
        elapsed_s += decision.delay_s
    return found


_seconds = st.floats(0, 1e6)
_policies: st.SearchStrategy[Policy] = st.recursive(
    st.one_of(
        st.builds(Periodic, _seconds),
        st.builds(Exponential, _seconds, st.floats(0, 10)),
        st.builds(Fibonacci, _seconds, _seconds),
        st.just(Immediate()),
        st.just(Never()),
    ),
    lambda inner: st.one_of(
        st.builds(CountLimit, st.integers(0, 5), inner),
        st.builds(TimeLimit, _seconds, inner),
        st.builds(AddDelay, _seconds, inner),
        st.builds(Jitter, st.floats(0, 2), inner),
        st.builds(lambda p: Clamp(1, 9, p), inner),
        st.builds(Filtered, st.sampled_from([Always(), Nothing()]), inner),
        st.builds(Then, inner, inner),
        st.builds(Union, inner, inner),
        st.builds(Intersect, inner, inner),
    ),
    max_leaves=6,
)


@given(_policies)
def test_a_delay_is_finite_and_not_negative(policy: Policy) -> None:
    assert all(delay is None or 0 <= delay < 1e30 for delay in delays(policy, 12))


@given(
    _policies,
    st.recursive(st.none() | st.integers() | st.booleans(), lambda s: st.lists(s, max_size=3)),
)
def test_a_state_of_another_policy_starts_anew(policy: Policy, state: Any) -> None:
    step(policy, state, failure())


@given(_policies)
def test_what_is_remembered_can_be_stored_and_read_again(policy: Policy) -> None:
    def stored(state: Any) -> Any:
        return [stored(each) for each in state] if isinstance(state, tuple) else state

    first = step(policy, None, failure())
    assert step(policy, stored(first.state), failure()) == step(policy, first.state, failure())


@given(_policies, st.integers(0, 4))
def test_a_count_limit_limits_the_count(policy: Policy, most: int) -> None:
    assert sum(delay is not None for delay in delays(CountLimit(most, policy), 9)) <= most


def test_each_node() -> None:
    assert delays(Periodic(2), 3) == [2, 2, 2]
    assert delays(Exponential(1, 3), 4) == [1, 3, 9, 27]
    assert delays(Fibonacci(1, 2), 5) == [1, 2, 3, 5, 8]
    assert delays(Immediate(), 2) == [0, 0]
    assert delays(Never()) == [None]
    assert delays(CountLimit(2, Immediate())) == [0, 0, None]
    assert delays(TimeLimit(5, Periodic(2))) == [2, 2, None]
    assert delays(TimeLimit(4, Periodic(2))) == [2, 2, None], "it may begin at the limit"
    assert delays(Clamp(2, 4, Exponential(1, 2)), 4) == [2, 2, 4, 4]
    assert delays(AddDelay(1, Periodic(2)), 1) == [3]
    assert delays(Jitter(0.2, Periodic(10)), 1) == [11]
    assert delays(Then(CountLimit(1, Periodic(1)), CountLimit(2, Periodic(5)))) == [1, 5, 5, None]
    assert delays(Union(CountLimit(1, Periodic(1)), CountLimit(2, Periodic(5)))) == [1, 5, None]
    assert delays(Intersect(CountLimit(1, Periodic(1)), CountLimit(2, Periodic(5)))) == [5, None]
    assert delays(Filtered(Eq("verb", "GET"), Periodic(1)), 1, verb="GET") == [1]
    assert delays(Filtered(Eq("verb", "GET"), Periodic(1)), 1, verb="POST") == [None]


def test_what_need_not_be_said() -> None:
    assert Exponential(1).factor == 2
    assert failure().least_delay_s == 0
    assert delays(Clamp(3, 3, Immediate()), 1) == [3]
    assert LONGEST_DELAY_S == 316_224_000, "ten years, leap days included"


def test_huge_exponents_stay_finite() -> None:
    decision = step(Exponential(10, 10), 10**6, failure())
    assert decision.delay_s is not None
    assert decision.delay_s < 1e10


@pytest.mark.parametrize("policy", [Periodic(1e300), Jitter(1e300, Periodic(1e300))])
def test_no_delay_is_longer_than_the_oplog_can_note(policy: Policy) -> None:
    assert delays(policy, 1) == [LONGEST_DELAY_S]


def test_a_wait_that_a_server_asks_for_is_held_against_a_time_limit() -> None:
    limited = TimeLimit(10, Periodic(1))
    assert delays(limited, 4, least_delay_s=4) == [4, 4, None]
    assert delays(limited, least_delay_s=11) == [None]
    assert delays(TimeLimit(10, Clamp(0, 2, Periodic(1))), least_delay_s=11) == [None]
    assert delays(CountLimit(3, AddDelay(1, limited)), least_delay_s=11) == [None]
    assert delays(Then(limited, CountLimit(1, Periodic(1))), least_delay_s=11) == [11, None]
    assert delays(Union(limited, CountLimit(1, Periodic(2))), least_delay_s=11) == [11, None]
    assert delays(Intersect(limited, Periodic(2)), least_delay_s=11) == [None]


def test_a_wait_that_a_server_asks_for_may_be_longer_than_delays_are_otherwise() -> None:
    assert delays(Clamp(0, 2, Periodic(1)), 1, least_delay_s=11) == [11]
    assert delays(RetryPolicy(max_attempts=2), least_delay_s=11) == [11, None]
    assert delays(RetryPolicy(max_attempts=2), least_delay_s=3600) == [3600, None]
    assert delays(RetryPolicy(max_attempts=2), least_delay_s=3601) == [None]


def test_what_a_policy_says_is_a_truth_value() -> None:
    assert RetryPolicy(give_up_on=ValueError).concerns(failure(ValueError())) is False
    assert DEFAULT_POLICY.concerns(failure(ValueError())) is False
    assert DEFAULT_POLICY.concerns(evolve(failure(TimeoutError()), is_answer=True)) is False


def test_of_a_mere_answer_only_who_asks_for_its_status_is_asked() -> None:
    busy = evolve(failure(HttpStatusError(503)), status=503, is_answer=True)
    assert RetryPolicy(retry_on_status=[503]).concerns(busy) is True
    assert RetryPolicy(retry_on_status=[500]).concerns(busy) is False
    assert RetryPolicy(retry_on_status=[503], give_up_on=HttpStatusError).concerns(busy) is False
    call: dict[str, str | int | bool] = {"verb": "GET", "status-code": 503}
    by_verb = NamedPolicy("by verb", Eq("verb", "GET"), Immediate())
    by_status = NamedPolicy("by status", Eq("status-code", 503), Immediate())
    own = NamedPolicy("own", Eq("verb", "GET"), RetryPolicy(), -1)
    assert choose((by_verb, by_status, own), call, is_answer=True) is by_status
    assert choose((by_verb, own), call, is_answer=True) is own
    assert choose((by_verb,), call, is_answer=True) is None
    assert choose((by_verb,), call) is by_verb
    either = NamedPolicy("either", Or(Eq("verb", "GET"), Eq("status-code", 503)), Immediate())
    assert choose((either,), call, is_answer=True) is None, "it holds whatever the status is"


def test_what_is_undecided_is_asked_for_again_and_again() -> None:
    waits = {1: 0.2, 2: 0.4, 9: 51.2, 10: 60.0, 11: 60.0, 10**9: 60.0}
    assert {attempt: until_decided(attempt) for attempt in waits} == waits


def test_the_default_is_golems() -> None:
    first, second, third = delays(DEFAULT_POLICY)
    assert first == pytest.approx(0.1 * 1.075)
    assert second == pytest.approx(0.3 * 1.075)
    assert third is None


def test_max_attempts_counts_the_first_try() -> None:
    assert delays(RetryPolicy(max_attempts=1)) == [None]
    assert len(delays(RetryPolicy(max_attempts=4))) == 4


def test_delays_may_be_timedeltas() -> None:
    policy = RetryPolicy(min_delay=timedelta(seconds=2), max_delay=timedelta(minutes=1))
    assert (policy.min_delay, policy.max_delay) == (2, 60)


def test_what_is_tried_again() -> None:
    def tried(policy: RetryPolicy, error: Exception, *, region: bool = False) -> bool:
        return step(policy, None, failure(error, region=region)).delay_s is not None

    assert tried(DEFAULT_POLICY, TimeoutError())
    assert not tried(DEFAULT_POLICY, ValueError())
    assert tried(DEFAULT_POLICY, ValueError(), region=True)
    assert not tried(RetryPolicy(give_up_on=ValueError), ValueError(), region=True)
    assert tried(RetryPolicy(retry_on=(KeyError, ValueError)), ValueError())
    assert not tried(RetryPolicy(retry_on=KeyError), TimeoutError())
    assert tried(RetryPolicy(retry_on=lambda error: "later" in str(error)), ValueError("later"))


def fails(error: Exception) -> bool:
    raise LookupError(f"no rule for {error}")


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError


def fails_badly(error: Exception) -> bool:
    raise UnprintableError


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ({"retry_on": fails}, "retry_on failed with LookupError: no rule for down"),
        ({"give_up_on": fails}, "give_up_on failed with LookupError: no rule for down"),
        ({"retry_on": fails_badly}, "retry_on failed with UnprintableError"),
    ],
)
def test_a_function_that_fails_gives_up_and_is_told_of(given: Any, note: str) -> None:
    decision = step(RetryPolicy(**given), (1, 1), failure(TimeoutError("down")))
    assert decision == Decision(None, (1, 1), f"This was not tried again: {note}")


def test_a_function_is_not_asked_of_answers_that_are_results_anyway() -> None:
    policy = RetryPolicy(give_up_on=fails, retry_on_status=[503])
    for status, noted in ((404, False), (503, True)):
        answer = evolve(failure(HttpStatusError(status)), status=status, is_answer=True)
        assert bool(step(policy, None, answer).note) is noted


def test_the_first_fitting_policy_by_priority_and_name() -> None:
    low = NamedPolicy("low", Always(), RetryPolicy(), priority=-1)
    second, first = (NamedPolicy(name, Always(), RetryPolicy()) for name in ("b", "a"))
    picky = NamedPolicy("picky", Eq("verb", "GET"), Periodic(1), priority=9)
    everything = (low, second, first, picky)
    assert choose(everything, {"verb": "GET"}) is picky
    assert choose(everything, {}) is first
    assert choose((), {}) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0.0),
        ("", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("soon", 0.0),
        ("9" * 400, 999_999_999_999.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:05 GMT", 0.0),
        ("Thu, 99 Jan 1970 00:00:05 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float) -> None:
    assert wait_s(header, now_s=10.0) == seconds
