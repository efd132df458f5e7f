"""Threads and processes that agent code starts: refused, because nothing could bring them back.

Covers: ``Thread.start``, ``ThreadPoolExecutor.submit``, ``ProcessPoolExecutor.submit``,
``multiprocessing`` processes, ``os.fork`` and ``os.forkpty``; and ``asyncio.as_completed`` and
``asyncio.all_tasks``, whose order an agent must be able to repeat. Threads of an async agent
(``asyncio.to_thread``, ``loop.run_in_executor``) go through the agent's loop and are fine, and while a
durable call is being performed everything is allowed: it is the call that is recorded.

Does not cover: ``_thread.start_new_thread``, threads of compiled libraries, `subprocess`.
"""

from __future__ import annotations

import asyncio
import functools
import multiprocessing.process
import os
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.patching import Patch, replacement_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["thread_patches"]

_INSTEAD_OF_THREAD = (
    "In an async agent use asyncio.to_thread(...) or loop.run_in_executor(None, ...); anywhere, put "
    "the code that needs threads into a function decorated with @durable"
)
_INSTEAD_OF_PROCESS = "Put the code that needs it into a function decorated with @durable"


def thread_patches(version: str) -> list[Patch]:
    """The patches; `version` is Python's, for the inventory."""

    def refuse(target: Any, name: str, what: str, instead: str) -> Patch:
        return Patch(target, name, functools.partial(_refused, what, instead), "python", version)

    def replace(target: Any, name: str, make: Callable[[Any], Any]) -> Patch:
        return Patch(target, name, make, "python", version, spread=True)

    process = multiprocessing.process.BaseProcess
    return [
        refuse(threading.Thread, "start", "start a thread", _INSTEAD_OF_THREAD),
        refuse(ThreadPoolExecutor, "submit", "use a thread pool", _INSTEAD_OF_THREAD),
        refuse(ProcessPoolExecutor, "submit", "use a process pool", _INSTEAD_OF_PROCESS),
        refuse(process, "start", "start a process", _INSTEAD_OF_PROCESS),
        replace(os, "fork", _refused_fork("fork")),
        replace(os, "forkpty", _refused_fork("forkpty")),
        replace(asyncio, "as_completed", _as_completed),
        replace(asyncio, "all_tasks", _all_tasks),
    ]


def _refused(what: str, instead: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def function(*args: Any, **kwargs: Any) -> Any:
        _refuse_in_agent(what, instead)
        return original(*args, **kwargs)

    return function


def _refused_fork(name: str) -> Callable[[Any], Any]:
    def make(original: Callable[[], Any]) -> Any:
        def function(_home: object, /) -> Any:
            _refuse_in_agent("fork the process", _INSTEAD_OF_PROCESS)
            return original()

        return replacement_of(original, function, "os")

    return make


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
