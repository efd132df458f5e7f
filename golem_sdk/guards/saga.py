"""Sagas: steps that are undone in reverse order when a later one fails."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from attrs import evolve, frozen

from golem_sdk.durability import SCOPE, Session, current, sleep
from golem_sdk.errors import AgentControlSignal, CompensationError, UsageError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from golem_sdk.core.entries import OplogIndex

__all__ = ["Saga", "saga"]

T = TypeVar("T")

_LONGEST_PAUSE_S = 60.0


@frozen
class _Done:
    undo: Callable[[Any], Any]
    result: Any


class Saga:
    """A block of steps. Made by `saga`."""

    def __init__(self, infallible: bool) -> None:
        self._infallible = infallible
        self._done: list[_Done] = []
        self._start: OplogIndex = 0
        self._runs = self._outer_run = 0
        self._entered = False

    @overload
    def step(
        self, do: Callable[[], Coroutine[Any, Any, T]], undo: Callable[[T], Any]
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def step(self, do: Callable[[], T], undo: Callable[[T], Any]) -> T: ...

    def step(self, do: Callable[[], Any], undo: Callable[[Any], Any]) -> Any:
        """Do something, and note how to undo it; gives what ``do`` returns.

        Args:
            do: makes durable calls. If it is a coroutine function, await the step.
            undo: called with the result of ``do`` if the saga fails later. If its durable calls fail, the
                retry policy applies to them as everywhere.

        Raises:
            BaseException: what ``do`` raises: the step counts as not done.
            UsageError: outside the saga's block, or no functions were given.
        """
        if not self._entered:
            raise UsageError(
                "a saga's steps are made inside its block: with saga() as s: s.step(...)"
            )
        for function in (do, undo):
            _check_callable(function)
        if inspect.iscoroutinefunction(do):
            return self._step_async(do, undo)
        result = do()
        if inspect.iscoroutine(result):
            result.close()
            raise UsageError(
                "do is no coroutine function but returns a coroutine: write `async def`, so that the step can"
                " be awaited"
            )
        self._done.append(_Done(undo, result))
        return result

    async def _step_async(self, do: Callable[[], Any], undo: Callable[[Any], Any]) -> Any:
        result = await do()
        self._done.append(_Done(undo, result))
        return result

    # --- the block, in synchronous code -----------------------------------------------------------

    def __enter__(self) -> Saga:
        self._begin()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            self._end()
        if error is None or isinstance(error, AgentControlSignal):
            return
        undone = 0
        while self._done:
            step = self._done[-1]
            try:
                result = step.undo(step.result)
                if inspect.iscoroutine(result):
                    result.close()
                    raise UsageError("a coroutine undoes a step: write `async with saga() as s:`")
            except Exception as failed:
                raise CompensationError(error, undone, len(self._done)) from failed
            self._done.pop()
            undone += 1
        self._end()
        session = self._runs_again(error)
        if session is not None:
            sleep(session, self._pause_s)
            session.operations.jump(self._start)

    # --- the block, in asynchronous code ----------------------------------------------------------

    async def __aenter__(self) -> Saga:
        self._begin()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            self._end()
        if error is None or isinstance(error, AgentControlSignal):
            return
        undone = 0
        while self._done:
            step = self._done[-1]
            try:
                result = step.undo(step.result)
                if inspect.isawaitable(result):
                    await result
            except Exception as failed:
                raise CompensationError(error, undone, len(self._done)) from failed
            self._done.pop()
            undone += 1
        self._end()
        session = self._runs_again(error)
        if session is not None:
            await asyncio.sleep(self._pause_s)
            session.operations.jump(self._start)

    # --- common -----------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._entered or self._done:
            raise UsageError("a saga is one block: call saga() for each")
        self._entered = True
        session = current()
        if session is not None and self._infallible:
            self._start = session.operations.here()
            self._runs = session.operations.jumps_to(self._start)
            scope = SCOPE.get()
            self._outer_run = scope.run
            SCOPE.set(evolve(scope, run=self._runs))

    def _end(self) -> None:
        self._entered = False
        if self._start:
            SCOPE.set(evolve(SCOPE.get(), run=self._outer_run))

    @property
    def _pause_s(self) -> float:
        return float(min(_LONGEST_PAUSE_S, 2.0 ** min(self._runs, 30)))

    def _runs_again(self, error: BaseException) -> Session | None:
        return current() if self._infallible and isinstance(error, Exception) else None


def _check_callable(function: object) -> None:
    if not callable(function):
        raise UsageError(f"a step takes two functions, not {function!r}")


def saga(*, infallible: bool = False) -> Saga:
    """Steps of which either all are done or those that were done are undone.

    When an exception leaves the block, the steps that were done are undone in reverse order, each once, and
    the exception goes on. Steps and compensations are made of durable calls, so a crash in the middle of
    either changes nothing: the agent goes on where it was. Use it as ``async with`` in asynchronous code.

    Args:
        infallible: after everything was undone, wait a little (2 seconds, then longer, at most a minute) and
            run the block again, for ever, under new idempotency keys. Outside agents it runs once.

    Raises:
        CompensationError: undoing has failed as well; it says how many steps are still done.

    Example:
        >>> from golem_sdk import Runtime, agent, durable, saga
        >>> @durable
        ... def book(what: str) -> str:
        ...     if what == "car":
        ...         raise ValueError("no car left")
        ...     return f"{what} booked"
        >>> @durable
        ... def cancel(booking: str) -> None:
        ...     print(booking, "and cancelled")
        >>> @agent
        ... def trip(name: str) -> str:
        ...     try:
        ...         with saga() as s:
        ...             for what in ("flight", "hotel", "car"):
        ...                 s.step(lambda: book(what), cancel)
        ...     except ValueError as error:
        ...         return f"no trip: {error}"
        ...     return "booked"
        >>> with Runtime.memory() as runtime:
        ...     runtime.run(trip, "Ada")
        hotel booked and cancelled
        flight booked and cancelled
        'no trip: no car left'
    """
    if not isinstance(infallible, bool):
        raise UsageError(f"infallible is True or False, not {infallible!r}")
    return Saga(infallible)
