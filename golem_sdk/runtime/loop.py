"""The agent's event loop: a ready queue, and durable calls as the only way time passes.

It has no selector and no clock. A driver (the pump) delivers one completion, lets everything ready run
until it is quiet, and delivers the next. Nothing else can wake a task, so the state of the agent is a
function of the order of deliveries alone (P5), and plain asyncio code (gather, TaskGroup, wait, timeout,
Queue, Lock, ...) behaves the same live and in replay.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import contextmanager
from contextvars import copy_context
from sys import intern
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack

from golem_sdk.errors import NotDurableError, UsageError
from golem_sdk.runtime.crews import Lanes
from golem_sdk.runtime.generators import Generators, close_each, is_collecting
from golem_sdk.runtime.keys import branch
from golem_sdk.runtime.lanes import Baton, Lane
from golem_sdk.runtime.refusals import BareLoop
from golem_sdk.runtime.tasks import AgentFuture, AgentTask, AgentTimer, SleepTimer, timer_for
from golem_sdk.runtime.unwinding import unloaded, unwind_generator, unwind_task

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
    from contextvars import Context

    from golem_sdk.runtime.tasks import LoopPort

__all__ = ["AgentLoop", "all_tasks", "as_completed"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_as_completed = asyncio.as_completed
_all_tasks = asyncio.all_tasks

_MOST_CALLBACKS = 10_000_000
"""How many callbacks may run before one completion has to be waited for: many seconds' worth."""

_MOST_ROUNDS = 100
"""How often the end of a session looks for what its code has begun while it was unwound."""

_NEVER_S = 3e9
"""A delay of a century or more needs no durable timer (``asyncio.sleep(math.inf)``)."""


class AgentLoop(BareLoop, Baton):
    """One agent's event loop. Any thread may drive it, one at a time: who does has the baton.

    Args:
        port: gives contexts, time and timers.

    Attributes:
        tasks: those that are not done, in no order.
    """

    __slots__ = (
        "_closed",
        "_generators",
        "_lanes",
        "_made",
        "_port",
        "_ready",
        "tasks",
    )

    def __init__(self, port: LoopPort) -> None:
        Baton.__init__(self)
        self._port = port
        self._made = 0
        self._ready: list[asyncio.Handle] | None = None
        self.tasks: list[AgentTask] = []
        self._lanes: Lanes | None = None
        self._generators: Generators | None = None
        self._closed = False

    @property
    def lanes(self) -> Lanes:
        """The agent's threads; made when they are first asked for."""
        if self._lanes is None:
            self._lanes = Lanes(self, self._port)
        return self._lanes

    # --- for the driver ---------------------------------------------------------------------------

    @contextmanager
    def driven(self) -> Iterator[None]:
        """Inside this block the calling thread drives the loop: it may complete its futures."""
        before, self.holder = self.holder, get_ident()
        try:
            yield
        finally:
            self.holder = before

    @contextmanager
    def running(self) -> Iterator[Context]:
        """The same, and it is the running loop of asyncio; gives the context to run what is ready from."""
        with self.driven():
            before = asyncio._get_running_loop()
            hooks = sys.get_asyncgen_hooks()
            asyncio._set_running_loop(self)
            sys.set_asyncgen_hooks(self._generator_begun, self._generator_dropped)
            try:
                yield self._port.context()
            finally:
                sys.set_asyncgen_hooks(*hooks)
                asyncio._set_running_loop(before)

    def run_ready(self, context: Context) -> None:
        """Run everything that is ready, and what becomes ready thereby, until it is quiet.

        Raises:
            NotDurableError: it never is, because a task polls without waiting for anything.
        """
        if self._ready:
            context.run(self._run_ready)

    def start_main(
        self, coroutine: Coroutine[Any, Any, Any], context: Context | None = None
    ) -> AgentTask:
        """Make the task of an invocation, whose context is a copy of this one."""
        with self.driven():
            context = self._port.context() if context is None else context
            return context.run(self.create_task, coroutine)

    def run_next(self, handle: asyncio.Handle) -> None:
        """A callback is ready."""
        if self._closed:
            return
        if self._ready is None:
            self._ready = []
        self._ready.append(handle)

    def cancel_leftovers(self) -> None:
        """The main task is done: begin to cancel all others, in the order of their creation."""
        if self.tasks or self._lanes:
            self.start_main(self._cancel_leftovers())

    def close_generators(self) -> None:
        """No task is left: drop timers, and begin to close the async generators left half-way."""
        with self.driven():
            for timer in self._port.timers():
                timer.cancel()
            if self._lanes is not None:
                self._lanes.release_threads()
        generators = (self._generators or Generators()).take()
        if generators:
            self.start_main(close_each(generators, self.call_exception_handler))

    def is_quiet(self) -> bool:
        """Whether no task and no lane is left."""
        return not self.tasks and not self._lanes

    def teardown(self) -> None:
        """The session is over: unwind what is left of its code here and now, in its own contexts.

        ``finally`` blocks run. Whatever they wait for raises a control signal, and code that waits again
        and again is left behind with a warning. Idempotent.
        """
        if self._closed:
            return
        self._closed = True
        with self.running():
            for _ in range(_MOST_ROUNDS):
                while self.tasks:
                    tasks, self.tasks = sorted(self.tasks, key=hash), []
                    for task in tasks:
                        if task.done():
                            task.let_go()
                        else:
                            unwind_task(task, unloaded)
                for generator in (generators := (self._generators or Generators()).take()):
                    unwind_generator(generator, self._port.context(), unloaded)
                if self._lanes is not None:
                    self._lanes.abandon(unloaded)
                if not (self.tasks or generators):
                    break
        self._ready = None

    def _run_ready(self) -> None:
        left = _MOST_CALLBACKS
        while left > 0:
            ready, self._ready = self._ready, None
            if ready is None:
                return
            left -= len(ready)
            ready.reverse()
            while ready:
                handle = ready.pop()
                if not handle.cancelled():
                    try:
                        handle._run()
                    except SystemExit:  # it ends its task, as any exception; not the worker thread
                        continue
        raise NotDurableError(
            f"{_MOST_CALLBACKS} callbacks ran and no durable call was waited for: a task seems to poll with"
            " asyncio.sleep(0) for something that can only happen when time passes. Wait for it with an"
            " asyncio.Event, or poll with a real delay such as asyncio.sleep(0.1)"
        )

    async def _cancel_leftovers(self) -> None:
        me = asyncio.current_task()
        while True:
            others = [task for task in sorted(self.tasks, key=hash) if task is not me]
            for task in others:
                task.cancel()
            if others:
                await asyncio.wait(others)
            elif self._lanes:
                await self._lanes.drain()
            else:
                return

    # --- callbacks and timers ---------------------------------------------------------------------

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Run a callback in this turn."""
        if self.holder != get_ident():
            self.check_driven()
        handle = asyncio.Handle(callback, args, self, context)
        self.run_next(handle)
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
        self.check_driven()
        timer: Any = timer_for(delay, callback, args, self, context)
        if delay <= 0:
            self.run_next(timer)
        elif delay < _NEVER_S and not self._closed:
            timer.number = self._port.start_timer(delay, timer)
        return timer  # type: ignore[no-any-return]  # or as much of one as asyncio.sleep asks for

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
        if isinstance(handle, AgentTimer):
            self.timer_over(handle)

    def timer_over(self, timer: AgentTimer | SleepTimer) -> None:
        """Nobody waits for it any more."""
        if timer.number and not self._closed:
            self.check_driven()
            number, timer.number = timer.number, 0
            self._port.cancel_call(number)

    # --- futures, tasks, lanes --------------------------------------------------------------------

    def create_future(self) -> AgentFuture:
        """A future of this loop."""
        self._made = number = self._made + 1
        return AgentFuture(number, self)

    def create_task(
        self,
        coro: Any,
        *,
        name: object = None,
        context: Context | None = None,
        **options: Any,
    ) -> AgentTask:
        """A task of this loop; its default name is the same in every run."""
        self.check_driven()
        if options.pop("eager_start", None):
            raise UsageError("tasks inside agents cannot start eagerly: leave eager_start out")
        self._made = number = self._made + 1
        name = intern(f"task-{number}") if name is None else str(name)
        return AgentTask(number, coro, self, name, context, **options)

    def run_in_executor(
        self, executor: Any, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run ``func`` in a thread of the agent; a thread pool only says how many run at once.

        Raises:
            NotDurableError: the executor is no plain thread pool.
        """
        self.check_driven()
        future, context = self.create_future(), copy_context()
        branch(context)
        self.lanes.add(Lane(context, lambda: func(*args), future), executor)
        return future

    def set_default_executor(self, executor: Any) -> None:
        """What ``run_in_executor(None, ...)`` means: a thread pool that says how many run at once."""
        self.lanes.default_executor = executor

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the agent's threads, at most ``timeout`` seconds."""
        async with asyncio.timeout(timeout):
            await self.lanes.drain()

    # --- async generators -------------------------------------------------------------------------

    def _generator_begun(self, generator: AsyncGenerator[Any, Any]) -> None:
        if self._generators is None:
            self._generators = Generators()
        self._generators.begin(generator)

    def _generator_dropped(self, generator: AsyncGenerator[Any, Any]) -> None:
        # Reference counts drop at the same moment in every run. The garbage collector comes when it
        # likes, in whatever thread: what it finds is closed with the generators that are left at the end.
        if not self._closed and self._is_agent_code():
            self.create_task(generator.aclose())
        elif self._generators is not None:  # it has begun
            self._generators.keep(generator)

    async def shutdown_asyncgens(self) -> None:
        """Close the async generators that were left half-way, in the order of their first use."""
        generators = (self._generators or Generators()).take()
        await close_each(generators, self.call_exception_handler)

    # --- state ------------------------------------------------------------------------------------

    def here(self) -> int:
        """The number of the line of agent code that runs."""
        return self._port.here()

    def check_driven(self) -> None:
        """Refuse what does not come from the agent's own code or its driver.

        Raises:
            NotDurableError: it comes from another thread.
        """
        if self.holder != get_ident():
            raise NotDurableError(
                "Code outside an agent tried to wake one of its tasks or to complete one of its futures."
                " Nothing was changed or recorded: on replay it would not happen again. Use asyncio.to_thread"
                " for threads of the agent; put what waits for the outside into a @durable function. What"
                " belongs to an event loop, as aiohttp's ClientSession, is of one agent: make one in each"
            )

    def is_running(self) -> bool:
        """Whether agent code runs on it at this moment."""
        return self.holder is not None

    def is_closed(self) -> bool:
        """Whether its session is over."""
        return self._closed

    def _is_agent_code(self) -> bool:
        return self.holder == get_ident() and not is_collecting()


def as_completed(fs: Iterable[Any], *, timeout: float | None = None) -> Any:
    """`asyncio.as_completed`; inside agents tasks are made in the order of ``fs``, not of a set."""
    loop = asyncio._get_running_loop()
    if isinstance(loop, AgentLoop) and not (asyncio.isfuture(fs) or asyncio.iscoroutine(fs)):
        fs = [asyncio.ensure_future(awaitable) for awaitable in dict.fromkeys(fs)]
    return _as_completed(fs, timeout=timeout)


def all_tasks(loop: asyncio.AbstractEventLoop | None = None) -> set[asyncio.Task[Any]]:
    """`asyncio.all_tasks`; inside agents a set that iterates alike in every run."""
    asked = asyncio.get_running_loop() if loop is None else loop
    if isinstance(asked, AgentLoop):
        return {task for task in sorted(asked.tasks, key=hash) if task.is_listed}
    return _all_tasks(asked)
