"""HTTP through httpx and httpx2 in asynchronous agents: real I/O on the host loop only."""

from __future__ import annotations

import asyncio
import gc
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest

from golem_sdk.intercept.http import Pump
from golem_sdk.runtime.settings import Settings
from intercept.replaying import crashed_async, run_async
from intercept.web import LARGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from intercept.web import WebServer


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_requests_of_all_kinds(library: Any, web: WebServer) -> None:
    async def body() -> list[Any]:
        async with library.AsyncClient(follow_redirects=True) as client:
            responses = [
                await client.get(web.url("/redirect")),
                await client.get(web.url("/cookie")),
                await client.get(web.url("/gzip")),
                await client.post(web.url("/json"), json={"a": 1}),
                await client.get(web.url("/stream?chunks=3")),
            ]
        return [(r.content, r.headers.raw, r.elapsed, r.extensions) for r in responses]

    runs = run_async(body)
    assert runs.replayed == runs.live
    assert runs.calls == [f"{library.__name__}.request"] * 6
    assert len(web.seen) == 6
    assert "Idempotency-Key" in web.seen[4].headers


def test_concurrent_requests_complete_in_the_same_order(library: Any, web: WebServer) -> None:
    async def body() -> list[Any]:
        order: list[Any] = []

        async def fetch(client: Any, number: int) -> None:
            order.append((number, (await client.get(web.url("/json"))).json()["count"]))

        async with library.AsyncClient() as client:
            await asyncio.gather(*(fetch(client, number) for number in range(8)))
        return order

    runs = run_async(body)
    assert runs.replayed == runs.live
    assert sorted(number for number, _ in runs.live) == list(range(8))
    assert len(web.seen) == 8


def test_streams_interleave_the_same_way(library: Any, web: WebServer) -> None:
    async def body() -> list[bytes]:
        chunks: list[bytes] = []

        async def read(client: Any) -> None:
            async with client.stream("GET", web.url("/stream?chunks=6")) as response:
                async for chunk in response.aiter_raw():
                    number, *_ = chunk.split(b";")
                    chunks.append(number)

        async with library.AsyncClient() as client:
            await asyncio.gather(*(read(client) for _ in range(4)))
        return chunks

    runs = run_async(body)
    assert runs.replayed == runs.live
    assert len(runs.live) == 24
    assert len(web.seen) == 4


def test_large_bodies(library: Any, web: WebServer) -> None:
    async def body() -> bytes:
        async with library.AsyncClient() as client:
            return bytes((await client.get(web.url("/large"))).content)

    runs = run_async(body)
    assert runs.live == LARGE
    assert runs.replayed == LARGE


def test_streamed_request_bodies_are_agent_code(library: Any, web: WebServer) -> None:
    async def body() -> list[Any]:
        threads: list[bool] = []

        async def parts() -> AsyncIterator[bytes]:
            for i in range(3):
                await asyncio.sleep(0)
                threads.append(threading.current_thread().name == "golem-host")
                yield b"part%d," % i

        async with library.AsyncClient() as client:
            answer = await client.post(web.url("/json"), content=parts())
        return [answer.json(), threads]

    runs = run_async(body)
    assert runs.replayed == runs.live
    assert runs.live[1] == [False] * 3
    assert web.seen[0].body == b"part0,part1,part2,"


def test_an_abandoned_stream(library: Any, web: WebServer) -> None:
    async def body() -> list[bytes]:
        async with library.AsyncClient() as client:
            async with client.stream("GET", web.url("/stream?chunks=900")) as response:
                first = await anext(response.aiter_raw())
            return [first, (await client.get(web.url("/json"))).content]

    runs = run_async(body)
    assert runs.replayed == runs.live
    assert runs.live[0].startswith(b"1-0;")


def test_a_dropped_stream_closes_its_connection(library: Any, web: WebServer) -> None:
    tasks: list[Any] = []

    async def body() -> bytes:
        client = library.AsyncClient()
        response = await client.send(client.build_request("GET", web.url("/large")), stream=True)
        pump = response.stream._stream._real
        tasks.append(pump and pump._stop.peek()[2][1])
        del pump
        return bytes(await anext(response.aiter_raw()))

    runs = run_async(body)
    assert runs.replayed == runs.live
    assert [task and task.cancelled() for task in tasks] == [True, None]


def test_a_response_that_nobody_takes_is_closed() -> None:
    class Endless:
        closed = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b"more"

        async def aclose(self) -> None:
            self.closed = True

    session: Any = SimpleNamespace(kernel=SimpleNamespace(settings=Settings()))

    async def body() -> bool:
        stream = Endless()
        pump = Pump(session, stream, None)
        first = await pump.take(1)
        del pump  # its call was cancelled when it had just ended
        for _ in range(5):
            await asyncio.sleep(0)
        return first == b"more" and stream.closed

    assert asyncio.run(body())


def test_connections_are_closed_on_the_host_loop(library: Any) -> None:
    threads: list[str] = []

    class Pool:
        async def aclose(self, *_: object) -> None:
            threads.append(threading.current_thread().name)

        __aexit__ = aclose

    async def body() -> None:
        transport = library.AsyncHTTPTransport()
        transport._pool = Pool()
        await transport.aclose()
        await transport.__aexit__(None, None, None)

    run_async(body)
    assert threads == ["golem-host"] * 2


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # the first runtime's connection is left open, as nobody has closed the client
def test_a_shared_client_goes_on_when_another_runtime_is_opened(
    library: Any, web: WebServer
) -> None:
    client = library.AsyncClient()

    async def body() -> str:
        return str((await client.get(web.url("/json"))).json()["method"])

    assert [run_async(body).live for _ in range(2)] == ["GET", "GET"]
    gc.collect()  # what became of the first runtime's connection is told now, in this test


def test_errors_are_outcomes(library: Any, web: WebServer) -> None:
    web.hold.clear()

    async def body() -> list[str]:
        failures = []
        async with library.AsyncClient() as client:
            for url, timeout in [
                (web.url("/silent"), library.Timeout(60.0, read=0.01)),
                ("http://127.0.0.1:9/", 60.0),
                (web.url("/broken"), 60.0),
            ]:
                with pytest.raises(library.TransportError) as caught:
                    await client.get(url, timeout=timeout)
                failures.append(f"{type(caught.value).__name__}: {caught.value}")
        return failures

    runs = run_async(body)
    assert [failure.split(":")[0] for failure in runs.live] == [
        "ReadTimeout",
        "ConnectError",
        "RemoteProtocolError",
    ]
    assert runs.replayed == runs.live


def test_a_timeout_of_the_agent(library: Any, web: WebServer) -> None:
    web.hold.clear()

    async def body() -> str:
        async with library.AsyncClient() as client:
            try:
                async with asyncio.timeout(0.01):
                    await client.get(web.url("/silent"))
            except TimeoutError:
                web.hold.set()
            return str((await client.get(web.url("/json"))).json()["method"])

    runs = run_async(body)
    assert runs.live == runs.replayed == "GET"


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # left open by the crash
def test_a_stream_is_lost_in_a_crash(library: Any, web: WebServer) -> None:
    web.hold.clear()

    async def body() -> tuple[list[bytes], int, str]:
        chunks: list[bytes] = []
        answer = 0
        client = library.AsyncClient()
        try:
            async with client.stream("GET", web.url("/stream?chunks=5")) as response:
                async for chunk in response.aiter_raw():
                    chunks.append(chunk)
                    if len(chunks) == 2:
                        answer = (await client.post(web.url("/wait"))).json()
        except library.ReadError as error:
            return chunks, answer, str(error)
        finally:
            await client.aclose()
        return chunks, answer, "nothing was lost"

    chunks, answer, message = crashed_async(body, web.held, web.hold)
    assert chunks == [b"1-0;", b"1-1;"]
    assert answer == 3
    assert message.startswith("response stream lost in a crash: the first 8 bytes")
    stream = "/stream?chunks=5"
    assert [seen.target for seen in web.seen] == [stream, "/wait", "/wait", stream]
    assert web.seen[1].headers["Idempotency-Key"] == web.seen[2].headers["Idempotency-Key"]


def test_outside_agents_nothing_changes(library: Any, web: WebServer) -> None:
    async def body() -> Any:
        async with library.AsyncClient() as client:
            return await client.post(web.url("/json"), content=b"x")

    async def nothing() -> None:
        pass

    run_async(nothing)
    response = asyncio.run(body())
    assert "network_stream" in response.extensions
    assert "Idempotency-Key" not in web.seen[0].headers
