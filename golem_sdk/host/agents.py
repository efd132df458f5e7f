"""What agent code may call: other agents, with the same words as on a `Runtime`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from golem_sdk.durability import current
from golem_sdk.errors import UsageError
from golem_sdk.runtime.definitions import definition_of
from golem_sdk.runtime.handles import (
    AgentProxy,
    InvocationHandle,
    function_method,
    invocation_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime, timedelta

    from golem_sdk.runtime.kernel import Kernel

__all__ = ["get", "run", "schedule", "trigger"]

P = ParamSpec("P")
R = TypeVar("R")


def get(agent: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Inside an agent: a typed handle of another one, as `Runtime.get`."""
    found: R = proxy(_kernel("get"), agent, args, kwargs)
    return found


@overload
def run(agent: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs) -> R: ...
@overload
def run(agent: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R: ...


def run(agent: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Inside an agent: start or rejoin a function agent and wait for its result, as `Runtime.run`.

    Asynchronous code writes ``await trigger(agent, ...)`` instead, which lets its other tasks go on.
    """
    return function_method(_kernel("run"), agent, args, kwargs).run()


@overload
def trigger(
    method: Callable[..., Coroutine[Any, Any, R]], /, *args: Any, key: str, **kwargs: Any
) -> InvocationHandle[R]: ...
@overload
def trigger(
    method: Callable[..., R], /, *args: Any, key: str, **kwargs: Any
) -> InvocationHandle[R]: ...
@overload
def trigger(
    method: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
) -> InvocationHandle[R]: ...
@overload
def trigger(
    method: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
) -> InvocationHandle[R]: ...


def trigger(
    method: Callable[..., Any], /, *args: Any, key: Any = None, **kwargs: Any
) -> InvocationHandle[Any]:
    """Inside an agent: invoke another one without waiting, as `Runtime.trigger`."""
    found, positional, keyword = invocation_of(_kernel("trigger"), method, args, kwargs, key)
    return found.trigger(key, positional, keyword)


@overload
def schedule(
    at: datetime | timedelta,
    method: Callable[..., Coroutine[Any, Any, R]],
    /,
    *args: Any,
    key: str,
    **kwargs: Any,
) -> InvocationHandle[R]: ...
@overload
def schedule(
    at: datetime | timedelta,
    method: Callable[..., R],
    /,
    *args: Any,
    key: str,
    **kwargs: Any,
) -> InvocationHandle[R]: ...
@overload
def schedule(
    at: datetime | timedelta,
    method: Callable[P, Coroutine[Any, Any, R]],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> InvocationHandle[R]: ...
@overload
def schedule(
    at: datetime | timedelta,
    method: Callable[P, R],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> InvocationHandle[R]: ...


def schedule(
    at: datetime | timedelta,
    method: Callable[..., Any],
    /,
    *args: Any,
    key: Any = None,
    **kwargs: Any,
) -> InvocationHandle[Any]:
    """Inside an agent: invoke another one at a time, as `Runtime.schedule`."""
    found, positional, keyword = invocation_of(_kernel("schedule"), method, args, kwargs, key)
    return found.schedule(at, key, positional, keyword)


def proxy(kernel: Kernel, agent: object, args: Any, kwargs: Any) -> Any:
    """The proxy of a class agent.

    Raises:
        UsageError: not an agent class, or these are no arguments of its constructor.
    """
    definition = definition_of(agent)
    if not definition.is_class:
        raise UsageError(
            f"{definition.name} is a function agent: run() or trigger() it instead of get()"
        )
    return AgentProxy(kernel, definition, args, kwargs)


def _kernel(function: str) -> Kernel:
    session = current()
    if session is None:
        raise UsageError(
            f"golem_sdk.{function}() works inside agents; outside, call {function}() of an open Runtime"
        )
    return session.kernel
