"""HTTP requests of agents through `http.client`: urllib.request, xmlrpc and whatever else builds on it.

Covers: one exchange of a connection is one durable call. Until it is made, what is sent is collected; what
is above (redirects, authentication, proxies and cookies of urllib.request) is agent code and runs again on
replay. Streamed bodies, timeouts and connection errors (recorded, raised again as the same type, by
``request`` if nothing could be sent and by ``getresponse`` otherwise). Writes get an ``Idempotency-Key``
header unless they have one. A request body is read into memory by the agent before it is sent.

Does not cover: ``sock`` of a connection (there is none in replay), ``debuglevel`` of what is sent,
connections taken over by other protocols (refused).
"""

from __future__ import annotations

import copy
import functools
import weakref
from http.client import HTTPException, HTTPSConnection, NotConnected
from io import TextIOBase
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.patching import Patch
from golem_sdk.intercept.wire import (
    Answer,
    Wire,
    again,
    answer_of,
    described,
    is_cut,
    lost,
    parsed,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from golem_sdk.intercept.again import Again

__all__ = ["http_client_patches"]

_NAME = "http.client"
_STATE, _PRIOR = "_HTTPConnection__state", "_HTTPConnection__response"
_SENT, _IDLE = "Request-sent", "Idle"
_BLOCK_BYTES = 64 * 1024
_LOST = (
    "the connection was lost in a crash before its response could be read. Send the request again"
)


def http_client_patches(module: ModuleType) -> list[Patch]:
    """The patches of `http.client`."""
    plain, secure = module.HTTPConnection, module.HTTPSConnection
    adapter = _Adapter(plain)
    return [
        Patch(plain, "connect", _connect),
        Patch(secure, "connect", _connect),
        Patch(plain, "close", adapter.close),
        Patch(plain, "send", adapter.send),
        Patch(plain, "request", adapter.request),
        Patch(plain, "getresponse", adapter.getresponse),
    ]


class _Line:
    """What an agent has done with a connection since its last exchange.

    Attributes:
        parts: what it has sent.
        answer: what is recorded of the response, if ``request`` has waited for it already.
        wire: the real response to that.
        again: how a run goes on with it that has no real one.
        error: what reading the response's head has raised.
        connected: whether it has called ``connect`` itself.
    """

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.answer: Answer | None = None
        self.wire: Wire | None = None
        self.again: Again | None = None
        self.error: Exception | None = None
        self.failed = False
        self.connected = False


def _line_of(connection: Any) -> _Line:
    line: _Line = vars(connection).setdefault("_golem_line", _Line())
    return line


class _Adapter:
    def __init__(self, kind: Any) -> None:
        self._send, self._getresponse = kind.send, kind.getresponse

    def close(self, original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def close(connection: Any) -> None:
            if durability.current() is not None:
                vars(connection).pop("_golem_line", None)
            original(connection)

        return close

    def send(self, original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def send(connection: Any, data: Any) -> None:
            if durability.current_since(_NAME) is None:
                original(connection, data)
                return
            line = _line_of(connection)
            if not (connection.auto_open or line.connected):
                raise NotConnected
            line.parts += _in_memory(data)

        return send

    def request(self, original: Callable[..., None]) -> Callable[..., None]:
        nearby = durability.nearby

        @functools.wraps(original)
        def request(connection: Any, *args: Any, **options: Any) -> None:
            original(connection, *args, **options)
            if nearby() is not None and (session := durability.current_since(_NAME)) is not None:
                line = _line_of(connection)
                line.answer = self._exchange(session, connection, line, in_two_steps=True)
                line.failed = line.answer is None
                _set_state(connection, _SENT, None)

        return request

    def getresponse(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def getresponse(connection: Any) -> Any:
            session = durability.current_since(_NAME)
            if session is None or not _is_ready(connection):
                return original(connection)
            line = _line_of(connection)
            if line.failed:
                _fail(session, line)
            if line.answer is None:
                line.answer = self._exchange(session, connection, line, in_two_steps=False)
            answer, known = line.answer, (line.wire, line.again)
            del connection._golem_line
            read, method, kind = "http.client.read", connection._method, connection.response_class
            response = parsed(answer, *known, read, method, kind)  # type: ignore[arg-type]  # failures are raised
            _set_state(connection, _IDLE, None if response.will_close else response)
            return response

        return getresponse

    def _exchange(
        self, session: Any, connection: Any, line: _Line, *, in_two_steps: bool
    ) -> Answer | None:
        """Make the durable call: what is recorded, or in two steps ``None`` if there was no response."""
        data, line.parts = b"".join(line.parts), []
        head, _, body = data.partition(b"\r\n\r\n")
        exchange, has_key = described(head, body, _origin_of(connection))
        if exchange.function_type is FunctionType.WRITE_REMOTE and not has_key:
            key = durability.upcoming_idempotency_key(session)
            head += f"\r\nIdempotency-Key: {key}".encode()

        def perform() -> Answer:
            if line.wire is not None:  # an attempt before, which was not good enough
                line.wire.close()
            line.wire = line.error = None
            _set_state(connection, _SENT, None)
            try:
                self._send(connection, head + b"\r\n\r\n")
                if body:
                    self._send(connection, body)
            except BaseException:
                _hang_up(connection)
                raise
            try:
                line.wire = self._wire(session, connection)
            except (OSError, HTTPException) as error:
                _hang_up(connection)
                if not in_two_steps:
                    raise
                line.error = error
                raise durability.RetryableResult(None, error) from error
            try:
                return answer_of(line.wire)
            finally:
                if line.wire.has_ended:
                    line.wire.close()
                    line.wire = None

        answer: Answer | None = durability.durable_call(
            session,
            "http.client.request",
            exchange.function_type,
            exchange.request,
            perform,
            identity=exchange.identity,
        )
        if answer is not None and is_cut(answer, line.wire):
            # On a connection like it, which must not be kept: it holds the response that the agent gets.
            send = functools.partial(self._sent, session, _unconnected(connection), head, body)
            line.again = again(exchange, answer, send)
        return answer

    def _sent(self, session: durability.Session, fresh: Any, head: bytes, body: bytes) -> Wire:
        """The same exchange on a connection that is used for nothing else."""
        _set_state(fresh, _SENT, None)
        try:
            self._send(fresh, head + b"\r\n\r\n")
            if body:
                self._send(fresh, body)
            response = self._getresponse(fresh)
        except BaseException:
            _hang_up(fresh)
            raise
        return Wire(session, response, lambda _: _hang_up(fresh))

    def _wire(self, session: durability.Session, connection: Any) -> Wire:
        response = self._getresponse(connection)
        # The connection must not be kept: it holds the response that the agent gets.
        sock, connected = connection.sock, weakref.ref(connection)

        def finish(reusable: bool) -> None:
            if reusable or sock is None:
                return
            sock.close()
            left = connected()
            if left is not None and left.sock is sock:
                left.sock = None

        return Wire(session, response, finish)


def _connect(original: Callable[..., None]) -> Callable[..., None]:
    """Connecting without sending anything yet; otherwise it is part of the exchange."""

    @functools.wraps(original)
    def connect(connection: Any) -> None:
        session = durability.current_since(_NAME)
        if session is None:
            original(connection)
            return
        durability.durable_call(
            session,
            "http.client.connect",
            FunctionType.READ_REMOTE,
            [connection.host, connection.port],
            lambda: original(connection),
        )
        _line_of(connection).connected = True

    return connect


def _is_ready(connection: Any) -> bool:
    """Whether a response can be asked for; if not, `http.client` says why."""
    prior = getattr(connection, _PRIOR)
    return getattr(connection, _STATE) == _SENT and (prior is None or prior.isclosed())


def _set_state(connection: Any, state: str, response: Any) -> None:
    setattr(connection, _STATE, state)
    setattr(connection, _PRIOR, response)


def _unconnected(connection: Any) -> Any:
    """One like it that is not connected yet."""
    fresh = copy.copy(connection)
    vars(fresh).pop("_golem_line", None)
    fresh.sock, fresh.auto_open = None, 1
    return fresh


def _hang_up(connection: Any) -> None:
    sock, connection.sock = connection.sock, None
    if sock is not None:
        sock.close()


def _fail(session: Any, line: _Line) -> None:
    """Raise what reading the response's head has raised."""

    def perform() -> None:
        raise line.error or lost(_LOST)

    durability.durable_call(
        session, "http.client.response", FunctionType.READ_REMOTE, None, perform, repeatable=False
    )


def _in_memory(data: Any) -> list[bytes]:
    """What `HTTPConnection.send` would send."""
    if hasattr(data, "read"):
        encode = isinstance(data, TextIOBase)
        blocks = iter(functools.partial(data.read, _BLOCK_BYTES), "" if encode else b"")
        return [block.encode("latin-1") if encode else block for block in blocks]
    try:
        return [bytes(memoryview(data))]
    except TypeError:
        return [bytes(part) for part in data]


def _origin_of(connection: Any) -> str:
    scheme = "https" if isinstance(connection, HTTPSConnection) else "http"
    if connection._tunnel_host:
        return f"{scheme}://{connection._tunnel_host}:{connection._tunnel_port}"
    return f"{scheme}://{connection.host}:{connection.port}"
