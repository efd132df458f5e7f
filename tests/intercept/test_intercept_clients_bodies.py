"""What functions decorated with @durable close, and clients that their agent goes on using."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import httpx2
import pytest
import redis
import redis.asyncio
import requests
import urllib3

from golem_sdk import durable, intercept
from golem_sdk.errors import NotDurableError
from intercept.keyvalue import KeyValueServer
from intercept.replaying import run, run_async, same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from intercept.web import WebServer

CLIENTS: list[Any] = []


@pytest.fixture
def keys() -> Iterator[KeyValueServer]:
    with KeyValueServer() as server:
        yield server


def pool(web: WebServer) -> urllib3.HTTPConnectionPool:
    return urllib3.HTTPConnectionPool("127.0.0.1", web.server_port, maxsize=1, block=True)


@durable
def closes() -> None:
    CLIENTS[-1].close()


@durable
def clears() -> None:
    CLIENTS[-1].clear()


HTTP: dict[str, tuple[Callable[[WebServer], Any], Callable[[], None]]] = {
    "httpx": (lambda _: httpx.Client(trust_env=False), closes),
    "httpx2": (lambda _: httpx2.Client(trust_env=False), closes),
    "requests": (lambda _: requests.Session(), closes),
    "urllib3": (lambda _: urllib3.PoolManager(), clears),
    "urllib3, a pool": (pool, closes),
}


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("client", HTTP)
def test_what_a_durable_function_closes_is_open_afterwards(
    web: WebServer, client: str, used: bool
) -> None:
    make, close = HTTP[client]

    def body() -> list[int]:
        CLIENTS[:] = [made := make(web)]
        found = []
        for times in range(2):
            if used or times:
                response = made.request("GET", web.url("/json"))
                found.append(getattr(response, "status_code", None) or response.status)
            if not times:
                close()
        (made.clear if isinstance(made, urllib3.PoolManager) else made.close)()
        return found

    assert same(run(body)) == [200] * (1 + used)


@pytest.mark.parametrize("blocks", [True, False])
def test_a_response_is_read_on_when_a_durable_function_has_closed_its_pool(
    web: WebServer, blocks: bool
) -> None:
    def body() -> list[Any]:
        made = urllib3.HTTPConnectionPool("127.0.0.1", web.server_port, maxsize=1, block=blocks)
        CLIENTS[:] = [made]
        response = made.request("GET", "/same?chunks=3", preload_content=False)
        found: list[Any] = [response.read(1)]
        closes()
        found += [response.read(), made.request("GET", "/json").status]
        made.close()
        return found

    assert same(run(body)) == [b"s", b"ame-0;same-1;same-2;", 200]


def test_any_other_pool_says_that_it_is_full(web: WebServer) -> None:
    intercept.install()
    with pool(web) as full, pytest.raises(urllib3.exceptions.FullPoolError):
        full._put_conn(None)


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_what_a_durable_function_closes_is_open_beside_it(web: WebServer, library: Any) -> None:
    url = web.url("/json")
    closed, done = asyncio.Event(), asyncio.Event()

    @durable
    async def closes_and_waits() -> bool:
        await CLIENTS[-1].aclose()
        closed.set()
        await done.wait()
        return bool(CLIENTS[-1].is_closed)

    @durable
    async def looks_on() -> None:
        await closed.wait()

    @durable
    async def ends() -> None:
        done.set()

    async def body() -> list[Any]:
        CLIENTS[:] = [client := library.AsyncClient(trust_env=False)]
        closing = asyncio.create_task(closes_and_waits())
        await looks_on()
        found = [(await client.get(url)).status_code]
        await ends()
        await closing
        found.append((await client.get(url)).status_code)
        await client.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await client.get(url)
        return [*found, client.is_closed]

    assert same(run_async(body)) == [200, 200, True]


def test_what_agent_code_has_closed_stays_closed(web: WebServer) -> None:
    @durable
    def enters() -> bool:
        with CLIENTS[-1] as client:
            client.get(web.url("/json"))
        return bool(client.is_closed)

    @durable
    def closes_it() -> bool:
        CLIENTS[-1].close()
        return bool(CLIENTS[-1].is_closed)

    def body() -> list[bool]:
        CLIENTS[:] = [client := httpx.Client(trust_env=False)]
        found = [enters(), client.is_closed]
        with client:
            found += [closes_it(), client.is_closed]
        return [*found, closes_it(), client.is_closed]

    assert same(run(body)) == [True, False, True, False, True, True]


@pytest.mark.parametrize("part", ["", "connector"])
def test_a_durable_function_is_refused_to_close_the_agents_session_of_aiohttp(
    web: WebServer, part: str
) -> None:
    @durable
    async def closes_both() -> str:
        async with aiohttp.ClientSession() as own, own.get(web.url("/json")) as response:
            assert response.status == 200
        with pytest.raises(NotDurableError) as caught:
            await (getattr(CLIENTS[-1], part) if part else CLIENTS[-1]).close()
        return str(caught.value)

    async def body() -> list[Any]:
        async with aiohttp.ClientSession() as session:
            CLIENTS[:] = [session]
            told = await closes_both()
            async with session.get(web.url("/json")) as response:
                return [told, response.status]

    told, status = same(run_async(body))
    assert "closes a session of aiohttp" in told
    assert status == 200


def test_connections_of_redis_that_a_durable_function_closes_are_opened_again(
    keys: KeyValueServer,
) -> None:
    @durable
    def disconnects() -> None:
        CLIENTS[-1].set("from", "the function")
        CLIENTS[-1].connection_pool.disconnect()

    def body() -> Any:
        CLIENTS[:] = [client := redis.Redis(port=keys.port, protocol=2)]
        client.set("from", "the agent")
        disconnects()
        found = client.get("from")
        client.close()
        return found

    assert same(run(body)) == b"the function"


def test_connections_of_asynchronous_redis_are_the_agents_own(keys: KeyValueServer) -> None:
    @durable
    async def disconnects() -> None:
        await CLIENTS[-1].set("from", "the function")
        await CLIENTS[-1].connection_pool.disconnect()

    async def body() -> Any:
        CLIENTS[:] = [client := redis.asyncio.Redis(port=keys.port, protocol=2)]
        await client.set("from", "the agent")
        await disconnects()
        found = await client.get("from")
        await client.aclose()
        return found

    assert same(run_async(body)) == b"the function"
