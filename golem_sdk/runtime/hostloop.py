"""The one real event loop on which the real effects of all asynchronous agents run."""

from __future__ import annotations

import asyncio
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from golem_sdk import originals

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context

__all__ = ["HostLoop"]


class HostLoop:
    """An asyncio loop in a daemon thread of its own, started with the first effect."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(
        self,
        effect: Callable[[], Awaitable[Any]],
        context: Context,
        done: Callable[[asyncio.Task[Any]], None],
    ) -> Callable[[], None]:
        """Run ``effect()`` as a task of the loop, in ``context``; ``done`` gets the finished task.

        Returns a function that cancels it (from any thread).
        """
        loop = self._running()
        tasks: list[asyncio.Task[Any]] = []

        async def body() -> Any:
            return await effect()

        def start() -> None:
            task = loop.create_task(body(), context=context)
            tasks.append(task)
            task.add_done_callback(done)

        def cancel() -> None:
            loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])

        loop.call_soon_threadsafe(start)
        return cancel

    def close(self) -> None:
        """Stop the loop; effects under way are abandoned."""
        with self._mutex:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._mutex:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                thread = Thread(target=_serve, args=(self._loop,), name="golem-host", daemon=True)
                originals.start_thread(thread)
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
