"""What the agent's loop makes: tasks, futures and timers that are the same in every run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextvars import Context

    from golem_sdk.runtime.loop import AgentLoop

__all__ = ["AgentFuture", "AgentTask", "AgentTimer", "close_coroutine"]

_MOST_CLOSES = 100
"""How often a coroutine that awaits while it is closed is closed again."""


class AgentFuture(asyncio.Future[Any]):
    """A future whose hash is its creation number: sets of futures iterate alike in every process."""

    def __init__(self, number: int, loop: AgentLoop) -> None:
        self.number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number


class AgentTask(asyncio.Task[Any]):
    """A task whose hash is its creation number (`asyncio.wait` and `TaskGroup` keep tasks in sets).

    Attributes:
        number: its creation number.
        site: where agent code made it.
    """

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
        super().__init__(coroutine, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self.number


class AgentTimer(asyncio.TimerHandle):
    """A timer of the loop, with the number of its durable call (0: none, it is due in this turn)."""

    __slots__ = ("number",)

    number: int


def close_coroutine(coroutine: Any) -> None:
    """Close a coroutine here and now; one that awaits in ``finally`` is closed again there."""
    for _ in range(_MOST_CLOSES):
        try:
            coroutine.close()
        except RuntimeError:
            continue  # it ignored GeneratorExit and awaits again
        except BaseException:  # what its finally blocks raise, nobody can hear
            pass
        return
