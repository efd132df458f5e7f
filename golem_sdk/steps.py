"""One body for blocking and asynchronous drivers: a generator whose steps may have to be awaited.

A step is whatever a driver's method gave. Blocking drivers give the answer itself, asynchronous ones
something to be awaited; the generator gets the answer either way.
"""

from __future__ import annotations

from collections.abc import Generator
from inspect import isawaitable
from typing import Any, TypeAlias, TypeVar

__all__ = ["Steps", "run", "run_async"]

T = TypeVar("T")

Steps: TypeAlias = Generator[Any, Any, T]


def run(steps: Steps[T]) -> T:
    """The result of steps that a blocking driver makes: each has its answer already."""
    answer: Any = None
    while True:
        try:
            answer = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result


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
