"""Transports of asynchronous agents: every piece that is read and every write is a durable call.

Protocols above them (streams, and client libraries with protocols of their own) are agent code: they run
again on replay and find the recorded pieces. What they write must be the same then, and is compared by hash.

A write is made at once, by the code that calls ``write``; a piece is delivered by a task of the transport's
own, in the order in which all else is delivered. A crash takes the connection with it: see
`golem_sdk.intercept.asyncio_lines`. Closing is not recorded: what was written before it is.

Does not cover: what passes over the socket itself, ``sendfile``, servers, datagrams.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import AgentControlSignal, NotDurableError
from golem_sdk.intercept.asyncio_sockets import Socket, Tls

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from golem_sdk.intercept.asyncio_lines import Line

__all__ = ["AgentTransport", "unless_unloaded"]

_HIGH_BYTES = 64 * 1024

_OF_ANOTHER = (
    "An agent has written to a connection that another agent, or an earlier life of this one, has opened."
    " Nothing was sent: answers would go astray, and neither agent could be replayed. A client that keeps"
    " connections of asyncio is of one agent: make one in each, in its state (self...)"
)


class AgentTransport(asyncio.Transport):
    """A connection of an agent.

    Args:
        session: the agent's.
        loop: the agent's.
        line: the real connection.
        protocol: is told what happens.
        described: what was recorded of the connection (see `Line.open`).
        context: of TLS, if it was asked for.
    """

    def __init__(
        self,
        session: durability.Session,
        loop: Any,
        line: Line,
        protocol: Any,
        described: list[Any],
        context: object,
    ) -> None:
        super().__init__()
        self.line = line
        self._session = session
        self._loop = loop
        self._protocol = protocol
        self._site = loop.here()
        self._reader: asyncio.Task[None] | None = None
        self._held: list[bytes] = []
        self._received_bytes = 0
        self._is_paused = self._at_end = self._is_closing = self._has_written_eof = False
        self._is_dropped = False
        self._unsent_bytes = 0
        self._is_draining = False
        self.set_write_buffer_limits()
        self.describe(described, context)
        session.pump.connections[id(self)] = self

    def describe(self, described: list[Any], context: object) -> None:
        """What it is from now on; also when TLS was started."""
        peer, own, kind, tls = described
        self._tls = tls
        self._extra = {
            "peername": peer,
            "sockname": own,
            "socket": Socket(self.line, kind, peer, own),
        }
        if tls is not None:
            self._extra |= {
                "sslcontext": context,
                "ssl_object": Tls(tls),
                "cipher": tls["cipher"],
                "compression": tls["compression"],
                "peercert": tls["peercert"],
            }

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `asyncio.BaseTransport.get_extra_info`."""
        return self._extra.get(name, default)

    def set_protocol(self, protocol: Any) -> None:
        """See `asyncio.BaseTransport.set_protocol`."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """See `asyncio.BaseTransport.get_protocol`."""
        return self._protocol

    # --- reading ----------------------------------------------------------------------------------

    def read_on(self) -> None:
        """Read, unless it does or must not; also for each invocation that finds it open."""
        if self._is_paused or self._at_end or self._is_closing:
            return
        reader = self._reader
        if reader is None or reader.done() or reader.cancelling():
            self._reader = self._in_background(self._read())

    def is_reading(self) -> bool:
        """See `asyncio.ReadTransport.is_reading`."""
        return not (self._is_paused or self._is_closing)

    def pause_reading(self) -> None:
        """See `asyncio.ReadTransport.pause_reading`. What was on its way is held back."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """See `asyncio.ReadTransport.resume_reading`."""
        if self._is_closing or not self._is_paused:
            return
        self._is_paused = False
        if self._held:
            self._loop.call_soon(self._give_held)
        self.read_on()

    async def _read(self) -> None:
        try:
            while self.is_reading() and not self._at_end:
                piece = await durability.durable_call_async(
                    self._session,
                    "asyncio.transport.read",
                    FunctionType.READ_REMOTE,
                    None,
                    self._receive,
                    repeatable=False,
                )
                self.line.take()
                self._held.append(piece)
                self._at_end = not piece
                self._received_bytes += len(piece)
                self._give_held()
        except AgentControlSignal:
            self.line.drop()
            raise
        except Exception as error:
            self._lose(error)

    async def _receive(self) -> bytes:
        piece = await self.line.receive()
        most_bytes = self._session.kernel.settings.max_received_bytes
        if self._received_bytes + len(piece) > most_bytes:
            raise _too_much(most_bytes)
        return piece

    def _give_held(self) -> None:
        while self._held and self.is_reading():
            piece = self._held.pop(0)
            if piece:
                self._tell("data_received() call", _give, self._protocol, piece)
            else:
                stays_open = self._tell("eof_received() call", self._protocol.eof_received)
                if not stays_open or self._tls is not None:
                    self.close()

    # --- writing ----------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        """See `asyncio.WriteTransport.write`."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(
                f"data argument must be a bytes-like object, not {type(data).__name__!r}"
            )
        if self._has_written_eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if len(data):
            self._send(bytes(data))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """See `asyncio.WriteTransport.writelines`."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """See `asyncio.WriteTransport.can_write_eof`."""
        return self._tls is None

    def write_eof(self) -> None:
        """See `asyncio.WriteTransport.write_eof`."""
        if not self.can_write_eof():
            raise NotImplementedError
        if not self._has_written_eof:
            self._has_written_eof = True
            self._send(None)

    def get_write_buffer_size(self) -> int:
        """See `asyncio.WriteTransport.get_write_buffer_size`; as far as the agent knows."""
        return self._unsent_bytes if self._is_draining else 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """See `asyncio.WriteTransport.get_write_buffer_limits`."""
        return self._low_bytes, self._high_bytes

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio.WriteTransport.set_write_buffer_limits`."""
        if high is None:
            high = _HIGH_BYTES if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._low_bytes, self._high_bytes = low, high

    def _send(self, data: bytes | None) -> None:
        session = durability.current()
        if session is None:
            self._loop.check_driven()  # else it is garbage: it is collected at another moment in replay
            return
        if self._is_closing:
            return
        if session is not self._session:
            raise NotDurableError(_OF_ANOTHER)
        digest = hashlib.sha256(data or b"").digest()
        is_sent = durability.durable_call(
            session,
            "asyncio.transport.write",
            FunctionType.WRITE_REMOTE,
            "the end" if data is None else [len(data), digest.hex()[:16]],
            lambda: self._sent(session, data),
            identity=[data is None, digest],
            repeatable=False,
        )
        self.line.used = True
        if not is_sent:
            self._lose(self.line.lost())
            return
        self.read_on()  # a task that is being cancelled may write, and wait for an answer
        self._unsent_bytes += len(data or b"")
        if self._unsent_bytes > self._high_bytes and not self._is_draining:
            self._is_draining = True
            self._tell("pause_writing() call", self._protocol.pause_writing)
            self._in_background(self._drain())

    def _sent(self, session: durability.Session, data: bytes | None) -> bool:
        is_sent = self.line.send(data)
        if is_sent and not self.line.is_open:
            durability.host_call(session, self.line.open)
        return is_sent

    async def _drain(self) -> None:
        try:
            await durability.durable_call_async(
                self._session,
                "asyncio.transport.drain",
                FunctionType.READ_REMOTE,
                None,
                self.line.drained,
                repeatable=False,
            )
        finally:
            self._is_draining, self._unsent_bytes = False, 0
            self._tell("resume_writing() call", self._protocol.resume_writing)

    # --- the end ----------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport.is_closing`. Nobody needs to close one whose agent was unloaded."""
        return self._is_closing or self.is_unloaded

    @property
    def is_unloaded(self) -> bool:
        """Whether its agent was unloaded."""
        return self._is_dropped or self._session.ended is not None

    def close(self) -> None:
        """See `asyncio.BaseTransport.close`."""
        self._close(None, self.line.close)

    def abort(self) -> None:
        """See `asyncio.WriteTransport.abort`."""
        self._close(None, self.line.drop)

    def drop(self) -> None:
        """The session is over."""
        self._is_dropped = True
        self.line.drop()

    def _lose(self, error: BaseException) -> None:
        self._close(error, self.line.drop)

    def _close(self, error: BaseException | None, end: Callable[[], None]) -> None:
        if durability.current() not in (None, self._session):
            return  # replay of the agent whose it is would not find it closed
        end()
        # What is collected as garbage is closed, but nobody is told: that would not repeat itself.
        if self._is_closing or durability.current() is None:
            return
        self._is_closing = True
        if self._reader is not None:
            self._reader.cancel()
        self._loop.call_soon(self._closed, error)

    def _closed(self, error: BaseException | None) -> None:
        self._session.pump.connections.pop(id(self), None)
        self._protocol.connection_lost(error)

    # --- common -----------------------------------------------------------------------------------

    def _tell(self, what: str, tell: Callable[..., Any], *args: Any) -> Any:
        """Call the protocol. One that fails loses its connection, as with any transport."""
        try:
            return tell(*args)
        except Exception as error:
            self._loop.call_exception_handler(
                {
                    "message": f"Fatal error: protocol.{what} failed.",
                    "exception": error,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
            self._lose(error)

    def _in_background(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that belongs to no code of the agent: no guard is around it."""
        task: Any = self._loop.create_task(coroutine, context=self._session.context())
        task.is_background, task.site = True, self._site
        made: asyncio.Task[None] = task
        return made

    def __repr__(self) -> str:
        state = "closing" if self.is_closing() else "open"
        return f"<{state} connection of an agent, to {self._extra['peername']!r}>"


def unless_unloaded(
    original: Callable[[Any], None], transport_of: Callable[[Any], Any]
) -> Callable[[Any], None]:
    """A library's ``__del__``, which complains of unclosed connections: not if its agent was unloaded.

    Nobody could have closed those, and they are closed.
    """

    @functools.wraps(original)
    def __del__(connection: Any) -> None:  # noqa: N807  # it is one
        transport = transport_of(connection)
        if not (isinstance(transport, AgentTransport) and transport.is_unloaded):
            original(connection)

    return __del__


def _too_much(most_bytes: int) -> ConnectionAbortedError:
    return ConnectionAbortedError(
        f"more than {most_bytes:_} bytes have arrived over one connection of an agent, and all of them are"
        " recorded; no more are. Fetch such amounts in a function decorated with @durable, connect again, or"
        " give the runtime another limit: Runtime(max_received_bytes=...)"
    )


def _give(protocol: Any, data: bytes) -> None:
    if not isinstance(protocol, asyncio.BufferedProtocol):
        protocol.data_received(data)
        return
    while data:
        buffer = memoryview(protocol.get_buffer(len(data)))
        if not len(buffer):
            raise RuntimeError("get_buffer() returned an empty buffer")
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]
