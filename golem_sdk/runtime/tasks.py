"""What the agent's loop makes: tasks, futures and timers that are the same in every run."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol

from golem_sdk.runtime.crews import LanesPort
from golem_sdk.runtime.keys import branch
from golem_sdk.runtime.unwinding import close_unstarted

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from contextvars import Context

    from golem_sdk.runtime.loop import AgentLoop

__all__ = ["AgentFuture", "AgentTask", "AgentTimer", "LoopPort", "SleepTimer", "timer_for"]


_wake_sleeper = asyncio.futures._set_result_unless_cancelled  # type: ignore[attr-defined]  # typeshed leaves it out
"""What `asyncio.sleep` has called when its time has come."""


class LoopPort(LanesPort, Protocol):
    """What the loop needs from its session."""

    def context(self) -> Context:
        """A new context for agent code."""
        ...

    def time_s(self) -> float:
        """Logical time in seconds: the timestamp of the last delivered entry."""
        ...

    def start_timer(self, delay_s: float, timer: AgentTimer | SleepTimer) -> int:
        """Start a durable call at whose completion the timer is resumed; its number."""
        ...

    def timers(self) -> list[AgentTimer | SleepTimer]:
        """Those that were started and are not over."""
        ...

    def here(self) -> int:
        """The number of the line of agent code that runs, for tasks made there."""
        ...


class AgentFuture(asyncio.Future[Any]):
    """A future whose hash is its creation number: sets of futures iterate alike in every process.

    Only the agent's own code and the driver can complete it; anybody else gets a `NotDurableError`
    before anything has changed.

    Attributes:
        number: its creation number.
    """

    __slots__ = ("number",)

    _loop: AgentLoop

    def __init__(self, number: int, loop: AgentLoop) -> None:
        self.number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number

    def resume(self, value: object) -> None:
        """Complete it, unless agent code does not want it any more."""
        if not self.done():
            self.set_result(value)

    def set_result(self, result: Any, /) -> None:
        """Complete it."""
        self._loop.check_driven()
        super().set_result(result)

    def set_exception(self, exception: type | BaseException, /) -> None:
        """Complete it with an error."""
        self._loop.check_driven()
        super().set_exception(exception)

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel it; whether it was not over yet."""
        self._loop.check_driven()
        return super().cancel(msg)


class AgentTask(asyncio.Task[Any]):
    """A task whose hash is its creation number (`asyncio.wait` and `TaskGroup` keep tasks in sets).

    Attributes:
        number: its creation number.
        site: where agent code made it.
        context: the context variables it runs with (`asyncio.Task` tells them only from 3.12 on).
        is_background: it is no task of agent code, but of something that this has opened.
    """

    __slots__ = ("_place", "context", "number", "site")

    is_background = False
    _loop: AgentLoop

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
        super().__init__(coroutine, loop=loop, name=name, context=self.context)
        self.add_done_callback(AgentTask.over, context=self.context)
        asyncio.tasks._unregister_task(self)  # its loop knows it, and all who ask are told by that
        self._place = len(loop.tasks)
        if loop.tasks:
            loop.tasks.append(self)
        else:
            loop.tasks = [self]  # which keeps no room for more: most agents have one

    def __hash__(self) -> int:
        return self.number

    def over(self) -> None:
        """It is done: nobody has to end it."""
        tasks, place = self._loop.tasks, self._place
        tasks[place] = tasks[-1]  # so nothing has to be moved up
        tasks[place]._place = place
        tasks.pop()
        self.let_go()

    def let_go(self) -> None:
        """It is done: close what it has left."""
        if self._exception is not None:  # `exception()` would keep asyncio from telling of it
            close_unstarted(self._exception)

    @property
    def is_listed(self) -> bool:
        """Whether `asyncio.all_tasks` gives it."""
        return not (self.is_background or self.done())

    def cancel(self, msg: Any | None = None) -> bool:
        """Ask it to end; whether it was not over yet."""
        self._loop.check_driven()
        return super().cancel(msg)


class AgentTimer(asyncio.TimerHandle):
    """A timer of the loop.

    Attributes:
        number: that of its durable call, 0: it has none, or none any more.
    """

    __slots__ = ("number",)

    _loop: AgentLoop

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: Sequence[Any],
        loop: AgentLoop,
        context: Context | None,
    ) -> None:
        self.number = 0
        super().__init__(when, callback, args, loop, context)

    def resume(self, value: object) -> None:
        """Its time has come."""
        self.number = 0
        self._loop.run_next(self)


class SleepTimer:
    """What `asyncio.sleep` gets as its timer. It asks it for nothing but `cancel`, and many may sleep.

    Attributes:
        number: as that of an `AgentTimer`.
    """

    __slots__ = ("_future", "_result", "number")

    def __init__(self, future: AgentFuture, result: object) -> None:
        self.number = 0
        self._future = future
        self._result = result

    def cancel(self) -> None:
        """It does not sleep any more."""
        self._future._loop.timer_over(self)

    def resume(self, value: object) -> None:
        """Its time has come."""
        self.number = 0
        loop = self._future._loop
        loop.run_next(asyncio.Handle(_wake_sleeper, (self._future, self._result), loop))


def timer_for(
    delay: float,
    callback: Callable[..., object],
    args: tuple[Any, ...],
    loop: AgentLoop,
    context: Context | None,
) -> AgentTimer | SleepTimer:
    """A timer that is due in ``delay`` seconds."""
    if callback is _wake_sleeper and delay > 0:
        return SleepTimer(*args)
    return AgentTimer(loop.time() + delay, callback, args, loop, context)
