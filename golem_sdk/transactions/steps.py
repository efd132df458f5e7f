"""The steps of transactions (see `golem_sdk.steps`), where a user's connection may be of the wrong kind."""

from __future__ import annotations

from contextlib import suppress
from inspect import isawaitable, iscoroutine
from typing import Any, TypeVar

from golem_sdk.errors import UsageError
from golem_sdk.steps import Steps, run_async

__all__ = ["Steps", "quietly", "run", "run_async"]

T = TypeVar("T")


def run(steps: Steps[T]) -> T:
    """The result of steps none of which has to be awaited.

    Raises:
        UsageError: one has to.
        BaseException: what the steps raise.
    """
    answer: Any = None
    error: BaseException | None = None
    while True:
        try:
            answer = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            result: T = end.value
            return result
        error = _asynchronous(answer)


def quietly(steps: Steps[None]) -> Steps[None]:
    """The same steps; that one fails is nobody's concern any more."""
    with suppress(Exception):
        yield from steps


def _asynchronous(step: object) -> UsageError | None:
    if not isawaitable(step):
        return None
    if iscoroutine(step):
        step.close()
    return UsageError(
        f"a @transaction function that is no `async def` got {type(step).__name__}, which has to be"
        " awaited: write `async def`, or give it a connect() whose connection blocks"
    )
