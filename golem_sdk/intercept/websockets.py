"""WebSockets of agents through websockets' clients, message by message.

``connect`` gives a connection of which opening it, every message sent or received, and closing it are durable
calls. By type it is a ``ClientConnection``; the server is reached when something is performed, and not in
replay. Reconnecting (``async for websocket in connect(...)``) is websockets' own and runs again on replay;
redirects and keepalive pings are not the agent's business.

A crash takes the connection with it. One over which no message has passed is opened again when it is
needed. Of any other nobody knows what the server had been told and would have said, so to go on over a new
one as if nothing had happened would be a lie: the next call raises ``ConnectionClosedError``, as when a
network fails, and an agent that connects again when that happens does so after a crash, too. A message
whose sending was under way is sent again only if it was the first.

Does not cover: connections that were opened outside agents, and the clients of ``websockets.legacy``.
Messages in parts (either way), pings by hand, sockets and classes of connections of one's own are refused.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.errors import AgentControlSignal
from golem_sdk.intercept.patching import Patch
from golem_sdk.intercept.websockets_connections import NAME, Recorded
from golem_sdk.steps import run, run_async

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import ModuleType

__all__ = ["asyncio_patches", "sync_patches"]


def asyncio_patches(module: ModuleType) -> list[Patch]:
    """The patch of ``websockets.asyncio.client``."""
    kind = _class_of(_Async, module.ClientConnection)

    def make(original: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        @functools.wraps(original)
        async def connect(connector: Any) -> Any:
            if durability.current_since(NAME) is None:
                return await original(connector)
            made = kind(connector, original)
            await run_async(made.connect_steps())
            return made

        return connect

    return [Patch(module.connect, "connect", make)]


def sync_patches(module: ModuleType) -> list[Patch]:
    """The patch of ``websockets.sync.client``."""
    kind = _class_of(_Blocking, module.ClientConnection)

    def make(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        @functools.wraps(original)
        def connect(connector: Any) -> Any:
            if durability.current_since(NAME) is None:
                return original(connector)
            made = kind(connector, original)
            run(made.connect_steps())
            return made

        return connect

    return [Patch(module.reconnect, "connect", make)]


def _class_of(recorded: type[Recorded], base: Any) -> Any:
    return type(base.__name__, (recorded, base), {"__module__": base.__module__, "real_kind": base})


async def _until_closed(real: Any) -> None:
    try:
        await real.wait_closed()
    finally:  # its loop is stopped, and cancels what runs on it
        real.transport.abort()


class _Async(Recorded):
    make_lock = asyncio.Lock

    @staticmethod
    def opened(real: Any) -> None:
        real.golem_task = real.loop.create_task(_until_closed(real))

    @staticmethod
    def abort(real: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed, and the connection with it
            real.loop.call_soon_threadsafe(real.transport.abort)

    def made(self, session: Any, name: str, kind: Any, request: Any, steps: Any, **how: Any) -> Any:
        if session is None:
            return run_async(steps())
        return durability.durable_call_async(
            session, name, kind, request, lambda: run_async(steps()), **how
        )

    async def send(self, message: Any, *, text: bool | None = None) -> None:
        await run_async(self.send_steps(message, text))

    async def recv(self, decode: bool | None = None) -> Any:
        return await run_async(self.recv_steps(decode))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await run_async(self.close_steps(code, reason))

    async def wait_closed(self) -> None:
        await run_async(self.wait_steps())


class _Blocking(Recorded):
    make_lock = threading.Lock

    def __init__(self, connector: Any, original: Any) -> None:
        super().__init__(connector, original)
        self.pending_legacy_warning = True

    @staticmethod
    def abort(real: Any) -> None:
        real.close_socket()

    def made(self, session: Any, name: str, kind: Any, request: Any, steps: Any, **how: Any) -> Any:
        if session is None:
            return run(steps())
        return durability.durable_call(session, name, kind, request, lambda: run(steps()), **how)

    def send(self, message: Any, text: bool | None = None) -> None:
        self.maybe_raise_legacy_warning()
        run(self.send_steps(message, text))

    def recv(self, timeout: float | None = None, decode: bool | None = None) -> Any:
        self.maybe_raise_legacy_warning()
        return run(self.recv_steps(timeout, decode))

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.maybe_raise_legacy_warning()
        is_dropped = isinstance(sys.exc_info()[1], GeneratorExit)
        try:
            run(self.close_steps(code, reason))
        except AgentControlSignal:
            if not is_dropped:  # else it ends here: what drops a generator cannot be unwound
                raise

    def wait_closed(self, timeout: float | None = None) -> bool:
        closed: bool = run(self.wait_steps(timeout))
        return closed
