"""What the agent's loop makes: tasks, futures and timers that are the same in every run."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from golem_sdk.runtime.keys import branch

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextvars import Context

    from golem_sdk.runtime.loop import AgentLoop

__all__ = ["AgentFuture", "AgentTask", "AgentTimer"]


class AgentFuture(asyncio.Future[Any]):
    """A future whose hash is its creation number: sets of futures iterate alike in every process.

    Only the agent's own code and the driver can complete it; anybody else gets a `NotDurableError`
    before anything has changed.

    Attributes:
        number: its creation number.
        driver: its loop.
    """

    __slots__ = ("driver", "number")

    def __init__(self, number: int, loop: AgentLoop) -> None:
        self.number = number
        self.driver = loop
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number

    def deliver(self, result: Any) -> None:
        """Complete it, if anybody still waits for it."""
        if not self.done():
            self.set_result(result)

    def set_result(self, result: Any, /) -> None:
        """Complete it."""
        self.driver.check_driven()
        super().set_result(result)

    def set_exception(self, exception: type | BaseException, /) -> None:
        """Complete it with an error."""
        self.driver.check_driven()
        super().set_exception(exception)

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel it; whether it was not over yet."""
        self.driver.check_driven()
        return super().cancel(msg)


class AgentTask(asyncio.Task[Any]):
    """A task whose hash is its creation number (`asyncio.wait` and `TaskGroup` keep tasks in sets).

    Attributes:
        number: its creation number.
        site: where agent code made it.
        driver: its loop.
        context: the context variables it runs with (`asyncio.Task` tells them only from 3.12 on).
        is_background: it is no task of agent code, but of something that this has opened.
    """

    __slots__ = ("context", "driver", "is_background", "number", "site")

    def __init__(
        self,
        number: int,
        coroutine: Coroutine[Any, Any, Any],
        loop: AgentLoop,
        name: str,
        context: Context | None,
    ) -> None:
        self.number = number
        self.site = loop.here()
        self.context = copy_context() if context is None else context
        branch(self.context)
        self.is_background = False
        self.driver = loop
        super().__init__(coroutine, loop=loop, name=name, context=self.context)

    def __hash__(self) -> int:
        return self.number

    @property
    def is_listed(self) -> bool:
        """Whether `asyncio.all_tasks` gives it."""
        return not (self.is_background or self.done())

    def cancel(self, msg: Any | None = None) -> bool:
        """Ask it to end; whether it was not over yet."""
        self.driver.check_driven()
        return super().cancel(msg)


class AgentTimer(asyncio.TimerHandle):
    """A timer of the loop, with the number of its durable call (0: it has none)."""

    __slots__ = ("number",)

    number: int
