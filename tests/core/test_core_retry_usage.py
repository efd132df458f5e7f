"""What the parts of retry policies refuse, and in which words."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from golem_sdk import policies
from golem_sdk.core.retry import NamedPolicy, RetryPolicy
from golem_sdk.errors import UsageError
from golem_sdk.policies import (
    AddDelay,
    Always,
    And,
    Clamp,
    CountLimit,
    Eq,
    Exists,
    Exponential,
    Fibonacci,
    Filtered,
    Gt,
    Immediate,
    In,
    Intersect,
    Jitter,
    Matches,
    Not,
    Or,
    Periodic,
    Policy,
    Predicate,
    Then,
    TimeLimit,
    Union,
)

NAN, INF = float("nan"), float("inf")
NOW, YES = Immediate(), Always()


@pytest.mark.parametrize(
    ("kind", "given", "parameter"),
    [
        (RetryPolicy, (0,), "max_attempts"),
        (RetryPolicy, (True,), "max_attempts"),
        (RetryPolicy, ("3",), "max_attempts"),
        (RetryPolicy, (3, -1), "min_delay"),
        (RetryPolicy, (3, 2, 1), "min_delay"),
        (RetryPolicy, (3, 0.1, NAN), "max_delay"),
        (RetryPolicy, (3, 0.1, 1, INF), "multiplier"),
        (RetryPolicy, (3, 0.1, 1, 3, "much"), "max_jitter_factor"),
        (RetryPolicy, (3, 0.1, 1, 3, 0, "ValueError"), "retry_on"),
        (RetryPolicy, (3, 0.1, 1, 3, 0, None, KeyboardInterrupt), "give_up_on"),
        (Periodic, ("1 s",), "delay"),
        (Periodic, (-1,), "delay"),
        (Periodic, (NAN,), "delay"),
        (Periodic, (10**400,), "delay"),
        (Periodic, (timedelta(seconds=-1),), "delay"),
        (Periodic, (None,), "delay"),
        (Exponential, (True,), "base"),
        (Exponential, (1, -2), "factor"),
        (Fibonacci, (NAN, 1), "first"),
        (Fibonacci, (1, "1"), "second"),
        (CountLimit, (-1, NOW), "max_retries"),
        (CountLimit, ("3", NOW), "max_retries"),
        (CountLimit, (3.0, NOW), "max_retries"),
        (CountLimit, (3, None), "policy"),
        (CountLimit, (3, Immediate), "policy"),
        (CountLimit, (3, RetryPolicy()), "policy"),
        (TimeLimit, (-1, NOW), "limit"),
        (TimeLimit, (1, 2), "policy"),
        (Clamp, ("0", 1, NOW), "min"),
        (Clamp, (0, INF, NOW), "max"),
        (Clamp, (2, 1, NOW), "min"),
        (Clamp, (0, 1, YES), "policy"),
        (AddDelay, (-1, NOW), "delay"),
        (AddDelay, (1, None), "policy"),
        (Jitter, (NAN, NOW), "factor"),
        (Jitter, (0.1, None), "policy"),
        (Filtered, (NOW, NOW), "predicate"),
        (Filtered, (YES, None), "policy"),
        (Then, (None, NOW), "first"),
        (Then, (NOW, None), "second"),
        (Union, (None, NOW), "left"),
        (Intersect, (NOW, None), "right"),
        (Eq, (3, "x"), "name"),
        (Eq, ("", "x"), "name"),
        (Eq, ("verb", None), "value"),
        (Gt, ("status-code", 499.5), "value"),
        (Exists, (None,), "name"),
        (In, ("verb", "GET"), "values"),
        (In, ("verb", b"GET"), "values"),
        (In, ("verb", 3), "values"),
        (In, ("verb", [None]), "values"),
        (Matches, ("verb", 3), "text"),
        (And, (YES, None), "right"),
        (Or, (True, YES), "left"),
        (Not, ("verb",), "inner"),
        (NamedPolicy, (3, YES, NOW), "name"),
        (NamedPolicy, ("", YES, NOW), "name"),
        (NamedPolicy, ("n", lambda call: True, NOW), "predicate"),
        (NamedPolicy, ("n", YES, None), "policy"),
        (NamedPolicy, ("n", YES, RetryPolicy), "policy"),
        (NamedPolicy, ("n", YES, NOW, "high"), "priority"),
        (NamedPolicy, ("n", YES, NOW, True), "priority"),
    ],
    ids=map(str, count()),
)
def test_wrong_types_and_ranges_are_refused_by_name(kind: Any, given: Any, parameter: str) -> None:
    with pytest.raises(UsageError, match=rf"^{kind.__name__}\(.*\b{parameter}=\.\.\."):
        kind(*given)


def test_a_refusal_says_what_is_wanted_and_what_was_given() -> None:
    three: Any = "3"
    with pytest.raises(UsageError) as refusal:
        CountLimit(three, NOW)
    expected = "CountLimit(max_retries=...) takes a whole number from 0, not '3'"
    assert str(refusal.value) == expected
    with pytest.raises(
        UsageError, match="takes a number of seconds from 0 or a timedelta, not '3'"
    ):
        Periodic(three)
    with pytest.raises(UsageError, match="not inf"):
        Periodic(10**400)
    text: Any = "GET"
    with pytest.raises(UsageError, match="truth values in a tuple, not 'GET'"):
        In("verb", text)


@pytest.mark.parametrize("wrong", [429, "four", [200], [399], [True], [600], [429.0], None])
def test_wrong_statuses(wrong: Any) -> None:
    with pytest.raises(UsageError, match="retry_on_status"):
        RetryPolicy(retry_on_status=wrong)


def test_what_a_retry_policy_is_without_arguments() -> None:
    assert RetryPolicy() == RetryPolicy(3, 0.1, 1.0, 3.0, 0.15, None, None, frozenset())
    assert "policy=" not in repr(RetryPolicy()), "it follows from the rest"
    assert RetryPolicy(min_delay=2, max_delay=2).min_delay == 2
    assert RetryPolicy(retry_on_status=[400, 599]).retry_on_status == {400, 599}


@pytest.mark.parametrize("base", [Policy, Predicate])
def test_the_bases_say_nothing_themselves(base: Any) -> None:
    with pytest.raises(TypeError, match="abstract"):
        base()


def test_what_is_right_is_kept() -> None:
    assert Periodic(timedelta(minutes=1)).delay == 60.0
    assert type(Periodic(3).delay) is float
    assert In("status-code", [429, 503]) == In("status-code", (429, 503))
    assert Eq("safe", value=True).value is True
    assert Matches("verb", "").text == ""
    assert NamedPolicy("n", YES, RetryPolicy(), -1).priority == -1
    assert NamedPolicy("n", YES, NOW).priority == 0
    assert set(policies.__all__) <= set(dir(policies))
