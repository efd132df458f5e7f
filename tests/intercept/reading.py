"""Each HTTP library, read as a whole and piece by piece, behind one interface."""

from __future__ import annotations

import http.client
import urllib.request
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import httpx2
import requests
import urllib3

from intercept.replaying import Runs, run, run_async
from intercept.suite.cases_llm import TLS

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Generator,
        Iterator,
    )

    from golem_sdk.runtime.settings import Settings

__all__ = ["ASYNC", "LIBRARIES", "SYNC", "outcome", "outcome_async", "reading"]


def _patience_s(url: str) -> float:
    """Short where nobody is going to answer."""
    return 0.1 if url.endswith("/silent") else 60


class _HttpClient:
    """`http.client`, as it is written by hand."""

    def whole(self, url: str, method: str = "GET") -> bytes:
        with closing(self._connection(url)) as connection:
            connection.request(method, self._path(url))
            return connection.getresponse().read()

    @contextmanager
    def opened(self, url: str, method: str = "GET") -> Iterator[Iterator[bytes]]:
        with closing(self._connection(url)) as connection:
            connection.request(method, self._path(url))
            response = connection.getresponse()
            yield iter(lambda: response.read(8), b"")

    def twice(self, url: str) -> list[bytes]:
        with closing(self._connection(url)) as connection:
            connection.request("GET", self._path(url))
            response = connection.getresponse()
            return [response.read(), response.read()]

    def _connection(self, url: str) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(url.split("/")[2], timeout=_patience_s(url))

    def _path(self, url: str) -> str:
        return "/" + url.split("/", 3)[3]


class _Urllib:
    """`urllib.request`."""

    def whole(self, url: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(request, timeout=_patience_s(url)) as response:
            return bytes(response.read())

    @contextmanager
    def opened(self, url: str, method: str = "GET") -> Iterator[Iterator[bytes]]:
        request = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(request, timeout=_patience_s(url)) as response:
            yield iter(lambda: response.read(8), b"")

    def twice(self, url: str) -> list[bytes]:
        with urllib.request.urlopen(url, timeout=_patience_s(url)) as response:
            return [response.read(), response.read()]


class _Urllib3:
    """urllib3, without its retries."""

    def _asked(self, url: str, method: str = "GET", **options: Any) -> Any:
        return urllib3.request(method, url, timeout=_patience_s(url), retries=False, **options)

    def whole(self, url: str, method: str = "GET") -> bytes:
        return bytes(self._asked(url, method).data)

    @contextmanager
    def opened(self, url: str, method: str = "GET") -> Iterator[Iterator[bytes]]:
        yield self._asked(url, method, preload_content=False).stream(8)

    def twice(self, url: str) -> list[bytes]:
        response = self._asked(url, preload_content=False)
        return [response.read(), response.read()]


class _Requests:
    """requests."""

    def whole(self, url: str, method: str = "GET") -> bytes:
        return requests.request(method, url, timeout=_patience_s(url)).content

    @contextmanager
    def opened(self, url: str, method: str = "GET") -> Iterator[Iterator[bytes]]:
        with requests.request(method, url, stream=True, timeout=_patience_s(url)) as response:
            yield response.iter_content(8)

    def twice(self, url: str) -> list[bytes]:
        with requests.get(url, stream=True, timeout=_patience_s(url)) as response:
            return [b"".join(response.iter_content(8)), b"".join(response.iter_content(8))]


class _Httpx:
    """httpx or httpx2."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def _options(self, url: str) -> dict[str, Any]:
        return {"verify": TLS, "timeout": _patience_s(url), "trust_env": False}

    def whole(self, url: str, method: str = "GET") -> bytes:
        return bytes(self._library.request(method, url, **self._options(url)).content)

    @contextmanager
    def opened(self, url: str, method: str = "GET") -> Iterator[Iterator[bytes]]:
        with self._library.stream(method, url, **self._options(url)) as response:
            yield response.iter_raw()

    def twice(self, url: str) -> list[bytes]:
        with self._library.stream("GET", url, **self._options(url)) as response:
            return [b"".join(response.iter_raw()), b"".join(response.iter_raw())]


class _HttpxAsync:
    """The same, asynchronously."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def _client(self, url: str) -> Any:
        return self._library.AsyncClient(verify=TLS, timeout=_patience_s(url), trust_env=False)

    async def whole(self, url: str, method: str = "GET") -> bytes:
        async with self._client(url) as client:
            return bytes((await client.request(method, url)).content)

    @asynccontextmanager
    async def opened(self, url: str, method: str = "GET") -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._client(url) as client, client.stream(method, url) as response:
            yield response.aiter_raw()

    async def twice(self, url: str) -> list[bytes]:
        async with self._client(url) as client, client.stream("GET", url) as response:
            return [
                b"".join([piece async for piece in response.aiter_raw()]),
                b"".join([piece async for piece in response.aiter_raw()]),
            ]


class _Aiohttp:
    """aiohttp."""

    def _session(self, url: str) -> Any:
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_patience_s(url)))

    async def whole(self, url: str, method: str = "GET") -> bytes:
        async with self._session(url) as session, session.request(method, url) as response:
            return bytes(await response.read())

    @asynccontextmanager
    async def opened(self, url: str, method: str = "GET") -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._session(url) as session, session.request(method, url) as response:
            yield response.content.iter_any()

    async def twice(self, url: str) -> list[bytes]:
        async with self._session(url) as session, session.get(url) as response:
            return [await response.content.read(), await response.content.read()]


SYNC: dict[str, Any] = {
    "http.client": _HttpClient(),
    "httpx": _Httpx(httpx),
    "httpx2": _Httpx(httpx2),
    "requests": _Requests(),
    "urllib.request": _Urllib(),
    "urllib3": _Urllib3(),
}
ASYNC: dict[str, Any] = {
    "aiohttp": _Aiohttp(),
    "httpx async": _HttpxAsync(httpx),
    "httpx2 async": _HttpxAsync(httpx2),
}
LIBRARIES = [*SYNC, *ASYNC]


def _pieces(reader: Any, url: str) -> Generator[bytes]:
    with reader.opened(url) as source:
        yield from source


async def _pieces_async(reader: Any, url: str) -> AsyncGenerator[bytes]:
    async with reader.opened(url) as source:
        async for piece in source:
            yield piece


def outcome(call: Callable[[], Any]) -> Any:
    """What a call gives, or what it raises: type and text."""
    try:
        return call()
    except Exception as error:
        return [type(error).__name__, str(error)]


async def outcome_async(call: Callable[[], Awaitable[Any]]) -> Any:
    """The same of a coroutine function."""
    try:
        return await call()
    except Exception as error:
        return [type(error).__name__, str(error)]


def reading(
    library: str,
    work: str,
    url: str,
    settings: Settings,
    *,
    pieces: int | None = None,
    method: str | None = None,
) -> Runs:
    """Read in an agent, live and in replay. The bodies' result is a list of outcomes.

    Args:
        library: one of `LIBRARIES`.
        work: ``"whole"``, ``"twice"`` or ``"pieces"``, which stops after so many of them.
        url: of what.
        settings: of the live run.
        pieces: see above; ``None``: all.
        method: of a whole one.
    """
    given = [url] if method is None else [url, method]
    if library in SYNC:
        reader = SYNC[library]

        def body() -> Any:
            if work != "pieces":
                return outcome(lambda: getattr(reader, work)(*given))
            read: list[Any] = []
            with closing(_pieces(reader, url)) as source:
                read.append(outcome(lambda: read.extend(islice(source, pieces))))
            return read

        return run(body, settings=settings)

    async def body_async() -> Any:
        reader = ASYNC[library]
        if work != "pieces":
            return await outcome_async(lambda: getattr(reader, work)(*given))
        read: list[Any] = []
        async with aclosing(_pieces_async(reader, url)) as source:

            async def take() -> None:
                async for piece in source:
                    read.append(piece)
                    if len(read) == pieces:
                        return

            read.append(await outcome_async(take))
        return read

    return run_async(body_async, settings=settings)
