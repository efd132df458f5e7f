"""The agent's event loop: a ready queue, and durable calls as the only way time passes.

It has no selector and no clock. A driver (the pump) delivers one completion, lets everything ready run
until it is quiet, and delivers the next. Nothing else can wake a task, so the state of the agent is a
function of the order of deliveries alone (P5), and plain asyncio code (gather, TaskGroup, wait, timeout,
Queue, Lock, ...) behaves the same live and in replay.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import weakref
from collections import deque
from contextlib import contextmanager
from contextvars import copy_context
from itertools import count
from threading import get_ident
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar, TypeVarTuple, Unpack

from golem_sdk.errors import AgentControlSignal, AgentFencedSignal, NotDurableError, UsageError
from golem_sdk.runtime.lanes import Lane, current_lane
from golem_sdk.runtime.tasks import AgentFuture, AgentTask, AgentTimer, close_coroutine

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
    from contextvars import Context

__all__ = ["AgentLoop", "LoopPort", "as_completed"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_log = logging.getLogger("asyncio")
_as_completed = asyncio.as_completed


class LoopPort(Protocol):
    """What the loop needs from its session."""

    def time_s(self) -> float:
        """Logical time in seconds: the timestamp of the last delivered entry."""
        ...

    def start_timer(self, delay_s: float) -> int:
        """Start a durable timer; the number under which `AgentLoop.fire_timer` will be called."""
        ...

    def cancel_call(self, number: int) -> None:
        """The timer is not wanted any more."""
        ...

    def here(self) -> int:
        """The number of the line of agent code that runs, for tasks made there."""
        ...


class AgentLoop(asyncio.AbstractEventLoop):
    """One agent's event loop. Any thread may drive it, one at a time.

    Args:
        port: gives time and timers.
        context: the context variables in which agent code runs.
    """

    def __init__(self, port: LoopPort, context: Context) -> None:
        self._port = port
        self._context = context
        self._numbers = count(1)
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: dict[int, AgentTimer] = {}
        self._tasks: dict[int, AgentTask] = {}
        self._lanes: dict[int, Lane] = {}
        self._generators: dict[int, weakref.ref[AsyncGenerator[Any, Any]]] = {}
        self._driver: int | None = None
        self._closed = False

    # --- for the driver ---------------------------------------------------------------------------

    @contextmanager
    def driven(self) -> Iterator[None]:
        """Inside this block the calling thread drives the loop: it may complete its futures."""
        before, self._driver = self._driver, get_ident()
        try:
            yield
        finally:
            self._driver = before

    def run_ready(self) -> None:
        """Run everything that is ready, and what becomes ready thereby, until it is quiet."""
        if self._ready:
            with self.driven():
                self._context.run(self._run_ready)

    def start_main(self, coroutine: Coroutine[Any, Any, Any]) -> AgentTask:
        """Make the task of an invocation."""
        with self.driven():
            return self._context.run(self.create_task, coroutine)

    def fire_timer(self, number: int) -> None:
        """A durable timer was delivered: its callback is ready."""
        timer = self._timers.pop(number, None)
        if timer is not None:
            self._ready.append(timer)

    def cancel_leftovers(self) -> None:
        """The main task is done: cancel all others, in the order of their creation."""
        with self.driven():
            for task in list(self._tasks.values()):
                task.cancel()

    def close_generators(self) -> None:
        """Begin to close the async generators that were left half-way."""
        if any(ref() is not None for ref in self._generators.values()):
            self.start_main(self.shutdown_asyncgens())

    def is_quiet(self) -> bool:
        """Whether no task and no lane is left."""
        return not self._tasks and not self._lanes

    def teardown(self) -> None:
        """The session is over: unwind what is left of its code here and now, in its own context.

        ``finally`` blocks run; durable calls in them raise the session's control signal. Idempotent.
        """
        if self._closed:
            return
        self._closed = True
        with self.driven():
            self._context.run(self._teardown)

    def _run_ready(self) -> None:
        with self._as_running():
            while self._ready:
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()

    @contextmanager
    def _as_running(self) -> Iterator[None]:
        before = asyncio._get_running_loop()
        hooks = sys.get_asyncgen_hooks()
        asyncio._set_running_loop(self)
        sys.set_asyncgen_hooks(firstiter=self._generator_begins, finalizer=self._generator_dropped)
        try:
            yield
        finally:
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(before)

    def _teardown(self) -> None:
        ended = AgentFencedSignal(NotDurableError("the agent was unloaded"))
        with self._as_running():
            for lane in list(self._lanes.values()):
                lane.abandon(ended)
            for task in list(self._tasks.values()):
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own switch
                close_coroutine(task.get_coro())
            for ref in list(self._generators.values()):
                generator = ref()
                if generator is not None:
                    close_coroutine(generator.aclose())
            self._ready.clear()
            self._timers.clear()
            self._tasks.clear()

    # --- callbacks and timers ---------------------------------------------------------------------

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Run a callback in this turn."""
        self._check_driven()
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """The same; only the agent's own code may: anybody else is not journaled."""
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run a callback after ``delay`` seconds, by a durable timer; with no delay in this turn."""
        self._check_driven()
        timer = AgentTimer(self.time() + delay, callback, args, self, context)
        if delay > 0:
            timer.number = self._port.start_timer(delay)
            self._timers[timer.number] = timer
        else:
            timer.number = 0
            self._ready.append(timer)
        return timer

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run a callback at a logical time (see `time`)."""
        return self.call_later(when - self.time(), callback, *args, context=context)

    def time(self) -> float:
        """Logical time: the timestamp of the last delivered entry, in seconds."""
        return self._port.time_s()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if isinstance(handle, AgentTimer) and self._timers.pop(handle.number, None) is not None:
            self._port.cancel_call(handle.number)

    # --- futures, tasks, lanes --------------------------------------------------------------------

    def create_future(self) -> AgentFuture:
        """A future of this loop."""
        return AgentFuture(next(self._numbers), self)

    def create_task(
        self,
        coro: Any,
        *,
        name: object = None,
        context: Context | None = None,
        **options: Any,
    ) -> AgentTask:
        """A task of this loop; its default name is the same in every run."""
        if options.pop("eager_start", None):
            raise UsageError("tasks inside agents cannot start eagerly")
        number = next(self._numbers)
        task = AgentTask(number, coro, self, str(name or f"task-{number}"), context, **options)
        self._tasks[number] = task
        task.add_done_callback(self._task_done)
        return task

    def run_in_executor(
        self, executor: Any, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run ``func`` in a thread of the agent; which executor it was meant for does not matter."""
        future = self.create_future()
        lane = Lane(copy_context(), lambda: func(*args))

        def ended() -> None:
            del self._lanes[future.number]
            if not future.done():
                lane.reveal(future)

        self._lanes[future.number] = lane
        self.call_soon(lane.begin, ended)
        return future

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        if isinstance(task, AgentTask):
            self._tasks.pop(task.number, None)
        if not task.cancelled() and isinstance(task._exception, AgentControlSignal):
            task.exception()

    # --- async generators -------------------------------------------------------------------------

    def _generator_begins(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._generators[next(self._numbers)] = weakref.ref(generator)

    def _generator_dropped(self, generator: AsyncGenerator[Any, Any]) -> None:
        if not self._closed:
            self.create_task(generator.aclose())

    async def shutdown_asyncgens(self) -> None:
        """Close the async generators that were left half-way, in the order of their first use."""
        generators, self._generators = self._generators, {}
        for ref in generators.values():
            generator = ref()
            if generator is not None:
                await generator.aclose()

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Nothing to do: the agent's threads end with its invocation."""

    def here(self) -> int:
        """The number of the line of agent code that runs."""
        return self._port.here()

    # --- state ------------------------------------------------------------------------------------

    def is_running(self) -> bool:
        """Whether agent code runs on it at this moment."""
        return self._driver is not None

    def is_closed(self) -> bool:
        """Whether its session is over."""
        return self._closed

    def get_debug(self) -> bool:
        """Always ``False``: debug mode looks at the real clock."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Log what nobody caught."""
        error = context.get("exception")
        if not self._closed and not isinstance(error, AgentControlSignal):
            _log.error(context.get("message", "unhandled exception"), exc_info=error)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """The same."""
        self.call_exception_handler(context)

    def get_task_factory(self) -> None:
        """Always ``None``."""
        return

    def _check_driven(self) -> None:
        if self._driver == get_ident():
            return
        lane = current_lane()
        if lane is None or lane not in self._lanes.values():
            raise NotDurableError(
                "another thread tried to wake a task of an agent: that would not be the same on replay."
                " Use asyncio.to_thread for threads of the agent, or mark the function that talks to the"
                " outside with @durable"
            )


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(self: AgentLoop, *args: object, **kwargs: object) -> NoReturn:
        raise NotDurableError(
            f"the event loop of an agent has no {name}(): it has no sockets, processes or signals of its"
            " own. Mark the function that needs them with @durable; it runs on a real event loop"
        )

    return refuse


for _name, _method in vars(asyncio.AbstractEventLoop).items():
    if _name not in vars(AgentLoop) and not _name.startswith("_") and callable(_method):
        setattr(AgentLoop, _name, _refusal(_name))


def as_completed(fs: Iterable[Any], *, timeout: float | None = None) -> Any:
    """`asyncio.as_completed`; inside agents tasks are made in the order of ``fs``, not of a set."""
    loop = asyncio._get_running_loop()
    if isinstance(loop, AgentLoop):
        fs = [asyncio.ensure_future(awaitable) for awaitable in dict.fromkeys(fs)]
    return _as_completed(fs, timeout=timeout)
