"""Retry policies: what is tried again, and by which of several policies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import Attribute, field, frozen

from golem_sdk.core.checks import (
    any_of,
    as_float,
    as_seconds,
    check_factor,
    check_seconds,
    refuse,
    some_text,
    whole_number,
)
from golem_sdk.core.delays import (
    LONGEST_DELAY_S,
    Clamp,
    CountLimit,
    Decision,
    Exponential,
    Failure,
    Jitter,
    Policy,
    State,
)
from golem_sdk.core.http_status import LONGEST_RETRY_AFTER_S
from golem_sdk.core.predicates import Predicate, Properties, check_predicate, holds
from golem_sdk.core.transient import is_transient
from golem_sdk.errors import UsageError

__all__ = [
    "DEFAULT_POLICY",
    "STATUS",
    "Condition",
    "ConditionError",
    "NamedPolicy",
    "RetryPolicy",
    "choose",
    "step",
    "until_decided",
]

STATUS = "status-code"
"""The property of a call that failed with an HTTP status."""

_LONGEST_UNDECIDED_S = 60.0

Condition = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]
"""Which exceptions: a class, several, or a function of the exception."""


def _check_condition(instance: object, attribute: Attribute[Any], value: object) -> None:
    kinds = value if isinstance(value, tuple) else (value,)
    is_class = all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds)
    is_function = callable(value) and not isinstance(value, type)
    if not (value is None or is_class or is_function):
        refuse(instance, attribute, "an exception class, a tuple of them, or a function", value)


def _statuses(value: object) -> frozenset[int]:
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        numbers: list[Any] = list(value)
        if all(type(number) is int and 400 <= number <= 599 for number in numbers):
            return frozenset(numbers)
    raise UsageError(
        f"RetryPolicy(retry_on_status=...) takes HTTP status codes from 400 to 599, not {value!r}"
    )


@frozen
class RetryPolicy:
    """What is tried again, how often and after how long.

    Attributes:
        max_attempts: the first try included; 1: never again.
        min_delay, max_delay: bounds of the delay, seconds or timedelta.
        multiplier: from one delay to the next.
        max_jitter_factor: how much of itself a delay may be longer, at random.
        retry_on: which exceptions. By default those of connections and timeouts (`is_transient`); an atomic
            region runs again after any `Exception`.
        give_up_on: which exceptions not, whatever ``retry_on`` says. When a function given here or as
            ``retry_on`` fails itself, nothing is tried again, and the exception has a note of it.
        retry_on_status: which HTTP status codes: of responses, which are results otherwise, and of
            exceptions that tell of one. A ``Retry-After`` of up to an hour is waited for.

    Raises:
        UsageError: a wrong type or range.
    """

    max_attempts: int = field(default=3, validator=whole_number(1))
    min_delay: float = field(default=0.1, converter=as_seconds, validator=check_seconds)
    max_delay: float = field(default=1.0, converter=as_seconds, validator=check_seconds)
    multiplier: float = field(default=3.0, converter=as_float, validator=check_factor)
    max_jitter_factor: float = field(default=0.15, converter=as_float, validator=check_factor)
    retry_on: Condition | None = field(default=None, validator=_check_condition)
    give_up_on: Condition | None = field(default=None, validator=_check_condition)
    retry_on_status: frozenset[int] = field(default=frozenset(), converter=_statuses)
    policy: Policy = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.min_delay > self.max_delay:
            raise UsageError(
                f"RetryPolicy(min_delay=..., max_delay=...): {self.min_delay} is more than {self.max_delay}"
            )
        delays = Exponential(self.min_delay, self.multiplier)
        tree = CountLimit(
            self.max_attempts - 1,
            Jitter(self.max_jitter_factor, Clamp(self.min_delay, self.max_delay, delays)),
        )
        object.__setattr__(self, "policy", tree)

    def concerns(self, failure: Failure) -> bool:
        """Whether such a failure is tried again at all.

        Raises:
            ConditionError: the function that is ``retry_on`` or ``give_up_on`` failed.
        """
        by_status = failure.status in self.retry_on_status
        if failure.is_answer and not by_status:
            return False
        if self.give_up_on is not None and _fits("give_up_on", self.give_up_on, failure.error):
            return False
        if by_status:
            return True
        if self.retry_on is None:
            return failure.in_region or is_transient(failure.error)
        return _fits("retry_on", self.retry_on, failure.error)


class ConditionError(Exception):
    """A user's ``retry_on`` or ``give_up_on`` failed; its text says which, and how."""


def _fits(name: str, condition: Condition, error: Exception) -> bool:
    try:
        if isinstance(condition, type | tuple):
            return isinstance(error, condition)
        return bool(condition(error))
    except Exception as broken:
        raise ConditionError(f"{name} failed with {_told(broken)}") from broken


def _told(error: Exception) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # it cannot even be printed
        return type(error).__name__


DEFAULT_POLICY = RetryPolicy()


_check_named = any_of(
    RetryPolicy, Policy, called="a RetryPolicy(...) or a policy of golem_sdk.policies"
)


@frozen
class NamedPolicy:
    """A policy for the calls that a predicate describes.

    Attributes:
        name: another policy of this name is replaced.
        predicate: over a call's properties: function, function-type, error-type; of HTTP requests
            verb, uri-scheme, uri-host, uri-port and uri-path; status-code where there is one. A response
            with an error status is a result unless a predicate that asks for status-code holds.
        policy: a `RetryPolicy`, or a tree of the algebra, which also decides what is tried again.
        priority: of several that fit, the one with the highest is taken; of these the first by name.

    Raises:
        UsageError: a wrong type.
    """

    name: str = field(validator=some_text())
    predicate: Predicate = field(validator=check_predicate)
    policy: RetryPolicy | Policy = field(validator=_check_named)
    priority: int = field(default=0, validator=whole_number())


def choose(
    policies: tuple[NamedPolicy, ...], properties: Properties, *, is_answer: bool = False
) -> NamedPolicy | None:
    """The named policy for a call, ``None`` if none fits.

    ``is_answer``: the call failed with nothing but a status code, so a policy must ask for that.
    """
    fitting = [named for named in policies if holds(named.predicate, properties)]
    if is_answer:
        others = {name: value for name, value in properties.items() if name != STATUS}
        fitting = [
            named
            for named in fitting
            if isinstance(named.policy, RetryPolicy) or not holds(named.predicate, others)
        ]
    return min(fitting, key=lambda named: (-named.priority, named.name), default=None)


def step(policy: RetryPolicy | Policy, state: State, failure: Failure) -> Decision:
    """What ``policy`` says after one more failure.

    Args:
        policy: which.
        state: from the decision before; ``None`` at first. One that does not fit (the policy was
            changed in the code) starts anew.
        failure: what happened.
    """
    if failure.least_delay_s > LONGEST_RETRY_AFTER_S:
        return Decision(None, state)
    if isinstance(policy, RetryPolicy):
        try:
            concerned = policy.concerns(failure)
        except ConditionError as error:
            return Decision(None, state, f"This was not tried again: {error}")
        if not concerned:
            return Decision(None, state)
        policy = policy.policy
    try:
        decision = policy._next(_frozen(state), failure)
    except (TypeError, ValueError):
        decision = policy._next(None, failure)
    if decision.delay_s is None:
        return decision
    delay_s = min(max(decision.delay_s, failure.least_delay_s), LONGEST_DELAY_S)
    return Decision(delay_s, decision.state)


def until_decided(attempt: int) -> float:
    """How many seconds later something undecided is asked again after ``attempt``, counted from 1.

    For when the policy has had enough: a minute at most, and never an end.
    """
    return float(min(_LONGEST_UNDECIDED_S, 2.0 ** min(attempt, 10) / 10))


def _frozen(state: State) -> State:
    return tuple(map(_frozen, state)) if isinstance(state, list | tuple) else state
