"""Connectors and proxies of aiohttp in asynchronous agents: they connect as their users have told them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import aiohttp.abc
import pytest

from golem_sdk.errors import NotDurableError
from intercept.replaying import run_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from intercept.web import WebServer


_PATIENCE_S = 60.0
"""A test that would wait for ever fails."""


async def got(session: aiohttp.ClientSession, url: str, **options: Any) -> Any:
    async with session.get(url, **options) as response:
        return [response.status, await response.read()]


def compared(body: Callable[[], Awaitable[Any]]) -> Any:
    """What a body gives bare, live and in replay."""

    async def limited() -> Any:
        return await asyncio.wait_for(body(), _PATIENCE_S)

    original = asyncio.run(limited())
    runs = run_async(limited)
    assert runs.replayed == runs.live == original
    return runs.live


class Here(aiohttp.abc.AbstractResolver):
    """Knows one place."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        where = {"host": "127.0.0.1", "port": port, "family": socket.AF_INET}
        return [{"hostname": host, "proto": 0, "flags": socket.AI_NUMERICHOST, **where}]

    async def close(self) -> None:
        pass


def test_a_resolver_of_ones_own_is_asked(web: WebServer) -> None:
    async def body() -> Any:
        connector = aiohttp.TCPConnector(resolver=Here())
        async with aiohttp.ClientSession(connector=connector) as session:
            return (await got(session, f"http://shop.invalid:{web.server_port}/cookie"))[0]

    assert compared(body) == 200


def test_sockets_are_made_as_told(web: WebServer) -> None:
    made: list[str] = []

    def socket_of(found: Any) -> socket.socket:
        made.append("socket")
        return socket.socket(*found[:3])

    async def body() -> Any:
        made.clear()
        connector = aiohttp.TCPConnector(local_addr=("127.0.0.9", 0), socket_factory=socket_of)
        async with aiohttp.ClientSession(connector=connector) as session:
            status, _ = await got(session, web.url("/cookie"))
        return status

    assert compared(body) == 200
    assert made == []  # the last of the three runs was a replay
    assert [seen.client for seen in web.seen] == ["127.0.0.9"] * 2


class Tunnel(aiohttp.TCPConnector):
    """Connects in a way of its own, like connectors for SOCKS."""

    async def _wrap_create_connection(self, *args: Any, **options: Any) -> Any:
        raise aiohttp.ClientConnectionError("only through the tunnel")


class Named(aiohttp.TCPConnector):
    """Connects as its class does."""

    label = "named"

    def close(self, **options: Any) -> Any:
        return super().close(**options)


def test_a_connector_that_connects_in_a_way_of_its_own_is_not_bypassed(web: WebServer) -> None:
    async def body() -> str:
        async with aiohttp.ClientSession(connector=Tunnel()) as session:
            with pytest.raises(aiohttp.ClientConnectionError) as caught:
                await got(session, web.url("/json"))
        return str(caught.value)

    assert compared(body) == "only through the tunnel"
    assert web.seen == []


def test_what_only_names_its_connector_is_intercepted(web: WebServer) -> None:
    async def body() -> Any:
        async with aiohttp.ClientSession(connector=Named()) as session:
            return (await got(session, web.url("/cookie")))[0]

    assert compared(body) == 200


@pytest.mark.parametrize("used", [True, False])
def test_a_connector_is_closed_as_told(web: WebServer, used: bool) -> None:
    async def body() -> Any:
        told: list[bool] = []

        class Telling(aiohttp.TCPConnector):
            def _close(self, *, abort_ssl: bool = False) -> Any:
                told.append(abort_ssl)
                return super()._close(abort_ssl=abort_ssl)

        async with aiohttp.ClientSession(connector=Telling()) as session:
            if used:
                await got(session, web.url("/cookie"))
            assert session.connector is not None
            await session.connector.close(abort_ssl=True)
        return [told, session.closed]

    assert compared(body) == [[True], True]


def test_a_session_is_of_the_agent_that_has_made_it(web: WebServer) -> None:
    sessions: list[aiohttp.ClientSession] = []

    async def make() -> Any:
        connector = aiohttp.TCPConnector(force_close=True)
        sessions.append(aiohttp.ClientSession(connector=connector))
        return (await got(sessions[-1], web.url("/cookie")))[0]

    async def share() -> None:
        with pytest.raises(NotDurableError, match="ClientSession, is of one agent"):
            await got(sessions[0], web.url("/cookie"))

    assert run_async(make).live == 200
    run_async(share)
    assert len(web.seen) == 1
    for session in sessions:
        session.detach()  # nothing is open in it, and its loop is gone


def test_a_proxy_is_told_who_asks(web: WebServer) -> None:
    url = "http://example.invalid/cookie"
    proxies: list[dict[str, Any]] = [
        {"proxy": web.url("/").replace("//", "//me:canary-7@")},
        {"proxy": web.url("/"), "proxy_headers": {"X-Via": "here"}},
    ]

    async def body() -> list[Any]:
        async with aiohttp.ClientSession() as session:
            return [(await got(session, url, **proxy))[0] for proxy in proxies * 2]

    assert compared(body) == [200] * 4
    sent = [seen.headers.get("Proxy-Authorization", "")[:6] for seen in web.seen]
    assert sent == ["Basic ", ""] * 4


def test_a_body_that_is_announced_is_sent(web: WebServer) -> None:
    async def body() -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.post(web.url("/json"), data=b"body", expect100=True) as response,
        ):
            return (await response.json())["body"]

    assert compared(body) == "body"
    assert [seen.headers.get("Expect") for seen in web.seen] == ["100-continue"] * 2


def test_errors_of_connecting_say_where(web: WebServer) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    proxy = "http://me:canary-7@127.0.0.1:9"
    tries: list[tuple[str, dict[str, Any]]] = [
        ("https://127.0.0.1:9/", {"ssl": tls}),
        ("http://example.invalid/", {"proxy": proxy}),
        ("https://example.invalid/", {"proxy": proxy}),
        ("https://example.invalid/", {"proxy": web.url("/")}),
    ]

    async def body() -> list[Any]:
        found = []
        async with aiohttp.ClientSession() as session:
            for url, options in tries:
                with pytest.raises(aiohttp.ClientError) as caught:
                    await got(session, url, **options)
                found.append([type(caught.value).__name__, str(caught.value).partition(" ssl:")[0]])
        return found

    place = "Cannot connect to host 127.0.0.1:9"
    assert compared(body)[:3] == [
        ["ClientConnectorError", place],
        ["ClientProxyConnectionError", place],
        ["ClientProxyConnectionError", place],
    ]


def test_the_end_of_a_body_can_be_waited_for(web: WebServer) -> None:
    async def body() -> list[bytes]:
        web.seen.clear()
        async with aiohttp.ClientSession() as session:
            async with session.get(web.url("/stream?chunks=900")) as response:
                await response.content.wait_eof()
                whole = await response.read()
            async with session.get(web.url("/stream?chunks=900")) as response:
                waits = asyncio.create_task(response.content.wait_eof())
                await asyncio.sleep(0)
                other = await response.read()
                await waits
        return [whole, other]

    assert [len(each.split(b";")) for each in compared(body)] == [901, 901]


def test_a_body_that_fails_says_the_same_in_replay(web: WebServer) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"part"
        raise ValueError("no more")

    async def body() -> str:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectionError) as caught:
                await session.post(web.url("/json"), data=parts())
        return str(caught.value)

    assert "ConnectionKey(host='127.0.0.1'" in compared(body)
