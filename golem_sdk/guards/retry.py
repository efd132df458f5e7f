"""What is tried again after a failure, how often, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from golem_sdk.core.retry import NamedPolicy, RetryPolicy
from golem_sdk.durability import SCOPE, Session, current
from golem_sdk.errors import UsageError
from golem_sdk.guards.base import Guard

if TYPE_CHECKING:
    from golem_sdk.core.scopes import Scope

__all__ = ["get_retry_policy", "retry_policy", "set_retry_policy"]


class _Policy(Guard):
    def __init__(self, policy: RetryPolicy | NamedPolicy) -> None:
        self._policy = policy

    def _enter(self, session: Session, scope: Scope) -> tuple[Scope, None]:
        return _with(scope, self._policy), None


def retry_policy(policy: RetryPolicy | NamedPolicy) -> Guard:
    """Say which failures of durable calls in a block are tried again.

    A call that fails is made again in place, after a delay, under the same idempotency key; agent code sees
    nothing of it. Attempts and delays survive crashes, and a long delay holds no thread. When the policy has
    had enough, the exception is the call's outcome. Not tried again in place: calls in an atomic region,
    which runs again as a whole under the policy around it, and writes under `idempotence_mode(False)`.

    Args:
        policy: holds for all calls; or a `NamedPolicy`, which comes first for the calls that it describes.

    Raises:
        UsageError: the argument is neither.

    Example:
        >>> from golem_sdk import RetryPolicy, Runtime, agent, durable, retry_policy
        >>> answers = [ConnectionError("try later"), "in stock"]
        >>> @durable
        ... def ask_supplier(item: str) -> str:
        ...     answer = answers.pop(0)
        ...     if isinstance(answer, Exception):
        ...         raise answer
        ...     return answer
        >>> @agent
        ... def stock(item: str) -> str:
        ...     with retry_policy(RetryPolicy(max_attempts=5, min_delay=0.001)):
        ...         return ask_supplier(item)
        >>> with Runtime.memory() as runtime:
        ...     runtime.run(stock, "tea")
        'in stock'
    """
    return _Policy(_checked(policy))


def get_retry_policy() -> RetryPolicy:
    """The policy of the code that asks."""
    return SCOPE.get().policy


def set_retry_policy(policy: RetryPolicy | NamedPolicy) -> None:
    """Set the policy from here to the end of the block, task or invocation. Does nothing outside agents.

    Raises:
        UsageError: the argument is no policy.
    """
    _checked(policy)
    if current() is not None:
        SCOPE.set(_with(SCOPE.get(), policy))


def _with(scope: Scope, policy: RetryPolicy | NamedPolicy) -> Scope:
    if isinstance(policy, RetryPolicy):
        return evolve(scope, policy=policy)
    others = tuple(named for named in scope.named if named.name != policy.name)
    return evolve(scope, named=(*others, policy))


def _checked(policy: object) -> RetryPolicy | NamedPolicy:
    if not isinstance(policy, RetryPolicy | NamedPolicy):
        raise UsageError(f"a retry policy is a RetryPolicy(...), not {policy!r}")
    return policy
