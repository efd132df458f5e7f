"""The real connection behind a transport of an agent: it lives on the host loop, and only in live code.

What arrives waits here until agent code has taken it: a read that was given up loses nothing. How much
waits is bounded, as in any transport: the other side is told to stop.

A crash takes the connection with it. One over which nothing has passed is opened again; any other is lost
(`golem_sdk.intercept.websockets` says why).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import copy_context
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Line"]

_LOST = (
    "the connection to {where} was lost with the process that had opened it: what had passed over it until"
    " then is recorded, but the other side cannot be asked to go on. Connect again, as after any lost"
    " connection"
)

_PIECE_BYTES = 256 * 1024
"""At most so much is one entry."""

_MOST_WAITING_BYTES = 2 * _PIECE_BYTES

_SILENCE_S = 0.05
"""Who reads for so long, and has asked for nothing, is at rest: a test's clock may go on."""


class Line:
    """A real connection, or what it takes to open one.

    Attributes:
        used: whether something has passed over it, as agent code knows: it is not opened again then.
        taken: how many pieces agent code has taken.

    Args:
        environment: the agent's: it waits for what is under way.
        where: for messages.
        connect: opens it on a loop, given that and a protocol's class; gives transport and protocol.
    """

    def __init__(
        self,
        environment: Any,
        where: str,
        connect: Callable[[asyncio.AbstractEventLoop, type[_Receiver]], Awaitable[Any]],
    ) -> None:
        self.used = False
        self.taken = 0
        self._environment = environment
        self._where = where
        self._expects = self._rests = False
        self._connect = connect
        self._mutex = Lock()
        self._opening = asyncio.Lock()
        self._real: _Real | None = None
        self._early: list[bytes | None] = []
        self._options: list[tuple[Any, ...]] = []
        self._end: Callable[[_Real], None] | None = None

    # --- on the host loop -------------------------------------------------------------------------

    async def open(self) -> list[Any]:
        """Open it, unless it is open; what is known of it (see `_described`)."""
        async with self._opening:
            if self._real is None:
                loop = asyncio.get_running_loop()
                transport, receiver = await self._connect(loop, _Receiver)
                self._begin(_Real(loop, transport, receiver))
            assert self._real is not None, "it was opened"
            return _described(self._real.transport)

    def _begin(self, real: _Real) -> None:
        with self._mutex:
            self._real = real
            early, self._early = self._early, []
            for option in self._options:
                real.set_option(option)
            for data in early:
                real.write(data)
            if self._end is not None:
                self._end(real)

    async def receive(self) -> bytes:
        """The next piece that arrives, until it is taken; ``b""``: the other side sends no more.

        Raises:
            OSError: the connection is lost.
        """
        real = self._real
        if real is None:
            if self._is_lost():
                raise self.lost()
            try:
                await self.open()
            except OSError as error:
                raise self.lost() from error
            real = self._real
        assert real is not None, "it was opened"
        silence = None if self._expects else real.loop.call_later(_SILENCE_S, self._rest)
        try:
            return await real.receiver.receive(self)
        finally:
            if silence is not None:
                silence.cancel()
            self._stir()

    def _rest(self) -> None:
        with self._mutex:
            if self._expects or self._rests:
                return
            self._rests = True
        self._environment.leave()

    def _stir(self) -> None:
        with self._mutex:
            rested, self._rests = self._rests, False
        if rested:
            self._environment.enter()

    async def drained(self) -> None:
        """Wait until more may be written."""
        if self._real is not None:
            await self._real.receiver.writable.wait()

    async def start_tls(self, context: Any, options: dict[str, Any]) -> list[Any] | None:
        """Go on with TLS; what is known of it then, ``None`` if it was closed meanwhile.

        Raises:
            OSError: the connection is lost, or TLS fails.
        """
        real = self._real
        if real is None:
            raise self.lost()
        transport = await real.loop.start_tls(real.transport, real.receiver, context, **options)
        if transport is None:
            return None
        real.transport = real.receiver.transport = transport
        return _described(transport)

    # --- on the agent's thread --------------------------------------------------------------------

    def send(self, data: bytes | None) -> bool:
        """Write (``None``: the end of what is written); ``False``: the connection is lost."""
        with self._mutex:
            self._expects = True
            real = self._real
            if real is None:
                if self._is_lost():
                    return False
                self._early.append(data)
                return True
        self._stir()
        real.tell(real.write, data)
        return True

    def take(self) -> None:
        """Agent code has taken a piece."""
        self.taken += 1
        self.used, self._expects = True, False

    def lost(self) -> ConnectionResetError:
        """What agent code is told of a connection that a crash took."""
        return ConnectionResetError(_LOST.format(where=self._where))

    @property
    def is_open(self) -> bool:
        """Whether there is a real connection now."""
        return self._real is not None

    def set_option(self, option: tuple[Any, ...]) -> None:
        """Set an option of its socket."""
        with self._mutex:
            self._options.append(option)
            real = self._real
        if real is not None:
            real.tell(real.set_option, option)

    def close(self) -> None:
        """Close it when everything is written."""
        self._finish(_Real.close)

    def drop(self) -> None:
        """Close it at once. Idempotent; from any thread."""
        self._finish(_Real.abort)

    def _finish(self, end: Callable[[_Real], None]) -> None:
        with self._mutex:
            self._end = end
            real = self._real
        if real is not None:
            real.tell(end, real)

    def _is_lost(self) -> bool:
        return self._end is not None or (self.used and not self._early)


class _Real:
    """A connection that is open.

    Attributes:
        loop: the host loop.
        transport: of the loop; another one, once TLS was started.
        receiver: its protocol.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: Any, receiver: _Receiver
    ) -> None:
        self.loop = loop
        self.transport = transport
        self.receiver = receiver
        self._context = copy_context()  # no agent's: this is the host loop
        self._guard = loop.create_task(self._until_lost())

    async def _until_lost(self) -> None:
        try:
            await self.receiver.lost.wait()
        finally:  # the loop is stopped, and cancels what runs on it
            self.transport.abort()

    def tell(self, callback: Callable[..., object], *args: Any) -> None:
        """Have something done on the loop."""
        with suppress(RuntimeError):  # the loop was closed meanwhile, and the connection with it
            self.loop.call_soon_threadsafe(callback, *args, context=self._context)

    def write(self, data: bytes | None) -> None:
        """See `Line.send`."""
        if self.transport.is_closing():
            return  # who reads will learn why
        if data is None:
            self.transport.write_eof()
        else:
            self.transport.write(data)

    def set_option(self, option: tuple[Any, ...]) -> None:
        """See `Line.set_option`."""
        with suppress(OSError):  # it is closed
            self.transport.get_extra_info("socket").setsockopt(*option)

    def close(self) -> None:
        """See `Line.close`."""
        self.transport.close()

    def abort(self) -> None:
        """See `Line.drop`."""
        self.transport.abort()


class _Receiver(asyncio.Protocol):
    """Keeps what arrives.

    Attributes:
        writable: set while more may be written.
        lost: set once the connection is closed.
        transport: its transport.
    """

    def __init__(self) -> None:
        self.transport: Any = None
        self.writable = asyncio.Event()
        self.writable.set()
        self.lost = asyncio.Event()
        self._buffer = bytearray()
        self._offered = 0
        self._taken = 0
        self._arrived = asyncio.Event()
        self._at_end = False
        self._error: Exception | None = None

    async def receive(self, line: Line) -> bytes:
        """See `Line.receive`."""
        if line.taken != self._taken:
            self._taken = line.taken
            self._drop_offered()
        await self._arrived.wait()
        if self._buffer:
            piece = bytes(self._buffer[:_PIECE_BYTES])
            self._offered = len(piece)
            return piece
        if self._error is not None:
            raise self._error
        return b""

    def _drop_offered(self) -> None:
        del self._buffer[: self._offered]
        self._offered = 0
        if not (self._buffer or self._at_end):
            self._arrived.clear()
        if len(self._buffer) < _MOST_WAITING_BYTES:
            self.transport.resume_reading()

    def connection_made(self, transport: Any) -> None:
        """See `asyncio.Protocol`, as for all of these."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._arrived.set()
        if len(self._buffer) >= _MOST_WAITING_BYTES:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self._ended()
        # The agent's protocol decides whether it stays open; TLS does not give the choice.
        return self.transport.get_extra_info("sslcontext") is None

    def connection_lost(self, error: Exception | None) -> None:
        self._error = error
        self._ended()
        self.writable.set()
        self.lost.set()

    def _ended(self) -> None:
        self._at_end = True
        self._arrived.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()


def _described(transport: Any) -> list[Any]:
    """What agent code may ask of a connection: addresses, kind of socket, and what TLS has agreed on."""
    socket = transport.get_extra_info("socket")
    kind = [int(socket.family), int(socket.type), socket.proto]
    names = [transport.get_extra_info("peername"), transport.get_extra_info("sockname")]
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return [*names, kind, None]
    return [
        *names,
        kind,
        {
            "version": tls.version(),
            "cipher": tls.cipher(),
            "compression": tls.compression(),
            "alpn": tls.selected_alpn_protocol(),
            "peercert": tls.getpeercert(),
            "der": tls.getpeercert(True),
        },
    ]
