"""What the WebSockets of agents have in common, blocking and asynchronous.

By type each is a ``ClientConnection`` of websockets, whose own part is never initialised; what it promises is
told in `golem_sdk.intercept.websockets`.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import sys
import weakref
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.redaction import stored_headers, stored_url, without_url_secrets
from golem_sdk.errors import AgentControlSignal, NotDurableError
from golem_sdk.intercept.links import Link

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.steps import Steps

__all__ = ["NAME", "Recorded"]

NAME = "websockets"
_NORMAL, _ABNORMAL = 1000, 1006
_LOST = (
    "the WebSocket to {url} was lost with the process that had opened it: the messages until then are "
    "recorded, but the server cannot be asked to go on. Connect again, as after any lost connection"
)


class Recorded:
    """A connection of an agent.

    Args:
        connector: what websockets makes of the arguments of ``connect``.
        original: opens the real connection, given a connector.
    """

    make_lock: Callable[[], Any]
    real_kind: Any

    def __init__(self, connector: Any, original: Callable[[Any], Any]) -> None:
        self._library: Any = sys.modules["websockets"]
        # A copy: the connector will know this connection, which could never be collected then.
        self._connector = copy.copy(connector)
        self._url = connector.uri
        self.logger = connector.logger
        closed = self._library.ConnectionClosedError
        self._link = Link(functools.partial(_open, self._connector, original), closed, self.abort)
        weakref.finalize(self, self._link.drop).atexit = False
        durability.hold(durability.current_since(NAME), self._link)
        self._lock = self.make_lock()
        self._is_used = False
        self._closing: Any = None
        self._left: list[Any] = []

    # --- what the two kinds do in their own way ---------------------------------------------------

    @staticmethod
    def abort(real: Any) -> None:
        """Close the real connection at once, from whatever thread."""
        raise NotImplementedError

    @staticmethod
    def opened(real: Any) -> None:
        """The real connection was opened."""

    def made(self, session: Any, name: str, kind: Any, request: Any, steps: Any, **how: Any) -> Any:
        """A durable call, or its coroutine; without a session the steps themselves."""
        raise NotImplementedError

    # --- calls ------------------------------------------------------------------------------------

    def connect_steps(self) -> Steps[None]:
        """Open it."""
        library = self._library
        if _has_socket(self._connector):
            raise _refusal("connect(sock=...)")
        request: dict[str, Any] = {"url": stored_url(self._url)}
        headers = library.Headers(self._connector.additional_headers or ())
        if stored := stored_headers(headers.raw_items()):
            request["headers"] = stored

        def steps() -> Steps[list[Any]]:
            try:
                real = yield from self._connected()
            except (library.InvalidStatus, library.exceptions.InvalidProxyStatus) as error:
                return _rejection(error)
            return [None, *_described(real)]

        rejected, response, *described = yield self.made(
            durability.current_since(NAME),
            "websockets.connect",
            FunctionType.READ_REMOTE,
            request,
            steps,
            identity=without_url_secrets(self._url),
        )
        status, reason, fields, body = response
        self.response = library.Response(status, reason, library.Headers(fields), body)
        if rejected is not None:
            error = getattr(library.exceptions, rejected)(self.response)
            self.response._exception = error
            raise error
        self.id, self._subprotocol, self._local_address, self._remote_address = described

    def send_steps(self, message: Any, text: bool | None) -> Steps[None]:
        """Send a message."""
        if isinstance(message, str):
            data = message.encode()
        elif isinstance(message, (bytes, bytearray, memoryview)):
            data = message = bytes(message)  # the caller may change its own meanwhile
        elif isinstance(message, (Iterable, AsyncIterable)) and not isinstance(message, Mapping):
            raise _refusal("send() of a message in parts")
        else:
            data = b""  # no message: websockets will say so
        as_text = isinstance(message, str) if text is None else text
        digest = hashlib.sha256(data).digest()
        yield from self._ask(
            "websockets.send",
            FunctionType.WRITE_REMOTE,
            ["text" if as_text else "binary", len(data), digest.hex()[:16]],
            lambda real: _sent(real, message, text),
            identity=[as_text, digest],
        )

    def recv_steps(self, *how: Any) -> Steps[Any]:
        """Receive a message; ``how``: what the real connection is given."""
        left = self._left
        message = yield from self._ask(
            "websockets.recv",
            FunctionType.READ_REMOTE,
            None,
            lambda real: _received(real, left, how),
        )
        left.clear()
        return message

    def close_steps(self, code: int, reason: str) -> Steps[None]:
        """Close it, and learn how it was closed."""
        if self._closing is not None:
            return
        says_nothing = code == _NORMAL and not reason

        def steps() -> Steps[Any]:
            real = self._link.real
            if real is None:
                return self._lost()
            yield real.close(code, reason)
            return real.protocol.close_exc

        self._closing = yield from self._call(
            "websockets.close",
            FunctionType.READ_REMOTE if says_nothing else FunctionType.WRITE_REMOTE,
            [int(code), reason],
            steps,
        )

    def wait_steps(self, *timeout: float | None) -> Steps[bool]:
        """Wait until it is closed; whether it is."""
        if self._closing is not None:
            return True

        def steps() -> Steps[Any]:
            real = self._link.real
            if real is None:
                return self._lost()
            closed = yield real.wait_closed(*timeout)
            return None if closed is False else real.protocol.close_exc

        self._closing = yield from self._call(
            "websockets.wait_closed", FunctionType.READ_REMOTE, None, steps
        )
        return self._closing is not None

    def _ask(
        self,
        name: str,
        kind: FunctionType,
        request: Any,
        act: Callable[[Any], Steps[Any]],
        **how: Any,
    ) -> Steps[Any]:
        """A call that needs the connection: ``act`` is given the real one."""

        def steps() -> Steps[Any]:
            return (yield from act((yield from self._reached())))

        try:
            result = yield from self._call(name, kind, request, steps, **how)
        except self._library.ConnectionClosed as error:
            self._closing = error
            raise
        self._is_used = True
        return result

    def _call(self, name: str, kind: FunctionType, request: Any, steps: Any, **how: Any) -> Any:
        session = durability.current_since(NAME)
        try:
            return (yield self.made(session, name, kind, request, steps, repeatable=False, **how))
        except AgentControlSignal:
            self._link.drop()
            raise

    # --- the real connection ----------------------------------------------------------------------

    def _connected(self) -> Steps[Any]:
        link = self._link
        real = yield from link.connected()
        if type(real) is not self.real_kind:
            link.drop()
            raise _refusal("connect(create_connection=...)")
        self.opened(real)
        real.pending_legacy_warning = False  # agent code is warned by its own connection
        return real

    def _reached(self) -> Steps[Any]:
        """The real connection, opened again if nothing is lost by that."""
        yield self._lock.acquire()
        try:
            if self._link.real is not None:
                return self._link.real
            if self._is_used or self._closing is not None:
                raise self._lost()
            try:
                return (yield from self._connected())
            except Exception as error:
                raise self._library.ConnectionClosedError(None, None) from error
        finally:
            self._lock.release()

    def _lost(self) -> Exception:
        known = self._closing
        if known is not None:
            lost: Exception = type(known)(known.rcvd, known.sent, known.rcvd_then_sent)
            return lost
        lost = self._library.ConnectionClosedError(None, None)
        lost.__cause__ = ConnectionResetError(_LOST.format(url=stored_url(self._url)))
        return lost

    # --- what it knows ----------------------------------------------------------------------------

    @property
    def state(self) -> Any:
        """As agent code knows it: closed once it was told so. So are the code and the reason."""
        states = self._library.State
        return states.OPEN if self._closing is None else states.CLOSED

    @property
    def close_code(self) -> int | None:
        """What the server closed it with."""
        if self._closing is None:
            return None
        received = self._closing.rcvd
        return _ABNORMAL if received is None else received.code

    @property
    def close_reason(self) -> str | None:
        """What the server closed it with."""
        if self._closing is None:
            return None
        received = self._closing.rcvd
        return "" if received is None else received.reason

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise _refusal(name)

    def __repr__(self) -> str:
        return f"<WebSocket of an agent, to {stored_url(self._url)!r}>"


def _open(connector: Any, original: Callable[[Any], Any]) -> Any:
    return original(copy.copy(connector))  # redirects change it


def _sent(real: Any, message: Any, text: bool | None) -> Steps[None]:
    yield real.send(message, text=text)


def _received(real: Any, left: list[Any], how: tuple[Any, ...]) -> Steps[Any]:
    # What came for a call that was cancelled at that moment is for the next: none is lost.
    if not left:
        left.append((yield real.recv(*how)))
    return left[0]


def _has_socket(connector: Any) -> bool:
    options = getattr(connector, "create_connection_kwargs", {})
    return (getattr(connector, "sock", None) or options.get("sock")) is not None


def _plain(response: Any) -> list[Any]:
    fields = [[name, value] for name, value in response.headers.raw_items()]
    return [response.status_code, response.reason_phrase, fields, response.body]


def _described(real: Any) -> list[Any]:
    return [
        _plain(real.response),
        real.id,
        real.subprotocol,
        real.local_address,
        real.remote_address,
    ]


def _rejection(error: Any) -> list[Any]:
    """What is recorded of a response that opens no connection.

    Raises:
        RetryableResult: the same, of one with an error status.
    """
    response = error.response
    answer = [type(error).__name__, _plain(response)]
    if response.status_code < 400:
        return answer
    status = durability.HttpStatusError(response.status_code, response.headers.get("Retry-After"))
    raise durability.RetryableResult(answer, status)


def _refusal(what: str) -> NotDurableError:
    return NotDurableError(
        f"{what} of websockets is not recorded, so an agent must not use it as it is. Send and receive whole "
        "messages, or put the code that needs it, with a connection of its own, into a function decorated "
        "with @durable"
    )


def _refusing(name: str) -> Callable[..., Any]:
    def refuse(self: Recorded, /, *args: Any, **kwargs: Any) -> Any:
        raise _refusal(f"{name}()")

    return refuse


def _told(name: str) -> property:
    return property(lambda self: getattr(self, f"_{name}"))


for _name in ("ping", "pong", "recv_streaming"):
    setattr(Recorded, _name, _refusing(_name))
for _name in ("subprotocol", "local_address", "remote_address"):
    setattr(Recorded, _name, _told(_name))
