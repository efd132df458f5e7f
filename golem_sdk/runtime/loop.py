"""The agent's event loop: a ready queue, and durable calls as the only way time passes.

It has no selector and no clock. A driver (the pump) delivers one completion, lets everything ready run
until it is quiet, and delivers the next. Nothing else can wake a task, so the state of the agent is a
function of the order of deliveries alone (P5), and plain asyncio code (gather, TaskGroup, wait, timeout,
Queue, Lock, ...) behaves the same live and in replay.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from contextlib import contextmanager
from contextvars import copy_context
from itertools import count
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, TypeVarTuple, Unpack

from golem_sdk.errors import NotDurableError, UsageError
from golem_sdk.runtime.crews import Lanes, LanesPort
from golem_sdk.runtime.generators import Generators, is_collecting
from golem_sdk.runtime.keys import branch
from golem_sdk.runtime.lanes import Baton, Lane
from golem_sdk.runtime.refusals import BareLoop
from golem_sdk.runtime.tasks import AgentFuture, AgentTask, AgentTimer
from golem_sdk.runtime.unwinding import close_unstarted, unloaded, unwind_generator, unwind_task

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
    from contextvars import Context

__all__ = ["AgentLoop", "LoopPort", "all_tasks", "as_completed"]

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


class LoopPort(LanesPort, Protocol):
    """What the loop needs from its session."""

    def time_s(self) -> float:
        """Logical time in seconds: the timestamp of the last delivered entry."""
        ...

    def start_timer(self, delay_s: float) -> int:
        """Start a durable timer; the number under which `AgentLoop.fire_timer` will be called."""
        ...

    def here(self) -> int:
        """The number of the line of agent code that runs, for tasks made there."""
        ...


class AgentLoop(BareLoop):
    """One agent's event loop. Any thread may drive it, one at a time.

    Args:
        port: gives time and timers.
        context: the context variables in which agent code runs.

    Attributes:
        lanes: the agent's threads.
    """

    def __init__(self, port: LoopPort, context: Context) -> None:
        self._port = port
        self._context = context
        self._numbers = count(1)
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: dict[int, AgentTimer] = {}
        self._tasks: dict[int, AgentTask] = {}
        self._baton = Baton()
        self.lanes = Lanes(self, self._baton, port)
        self._generators = Generators()
        self._default_executor: object = None
        self._closed = False

    # --- for the driver ---------------------------------------------------------------------------

    @contextmanager
    def driven(self) -> Iterator[None]:
        """Inside this block the calling thread drives the loop: it may complete its futures."""
        before, self._baton.holder = self._baton.holder, get_ident()
        try:
            yield
        finally:
            self._baton.holder = before

    def run_ready(self) -> None:
        """Run everything that is ready, and what becomes ready thereby, until it is quiet.

        Raises:
            NotDurableError: it never is, because a task polls without waiting for anything.
        """
        if self._ready:
            with self.driven(), self._as_running():
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
        """The main task is done: begin to cancel all others, in the order of their creation."""
        if self._tasks or len(self.lanes):
            self.start_main(self._cancel_leftovers())

    def close_generators(self) -> None:
        """No task is left: drop timers, and begin to close the async generators left half-way."""
        with self.driven():
            for timer in list(self._timers.values()):
                timer.cancel()
            self.lanes.release_threads()
        generators = self._generators.take()
        if generators:
            self.start_main(self._close(generators))

    def is_quiet(self) -> bool:
        """Whether no task and no lane is left."""
        return not self._tasks and not self.lanes

    def teardown(self) -> None:
        """The session is over: unwind what is left of its code here and now, in its own contexts.

        ``finally`` blocks run. Whatever they wait for raises a control signal, and code that waits again
        and again is left behind with a warning. Idempotent.
        """
        if self._closed:
            return
        self._closed = True
        with self.driven(), self._as_running():
            for _ in range(_MOST_ROUNDS):
                while self._tasks:
                    task = self._tasks.pop(next(iter(self._tasks)))
                    if task.done():
                        _task_done(task)
                    else:
                        unwind_task(task, unloaded)
                for generator in (generators := self._generators.take()):
                    unwind_generator(generator, self._context, unloaded)
                self.lanes.abandon(unloaded)
                if not (self._tasks or generators):
                    break
        self._ready.clear()
        self._timers.clear()

    def _run_ready(self) -> None:
        ready = self._ready
        for _ in range(_MOST_CALLBACKS):
            if not ready:
                return
            handle = ready.popleft()
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

    @contextmanager
    def _as_running(self) -> Iterator[None]:
        before = asyncio._get_running_loop()
        hooks = sys.get_asyncgen_hooks()
        asyncio._set_running_loop(self)
        sys.set_asyncgen_hooks(firstiter=self._generators.begin, finalizer=self._generator_dropped)
        try:
            yield
        finally:
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(before)

    async def _cancel_leftovers(self) -> None:
        me = asyncio.current_task()
        while True:
            others = [task for task in self._tasks.values() if task is not me]
            for task in others:
                task.cancel()
            if others:
                await asyncio.wait(others)
            elif len(self.lanes):
                await self.lanes.drain()
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
        if self._baton.holder != get_ident():
            self.check_driven()
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
        self.check_driven()
        timer = AgentTimer(self.time() + delay, callback, args, self, context)
        timer.number = 0
        if delay <= 0:
            self._ready.append(timer)
        elif delay < _NEVER_S and not self._closed:
            timer.number = self._port.start_timer(delay)
            self._timers[timer.number] = timer
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
        if isinstance(handle, AgentTimer) and handle.number in self._timers:
            self.check_driven()
            del self._timers[handle.number]
            if not self._closed:
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
        self.check_driven()
        if options.pop("eager_start", None):
            raise UsageError("tasks inside agents cannot start eagerly: leave eager_start out")
        number = next(self._numbers)
        name = f"task-{number}" if name is None else str(name)
        task = AgentTask(number, coro, self, name, context, **options)
        self._tasks[number] = task
        task.add_done_callback(_task_done, context=task.context)
        return task

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
        executor = self._default_executor if executor is None else executor
        self.lanes.add(Lane(context, lambda: func(*args), future), executor)
        return future

    def set_default_executor(self, executor: Any) -> None:
        """What ``run_in_executor(None, ...)`` means: a thread pool that says how many run at once."""
        self._default_executor = executor

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the agent's threads, at most ``timeout`` seconds."""
        async with asyncio.timeout(timeout):
            await self.lanes.drain()

    # --- async generators -------------------------------------------------------------------------

    def _generator_dropped(self, generator: AsyncGenerator[Any, Any]) -> None:
        # Reference counts drop at the same moment in every run. The garbage collector comes when it
        # likes, in whatever thread: what it finds is closed with the generators that are left at the end.
        if self._closed or not self._is_agent_code():
            self._generators.keep(generator)
        else:
            self.create_task(generator.aclose())

    async def shutdown_asyncgens(self) -> None:
        """Close the async generators that were left half-way, in the order of their first use."""
        await self._close(self._generators.take())

    async def _close(self, generators: list[AsyncGenerator[Any, Any]]) -> None:
        for generator in generators:
            try:
                await generator.aclose()
            except Exception as error:
                message = (
                    f"an error occurred during closing of asynchronous generator {generator!r}"
                )
                self.call_exception_handler({"message": message, "exception": error})

    # --- state ------------------------------------------------------------------------------------

    def here(self) -> int:
        """The number of the line of agent code that runs."""
        return self._port.here()

    def check_driven(self) -> None:
        """Refuse what does not come from the agent's own code or its driver.

        Raises:
            NotDurableError: it comes from another thread.
        """
        if self._baton.holder != get_ident():
            raise NotDurableError(
                "Code outside an agent tried to wake one of its tasks or to complete one of its futures."
                " Nothing was changed or recorded: on replay it would not happen again. Use asyncio.to_thread"
                " for threads of the agent; put what waits for the outside into a @durable function. What"
                " belongs to an event loop, as aiohttp's ClientSession, is of one agent: make one in each"
            )

    def is_running(self) -> bool:
        """Whether agent code runs on it at this moment."""
        return self._baton.holder is not None

    def is_closed(self) -> bool:
        """Whether its session is over."""
        return self._closed

    def _is_agent_code(self) -> bool:
        return self._baton.holder == get_ident() and not is_collecting()


def _task_done(task: asyncio.Task[Any]) -> None:
    assert isinstance(task, AgentTask), "the loop makes no others"
    task.driver._tasks.pop(task.number, None)
    if task._exception is not None:  # `exception()` would keep asyncio from telling of it
        close_unstarted(task._exception)


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
        return {task for task in asked._tasks.values() if task.is_listed}
    return _all_tasks(asked)
