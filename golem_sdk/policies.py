"""Retry policies as values: the algebra after Golem's, and predicates over the calls that they are for.

A policy is a tree. `Periodic`, `Exponential`, `Fibonacci`, `Immediate` and `Never` say how long to wait;
`CountLimit`, `TimeLimit`, `Clamp`, `AddDelay`, `Jitter` and `Filtered` change what another one says; `Then`,
`Union` and `Intersect` combine two. Counts and times survive crashes. A `NamedPolicy` gives such a tree to
the calls that its predicate describes.

Example:
    >>> from golem_sdk import NamedPolicy, retry_policy
    >>> from golem_sdk.policies import Clamp, CountLimit, Exponential, Ge, Jitter
    >>> patient = CountLimit(8, Jitter(0.2, Clamp(0.5, 60.0, Exponential(0.5, 2.0))))
    >>> with retry_policy(NamedPolicy("busy servers", Ge("status-code", 500), patient)):
    ...     pass
"""

from golem_sdk.core.delays import (
    AddDelay,
    Clamp,
    CountLimit,
    Exponential,
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
from golem_sdk.core.predicates import (
    Always,
    And,
    Contains,
    Eq,
    Exists,
    Ge,
    Gt,
    In,
    Le,
    Lt,
    Matches,
    Ne,
    Not,
    Nothing,
    Or,
    Predicate,
    StartsWith,
)

__all__ = [
    "AddDelay",
    "Always",
    "And",
    "Clamp",
    "Contains",
    "CountLimit",
    "Eq",
    "Exists",
    "Exponential",
    "Fibonacci",
    "Filtered",
    "Ge",
    "Gt",
    "Immediate",
    "In",
    "Intersect",
    "Jitter",
    "Le",
    "Lt",
    "Matches",
    "Ne",
    "Never",
    "Not",
    "Nothing",
    "Or",
    "Periodic",
    "Policy",
    "Predicate",
    "StartsWith",
    "Then",
    "TimeLimit",
    "Union",
]
