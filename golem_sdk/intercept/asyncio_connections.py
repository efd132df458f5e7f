"""Connections of asynchronous agents: what their loop does for ``asyncio.open_connection`` and the like.

The real connection is made on the host loop, with its names looked up and its TLS; the agent's protocol gets
a transport of `golem_sdk.intercept.asyncio_transports`. So client libraries that bring a protocol of their
own (asyncpg, redis.asyncio) need no interceptor of theirs.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.asyncio_lines import Line
from golem_sdk.intercept.asyncio_transports import AgentTransport
from golem_sdk.intercept.patching import Patch, in_agents

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["loop_patches"]

_NAME = "connections"


def loop_patches(module: ModuleType) -> list[Patch]:
    """The patches of agents' event loops, which refuse all that is not done here."""
    loop = module.BareLoop
    return [
        Patch(loop, "create_connection", _create_connection),
        Patch(loop, "create_unix_connection", _create_unix_connection),
        Patch(loop, "start_tls", _start_tls),
        Patch(loop, "getaddrinfo", functools.partial(_looking_up, "getaddrinfo")),
        Patch(loop, "getnameinfo", functools.partial(_looking_up, "getnameinfo")),
    ]


def _create_connection(refuse: Callable[..., Any]) -> Callable[..., Any]:
    async def create_connection(
        loop: Any, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        session = durability.current_since(_NAME)
        if session is None:
            return refuse(loop)
        _check(options)
        return await _connected(
            session,
            loop,
            protocol_factory,
            {"host": host, "port": port},
            f"{host}:{port}",
            lambda real, receiver: real.create_connection(receiver, host, port, **options),
            options,
        )

    return in_agents(refuse, create_connection)


def _create_unix_connection(refuse: Callable[..., Any]) -> Callable[..., Any]:
    async def create_unix_connection(
        loop: Any, protocol_factory: Any, path: Any = None, **options: Any
    ) -> Any:
        session = durability.current_since(_NAME)
        if session is None:
            return refuse(loop)
        _check(options)
        path = None if path is None else os.fspath(path)
        return await _connected(
            session,
            loop,
            protocol_factory,
            {"path": path},
            str(path),
            lambda real, receiver: real.create_unix_connection(receiver, path, **options),
            options,
        )

    return in_agents(refuse, create_unix_connection)


def _check(options: dict[str, Any]) -> None:
    if options.get("sock") is not None:
        raise NotDurableError(
            "An agent gave a socket of its own to a connection. Nothing was done: what passes over a socket"
            " is not recorded. Give the address instead, or put the code into a function decorated with"
            " @durable"
        )


async def _connected(
    session: durability.Session,
    loop: Any,
    protocol_factory: Callable[[], Any],
    address: dict[str, Any],
    where: str,
    connect: Callable[[Any, Any], Any],
    options: dict[str, Any],
) -> tuple[AgentTransport, Any]:
    context = options.get("ssl")
    request = {**address, "tls": bool(context), "server_hostname": options.get("server_hostname")}
    line = Line(session.kernel.environment, where, connect)
    try:
        described = await durability.durable_call_async(
            session, "asyncio.create_connection", FunctionType.READ_REMOTE, request, line.open
        )
    except BaseException:
        line.drop()
        raise
    protocol = protocol_factory()
    transport = AgentTransport(session, loop, line, protocol, described, context)
    begun = loop.create_future()
    loop.call_soon(protocol.connection_made, transport)
    loop.call_soon(transport.read_on)
    loop.call_soon(lambda: begun.done() or begun.set_result(None))
    try:
        await begun
    except BaseException:
        transport.close()
        raise
    return transport, protocol


def _start_tls(refuse: Callable[..., Any]) -> Callable[..., Any]:
    async def start_tls(
        loop: Any, transport: Any, protocol: Any, sslcontext: Any, **options: Any
    ) -> Any:
        session = durability.current_since(_NAME)
        if session is None:
            return refuse(loop)
        if not isinstance(transport, AgentTransport):
            raise TypeError(f"transport {transport!r} is not supported by start_tls()")
        described = await durability.durable_call_async(
            session,
            "asyncio.start_tls",
            FunctionType.READ_REMOTE,
            {"server_hostname": options.get("server_hostname")},
            lambda: transport.line.start_tls(sslcontext, options),
            repeatable=False,
        )
        if described is None:
            return None
        transport.describe(described, sslcontext)
        transport.set_protocol(protocol)
        return transport

    return in_agents(refuse, start_tls)


def _looking_up(name: str, refuse: Callable[..., Any]) -> Callable[..., Any]:
    async def look_up(loop: Any, *args: Any, **options: Any) -> Any:
        session = durability.current_since(_NAME)
        if session is None:
            return refuse(loop)

        async def perform() -> Any:
            import asyncio

            return await getattr(asyncio.get_running_loop(), name)(*args, **options)

        return await durability.durable_call_async(
            session, f"asyncio.{name}", FunctionType.READ_REMOTE, [list(args), options], perform
        )

    return in_agents(refuse, look_up)
