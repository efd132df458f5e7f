"""HTTP requests of agents through aiohttp's client.

Covers: one exchange over a connection is one durable call, so redirects, cookies, authentication,
middlewares, `raise_for_status` and reconnecting run again on replay. The agent's connector hands out
connections that stand for none: they collect what the client writes, and answer with what a connection of
a second connector has brought, which lives on the host loop and has the same settings. Bodies are recorded
as aiohttp reads them, unpacked, in the pieces in which they came. Timeouts and connection errors are
recorded; a ``total`` timeout is a timer of the agent. Writes get an ``Idempotency-Key`` header unless they
have one. A streamed request body is agent code: all of it is collected before the request is sent.

Does not cover: connectors that connect in a way of their own (agent code), sessions that several agents
share (their loops differ), traces of connections, the ends of chunks in ``iter_chunks``; WebSockets are
refused.
"""

from __future__ import annotations

import asyncio
import functools
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.redaction import stored_url
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.again import Again
from golem_sdk.intercept.aiohttp_connectors import TWIN, Twins, is_here
from golem_sdk.intercept.http import (
    WHOLE_BODY_BYTES,
    AsyncBody,
    Pump,
    announced_bytes,
    is_all,
    is_small,
)
from golem_sdk.intercept.patching import Patch, in_agents
from golem_sdk.intercept.wire import described

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import ModuleType

__all__ = ["aiohttp_patches"]

_CALL, _READ = "aiohttp.request", "aiohttp.read"
_AUTHENTICATION = "_update_proxy_auth_header_and_build_proxy_req"


def aiohttp_patches(module: ModuleType) -> list[Patch]:
    """The patches of aiohttp."""
    adapter = _Adapter(module)
    connector = module.connector.BaseConnector
    return [
        Patch(connector, "connect", adapter.connect),
        Patch(connector, "close", adapter.close),
    ]


class _Adapter:
    def __init__(self, module: ModuleType) -> None:
        self.library: Any = module
        self.body = _recorded_body(module)
        self.twins = Twins(module)

    def connect(self, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def connect(connector: Any, req: Any, traces: Any, timeout: Any) -> Any:
            session = durability.current_since("aiohttp")
            if session is None or connector.closed or not self.twins.has(connector):
                return await original(connector, req, traces, timeout)
            authenticate = getattr(connector, _AUTHENTICATION, None)  # older versions have none
            if req.proxy and authenticate is not None:
                authenticate(req)  # now: the header is to be there before the request is written
            return _Connection(self, connector, req, timeout)

        return in_agents(original, connect)

    def close(self, original: Callable[..., Any]) -> Callable[..., Any]:
        nearby_body = durability.nearby_body

        @functools.wraps(original)
        def close(connector: Any, **options: Any) -> Any:
            if nearby_body() is None and TWIN not in vars(connector):
                return original(connector, **options) if options else original(connector)
            is_others = durability.running_body() is not None and not is_here(connector)
            if is_others and not connector.closed:
                raise NotDurableError(
                    "A function decorated with @durable closes a session of aiohttp (or its connector) that"
                    " it has not made: in replay, which does not run it, the session would be open. Nothing"
                    " was done. Close it in the agent's code, or let the function make its own"
                )
            if TWIN in vars(connector):
                self.twins.close(connector)
            return original(connector, **options)

        return close


class _Connection:
    """What the client takes for a connection, and for its protocol and its transport.

    It is used for one exchange, which is made when the response is asked for.
    """

    upgraded = writing_paused = False
    connected = True
    _paused = _reading_paused = False

    def __init__(self, adapter: _Adapter, connector: Any, request: Any, timeout: Any) -> None:
        self._adapter = adapter
        self._connector = connector
        self._request = request
        self._timeout = timeout
        self._parts: list[bytes] = []
        self._written = asyncio.get_running_loop().create_future()
        self._options: dict[str, Any] = {}
        self._callbacks: list[Callable[[], None]] = []
        self._body: AsyncBody | None = None
        self.closed = False

    def __repr__(self) -> str:
        return f"Connection<{self._request.connection_key}>"

    # --- as a connection ---

    @property
    def protocol(self) -> Any:
        return None if self.closed else self

    @property
    def transport(self) -> Any:
        return self.protocol

    def add_callback(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def release(self) -> None:
        # A response that was dropped is collected anywhere: outside the agent nobody waits for it any more.
        with suppress(NotDurableError):
            self.close()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        if self._body is not None:
            self._body.close()
        self.set_exception(self._adapter.library.ClientConnectionError("Connection closed"))
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    # --- as a transport ---

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: Any) -> None:
        self._parts.append(bytes(data))

    def writelines(self, parts: Any) -> None:
        self._parts += map(bytes, parts)

    # --- as a protocol ---

    async def _drain_helper(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self, **_: Any) -> None:
        pass

    def set_response_params(self, **options: Any) -> None:
        self._options = options

    def start_timeout(self) -> None:
        if not self._written.done():
            self._written.set_result(None)

    def set_exception(self, error: BaseException, cause: BaseException | None = None) -> None:
        if not self._written.done():
            error.__cause__ = cause
            self._written.set_exception(error)
            self._written.exception()  # nobody may ask for it

    async def read(self) -> tuple[Any, Any]:
        """The head of the response, and its body."""
        announced = self._request._continue
        if announced is not None and not announced.done():
            # The body is agent code, and collected whatever the server says to its announcement.
            return SimpleNamespace(code=100), None
        await self._written
        session = durability.current()
        if session is None:
            raise RuntimeError("a connection of an agent was used outside of it")
        head, _, data = b"".join(self._parts).partition(b"\r\n\r\n")
        exchange, has_key = described(head, data, str(self._request.url))
        if exchange.function_type is FunctionType.WRITE_REMOTE and not has_key:
            key = durability.upcoming_idempotency_key(session)
            head += f"\r\nIdempotency-Key: {key}".encode()
        data = head + b"\r\n\r\n" + data
        real: list[Pump] = []

        async def perform() -> list[Any]:
            if real:  # an attempt before, which was not good enough
                real.pop().close()
            return await self._sent(session, data, real)

        async def opened_again() -> tuple[int, Any, Pump]:
            message, _, pump = await self._opened(session, data)
            return message.code, message.raw_headers, pump

        answer = await durability.durable_call_async(
            session,
            _CALL,
            exchange.function_type,
            exchange.request,
            perform,
            identity=exchange.identity,
        )
        pump, again = real[0] if real else None, None
        _, status, _, headers, body = answer
        if pump is None and not is_all(body):
            lost = self._adapter.library.ClientPayloadError
            again = Again(exchange, (status, headers), opened_again, lost)
        return self._parsed(answer, AsyncBody(_READ, body, pump, again))

    async def _opened(self, session: durability.Session, data: bytes) -> tuple[Any, Any, Pump]:
        """The exchange on the host loop, until the response's body begins."""
        library = self._adapter.library
        connector = self._adapter.twins.of(self._connector)
        try:
            connection = await connector.connect(self._request, [], self._timeout)
        except TimeoutError as error:
            text = f"Connection timeout to host {stored_url(str(self._request.url))}"
            raise library.ConnectionTimeoutError(text) from error
        try:
            protocol = connection.protocol
            protocol.set_response_params(**{**self._options, "timer": None})
            protocol.transport.write(data)
            protocol.start_timeout()
            message, payload = await protocol.read()
            while 100 <= message.code < 200 and message.code != 101:
                message, payload = await protocol.read()
        except BaseException:
            connection.close()
            raise
        announced = announced_bytes(message.raw_headers)
        return message, payload, Pump(session, _Payload(connection, payload), announced)

    async def _sent(self, session: durability.Session, data: bytes, real: list[Pump]) -> list[Any]:
        """The exchange on the host loop: what is recorded of it."""
        message, payload, pump = await self._opened(session, data)
        body = None
        if payload.is_eof() or is_small(message.raw_headers):
            try:
                body = await pump.take(WHOLE_BODY_BYTES)
            except BaseException:
                pump.close()
                raise
        else:
            real.append(pump)
        return _answer(message, body)

    def _parsed(self, answer: list[Any], source: AsyncBody) -> tuple[Any, Any]:
        library = self._adapter.library
        version, code, reason, raw_headers, _ = answer
        raw = tuple((name, value) for name, value in raw_headers)
        headers = library.http_parser.CIMultiDict(
            (_text(name), _text(value)) for name, value in raw
        )
        message = SimpleNamespace(
            version=library.HttpVersion(*version),
            code=code,
            reason=reason,
            headers=library.http_parser.CIMultiDictProxy(headers),
            raw_headers=raw,
        )
        if not source.is_all_here:
            self._body = source
        payload = self._adapter.body(self, self._options, source)
        return message, payload


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _answer(message: Any, body: bytes | None) -> list[Any]:
    """What is recorded of a response.

    Raises:
        RetryableResult: the same, of one with an error status.
    """
    headers = [[name, value] for name, value in message.raw_headers]
    answer = [list(message.version), message.code, message.reason, headers, body]
    if message.code < 400:
        return answer
    error = durability.HttpStatusError(message.code, message.headers.get("Retry-After"))
    raise durability.RetryableResult(answer, error)


class _Payload:
    """A real body, which gives its connection back."""

    def __init__(self, connection: Any, payload: Any) -> None:
        self._connection = connection
        self._payload = payload

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._payload.readany():
            yield piece

    async def aclose(self) -> None:
        if self._payload.is_eof() and self._payload.exception() is None:
            self._connection.release()
        else:
            self._connection.close()


def _recorded_body(library: Any) -> Callable[[_Connection, dict[str, Any], AsyncBody], Any]:
    """The class of bodies that agent code reads: aiohttp's own, fed from records."""

    class RecordedBody(library.StreamReader):  # type: ignore[misc]  # it is not known here what it is
        """Asks for more when its reader does."""

        def __init__(
            self, connection: _Connection, options: dict[str, Any], source: AsyncBody
        ) -> None:
            loop = asyncio.get_running_loop()
            timer, limit = options.get("timer"), options.get("read_bufsize", 2**16)
            super().__init__(connection, limit, timer=timer, loop=loop)
            self._source = source
            self._least_bytes = 1
            self._turn = asyncio.Lock()
            if source.is_all_here:
                first = source.first()
                if first:
                    self.feed_data(first, len(first))
                self.feed_eof()

        async def read(self, n: int = -1) -> bytes:
            self._least_bytes = WHOLE_BODY_BYTES if n < 0 else 1
            try:
                return bytes(await super().read(n))
            finally:
                self._least_bytes = 1

        async def wait_eof(self) -> None:
            while not self.is_eof():
                await self._wait("wait_eof")

        async def _wait(self, func_name: str) -> None:
            waited = self._turn.locked()
            async with self._turn:
                if not waited:  # else another task has asked for more meanwhile
                    await self._more()

        async def _more(self) -> None:
            try:
                with self._timer:
                    piece = await self._source.more(self._least_bytes)
            except Exception as error:
                self.set_exception(error)
                raise
            if self.exception() is not None:  # the response was closed meanwhile
                raise self.exception()
            if piece:
                self.feed_data(piece, len(piece))
            else:
                self.feed_eof()

    return RecordedBody
