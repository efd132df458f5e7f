"""Threads that agent code starts, which become the agent's own, and processes, which are refused.

Covers: `threading.Thread` and `threading.Timer`, ``ThreadPoolExecutor``; ``ProcessPoolExecutor.submit``,
processes and pools of ``multiprocessing``, ``os.fork`` and ``os.forkpty``, which nothing could bring back;
and ``asyncio.to_thread``, ``as_completed`` and ``all_tasks``, whose order an agent must repeat. What threads
wait with is in `golem_sdk.intercept.locks`. While a durable call is being performed everything is
allowed: it is the call that is recorded.

Does not cover: ``_thread.start_new_thread``, threads of compiled libraries, `subprocess`.
"""

from __future__ import annotations

import asyncio
import functools
import os
from contextvars import Context
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.patching import (
    Patch,
    as_coroutine_function,
    in_agents,
    replacement_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import ModuleType

__all__ = [
    "fork_patches",
    "old_pool_patches",
    "process_patches",
    "process_pool_patches",
    "task_patches",
    "thread_patches",
    "thread_pool_patches",
    "timer_patches",
    "with_lanes",
]

_INSTEAD_OF_THREAD = (
    "In an async agent use asyncio.to_thread(...) or loop.run_in_executor(None, ...); anywhere, put "
    "the code that needs threads into a function decorated with @durable"
)
_INSTEAD_OF_PROCESS = "Put the code that needs it into a function decorated with @durable"
_INSTEAD_OF_OLD_POOL = (
    "Use concurrent.futures.ThreadPoolExecutor, whose threads are the agent's own, or put the code that needs"
    " it into a function decorated with @durable"
)
_AS_LANES = 2
"""The version from which on threads are not refused."""
_SIZED = 3
"""The version from which on the default size of a thread pool is recorded; multiprocessing's are refused."""


def thread_patches(module: ModuleType) -> list[Patch]:
    """The patches of `threading`."""
    thread = module.Thread
    return [
        Patch(thread, "__init__", _made),
        Patch(thread, "start", _started),
        Patch(thread, "join", _joined),
        Patch(thread, "is_alive", _is_alive),
    ]


def timer_patches(module: ModuleType) -> list[Patch]:
    """The patch of `threading` for timers."""
    return [Patch(module.Timer, "__init__", _timer)]


def thread_pool_patches(module: ModuleType) -> list[Patch]:
    """The patches of `concurrent.futures.thread`."""
    pool = module.ThreadPoolExecutor
    return [
        Patch(pool, "__init__", _made_pool),
        Patch(pool, "submit", _submitted),
        Patch(pool, "shutdown", _shut_down),
    ]


def process_pool_patches(module: ModuleType) -> list[Patch]:
    """The patch of `concurrent.futures.process`."""
    return [
        _refusal(module.ProcessPoolExecutor, "submit", "use a process pool", _INSTEAD_OF_PROCESS)
    ]


def old_pool_patches(module: ModuleType) -> list[Patch]:
    """The patch of `multiprocessing.pool`: threads of its thread pools wait for pipes."""
    return [Patch(module.ThreadPool, "__init__", _made_old_pool)]


def process_patches(module: ModuleType) -> list[Patch]:
    """The patch of `multiprocessing.process`."""
    return [_refusal(module.BaseProcess, "start", "start a process", _INSTEAD_OF_PROCESS)]


def fork_patches(module: ModuleType) -> list[Patch]:
    """The patches of `os`."""
    return [Patch(module, name, _refused_fork, spread=True) for name in ("fork", "forkpty")]


def task_patches(module: ModuleType) -> list[Patch]:
    """The patches of `asyncio`."""
    return [
        Patch(module, "as_completed", _as_completed, spread=True),
        Patch(module, "all_tasks", _all_tasks, spread=True),
        Patch(module, "to_thread", _to_thread, spread=True),
    ]


def with_lanes() -> durability.Session | None:
    """The agent whose code runs here, if it is not older than threads that are lanes."""
    session = durability.current()
    if session is None or durability.interceptor_version(session, "threads") < _AS_LANES:
        return None
    return session


def _made(original: Callable[..., None]) -> Callable[..., None]:
    nearby = durability.nearby

    @functools.wraps(original)
    def init(
        self: Any,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        original(self, group, target, name, args, kwargs, **options)
        if nearby() is not None and (session := with_lanes()) is not None:
            is_daemon = options.get("daemon") is not None
            durability.name_thread(session, self, is_named=bool(name), is_daemon=is_daemon)

    return init


def _started(original: Callable[[Any], None]) -> Callable[[Any], None]:
    def start(self: Any) -> None:
        session = with_lanes()
        if session is None:
            _refuse_in_agent("start a thread", _INSTEAD_OF_THREAD)
            original(self)
        else:
            durability.start_thread(session, self)

    return in_agents(original, start)


def _joined(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def join(self: Any, timeout: float | None = None) -> None:
        session = with_lanes()
        if session is None or durability.lane_of(self) is None:
            original(self, timeout)
        else:
            durability.join_thread(session, self, timeout)  # the system ends it in a moment

    return join


def _is_alive(original: Callable[[Any], bool]) -> Callable[[Any], bool]:
    lane_of = durability.lane_of

    @functools.wraps(original)
    def is_alive(self: Any) -> bool:
        lane = lane_of(self)
        if lane is not None and lane.over:  # whatever the system still does for it
            return False
        return original(self)

    return is_alive


def _timer(original: Callable[..., None]) -> Callable[..., None]:
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        session = durability.current()
        if session is not None and durability.interceptor_version(session, "timers") == 1:
            raise NotDurableError(
                "An agent tried to make a threading.Timer. Nothing was started and nothing was recorded: it "
                "would fire at another moment in every run, and a crash would lose it. In an async agent "
                "await asyncio.sleep(...) in a task of its own (asyncio.create_task); in any other wait "
                "with time.sleep(...), or put the code into a function decorated with @durable. Both sleeps "
                "are timers that survive a crash."
            )
        original(self, *args, **kwargs)

    return in_agents(original, init)


def _made_pool(original: Callable[..., None]) -> Callable[..., None]:
    def init(self: Any, max_workers: int | None = None, *args: Any, **options: Any) -> None:
        session = _with_sized() if max_workers is None else None
        if session is not None:
            max_workers = durability.durable_call(
                session,
                "concurrent.futures.thread.ThreadPoolExecutor",
                FunctionType.READ_LOCAL,
                None,
                _default_size,
            )
        original(self, max_workers, *args, **options)

    return in_agents(original, init)


def _default_size() -> int:
    processors: int | None = getattr(os, "process_cpu_count", os.cpu_count)()
    return min(32, (processors or 1) + 4)


def _made_old_pool(original: Callable[..., None]) -> Callable[..., None]:
    def init(self: Any, *args: Any, **options: Any) -> None:
        if _with_sized() is not None:
            self._state = "INIT"  # so that its finaliser does not complain
            _refuse_in_agent("use a thread pool of multiprocessing", _INSTEAD_OF_OLD_POOL)
        original(self, *args, **options)

    return in_agents(original, init)


def _with_sized() -> durability.Session | None:
    session = durability.current()
    is_older = session is None or durability.interceptor_version(session, "threads") < _SIZED
    return None if is_older else session


def _submitted(original: Callable[..., Any]) -> Callable[..., Any]:
    def submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        session = with_lanes()
        if session is None:
            _refuse_in_agent("use a thread pool", _INSTEAD_OF_THREAD)
            return original(self, fn, *args, **kwargs)
        return durability.submit(session, self, fn, args, kwargs)

    return in_agents(original, submit)


def _shut_down(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def shutdown(self: Any, wait: bool = True, *, cancel_futures: bool = False) -> None:
        session = with_lanes()
        if session is None:
            original(self, wait, cancel_futures=cancel_futures)
            return
        durability.end_pool(session, self, waits=wait, cancel_futures=cancel_futures)
        Context().run(original, self, wait, cancel_futures=cancel_futures)

    return shutdown


def _refusal(target: Any, name: str, what: str, instead: str) -> Patch:
    return Patch(target, name, functools.partial(_refused, what, instead))


def _refused(what: str, instead: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def function(*args: Any, **kwargs: Any) -> Any:
        _refuse_in_agent(what, instead)
        return original(*args, **kwargs)

    return function


def _refused_fork(original: Callable[[], Any]) -> Any:
    def function(_home: object, /) -> Any:
        _refuse_in_agent("fork the process", _INSTEAD_OF_PROCESS)
        return original()

    return replacement_of(original, function, "os")


def _refuse_in_agent(what: str, instead: str) -> None:
    if durability.current() is not None:
        raise NotDurableError(
            f"An agent tried to {what}. Nothing was started and nothing was recorded: work done "
            f"there could neither be journaled nor recovered. {instead}."
        )


def _as_completed(original: Callable[..., Any]) -> Any:
    def as_completed(_home: object, fs: Any, *, timeout: float | None = None) -> Any:
        if durability.current() is None:
            return original(fs, timeout=timeout)
        return durability.as_completed(fs, timeout=timeout)

    return replacement_of(original, as_completed, "asyncio")


def _all_tasks(original: Callable[..., Any]) -> Any:
    def all_tasks(_home: object, loop: Any = None) -> Any:
        if durability.current() is None:
            return original(loop)
        return durability.all_tasks(loop)

    return replacement_of(original, all_tasks, "asyncio")


def _to_thread(original: Callable[..., Any]) -> Any:
    nearby = durability.nearby

    def to_thread(_home: object, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if nearby() is None:  # outside agents a second coroutine would only cost time
            return original(func, *args, **kwargs)
        return in_agent(func, *args, **kwargs)

    async def in_agent(func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if with_lanes() is None:
            return await original(func, *args, **kwargs)
        # As the original, but it is the loop that makes the context: calls are counted by thread.
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, functools.partial(func, *args, **kwargs))

    return replacement_of(original, as_coroutine_function(to_thread), "asyncio")
