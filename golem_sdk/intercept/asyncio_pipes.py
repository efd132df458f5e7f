"""The streams of recorded asyncio processes, as agent code sees them."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.commands import describe_data

if TYPE_CHECKING:
    from golem_sdk.intercept.asyncio_processes import AgentProcess

__all__ = ["Input", "Output"]

_PIECE_BYTES = 64 * 1024


class Output(asyncio.StreamReader):
    """The output: a stream that asks for more when it is empty, by a durable call."""

    def __init__(self, owner: AgentProcess, name: str, limit: int) -> None:
        super().__init__(limit)
        self._owner, self._name = owner, name
        self._is_read = False

    async def _wait_for_data(self, func_name: str) -> None:
        if self._is_read:
            raise RuntimeError(
                f"{func_name}() called while another coroutine is already waiting for incoming data"
            )
        self._is_read = True
        try:
            await self._owner.flushed()
            process, name = self._owner.process, self._name
            read = functools.partial(process.read, name, _PIECE_BYTES)
            chunk = await self._owner.call(f"{name}.read", FunctionType.READ_REMOTE, None, read)
        finally:
            self._is_read = False
        process.note_read(name, chunk)
        if chunk:
            self.feed_data(chunk)
        else:
            self.feed_eof()

    def taken(self) -> bytes:
        """What was received but not read."""
        left = bytes(self._buffer)  # type: ignore[attr-defined]  # typeshed leaves it out
        self._buffer.clear()  # type: ignore[attr-defined]  # typeshed leaves it out
        self.feed_eof()
        return left


class Input:
    """Where agent code writes, as it does to an `asyncio.StreamWriter`.

    What was written is recorded, and sent, by the next thing of the process that is awaited: ``drain()``,
    or any other. Where none is before this turn of the loop ends, it is sent then, ahead of its record:
    after a crash agent code writes it again, and the process, started again, is given it once.
    """

    def __init__(self, owner: AgentProcess) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._pending = bytearray()
        self._end = 0
        self._closing = self._closed = self._is_due = False

    def write(self, data: Any) -> None:
        """See `asyncio.StreamWriter.write`."""
        if not self._closing:
            self._pending += data
            self._end = self._owner.process.note_given(bytes(data))
            self._send_soon()

    def writelines(self, data: Any) -> None:
        """See `asyncio.StreamWriter.writelines`."""
        for each in data:
            self.write(each)

    def can_write_eof(self) -> bool:
        """See `asyncio.StreamWriter.can_write_eof`."""
        return True

    def write_eof(self) -> None:
        """See `asyncio.StreamWriter.write_eof`."""
        self.close()

    def close(self) -> None:
        """See `asyncio.StreamWriter.close`."""
        if not self._closing:
            self._closing = True
            self._owner.process.note_closed("stdin")
            self._send_soon()

    def is_closing(self) -> bool:
        """See `asyncio.StreamWriter.is_closing`."""
        return self._closing

    async def wait_closed(self) -> None:
        """See `asyncio.StreamWriter.wait_closed`."""
        await self.flushed(waits=True)

    async def drain(self) -> None:
        """See `asyncio.StreamWriter.drain`."""
        await self._written(waits=True)

    async def flushed(self, *, waits: bool = False) -> None:
        """Send what was written, and say that there is no more if that was said. Never fails, as there.

        Unless it waits, the process may take it later: before that, its output may have to be read.
        """
        try:
            await self._written(waits=waits)
        except (BrokenPipeError, ConnectionResetError):  # it reads no more
            self._pending.clear()
        process = self._owner.process
        if self._closing and not self._closed:
            self._closed = True
            if not process.ended:
                await self._owner.give("stdin.close", None, process.close_input, waits=waits)

    def _send_soon(self) -> None:
        session = durability.current()
        if session is not None and session.ended is None and not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._is_due = False
        process = self._owner.process
        if self._pending:
            self._owner.give_beside(functools.partial(process.give, self._end))
        if self._closing and not (self._closed or process.ended):
            self._owner.give_beside(process.close_input)

    async def _written(self, *, waits: bool) -> None:
        if not self._pending:
            return
        data, process = bytes(self._pending), self._owner.process
        self._pending.clear()
        end, give = self._end, functools.partial(process.give, self._end)
        await self._owner.give("stdin.write", describe_data(data), give, waits=waits)
        if waits:
            process.note_passed(end)
