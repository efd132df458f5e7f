"""The algebra of retry policies: how long to wait before the next attempt, and when to give up.

After Golem's (GOLEM.md §3.7). A policy is asked after each failure and gives a delay, or gives up; what it
has to remember between two failures is a plain value that the oplog keeps, so counts and times survive
crashes. Exponential delays come from tenacity, whose strategy is a function of the attempt's number.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from math import isfinite
from typing import Any

from attrs import field, frozen
from tenacity import wait_exponential

from golem_sdk.core.predicates import Predicate, Properties, holds
from golem_sdk.errors import UsageError

__all__ = [
    "AddDelay",
    "Clamp",
    "CountLimit",
    "Decision",
    "Exponential",
    "Failure",
    "Fibonacci",
    "Filtered",
    "Immediate",
    "Intersect",
    "Jitter",
    "Never",
    "Periodic",
    "Policy",
    "State",
    "Then",
    "TimeLimit",
    "Union",
    "check_count",
    "check_factor",
    "check_seconds",
]

State = Any
"""What a policy remembers: tuples of numbers, truth values and ``None``."""

_LONGEST_S = 10 * 366 * 86400.0
"""No delay is longer: ten years."""


@frozen
class Failure:
    """One failed attempt.

    Attributes:
        error: what it raised.
        properties: of the call, for predicates.
        elapsed_s: seconds since the first attempt failed.
        in_region: whether an atomic region failed as a whole.
        draw: gives a random number from 0 to 1.
        status: of the HTTP answer that the failure is, or tells of.
        is_answer: whether it is a mere answer: for agent code a result, unless a policy objects.
        least_delay_s: how long that answer asks to wait.
    """

    error: Exception
    properties: Properties
    elapsed_s: float
    in_region: bool
    draw: Callable[[], float]
    status: int | None = None
    is_answer: bool = False
    least_delay_s: float = 0.0


@frozen
class Decision:
    """What a policy says: wait ``delay_s`` seconds, or (``None``) give up; and what it remembers."""

    delay_s: float | None
    state: State


def check_seconds(value: object) -> float:
    """A delay in seconds, from a number or a timedelta.

    Raises:
        UsageError: it is neither, negative or not finite.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise UsageError(f"a delay is a number of seconds or a timedelta, not {value!r}")
    if not (isfinite(value) and value >= 0):
        raise UsageError(f"a delay must be finite and not negative: {value!r}")
    return float(value)


def check_factor(value: object) -> float:
    """A factor.

    Raises:
        UsageError: it is no number, negative or not finite.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise UsageError(f"a factor is a number, not {value!r}")
    if not (isfinite(value) and value >= 0):
        raise UsageError(f"a factor must be finite and not negative: {value!r}")
    return float(value)


def check_count(value: object) -> int:
    """A number of retries.

    Raises:
        UsageError: it is no whole number, or negative.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UsageError(f"a number of retries is a whole number, 0 or more, not {value!r}")
    return value


@frozen
class Policy:
    """Base of the algebra. Every node is a value; `step` asks one."""

    def _next(self, state: State, failure: Failure) -> Decision:
        """The decision after one more failure. ``state`` is ``None`` at first."""
        raise NotImplementedError


@frozen
class Periodic(Policy):
    """Always the same delay."""

    delay: float = field(converter=check_seconds)

    def _next(self, state: State, failure: Failure) -> Decision:
        return Decision(self.delay, None)


@frozen
class Exponential(Policy):
    """``base * factor ** n``, n from 0."""

    base: float = field(converter=check_seconds)
    factor: float = field(default=2.0, converter=check_factor)

    def _next(self, state: State, failure: Failure) -> Decision:
        count = state if isinstance(state, int) else 0
        wait = wait_exponential(multiplier=self.base, exp_base=self.factor, max=_LONGEST_S)
        delay_s = wait(_Attempt(count + 1))  # type: ignore[arg-type]  # it looks at nothing but the number
        return Decision(delay_s, count + 1)


@frozen
class _Attempt:
    attempt_number: int


@frozen
class Fibonacci(Policy):
    """Each delay is the sum of the two before it."""

    first: float = field(converter=check_seconds)
    second: float = field(converter=check_seconds)

    def _next(self, state: State, failure: Failure) -> Decision:
        now, after = state or (self.first, self.second)
        return Decision(now, (after, min(now + after, _LONGEST_S)))


@frozen
class Immediate(Policy):
    """No delay."""

    def _next(self, state: State, failure: Failure) -> Decision:
        return Decision(0.0, None)


@frozen
class Never(Policy):
    """Gives up at once."""

    def _next(self, state: State, failure: Failure) -> Decision:
        return Decision(None, None)


@frozen
class CountLimit(Policy):
    """Gives up after ``max_retries`` retries."""

    max_retries: int = field(converter=check_count)
    policy: Policy

    def _next(self, state: State, failure: Failure) -> Decision:
        used, inner = state or (0, None)
        if used >= self.max_retries:
            return Decision(None, (used, inner))
        decision = self.policy._next(inner, failure)
        return Decision(decision.delay_s, (used + 1, decision.state))


@frozen
class TimeLimit(Policy):
    """Gives up when the next attempt would begin later than ``limit`` after the first failure."""

    limit: float = field(converter=check_seconds)
    policy: Policy

    def _next(self, state: State, failure: Failure) -> Decision:
        decision = self.policy._next(state, failure)
        if decision.delay_s is None or failure.elapsed_s + decision.delay_s > self.limit:
            return Decision(None, decision.state)
        return decision


@frozen
class Clamp(Policy):
    """Delays of at least ``min`` and at most ``max`` seconds."""

    min: float = field(converter=check_seconds)
    max: float = field(converter=check_seconds)
    policy: Policy

    def __attrs_post_init__(self) -> None:
        if self.min > self.max:
            raise UsageError(f"the least delay {self.min} is longer than the longest, {self.max}")

    def _next(self, state: State, failure: Failure) -> Decision:
        decision = self.policy._next(state, failure)
        if decision.delay_s is None:
            return decision
        return Decision(min(max(decision.delay_s, self.min), self.max), decision.state)


@frozen
class AddDelay(Policy):
    """A longer delay."""

    delay: float = field(converter=check_seconds)
    policy: Policy

    def _next(self, state: State, failure: Failure) -> Decision:
        decision = self.policy._next(state, failure)
        if decision.delay_s is None:
            return decision
        return Decision(decision.delay_s + self.delay, decision.state)


@frozen
class Jitter(Policy):
    """A delay longer by a random part, at most ``factor`` of it."""

    factor: float = field(converter=check_factor)
    policy: Policy

    def _next(self, state: State, failure: Failure) -> Decision:
        decision = self.policy._next(state, failure)
        if decision.delay_s is None:
            return decision
        return Decision(decision.delay_s * (1 + self.factor * failure.draw()), decision.state)


@frozen
class Filtered(Policy):
    """Gives up unless the predicate holds for the call."""

    predicate: Predicate
    policy: Policy

    def _next(self, state: State, failure: Failure) -> Decision:
        if not holds(self.predicate, failure.properties):
            return Decision(None, state)
        return self.policy._next(state, failure)


@frozen
class Then(Policy):
    """``second`` takes over for good, in the same step, when ``first`` gives up."""

    first: Policy
    second: Policy

    def _next(self, state: State, failure: Failure) -> Decision:
        over, inner = state or (False, None)
        if not over:
            decision = self.first._next(inner, failure)
            if decision.delay_s is not None:
                return Decision(decision.delay_s, (False, decision.state))
            inner = None
        decision = self.second._next(inner, failure)
        return Decision(decision.delay_s, (True, decision.state))


@frozen
class Union(Policy):
    """The shorter delay of two; gives up when both do."""

    left: Policy
    right: Policy

    def _next(self, state: State, failure: Failure) -> Decision:
        left, right = _both(self.left, self.right, state, failure)
        delays = [each.delay_s for each in (left, right) if each.delay_s is not None]
        return Decision(min(delays, default=None), (left.state, right.state))


@frozen
class Intersect(Policy):
    """The longer delay of two; gives up when either does."""

    left: Policy
    right: Policy

    def _next(self, state: State, failure: Failure) -> Decision:
        left, right = _both(self.left, self.right, state, failure)
        longer = (
            None
            if left.delay_s is None or right.delay_s is None
            else max(left.delay_s, right.delay_s)
        )
        return Decision(longer, (left.state, right.state))


def _both(left: Policy, right: Policy, state: State, failure: Failure) -> tuple[Decision, Decision]:
    first, second = state or (None, None)
    return left._next(first, failure), right._next(second, failure)
