"""Sagas: steps that are undone in reverse order when a later one fails."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

from attrs import evolve, frozen

from golem_sdk.durability import SCOPE, current, sleep
from golem_sdk.errors import AgentControlSignal, CompensationError, UsageError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from golem_sdk.core.entries import OplogIndex

__all__ = ["Saga", "saga"]

T = TypeVar("T")

_LONGEST_PAUSE_S = 60.0
_NOT_AWAITED = (
    "{!r} is asynchronous, and a plain `with saga()` cannot wait for it, now or when the saga is undone:"
    " write `async with saga() as s:`"
)


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
        self._undone_runs = 0
        self._runs_around: tuple[tuple[int, int], ...] = ()
        self._entered = self._open = self._asynchronous = False
        self._under_way = 0
        self._none_under_way: asyncio.Future[None] | None = None
        self._failed_late: Exception | None = None

    @overload
    def step(
        self, do: Callable[[], Coroutine[Any, Any, T]], undo: Callable[[T], Any]
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def step(self, do: Callable[[], T], undo: Callable[[T], Any]) -> T: ...

    def step(self, do: Callable[[], Any], undo: Callable[[Any], Any]) -> Any:
        """Do something, and note how to undo it; gives what ``do`` returns.

        Args:
            do: makes durable calls. If it is a coroutine function, or gives a coroutine, await the step.
            undo: called with the result of ``do`` if the saga fails later. If its durable calls fail, the
                retry policy applies to them as everywhere.

        Raises:
            BaseException: what ``do`` raises: the step counts as not done. So does one that is cancelled,
                though what it was waiting for may happen: let `asyncio.gather` run steps at the same time,
                not an `asyncio.TaskGroup`, which cancels them.
            UsageError: outside the saga's block, no functions were given, or coroutine functions in a block
                that is not ``async with``. Nothing was done.
        """
        self._check_open()
        for function in (do, undo):
            self._check_function(function)
        if inspect.iscoroutinefunction(do):
            return self._step_async(do, undo)
        with self._step_under_way():
            result = do()
            if not inspect.iscoroutine(result):
                self._keep(_Done(undo, result))
                return result
            if not self._asynchronous:
                result.close()
                raise UsageError(_NOT_AWAITED.format(do))
        return self._step_async(lambda: result, undo)

    async def _step_async(self, do: Callable[[], Any], undo: Callable[[Any], Any]) -> Any:
        self._check_open()  # a task may have begun it late
        with self._step_under_way():
            result = await do()
            self._keep(_Done(undo, result))
        return result

    # --- the block ----------------------------------------------------------------------------------

    def __enter__(self) -> Saga:
        self._begin()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        _run_through(self._leave(error))

    async def __aenter__(self) -> Saga:
        self._begin()
        self._asynchronous = True
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        await self._leave(error)

    def _begin(self) -> None:
        if self._entered:
            raise UsageError("a saga is one block: call saga() for each")
        session = current()
        if session is not None and not self._infallible:
            session.operations.check_saga()
        elif session is not None:
            self._start, run = session.operations.begin_saga()
            _, self._undone_runs = run
            scope = SCOPE.get()
            self._runs_around = scope.runs
            SCOPE.set(evolve(scope, runs=(*scope.runs, run)))
        self._entered = self._open = True

    async def _leave(self, error: BaseException | None) -> None:
        """The block is left, with ``error``. In a synchronous block there is nothing to wait for."""
        try:
            if isinstance(error, AgentControlSignal):
                return
            failure = await self._settled(error)
            if failure is None:
                return
            cancelled = await self._undone(failure)
        finally:
            self._end()
        if cancelled is not None and error is not cancelled:
            raise cancelled from failure
        await self._run_again(failure)
        if error is None:
            raise failure

    async def _settled(self, error: BaseException | None) -> BaseException | None:
        """Why the saga has failed, ``None``: it has not, once no step is under way in another task.

        A step that ended later would stay done. Cancelling it would not help: whether what it was waiting
        for has happened, nobody knew then. For the same reason being cancelled does not end this wait.
        """
        self._open = False
        if self._under_way and not self._asynchronous:
            return error or UsageError(
                "a step is under way in another thread at the end of the saga's block: write `async with"
                " saga() as s:`, which waits for it"
            )
        cancelled: BaseException | None = None
        while self._under_way:
            self._none_under_way = asyncio.get_running_loop().create_future()
            try:
                await self._none_under_way
            except asyncio.CancelledError as signal:
                cancelled = signal
        return error or self._failed_late or cancelled

    async def _undone(self, failure: BaseException) -> BaseException | None:
        """Undo everything. Gives a cancellation that has come meanwhile: it must not leave steps done."""
        if not self._asynchronous:
            await self._undo_all(failure)
            return None
        undoing, cancelled = asyncio.ensure_future(self._undo_all(failure)), None
        while not undoing.done():
            try:
                await asyncio.wait([undoing])
            except asyncio.CancelledError as signal:
                cancelled = signal
        undoing.result()
        return cancelled

    async def _undo_all(self, failure: BaseException) -> None:
        undone = 0
        while self._done:
            try:
                await self._undo(self._done[-1])
            except Exception as failed:
                raise CompensationError(failure, undone, len(self._done)) from failed
            self._done.pop()
            undone += 1

    async def _undo(self, step: _Done) -> None:
        result = step.undo(step.result)
        if inspect.isawaitable(result):
            if not self._asynchronous:
                _close(result)
                raise UsageError("a coroutine undoes a step: write `async with saga() as s:`")
            await result

    async def _run_again(self, failure: BaseException) -> None:
        session = current()
        if session is None or not (self._infallible and isinstance(failure, Exception)):
            return
        pause_s = min(_LONGEST_PAUSE_S, 2.0 ** min(self._undone_runs, 30))
        if self._asynchronous:
            await asyncio.sleep(pause_s)
        else:
            sleep(session, pause_s)
        session.operations.jump(self._start)

    def _end(self) -> None:
        self._open = False
        if self._start:
            SCOPE.set(evolve(SCOPE.get(), runs=self._runs_around))

    # --- steps --------------------------------------------------------------------------------------

    @contextmanager
    def _step_under_way(self) -> Iterator[None]:
        self._under_way += 1
        try:
            yield
        except Exception as error:
            if not self._open and self._failed_late is None:
                self._failed_late = error
            raise
        finally:
            self._under_way -= 1
            waiting = self._none_under_way
            if waiting is not None and not self._under_way:
                waiting.get_loop().call_soon_threadsafe(_set, waiting)

    def _keep(self, step: _Done) -> None:
        if not (self._open or self._asynchronous):
            _run_through(self._undo(step))
            raise UsageError(
                "the saga's block was over before this step, in another thread, was done. It was undone:"
                " write `async with saga() as s:`, which waits for it"
            )
        self._done.append(step)

    def _check_open(self) -> None:
        if not self._open:
            raise UsageError(
                "a saga's steps are made inside its block: with saga() as s: s.step(...)"
            )

    def _check_function(self, function: object) -> None:
        if not callable(function):
            raise UsageError(f"a step takes two functions, not {function!r}")
        if not self._asynchronous and inspect.iscoroutinefunction(function):
            raise UsageError(_NOT_AWAITED.format(function))


def _run_through(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("a synchronous saga waits in place")


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _close(awaitable: object) -> None:
    if inspect.iscoroutine(awaitable):
        awaitable.close()


def saga(*, infallible: bool = False) -> Saga:
    """Steps of which either all are done or those that were done are undone.

    When an exception leaves the block, the steps that were done are undone in reverse order, each once, and
    the exception goes on. Steps and compensations are made of durable calls, so a crash in the middle of
    either changes nothing: the agent goes on where it was.

    Use it as ``async with`` in asynchronous code. Then steps can be made at the same time: at its end the
    block waits for those that are still under way in other tasks. One that fails then fails the saga, and
    one that succeeds is undone with the others if the saga has failed.

    It cannot be in `atomically`, which would run undone steps again under the keys they had: put `atomically`
    into a step.

    Args:
        infallible: after everything was undone, wait a little (1 second, then longer, at most a minute) and
            run the block again, for ever, under new idempotency keys. Outside agents it runs once.

    Raises:
        CompensationError: undoing has failed as well; it says how many steps are still done.
        UsageError: ``infallible`` is no bool; or, when the block is entered, it is inside `atomically` or
            another block that runs again as a whole.

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
