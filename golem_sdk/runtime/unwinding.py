"""Ending coroutines from outside, here and now: what a session that is over leaves behind.

A control signal is thrown in where the coroutine waits. `coroutine.close()` would not do: before
Python 3.13 it does not reach into an async generator that is being awaited.
"""

from __future__ import annotations

import gc
import inspect
import logging
from asyncio.tasks import _enter_task, _leave_task
from collections import deque
from traceback import walk_tb
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from golem_sdk.errors import AgentControlSignal, AgentFencedSignal, NotDurableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
    from contextvars import Context

    from golem_sdk.runtime.tasks import AgentTask

__all__ = ["close_unstarted", "unloaded", "unwind_generator", "unwind_task"]

_log = logging.getLogger("golem_sdk")

_MOST_THROWS = 100
"""How often the signal is thrown into a coroutine that goes on to wait for something else."""

_MOST_VISITED = 10_000

_FOLLOWED = {
    "async_generator",
    "async_generator_asend",
    "async_generator_athrow",
    "coroutine",
    "coroutine_wrapper",
    "deque",
    "dict",
    "frozenset",
    "generator",
    "list",
    "set",
    "tuple",
}
"""Types, most without a public name, through which a frame leads to the coroutines it holds."""


def unloaded() -> AgentFencedSignal:
    """What is raised in the code of a session that is over."""
    return AgentFencedSignal(NotDurableError("the agent was unloaded"))


def unwind_task(task: AgentTask, signal: Callable[[], BaseException]) -> None:
    """Run a pending task to its end with a fresh ``signal`` raised wherever it waits.

    The task itself stays pending: nobody will look at it again.
    """
    loop, coroutine = task.get_loop(), task.get_coro()
    if coroutine is None:
        return

    def unwind() -> None:
        _enter_task(loop, task)
        try:
            _unwind(coroutine, signal)
        finally:
            _leave_task(loop, task)

    task.context.run(unwind)


def unwind_generator(
    generator: AsyncGenerator[Any, Any], context: Context, signal: Callable[[], BaseException]
) -> None:
    """Close an async generator; ``signal`` is raised wherever its ``finally`` blocks wait."""

    async def close() -> None:
        await generator.aclose()

    def unwind() -> None:
        coroutine = close()
        try:
            coroutine.send(None)
        except BaseException:  # it is over; what its finally blocks raise, nobody can hear
            return
        _unwind(coroutine, signal)

    context.run(unwind)


def close_unstarted(error: BaseException) -> None:
    """Close what never ran in the frames of agent code through which a control signal has passed.

    Nothing is done if ``error`` is none, and brings none with it.
    """
    signals: Sequence[BaseException]
    if isinstance(error, AgentControlSignal):
        signals = [error]
    elif isinstance(error, BaseExceptionGroup) and error.subgroup(AgentControlSignal) is not None:
        signals = [error, *error.exceptions]  # a TaskGroup has passed it on
    else:
        return
    for each in signals:
        for frame, _ in walk_tb(each.__traceback__):
            for coroutine in _never_started(frame.f_locals.values()):
                coroutine.close()


def _unwind(coroutine: Any, signal: Callable[[], BaseException]) -> None:
    unstarted = _never_started([coroutine])
    if not (unstarted and unstarted[0] is coroutine):
        _throw_until_over(coroutine, signal)
    for each in unstarted:
        if inspect.getcoroutinestate(each) == inspect.CORO_CREATED:
            each.close()


def _throw_until_over(coroutine: Any, signal: Callable[[], BaseException]) -> None:
    for _ in range(_MOST_THROWS):
        try:
            coroutine.throw(signal())
        except BaseException:  # it is over; what its finally blocks raise, nobody can hear
            return
    _leave_behind(coroutine)
    _log.warning(
        "A coroutine of an unloaded agent does not end: %r catches every control signal and waits again."
        " Nothing it does is recorded any more. Let BaseException pass through its except clauses.",
        coroutine,
    )


def _leave_behind(coroutine: object) -> None:
    """Keep a coroutine for ever: its destruction, be it at the interpreter's end, would never end either."""
    import ctypes  # few programs ever come here

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(coroutine))


def _never_started(roots: Iterable[Any]) -> list[CoroutineType[Any, Any, Any]]:
    """Coroutines that never ran, among ``roots`` and what these hold, or their frames.

    Code that is ended from outside is not to blame for not awaiting them, so they have to be closed.
    """
    found: list[CoroutineType[Any, Any, Any]] = []
    queue = deque(root for root in roots if type(root).__name__ in _FOLLOWED)
    seen = {id(root) for root in queue}
    while queue and len(seen) < _MOST_VISITED:
        item = queue.popleft()
        if isinstance(item, CoroutineType) and (
            inspect.getcoroutinestate(item) == inspect.CORO_CREATED
        ):
            found.append(item)
        for each in gc.get_referents(item):
            if type(each).__name__ in _FOLLOWED and id(each) not in seen:
                seen.add(id(each))
                queue.append(each)
    return found
