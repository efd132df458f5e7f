"""Retry policies: what is tried again, and by which of several policies."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import Any

from attrs import field, frozen

from golem_sdk.core.delays import (
    Clamp,
    CountLimit,
    Decision,
    Exponential,
    Failure,
    Jitter,
    Policy,
    State,
    check_count,
    check_factor,
    check_seconds,
)
from golem_sdk.core.http_status import LONGEST_RETRY_AFTER_S
from golem_sdk.core.predicates import Predicate, Properties, holds
from golem_sdk.errors import UsageError

__all__ = [
    "DEFAULT_POLICY",
    "STATUS",
    "Condition",
    "NamedPolicy",
    "RetryPolicy",
    "choose",
    "is_transient",
    "step",
    "until_decided",
]

STATUS = "status-code"
"""The property of a call that failed with an HTTP status."""

_LONGEST_UNDECIDED_S = 60.0

_TRANSIENT_CODES = {
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETRESET,
    errno.ENETUNREACH,
    errno.EPIPE,
    errno.ETIMEDOUT,
}
_TRANSIENT_NAMES = {
    ("httpx", "TransportError"),
    ("httpx2", "TransportError"),
    ("socket", "gaierror"),
}


Condition = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]
"""Which exceptions: a class, several, or a function of the exception."""


def is_transient(error: BaseException) -> bool:
    """Whether an error is one of connections or timeouts, which may be gone the next time."""
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    if isinstance(error, OSError) and error.errno in _TRANSIENT_CODES:
        return True
    kinds = type(error).__mro__
    return any(
        (kind.__module__.partition(".")[0], kind.__name__) in _TRANSIENT_NAMES for kind in kinds
    )


def _condition(value: object) -> Condition | None:
    kinds = value if isinstance(value, tuple) else (value,)
    if value is None or all(isinstance(k, type) and issubclass(k, Exception) for k in kinds):
        return value  # type: ignore[return-value]  # checked in this line and the one before
    if callable(value) and not isinstance(value, type):
        return value
    raise UsageError(
        f"retry_on and give_up_on take an exception class, a tuple of them, or a function: {value!r}"
    )


def _statuses(value: object) -> frozenset[int]:
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        numbers: list[Any] = list(value)
        if all(type(number) is int and 400 <= number <= 599 for number in numbers):
            return frozenset(numbers)
    raise UsageError(f"retry_on_status takes HTTP status codes from 400 to 599: {value!r}")


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
        give_up_on: which exceptions not, whatever ``retry_on`` says.
        retry_on_status: which HTTP status codes: of responses, which are results otherwise, and of
            exceptions that tell of one. A ``Retry-After`` of up to an hour is waited for.

    Raises:
        UsageError: a wrong type or range.
    """

    max_attempts: int = 3
    min_delay: float = field(default=0.1, converter=check_seconds)
    max_delay: float = field(default=1.0, converter=check_seconds)
    multiplier: float = field(default=3.0, converter=check_factor)
    max_jitter_factor: float = field(default=0.15, converter=check_factor)
    retry_on: Condition | None = field(default=None, converter=_condition)
    give_up_on: Condition | None = field(default=None, converter=_condition)
    retry_on_status: frozenset[int] = field(default=frozenset(), converter=_statuses)
    policy: Policy = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if check_count(self.max_attempts) < 1:
            raise UsageError("max_attempts counts the first try, too: it is at least 1")
        delays = Exponential(self.min_delay, self.multiplier)
        tree = CountLimit(
            self.max_attempts - 1,
            Jitter(self.max_jitter_factor, Clamp(self.min_delay, self.max_delay, delays)),
        )
        object.__setattr__(self, "policy", tree)

    def concerns(self, failure: Failure) -> bool:
        """Whether such a failure is tried again at all."""
        if self.give_up_on is not None and _fits(self.give_up_on, failure.error):
            return False
        if failure.status in self.retry_on_status:
            return True
        if failure.is_answer:
            return False
        if self.retry_on is None:
            return failure.in_region or is_transient(failure.error)
        return _fits(self.retry_on, failure.error)


def _fits(condition: Condition, error: Exception) -> bool:
    if isinstance(condition, type | tuple):
        return isinstance(error, condition)
    return bool(condition(error))


DEFAULT_POLICY = RetryPolicy()


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
    """

    name: str
    predicate: Predicate
    policy: RetryPolicy | Policy
    priority: int = 0


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
        if not policy.concerns(failure):
            return Decision(None, state)
        policy = policy.policy
    try:
        decision = policy._next(_frozen(state), failure)
    except (TypeError, ValueError):
        decision = policy._next(None, failure)
    if decision.delay_s is None or decision.delay_s >= failure.least_delay_s:
        return decision
    return Decision(failure.least_delay_s, decision.state)


def until_decided(attempt: int) -> float:
    """How many seconds later something undecided is asked again after ``attempt``, counted from 1.

    For when the policy has had enough: a minute at most, and never an end.
    """
    return float(min(_LONGEST_UNDECIDED_S, 2.0 ** min(attempt, 10) / 10))


def _frozen(state: State) -> State:
    return tuple(map(_frozen, state)) if isinstance(state, list | tuple) else state
