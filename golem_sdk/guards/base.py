"""What all guards have in common: they are blocks and decorators, for sync and async code alike."""

from __future__ import annotations

import functools
import inspect
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar, overload

from attrs import frozen

from golem_sdk.core.scopes import Scope
from golem_sdk.durability import SCOPE, Session, current
from golem_sdk.errors import AgentControlSignal, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["Guard"]

F = TypeVar("F", bound="Callable[..., Any]")


@frozen
class _Block:
    """A block that was entered: in which agent (``None``: outside agents), and what held before."""

    session: Session | None
    before: Scope
    kept: Any
    outer: _Block | None


_BLOCK: ContextVar[_Block | None] = ContextVar("golem_block", default=None)


class Guard(AbstractContextManager[None]):
    """Guards a block, or as a decorator every call of a function. Outside agents it does nothing.

    One object may guard any number of blocks, nested or at the same time.
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
        session, before, outer = current(), SCOPE.get(), _BLOCK.get()
        kept = None
        if session is not None:
            scope, kept = self._enter(session, before)
            SCOPE.set(scope)
        _BLOCK.set(_Block(session, before, kept, outer))

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        block = _BLOCK.get()
        assert block is not None, "a block is left where it was entered"
        _BLOCK.set(block.outer)
        if block.session is not None:
            SCOPE.set(block.before)
            if not isinstance(error, AgentControlSignal):
                self._exit(block.session, block.kept, error)

    def _enter(self, session: Session, scope: Scope) -> tuple[Scope, Any]:
        """What holds inside, and what `_exit` needs to know."""
        raise NotImplementedError

    def _exit(self, session: Session, kept: Any, error: BaseException | None) -> None:
        """The block is left. ``error`` goes on, unless another exception takes its place."""
