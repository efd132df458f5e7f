"""HTTP through aiohttp in asynchronous agents: what the suite's cases do not show."""

from __future__ import annotations

import asyncio
import gc
import io
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from golem_sdk import durable
from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.activation import Activator
from golem_sdk.intercept.http import WHOLE_BODY_BYTES
from intercept.replaying import Runs, crashed_async, run, run_async
from intercept.web import LARGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from intercept.web import WebServer


def requests_of(runs: Runs) -> list[ImportedFunctionInvoked]:
    return [
        entry
        for entry in runs.entries
        if isinstance(entry, ImportedFunctionInvoked) and entry.function_name.endswith(".request")
    ]


async def facts(response: aiohttp.ClientResponse) -> list[Any]:
    """Everything that a caller can see of a response."""
    return [
        response.status,
        response.reason,
        response.version,
        list(response.headers.items()),
        response.raw_headers,
        await response.read(),
        str(response.url),
        [str(each.url) for each in response.history],
        {name: morsel.value for name, morsel in response.cookies.items()},
        response.method,
        response.ok,
    ]


def test_redirects_cookies_and_compression(web: WebServer) -> None:
    async def body() -> list[Any]:
        found = []
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            for path in ["/redirect", "/cookie", "/gzip", "/json"]:
                async with session.get(web.url(path)) as response:
                    found.append(await facts(response))
        return found

    runs = run_async(body)
    assert runs.replayed == runs.live
    assert [seen.target for seen in web.seen] == ["/redirect", "/json", "/cookie", "/gzip", "/json"]
    assert web.seen[-1].headers["Cookie"] == "visit=3"
    assert runs.live[0][7] == [web.url("/redirect")]
    assert runs.live[2][5] == b'{"count": 4}'
    assert runs.calls == ["aiohttp.request"] * 5


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"])
def test_reads_and_writes(web: WebServer, method: str) -> None:
    async def body() -> list[Any]:
        async with aiohttp.request(method, web.url("/json")) as response:
            return await facts(response)

    runs = run_async(body)
    assert runs.replayed == runs.live
    [entry] = requests_of(runs)
    reads = method in {"GET", "HEAD", "OPTIONS"}
    kind = FunctionType.READ_REMOTE if reads else FunctionType.WRITE_REMOTE
    assert entry.function_type == kind
    assert ("Idempotency-Key" in web.seen[0].headers) is not reads


def test_large_bodies_are_recorded_in_pieces(web: WebServer) -> None:
    async def body() -> bytes:
        async with aiohttp.request("GET", web.url("/large")) as response:
            return await response.read()

    runs = run_async(body)
    assert runs.live == runs.replayed == LARGE
    assert 1 < runs.calls.count("aiohttp.read") <= -(-len(LARGE) // WHOLE_BODY_BYTES) + 1


READING: dict[str, Callable[[aiohttp.ClientResponse], Awaitable[Any]]] = {}


def reading(function: Callable[[aiohttp.ClientResponse], Awaitable[Any]]) -> None:
    READING[function.__name__] = function


@reading
async def lines(response: aiohttp.ClientResponse) -> Any:
    return [line async for line in response.content]


@reading
async def steps(response: aiohttp.ClientResponse) -> Any:
    return [part async for part in response.content.iter_chunked(2)]


@reading
async def exactly(response: aiohttp.ClientResponse) -> Any:
    content = response.content
    with pytest.raises(asyncio.IncompleteReadError) as caught:
        await content.readexactly(1000)
    return [caught.value.partial, content.at_eof(), response.closed]


@reading
async def twice(response: aiohttp.ClientResponse) -> Any:
    first = await response.read()
    return [first, await response.read(), await response.content.read()]


@reading
async def until(response: aiohttp.ClientResponse) -> Any:
    return [await response.content.readuntil(b"0"), await response.content.read()]


@reading
async def after_release(response: aiohttp.ClientResponse) -> Any:
    response.release()
    with pytest.raises(aiohttp.ClientConnectionError) as caught:
        await response.read()
    return repr(caught.value)


PATHS = ["/stream?chunks=3", "/gzip", "/json"]
# Of a stream that is released early, it differs whether all of it has arrived by then.
WAYS = [(n, p) for n in READING for p in PATHS if (n, p) != ("after_release", PATHS[0])]


@pytest.mark.parametrize(("name", "path"), WAYS)
def test_ways_to_read(web: WebServer, name: str, path: str) -> None:
    async def body() -> Any:
        web.seen.clear()
        async with aiohttp.ClientSession() as session, session.get(web.url(path)) as response:
            return await READING[name](response)

    original = asyncio.run(body())
    runs = run_async(body)
    assert runs.replayed == runs.live == original


def test_request_bodies(web: WebServer) -> None:
    state: list[int] = []

    async def parts() -> AsyncIterator[bytes]:
        for i in range(3):
            state.append(i)
            await asyncio.sleep(0)
            yield b"part%d," % i

    async def body() -> list[int]:
        state.clear()
        form = aiohttp.FormData({"x": "1"})
        form.add_field("file", io.BytesIO(b"content"), filename="a.txt")
        bodies: list[Any] = [parts(), b"bytes", "text", io.BytesIO(b"file"), {"k": "v"}]
        async with aiohttp.ClientSession() as session:
            for each in bodies:
                async with session.post(web.url("/json"), data=each) as response:
                    assert response.status == 200
            await session.post(web.url("/json"), json={"a": 1})
            await session.post(web.url("/json"), data=form)
        return list(state)

    runs = run_async(body)
    assert runs.replayed == runs.live == [0, 1, 2]
    sent = [seen.body for seen in web.seen]
    assert sent[:6] == [b"part0,part1,part2,", b"bytes", b"text", b"file", b"k=v", b'{"a": 1}']
    assert b"content" in sent[6]
    assert web.seen[0].headers["Transfer-Encoding"] == "chunked"
    assert len({seen.headers["Idempotency-Key"] for seen in web.seen}) == 7


def test_errors_are_outcomes(web: WebServer) -> None:
    web.hold.clear()
    total = aiohttp.ClientTimeout(total=0.1)
    reading = aiohttp.ClientTimeout(sock_read=0.1)
    patient = aiohttp.ClientTimeout(total=60)
    tries: list[tuple[str, Any]] = [
        (web.url("/silent"), total),
        (web.url("/silent"), reading),
        (web.url("/half"), total),
        (web.url("/half"), reading),
        (web.url("/broken"), patient),
        ("http://127.0.0.1:9/", patient),
        ("http://no.such.host.invalid/", patient),
        (web.url("/nowhere"), patient),
    ]

    async def body() -> list[str]:
        failures = []
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            for url, timeout in tries:
                with pytest.raises((aiohttp.ClientError, asyncio.TimeoutError)) as caught:
                    async with session.get(url, timeout=timeout) as response:
                        await response.read()
                failures.append(f"{type(caught.value).__name__}: {caught.value}")
        return failures

    runs = run_async(body)
    assert runs.replayed == runs.live
    names = [text.partition(":")[0] for text in runs.live]
    assert names == [
        "TimeoutError",
        "SocketTimeoutError",
        "TimeoutError",
        "SocketTimeoutError",
        "ClientPayloadError",
        "ClientConnectorError",
        "ClientConnectorDNSError",
        "ClientResponseError",
    ]


def test_requests_side_by_side(web: WebServer) -> None:
    async def body() -> list[Any]:
        async with aiohttp.ClientSession() as session:

            async def one(number: int) -> Any:
                async with session.post(web.url("/json"), data=str(number)) as response:
                    return (await response.json())["count"]

            return [await each for each in asyncio.as_completed(map(one, range(6)))]

    runs = run_async(body)
    assert runs.replayed == runs.live
    assert sorted(runs.live) == [1, 2, 3, 4, 5, 6]


def test_an_abandoned_stream(web: WebServer) -> None:
    async def body() -> list[bytes]:
        async with aiohttp.ClientSession() as session:
            response = await session.get(web.url("/stream?chunks=900"))
            pieces = response.content.iter_chunked(4)
            first = await anext(pieces)
            del pieces, response
            async with session.get(web.url("/json")) as other:
                return [first, await other.read()]

    runs = run_async(body)
    assert runs.replayed == runs.live
    assert runs.live[0] == b"1-0;"


@durable
async def collect_garbage() -> None:
    gc.collect()


def test_what_was_abandoned_may_be_collected_outside_the_agent(web: WebServer) -> None:
    async def body() -> bytes:
        async with aiohttp.ClientSession() as session:
            response = await session.get(web.url("/stream?chunks=900"))
            pieces = response.content.iter_chunked(4)
            first = await anext(pieces)
            del pieces, response
            await collect_garbage()
            return first

    gc.disable()
    try:
        assert run_async(body).live == b"1-0;"
    finally:
        gc.enable()


def test_a_stream_is_lost_in_a_crash(web: WebServer) -> None:
    web.hold.clear()

    async def body() -> tuple[list[bytes], int, str]:
        chunks: list[bytes] = []
        answer = 0
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(web.url("/stream?chunks=5")) as response:
                    async for chunk in response.content.iter_any():
                        chunks.append(chunk)
                        if len(chunks) == 1:
                            async with session.post(web.url("/wait")) as other:
                                answer = await other.json()
            except aiohttp.ClientPayloadError as error:
                return chunks, answer, str(error)
        return chunks, answer, "nothing was lost"

    _, answer, message = crashed_async(body, web.held, web.hold)
    assert answer == 3
    assert message.startswith(("response stream lost in a crash", "nothing"))
    stream = "/stream?chunks=5"
    again = [stream] if message != "nothing was lost" else []
    assert [seen.target for seen in web.seen] == [stream, "/wait", "/wait", *again]
    assert web.seen[1].headers["Idempotency-Key"] == web.seen[2].headers["Idempotency-Key"]


def test_middlewares_and_connectors_are_the_agents(web: WebServer) -> None:
    async def add(request: Any, handler: Any) -> Any:
        request.headers["X-Added"] = "yes"
        return await handler(request)

    async def body() -> int:
        connector = aiohttp.TCPConnector(limit=1, ssl=False, force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector, middlewares=[add]) as session,
            session.get(web.url("/json")) as response,
        ):
            return response.status

    runs = run_async(body)
    assert runs.replayed == runs.live == 200
    assert web.seen[0].headers["X-Added"] == "yes"
    assert web.seen[0].headers["Connection"] == "close"


def test_a_proxy_is_asked(web: WebServer) -> None:
    async def body() -> int:
        async with aiohttp.request(
            "GET", "http://example.invalid/json", proxy=web.url("/")
        ) as response:
            return response.status

    runs = run_async(body)
    assert runs.replayed == runs.live == 200
    assert web.seen[0].target == "http://example.invalid/json"


def test_websockets_are_refused(web: WebServer) -> None:
    async def body() -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(NotDurableError, match="WebSocket"):
                await session.ws_connect(web.url("/json"))

    assert run_async(body).calls.count("aiohttp.request") == 0
    assert web.seen == []


def test_no_secret_reaches_the_store(web: WebServer) -> None:
    canary = "canary-8086"

    async def body() -> int:
        headers = {"Authorization": f"Bearer {canary}", "X-Else": canary}
        async with (
            aiohttp.ClientSession(headers=headers, cookies={"session": canary}) as session,
            session.get(web.url(f"/json?token={canary}")) as response,
        ):
            return response.status

    [entry] = requests_of(run_async(body))
    assert canary in web.seen[0].headers["Authorization"]
    assert canary.encode() not in entry.request  # type: ignore[operator]  # small enough to be in place
    assert b"<redacted:" in entry.request  # type: ignore[operator]  # as above


def test_outside_agents_nothing_changes(web: WebServer) -> None:
    run(lambda: None)

    async def body() -> None:
        async with aiohttp.request("POST", web.url("/json"), data=b"x") as response:
            assert response.connection is None or response.connection.protocol is not None
            assert (await response.json())["body"] == "x"

    asyncio.run(body())
    assert "Idempotency-Key" not in web.seen[0].headers


def test_unknown_versions_warn_and_are_intercepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiohttp, "__version__", "99.0")
    with pytest.warns(RuntimeWarning, match=r"99\.0"):
        assert Activator().activate("aiohttp")
