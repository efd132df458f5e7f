"""One body for blocking and asynchronous drivers: a generator whose steps may have to be awaited.

A step is whatever a driver's method gave. Blocking drivers give the answer itself, asynchronous ones
something to be awaited; the generator gets the answer either way.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from inspect import isawaitable, iscoroutine
from typing import Any, TypeAlias, TypeVar

from golem_sdk.errors import UsageError

__all__ = ["Steps", "quietly", "run", "run_async"]

T = TypeVar("T")

Steps: TypeAlias = Generator[Any, Any, T]


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


async def run_async(steps: Steps[T]) -> T:
    """The result of steps some of which may have to be awaited; raises what they raise."""
    answer: Any = None
    error: BaseException | None = None
    while True:
        try:
            step = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            result: T = end.value
            return result
        answer = error = None
        try:
            answer = await step if isawaitable(step) else step
        except BaseException as caught:  # the steps clean up, whatever it is
            error = caught


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
