"""Threads and processes that agent code starts: refused, because nothing could bring them back.

Covers: ``Thread.start``, ``ThreadPoolExecutor.submit``, ``ProcessPoolExecutor.submit``,
``multiprocessing`` processes, ``os.fork`` and ``os.forkpty``; and ``asyncio.as_completed`` and
``asyncio.all_tasks``, whose order an agent must be able to repeat. Threads of an async agent
(``asyncio.to_thread``, ``loop.run_in_executor``) go through the agent's loop and are fine, and while a
durable call is being performed everything is allowed: it is the call that is recorded.

Does not cover: ``_thread.start_new_thread``, threads of compiled libraries, `subprocess`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.patching import Patch, replacement_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = [
    "fork_patches",
    "process_patches",
    "process_pool_patches",
    "task_patches",
    "thread_patches",
    "thread_pool_patches",
]

_INSTEAD_OF_THREAD = (
    "In an async agent use asyncio.to_thread(...) or loop.run_in_executor(None, ...); anywhere, put "
    "the code that needs threads into a function decorated with @durable"
)
_INSTEAD_OF_PROCESS = "Put the code that needs it into a function decorated with @durable"


def thread_patches(module: ModuleType) -> list[Patch]:
    """The patch of `threading`."""
    return [_refusal(module.Thread, "start", "start a thread", _INSTEAD_OF_THREAD)]


def thread_pool_patches(module: ModuleType) -> list[Patch]:
    """The patch of `concurrent.futures.thread`."""
    return [_refusal(module.ThreadPoolExecutor, "submit", "use a thread pool", _INSTEAD_OF_THREAD)]


def process_pool_patches(module: ModuleType) -> list[Patch]:
    """The patch of `concurrent.futures.process`."""
    return [
        _refusal(module.ProcessPoolExecutor, "submit", "use a process pool", _INSTEAD_OF_PROCESS)
    ]


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
    ]


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
