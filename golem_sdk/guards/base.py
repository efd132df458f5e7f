"""What all guards have in common: they are blocks and decorators, for sync and async code alike."""

from __future__ import annotations

import asyncio
import functools
import inspect
from contextlib import AbstractContextManager
from contextvars import ContextVar
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar, overload

from attrs import define

from golem_sdk.core.scopes import Scope
from golem_sdk.durability import SCOPE, Session, current
from golem_sdk.errors import AgentControlSignal, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["Guard"]

F = TypeVar("F", bound="Callable[..., Any]")


@define(eq=False)
class _Block:
    """A block that was entered.

    Attributes:
        guard: what guards it.
        owner: the task that entered it, or the thread, if that runs no task.
        session: in which agent; ``None``: outside agents.
        before: the scope that held before.
        kept: what `Guard._exit` needs to know.
        outer: the block that it was entered in.
        left: whether it was. Copies of the context, which other tasks have, do not show that.
    """

    guard: Guard
    owner: object
    session: Session | None
    before: Scope
    kept: Any
    outer: _Block | None
    left: bool = False

    def may_leave(self, *, closing: bool) -> bool:
        """Whether the code that asks may leave it. The closing of a generator may run anywhere."""
        return self.owner == _owner() or (closing and not self.left)


_BLOCK: ContextVar[_Block | None] = ContextVar("golem_block", default=None)


_WITH = "Write `with`, not around a `yield`: it enters and leaves guards in order"
_LEFT = f"this guard was not entered here, or was left already. {_WITH}"


class Guard(AbstractContextManager[None]):
    """Guards a block, or as a decorator every call of a function. Outside agents it does nothing.

    One object may guard any number of blocks, nested or at the same time. A block is left by the task or
    thread that entered it, and before the block around it: ``with`` does that, but generators and calls of
    ``__enter__`` and ``__exit__`` can miss it. It is a `UsageError` then; nothing has changed, and the block
    can still be left as it should be. What is open when the agent's method is over is closed.
    """

    @overload
    def __call__(self, function: F, /) -> F: ...
    @overload
    def __call__(self, function: Any, /) -> Any: ...

    def __call__(self, function: Any, /) -> Any:
        """Guard every call of ``function``.

        Raises:
            UsageError: it is no function or method, or a generator.
        """
        if not inspect.isfunction(function):
            raise UsageError(f"a guard decorates functions and methods, not {function!r}")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise UsageError(
                f"{function.__qualname__} is a generator: other code runs between its items; put the guard"
                " inside it, around what belongs together"
            )
        if inspect.iscoroutinefunction(function):
            return self._guarded_async(function)

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return guarded

    def _guarded_async(self, function: Callable[..., Any]) -> Any:
        @functools.wraps(function)
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)

        return guarded

    def __enter__(self) -> None:
        session, outer, before = current(), _innermost(), SCOPE.get()
        kept = None
        if session is not None:
            scope, kept = self._enter(session, before)
            SCOPE.set(scope)
        _BLOCK.set(_Block(self, _owner(), session, before, kept, outer))

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        block, unwinding = _innermost(), isinstance(error, AgentControlSignal)
        # An async generator that was dropped half-way is closed in a task of its own.
        closing = isinstance(error, GeneratorExit)
        if block is None or block.guard is not self or not block.may_leave(closing=closing):
            if unwinding or (closing and current() is None):
                return  # a session that is over drops its frames wherever Python likes
            raise UsageError(self._misplaced(block))
        block.left = True
        _BLOCK.set(block.outer)
        if block.session is not None:
            SCOPE.set(block.before)
            if not unwinding:
                self._exit(block.session, block.kept, error)

    def _misplaced(self, inner: _Block | None) -> str:
        """Why this guard cannot be left where ``inner`` is the innermost block."""
        block = inner
        while block is not None and block.guard is not self:
            block = block.outer
        if block is None:
            return _LEFT
        if block.owner != _owner():
            return f"a guard is left by the task or thread that entered it, which is another one. {_WITH}"
        return f"a guard is left while another one, entered in its block, is not. {_WITH}"

    def _enter(self, session: Session, scope: Scope) -> tuple[Scope, Any]:
        """What holds inside, and what `_exit` needs to know."""
        raise NotImplementedError

    def _exit(self, session: Session, kept: Any, error: BaseException | None) -> None:
        """The block is left. ``error`` goes on, unless another exception takes its place."""


def _innermost() -> _Block | None:
    """The block that this code is in. One of its own that was left elsewhere is taken away here, too."""
    block = _BLOCK.get()
    while block is not None and block.left and block.owner == _owner():
        SCOPE.set(block.before)
        block = block.outer
        _BLOCK.set(block)
    return block


def _owner() -> object:
    """The task that runs, or the thread."""
    loop = asyncio._get_running_loop()
    task = None if loop is None else asyncio.current_task(loop)
    return get_ident() if task is None else task
