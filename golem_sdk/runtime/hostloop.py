"""The one real event loop on which the real effects of all asynchronous agents run."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from threading import Lock, Thread, current_thread
from typing import TYPE_CHECKING, Any

from golem_sdk import originals

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context

    _Begun = tuple[
        "Running",
        Callable[[], Awaitable[Any]],
        Context,
        Callable[[asyncio.Task[Any]], object],
        bool,
    ]

__all__ = ["HostLoop", "Running"]


_LAST_WORDS_S = 1.0
"""How long cancelled effects may take before they are left to themselves."""


class HostLoop:
    """An asyncio loop in a daemon thread of its own, started with the first effect.

    Args:
        make_loop: makes the loop.
    """

    def __init__(
        self, make_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    ) -> None:
        self._make_loop = make_loop
        self._mutex = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._closed = False
        self._begun: deque[_Begun] = deque()
        self._is_told = False
        self._finishing: set[asyncio.Task[Any]] = set()

    def run(
        self,
        effect: Callable[[], Awaitable[Any]],
        context: Context,
        done: Callable[[asyncio.Task[Any]], object],
        *,
        finish: bool = False,
    ) -> Running | None:
        """Run ``effect()`` as a task of the loop, in ``context``; ``done`` gets the finished task.

        ``finish``: `close` lets it come to its end (it closes a connection) instead of cancelling it.

        After `close` nothing is run any more, and ``None`` returned.
        """
        loop = self._running()
        if loop is None:
            return None
        running = Running(loop)
        self._begun.append((running, effect, context, done, finish))
        if not self._is_told:  # or the loop has yet to look: many are told to it at once
            self._is_told = True
            _tell(loop, self._begin)
        return running

    def _begin(self) -> None:
        self._is_told = False
        while self._begun:
            running, effect, context, done, finish = self._begun.popleft()
            task = running.begin(effect, context)
            if finish:
                self._finishing.add(task)
                task.add_done_callback(self._finishing.discard)
            task.add_done_callback(done, context=context)

    def close(self) -> None:
        """Cancel the effects under way and stop the loop, whose thread is waited for up to a second."""
        with self._mutex:
            self._closed = True
            loop, self._loop = self._loop, None
            thread, self._thread = self._thread, None
        if loop is None or thread is None:
            return
        _tell(loop, loop.stop)
        if thread is not current_thread():
            thread.join(_LAST_WORDS_S)

    def _running(self) -> asyncio.AbstractEventLoop | None:
        with self._mutex:
            if self._loop is None and not self._closed:
                loop = self._make_loop()
                thread = Thread(target=self._serve, args=(loop,), name="golem-host", daemon=True)
                try:
                    originals.start_thread(thread)
                except BaseException:  # no thread is to be had now: the next effect tries again
                    loop.close()
                    raise
                self._loop, self._thread = loop, thread
            return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            self._begin()  # it may not have been told of the last ones
            self._end_tasks(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
            self._end_tasks(loop)
        finally:
            loop.close()

    def _end_tasks(self, loop: asyncio.AbstractEventLoop) -> None:
        # Until there are none: a thread that had the loop before `close` may begin an effect only now.
        while tasks := asyncio.all_tasks(loop):
            for task in tasks - self._finishing:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


class Running:
    """An effect that runs on the loop, or is about to."""

    __slots__ = ("_is_cancelled", "_loop", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._task: asyncio.Task[Any] | None = None
        self._is_cancelled = False

    def begin(self, effect: Callable[[], Awaitable[Any]], context: Context) -> asyncio.Task[Any]:
        """Make its task, on the loop's thread."""
        self._task = task = self._loop.create_task(_awaited(effect), context=context)
        if self._is_cancelled:
            task.cancel()
        return task

    def cancel(self) -> None:
        """Cancel it, from any thread."""
        _tell(self._loop, self._cancel)

    def _cancel(self) -> None:
        # If the loop has yet to look at it, whoever was to tell it being late.
        self._is_cancelled = True
        if self._task is not None:
            self._task.cancel()


async def _awaited(effect: Callable[[], Awaitable[Any]]) -> Any:
    return await effect()


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    with suppress(RuntimeError):  # the loop was closed meanwhile
        loop.call_soon_threadsafe(callback)
