"""HTTP requests of agents through urllib3, and through requests and botocore above it.

Covers: what a connection pool sends, one exchange at a time, so urllib3's retries and redirects, and
above them sessions, cookies, authentication, hooks and decompression run again on replay, from recorded
responses. Pools, proxies and TLS are the library's own. Bodies streamed either way, timeouts and
connection errors (recorded, raised again as the same type). Writes get an ``Idempotency-Key`` header
unless they have one. A request body that is a file or an iterator is agent code: it is read into memory
by the agent before it is sent, and compared on replay. Responses are recorded exactly.

Does not cover: HTTP/2, connections used without a pool (see `golem_sdk.intercept.http_client`),
`response.connection` and `response.shutdown`, and connections taken over by other protocols (refused).
"""

from __future__ import annotations

import functools
import inspect
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse
from queue import Full
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.http import STREAMS, Exchange, describe
from golem_sdk.intercept.patching import Patch
from golem_sdk.intercept.visited import Known
from golem_sdk.intercept.wire import Answer, Wire, again, answer_of, is_cut, parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

__all__ = ["requests_patches", "urllib3_patches"]

_OPTIONS = (
    "body",
    "headers",
    "retries",
    "timeout",
    "chunked",
    "response_conn",
    "preload_content",
    "decode_content",
    "enforce_content_length",
)
_BLOCK_BYTES = 16 * 1024
_CALL, _READ = "urllib3.request", "urllib3.read"
_REFILLED = "_golem_refilled"
"""What a pool's queue has under this name if a body of a durable function has closed the pool."""


def urllib3_patches(module: ModuleType) -> list[Patch]:
    """The patches of urllib3.

    Raises:
        LookupError: urllib3 1, which is built otherwise.
    """
    adapter = _Adapter(module)
    pool = module.connectionpool.HTTPConnectionPool
    if "preload_content" not in inspect.signature(pool._make_request).parameters:
        raise LookupError("urllib3 2 makes requests otherwise")
    connections = Known("pool", _refill)
    return [
        Patch(pool, "_get_conn", lambda done: connections.watched(done, adapter.get_conn(done))),
        *connections.patches(pool, "close"),
        Patch(pool, "_put_conn", adapter.put_conn),
        Patch(pool, "_make_request", adapter.make_request),
    ]


def _refill(connections: Any) -> None:
    setattr(connections, _REFILLED, True)
    with suppress(Full):  # by a connection that comes back
        while not connections.full():  # as a pool begins: with places for them
            connections.put(None, block=False)


def requests_patches(module: ModuleType) -> list[Patch]:
    """The patch of requests: below it, urllib3 is not told whether the caller reads everything."""
    return [Patch(module.sessions.Session, "send", _send)]


class _Line:
    """Stands for a connection while agent code runs the logic of its pool: there is nothing behind it."""

    proxy = None
    is_closed = False

    def __init__(self, kind: type, pool_timeout: Any) -> None:
        self._kind = kind
        self.pool_timeout = pool_timeout
        self.timeout: Any = None

    @property  # type: ignore[misc]  # nobody sets it
    def __class__(self) -> type:
        """For `isinstance`: other tools (vcrpy) ask for connections until they get one of the pool's."""
        return self._kind

    def close(self) -> None:
        pass


class _Adapter:
    def __init__(self, module: ModuleType) -> None:
        library: Any = module
        self._full = library.exceptions.FullPoolError
        self._urlopen = library.connectionpool.HTTPConnectionPool.urlopen
        self._response = library.response.HTTPResponse
        self._known = inspect.signature(self._response.__init__).parameters
        self._headers = library.response.HTTPHeaderDict
        self._normal = getattr(library.connection, "_normalize_header_values", _items)

    def get_conn(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def get_conn(pool: Any, timeout: Any = None) -> Any:
            if pool.pool is None or durability.current_since("urllib3") is None:
                return original(pool, timeout)
            return _Line(pool.ConnectionCls, timeout)

        return get_conn

    def put_conn(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def put_conn(pool: Any, conn: Any) -> None:
            # Without a connection, it is about one that failed: the pool has put it back already.
            if type(conn) is not _Line and (conn or durability.current_since("urllib3") is None):
                try:
                    original(pool, conn)
                except self._full:  # the connection is closed: its place is another's by now
                    if not hasattr(pool.pool, _REFILLED):
                        raise

        return put_conn

    def make_request(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def make_request(
            pool: Any, conn: Any, method: str, url: str, *args: Any, **options: Any
        ) -> Any:
            if type(conn) is not _Line:
                return original(pool, conn, method, url, *args, **options)
            session = durability.current()
            if session is None:
                raise RuntimeError("a connection of an agent was used outside of it")
            options.update(zip(_OPTIONS, args, strict=False))
            if not issubclass(pool.ConnectionCls, HTTPConnection):
                raise NotDurableError(
                    f"An agent tried to reach {pool.host} by HTTP/2 of urllib3. Nothing was sent: it "
                    "cannot be journaled. Use it inside a function decorated with @durable."
                )
            return self._exchange(session, pool, conn, method, url, options)

        return make_request

    def _exchange(
        self, session: Any, pool: Any, line: _Line, method: str, url: str, options: dict[str, Any]
    ) -> Any:
        body = _in_memory(options.get("body"))
        exchange = _describe(pool, method, url, options, body)
        sent = {
            "body": body,
            "headers": _as_sent(session, exchange, options.get("headers") or {}),
            "timeout": options["timeout"],
            "chunked": options.get("chunked", False),
            "pool_timeout": line.pool_timeout,
        }
        whole = options.get("preload_content", True) or not STREAMS.get()
        real: list[Wire] = []
        send = functools.partial(self._sent, session, pool, method, url, sent)

        def perform() -> Answer:
            if real:  # an attempt before, which was not good enough
                real.pop().close()
            real.append(send())
            try:
                return answer_of(real[0], whole=whole)
            finally:
                if real[0].has_ended:
                    real.pop().close()

        answer = durability.durable_call(
            session,
            _CALL,
            exchange.function_type,
            exchange.request,
            perform,
            identity=exchange.identity,
        )
        wire = real[0] if real else None
        resending = again(exchange, answer, send) if is_cut(answer, wire) else None
        parts = parsed(answer, wire, resending, _READ, method, HTTPResponse)
        return self._made(pool, method, url, options, parts)

    def _sent(
        self,
        session: durability.Session,
        pool: Any,
        method: str,
        url: str,
        sent: dict[str, Any],
    ) -> Wire:
        """The real exchange, with the pool's real connections."""
        response = self._urlopen(
            pool,
            method,
            url,
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
            release_conn=False,
            **sent,
        )

        def finish(reusable: bool) -> None:
            if not reusable:
                response.close()
            response.release_conn()

        return Wire(session, response._original_response, finish)

    def _made(self, pool: Any, method: str, url: str, options: dict[str, Any], parts: Any) -> Any:
        """urllib3's response around one of `http.client`, as its connections make it."""
        given = {
            "body": parts,
            "headers": self._headers(self._normal(parts.msg)),
            "status": parts.status,
            "version": parts.version,
            "version_string": "HTTP/1.1",
            "reason": parts.reason,
            "preload_content": options.get("preload_content", True),
            "decode_content": options.get("decode_content", True),
            "original_response": parts,
            "enforce_content_length": options.get("enforce_content_length", True),
            "request_method": method,
            "request_url": url,
        }
        response = self._response(**{k: v for k, v in given.items() if k in self._known})
        response.retries = options.get("retries")
        response._connection = options.get("response_conn")
        response._pool = pool
        return response


def _items(headers: Any) -> Any:
    return headers.items()


def _in_memory(body: Any) -> Any:
    """What is to be sent: bytes, or for what is sent in chunks a list of bytes."""
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    if hasattr(body, "read"):
        return list(_blocks(body))
    try:
        return bytes(memoryview(body))
    except TypeError:
        return [part.encode() if isinstance(part, str) else part for part in body]


def _blocks(file: Any) -> Iterator[bytes]:
    while block := file.read(_BLOCK_BYTES):
        yield block.encode() if isinstance(block, str) else block


def _describe(
    pool: Any, method: str, url: str, options: dict[str, Any], body: bytes | list[bytes] | None
) -> Exchange:
    headers = options.get("headers") or {}
    target = url if "://" in url else f"{pool.scheme}://{pool.host}:{pool.port}{url}"
    data = b"".join(body) if isinstance(body, list) else body or b""
    return describe(method, target, [(_text(k), _text(v)) for k, v in headers.items()], data)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _as_sent(session: Any, exchange: Exchange, headers: Any) -> Any:
    """A copy with an idempotency key."""
    headers = headers.copy()
    named = {_text(name).lower() for name in headers}
    if exchange.function_type is FunctionType.WRITE_REMOTE and "idempotency-key" not in named:
        headers["Idempotency-Key"] = str(durability.upcoming_idempotency_key(session))
    return headers


def _send(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(session: Any, request: Any, **options: Any) -> Any:
        if durability.current() is None:
            return original(session, request, **options)
        token = STREAMS.set(bool(options.get("stream", session.stream)))
        try:
            return original(session, request, **options)
        finally:
            STREAMS.reset(token)

    return send
