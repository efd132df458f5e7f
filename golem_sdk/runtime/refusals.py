"""The part of an event loop that has nothing to do with time, order or threads.

Exception handlers as everywhere; and for all that an agent's loop does not do, an error that says what
to write instead.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from golem_sdk.errors import AgentControlSignal, NotDurableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BareLoop"]

_Handler: TypeAlias = "Callable[[Any, dict[str, Any]], object]"

_log = logging.getLogger("asyncio")

_RUNNING = "the runtime runs it. Await the coroutine instead"

_MISUSES = {
    "close": _RUNNING,
    "run_forever": _RUNNING,
    "run_until_complete": _RUNNING,
    "set_debug": "debug mode looks at the real clock. Log what you need to see",
    "set_task_factory": "tasks are made so that replay makes the same ones. Wrap coroutines instead",
    "stop": _RUNNING,
}


class BareLoop(asyncio.AbstractEventLoop):
    """An event loop that refuses everything but exception handlers."""

    _exception_handler: _Handler | None = None

    def get_debug(self) -> bool:
        """Always ``False``: debug mode looks at the real clock."""
        return False

    def get_task_factory(self) -> None:
        """Always ``None``."""
        return

    def get_exception_handler(self) -> _Handler | None:
        """What `set_exception_handler` was given last."""
        return self._exception_handler

    def set_exception_handler(self, handler: _Handler | None) -> None:
        """Have a function called with what nobody caught; ``None``: it is logged."""
        self._exception_handler = handler

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tell the handler, or the log, what nobody caught.

        Silent once the session is over, and about control signals: the session knows about them.
        """
        if self.is_closed() or isinstance(context.get("exception"), AgentControlSignal):
            return
        handler = self._exception_handler
        if handler is None or not self._is_agent_code():
            self.default_exception_handler(context)
            return
        try:
            handler(self, context)
        except Exception:
            _log.exception("the exception handler of an agent's event loop failed")

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Log what nobody caught."""
        message = context.get("message", "unhandled exception")
        _log.error(message, exc_info=context.get("exception"))

    @abstractmethod
    def _is_agent_code(self) -> bool:
        """Whether it is asked by the agent's own code."""


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(self: Any, *args: object, **kwargs: object) -> NoReturn:
        if name in _MISUSES:
            raise UsageError(f"an agent's event loop refuses {name}(): {_MISUSES[name]}")
        raise NotDurableError(
            f"An agent called {name}() of its event loop. Nothing was done: the loop has no sockets, servers,"
            " processes or signals, as their events would not be recorded. Use a client that golem_sdk"
            " intercepts, or put the code that needs them into a function decorated with @durable; it runs"
            " on a real event loop"
        )

    refuse.__name__ = name
    return refuse


for _name, _method in vars(asyncio.AbstractEventLoop).items():
    if _name not in vars(BareLoop) and not _name.startswith("_") and callable(_method):
        setattr(BareLoop, _name, _refusal(_name))
