"""Retry policies: the algebra's laws, and what RetryPolicy makes of its fields."""

from __future__ import annotations

from datetime import timedelta
from email.message import Message
from typing import Any, ClassVar
from urllib.error import HTTPError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golem_sdk.core.delays import (
    AddDelay,
    Clamp,
    CountLimit,
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
from golem_sdk.core.http_status import answer_in, wait_s
from golem_sdk.core.predicates import Always, Eq, Nothing
from golem_sdk.core.retry import (
    DEFAULT_POLICY,
    NamedPolicy,
    RetryPolicy,
    choose,
    is_transient,
    step,
)
from golem_sdk.errors import UsageError


def failure(
    error: Exception | None = None, *, elapsed_s: float = 0, region: bool = False, **properties: Any
) -> Failure:
    return Failure(error or ConnectionError(), properties, elapsed_s, region, lambda: 0.5)


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
    assert delays(Clamp(2, 4, Exponential(1, 2)), 4) == [2, 2, 4, 4]
    assert delays(AddDelay(1, Periodic(2)), 1) == [3]
    assert delays(Jitter(0.2, Periodic(10)), 1) == [11]
    assert delays(Then(CountLimit(1, Periodic(1)), CountLimit(2, Periodic(5)))) == [1, 5, 5, None]
    assert delays(Union(CountLimit(1, Periodic(1)), CountLimit(2, Periodic(5)))) == [1, 5, None]
    assert delays(Intersect(CountLimit(1, Periodic(1)), CountLimit(2, Periodic(5)))) == [5, None]
    assert delays(Filtered(Eq("verb", "GET"), Periodic(1)), 1, verb="GET") == [1]
    assert delays(Filtered(Eq("verb", "GET"), Periodic(1)), 1, verb="POST") == [None]


def test_huge_exponents_stay_finite() -> None:
    decision = step(Exponential(10, 10), 10**6, failure())
    assert decision.delay_s is not None
    assert decision.delay_s < 1e10


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


def test_transient_errors() -> None:
    httpx = pytest.importorskip("httpx")
    assert is_transient(httpx.ConnectTimeout("slow"))
    assert is_transient(OSError(113, "no route"))
    assert not is_transient(OSError(2, "no such file"))
    assert not is_transient(httpx.InvalidURL("bad"))


def test_the_first_fitting_policy_by_priority_and_name() -> None:
    low = NamedPolicy("low", Always(), RetryPolicy(), priority=-1)
    second, first = (NamedPolicy(name, Always(), RetryPolicy()) for name in ("b", "a"))
    picky = NamedPolicy("picky", Eq("verb", "GET"), Periodic(1), priority=9)
    everything = (low, second, first, picky)
    assert choose(everything, {"verb": "GET"}) is picky
    assert choose(everything, {}) is first
    assert choose((), {}) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: RetryPolicy(max_attempts=0),
        lambda: RetryPolicy(max_attempts=True),
        lambda: RetryPolicy(min_delay=-1),
        lambda: RetryPolicy(min_delay=2, max_delay=1),
        lambda: RetryPolicy(max_delay=float("nan")),
        lambda: RetryPolicy(multiplier=float("inf")),
        lambda: RetryPolicy(max_jitter_factor="much"),
        lambda: RetryPolicy(retry_on="ValueError"),
        lambda: RetryPolicy(give_up_on=KeyboardInterrupt),
        lambda: CountLimit(-1, Immediate()),
        lambda: Periodic("1 s"),
    ],
    ids=map(str, range(11)),
)
def test_wrong_types_and_ranges_are_refused(make: Any) -> None:
    with pytest.raises(UsageError):
        make()


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


class Response:
    status_code = 429
    headers: ClassVar[dict[str, str]] = {"Retry-After": "3"}


class SdkError(Exception):
    response = Response()


def test_exceptions_of_http_libraries_tell_their_status() -> None:
    answer = answer_in(SdkError())
    assert answer is not None
    assert (answer.status, answer.retry_after) == (429, "3")
    with HTTPError("http://x", 503, "busy", Message(), None) as of_urllib:
        told = answer_in(of_urllib)
    assert told is not None
    assert told.status == 503
    assert answer_in(OSError(13, "no")) is None
    assert answer_in(SystemExit(404)) is None


@pytest.mark.parametrize("wrong", [429, "four", [200], [True], [600], [429.0], None])
def test_wrong_statuses(wrong: Any) -> None:
    with pytest.raises(UsageError, match="retry_on_status"):
        RetryPolicy(retry_on_status=wrong)
