"""HTTP requests of agents through httpx and httpx2 (and the SDKs that build on them).

Covers: the transports that `Client` and `AsyncClient` make themselves, so redirects, authentication,
cookies, hooks, decompression and retries of an SDK run again on replay, from recorded responses.
Bodies streamed either way, timeouts and connection errors (recorded, raised again as the same type).
Writes get an ``Idempotency-Key`` header unless they have one. A request body that is an iterator is
agent code: it is read into memory by the agent before it is sent, and compared on replay. Responses
are recorded exactly, ``Set-Cookie`` and tokens in bodies too: agent code needs them on replay.

Does not cover: `MockTransport`, `ASGITransport`, `WSGITransport` and transports of users (they are agent
code), WebSockets (refused), the ``network_stream`` extension (absent), trailers.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.again import Again, Opened
from golem_sdk.intercept.http import (
    STREAMS,
    WHOLE_BODY_BYTES,
    AsyncBody,
    Exchange,
    Pump,
    SyncBody,
    announced_bytes,
    describe,
    is_all,
    is_small,
    limited,
    take,
)
from golem_sdk.intercept.patching import Patch, in_agents
from golem_sdk.intercept.visited import Known

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import ModuleType

__all__ = ["httpx_patches"]

S = TypeVar("S")

_PLAIN = (bytes, str, int)
_BODILESS = (204, 304)
"""Source: RFC 9110, section 6.4.1, as for HEAD."""


def httpx_patches(module: ModuleType) -> list[Patch]:
    """The patches of httpx or httpx2."""
    adapter = _Adapter(module)
    state = Known("_state")
    return [
        Patch(module.HTTPTransport, "handle_request", adapter.handle_request),
        Patch(module.AsyncHTTPTransport, "handle_async_request", adapter.handle_async_request),
        Patch(module.AsyncHTTPTransport, "aclose", _on_host),
        Patch(module.AsyncHTTPTransport, "__aexit__", _on_host),
        Patch(module.Client, "send", lambda done: state.watched(done, _send(done))),
        Patch(module.AsyncClient, "send", lambda done: state.watched(done, _send_async(done))),
        *state.patches(module.Client, "close __enter__ __exit__"),
        *state.patches(module.AsyncClient, "aclose __aenter__ __aexit__"),
    ]


class _Adapter:
    """The interceptor of one of the two libraries."""

    def __init__(self, module: ModuleType) -> None:
        self._library: Any = module
        self._loops: WeakKeyDictionary[Any, asyncio.AbstractEventLoop] = WeakKeyDictionary()
        self._call = f"{module.__name__}.request"
        self._read = f"{module.__name__}.read"
        self._sync_body = type("RecordedBody", (SyncBody, module.SyncByteStream), {})
        self._async_body = type("RecordedBody", (AsyncBody, module.AsyncByteStream), {})

    def handle_request(self, original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def handle_request(transport: Any, request: Any) -> Any:
            session = durability.current()
            if session is None:
                return original(transport, request)
            exchange = _describe(request, request.read())
            sent = self._as_sent(session, request, exchange)
            real: list[Opened] = []

            def opened() -> tuple[Any, Opened]:
                response = original(transport, sent)
                chunks = limited(session, response.stream, announced_bytes(response.headers.raw))
                return response, Opened(functools.partial(take, chunks), response.close)

            def perform() -> list[Any]:
                if real:  # an attempt before, which was not good enough
                    real.pop().close()
                response, source = opened()
                body = None
                if _wants_whole(request, response):
                    try:
                        body = source.take(WHOLE_BODY_BYTES)
                    except BaseException:
                        source.close()
                        raise
                if body is None or len(body) >= WHOLE_BODY_BYTES:
                    real.append(source)
                else:
                    source.close()
                return _answer(response, body)

            *head, body = durability.durable_call(
                session,
                self._call,
                exchange.function_type,
                exchange.request,
                perform,
                identity=exchange.identity,
            )
            source, again = real[0] if real else None, None
            if source is None and not is_all(body):
                again = self._again(exchange, head, lambda: _seen(*opened()))
            return self._response(head, self._sync_body(self._read, body, source, again))

        return in_agents(original, handle_request)

    def handle_async_request(
        self, original: Callable[[Any, Any], Awaitable[Any]]
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        async def handle_async_request(transport: Any, request: Any) -> Any:
            session = durability.current()
            if session is None:
                return await original(transport, request)
            exchange = _describe(request, await request.aread())
            sent = self._as_sent(session, request, exchange)
            real: list[Pump] = []

            async def opened() -> tuple[Any, Pump]:
                self._forget_closed(transport)
                response = await original(transport, sent)
                announced = announced_bytes(response.headers.raw)
                return response, Pump(session, response.stream, announced)

            async def perform() -> list[Any]:
                if real:  # an attempt before, which was not good enough
                    real.pop().close()
                response, pump = await opened()
                body = None
                if _wants_whole(request, response):
                    try:
                        body = await pump.take(WHOLE_BODY_BYTES)
                    except BaseException:
                        pump.close()
                        raise
                if body is None or len(body) >= WHOLE_BODY_BYTES:
                    real.append(pump)
                return _answer(response, body)

            *head, body = await durability.durable_call_async(
                session,
                self._call,
                exchange.function_type,
                exchange.request,
                perform,
                identity=exchange.identity,
            )
            pump, again = real[0] if real else None, None
            if pump is None and not is_all(body):

                async def opened_again() -> tuple[int, Any, Pump]:
                    return _seen(*await opened())

                again = self._again(exchange, head, opened_again)
            return self._response(head, self._async_body(self._read, body, pump, again))

        return in_agents(original, handle_async_request)

    def _forget_closed(self, transport: Any) -> None:
        """Forget connections of a loop that is closed: a client may outlive the runtime that has used it."""
        loop, before = asyncio.get_running_loop(), self._loops.get(transport)
        if before is not None and before is not loop and before.is_closed():
            transport._pool._connections.clear()
        self._loops[transport] = loop

    def _as_sent(self, session: Any, request: Any, exchange: Exchange) -> Any:
        """A copy with an idempotency key: the agent may send its own request object twice."""
        headers = request.headers.copy()
        if exchange.function_type is FunctionType.WRITE_REMOTE:
            headers.setdefault("Idempotency-Key", str(durability.upcoming_idempotency_key(session)))
        return self._library.Request(
            request.method,
            request.url,
            headers=headers,
            stream=request.stream,
            extensions=request.extensions,
        )

    def _again(self, exchange: Exchange, head: list[Any], send: Callable[[], Any]) -> Again:
        return Again(exchange, (head[0], head[1]), send, self._library.ReadError)

    def _response(self, head: list[Any], body: SyncBody | AsyncBody) -> Any:
        status, headers, extensions = head
        return self._library.Response(
            status,
            headers=[(name, value) for name, value in headers],
            extensions=extensions,
            stream=body,
        )


def _describe(request: Any, body: bytes) -> Exchange:
    return describe(request.method, str(request.url), request.headers.multi_items(), body)


def _wants_whole(request: Any, response: Any) -> bool:
    is_bodiless = request.method == "HEAD" or response.status_code in _BODILESS
    return is_bodiless or not STREAMS.get() or is_small(response.headers.raw)


def _answer(response: Any, body: bytes | None) -> list[Any]:
    """What is recorded of a response.

    Raises:
        RetryableResult: the same, of one with an error status.
    """
    answer = [*_head(response), body]
    if response.status_code < 400:
        return answer
    error = durability.HttpStatusError(response.status_code, response.headers.get("Retry-After"))
    raise durability.RetryableResult(answer, error)


def _head(response: Any) -> list[Any]:
    """Status, raw headers, and the extensions that are plain values (HTTP version, reason phrase)."""
    extensions = {k: v for k, v in response.extensions.items() if isinstance(v, _PLAIN)}
    return [response.status_code, [[k, v] for k, v in response.headers.raw], extensions]


def _seen(response: Any, source: S) -> tuple[int, Any, S]:
    """What `Again` wants of a response."""
    return response.status_code, response.headers.raw, source


def _on_host(original: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Connections of an agent live on the host loop: that is where they are closed."""

    async def close(transport: Any, *exit_arguments: Any) -> None:
        session = durability.current()
        if session is None:
            await original(transport, *exit_arguments)
        else:
            durability.host_call(session, lambda: original(transport, *exit_arguments))

    return in_agents(original, close)


def _send(original: Callable[..., Any]) -> Callable[..., Any]:
    def send(client: Any, request: Any, *, stream: bool = False, **options: Any) -> Any:
        if durability.current() is None:
            return original(client, request, stream=stream, **options)
        token = STREAMS.set(stream)
        try:
            return original(client, request, stream=stream, **options)
        finally:
            STREAMS.reset(token)

    return send


def _send_async(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def send(client: Any, request: Any, *, stream: bool = False, **options: Any) -> Any:
        if durability.current() is None:
            return await original(client, request, stream=stream, **options)
        token = STREAMS.set(stream)
        try:
            return await original(client, request, stream=stream, **options)
        finally:
            STREAMS.reset(token)

    return send
