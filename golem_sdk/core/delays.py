"""The algebra of retry policies: how long to wait before the next attempt, and when to give up.

After Golem's (GOLEM.md §3.7). A policy is asked after each failure and gives a delay, or gives up; what it
has to remember between two failures is a plain value that the oplog keeps, so counts and times survive
crashes. Exponential delays come from tenacity, whose strategy is a function of the attempt's number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from attrs import field, frozen
from tenacity import wait_exponential

from golem_sdk.core.checks import (
    Validator,
    any_of,
    as_float,
    as_seconds,
    check_factor,
    check_seconds,
    whole_number,
)
from golem_sdk.core.predicates import Predicate, Properties, check_predicate, holds
from golem_sdk.errors import UsageError

__all__ = [
    "LONGEST_DELAY_S",
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
]

State = Any
"""What a policy remembers: tuples of numbers, truth values and ``None``."""

LONGEST_DELAY_S = 10 * 366 * 86400.0
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
    """What a policy says.

    Attributes:
        delay_s: how many seconds to wait; ``None``: give up.
        state: what the policy remembers.
        note: what went wrong in finding this out, for whoever sees the failure.
    """

    delay_s: float | None
    state: State
    note: str = ""


@frozen
class Policy(ABC):
    """Base of the algebra. Every node is a value; `step` asks one."""

    @abstractmethod
    def _next(self, state: State, failure: Failure) -> Decision:
        """The decision after one more failure. ``state`` is ``None`` at first."""


_check_policy: Validator = any_of(Policy, called="a policy of golem_sdk.policies")


@frozen
class Periodic(Policy):
    """Always the same delay."""

    delay: float = field(converter=as_seconds, validator=check_seconds)

    def _next(self, state: State, failure: Failure) -> Decision:
        return Decision(self.delay, None)


@frozen
class Exponential(Policy):
    """``base * factor ** n``, n from 0."""

    base: float = field(converter=as_seconds, validator=check_seconds)
    factor: float = field(default=2.0, converter=as_float, validator=check_factor)

    def _next(self, state: State, failure: Failure) -> Decision:
        count = state if isinstance(state, int) else 0
        wait = wait_exponential(multiplier=self.base, exp_base=self.factor, max=LONGEST_DELAY_S)
        delay_s = wait(_Attempt(count + 1))  # type: ignore[arg-type]  # it looks at nothing but the number
        return Decision(delay_s, count + 1)


@frozen
class _Attempt:
    attempt_number: int


@frozen
class Fibonacci(Policy):
    """Each delay is the sum of the two before it."""

    first: float = field(converter=as_seconds, validator=check_seconds)
    second: float = field(converter=as_seconds, validator=check_seconds)

    def _next(self, state: State, failure: Failure) -> Decision:
        now, after = state or (self.first, self.second)
        return Decision(now, (after, min(now + after, LONGEST_DELAY_S)))


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

    max_retries: int = field(validator=whole_number(0))
    policy: Policy = field(validator=_check_policy)

    def _next(self, state: State, failure: Failure) -> Decision:
        used, inner = state or (0, None)
        if used >= self.max_retries:
            return Decision(None, (used, inner))
        decision = self.policy._next(inner, failure)
        return Decision(decision.delay_s, (used + 1, decision.state))


@frozen
class TimeLimit(Policy):
    """Gives up when the next attempt would begin later than ``limit`` after the first failure.

    That counts the delay that a server asks for, too.
    """

    limit: float = field(converter=as_seconds, validator=check_seconds)
    policy: Policy = field(validator=_check_policy)

    def _next(self, state: State, failure: Failure) -> Decision:
        decision = self.policy._next(state, failure)
        if decision.delay_s is None:
            return decision
        delay_s = max(decision.delay_s, failure.least_delay_s)
        if failure.elapsed_s + delay_s > self.limit:
            return Decision(None, decision.state)
        return decision


@frozen
class Clamp(Policy):
    """Delays of at least ``min`` and at most ``max`` seconds; only a server can ask for a longer one."""

    min: float = field(converter=as_seconds, validator=check_seconds)
    max: float = field(converter=as_seconds, validator=check_seconds)
    policy: Policy = field(validator=_check_policy)

    def __attrs_post_init__(self) -> None:
        if self.min > self.max:
            raise UsageError(f"Clamp(min=..., max=...): {self.min} is more than {self.max}")

    def _next(self, state: State, failure: Failure) -> Decision:
        decision = self.policy._next(state, failure)
        if decision.delay_s is None:
            return decision
        return Decision(min(max(decision.delay_s, self.min), self.max), decision.state)


@frozen
class AddDelay(Policy):
    """A longer delay."""

    delay: float = field(converter=as_seconds, validator=check_seconds)
    policy: Policy = field(validator=_check_policy)

    def _next(self, state: State, failure: Failure) -> Decision:
        decision = self.policy._next(state, failure)
        if decision.delay_s is None:
            return decision
        return Decision(decision.delay_s + self.delay, decision.state)


@frozen
class Jitter(Policy):
    """A delay longer by a random part, at most ``factor`` of it."""

    factor: float = field(converter=as_float, validator=check_factor)
    policy: Policy = field(validator=_check_policy)

    def _next(self, state: State, failure: Failure) -> Decision:
        decision = self.policy._next(state, failure)
        if decision.delay_s is None:
            return decision
        return Decision(decision.delay_s * (1 + self.factor * failure.draw()), decision.state)


@frozen
class Filtered(Policy):
    """Gives up unless the predicate holds for the call."""

    predicate: Predicate = field(validator=check_predicate)
    policy: Policy = field(validator=_check_policy)

    def _next(self, state: State, failure: Failure) -> Decision:
        if not holds(self.predicate, failure.properties):
            return Decision(None, state)
        return self.policy._next(state, failure)


@frozen
class Then(Policy):
    """``second`` takes over for good, in the same step, when ``first`` gives up."""

    first: Policy = field(validator=_check_policy)
    second: Policy = field(validator=_check_policy)

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

    left: Policy = field(validator=_check_policy)
    right: Policy = field(validator=_check_policy)

    def _next(self, state: State, failure: Failure) -> Decision:
        left, right = _both(self.left, self.right, state, failure)
        delays = [each.delay_s for each in (left, right) if each.delay_s is not None]
        return Decision(min(delays, default=None), (left.state, right.state))


@frozen
class Intersect(Policy):
    """The longer delay of two; gives up when either does."""

    left: Policy = field(validator=_check_policy)
    right: Policy = field(validator=_check_policy)

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
