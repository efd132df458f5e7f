"""One body for blocking and asynchronous drivers: a generator that yields what may have to be awaited."""

from __future__ import annotations

from collections.abc import Generator
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
    """The result of steps each of which is awaited, unless it is no coroutine."""
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
            answer = await step if hasattr(step, "__await__") else step
        except BaseException as caught:  # the steps clean up, whatever it is
            error = caught
