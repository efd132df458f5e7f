"""The streams of recorded asyncio processes, as agent code sees them."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

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

    What was written is sent by the next thing that is awaited: ``drain()``, or any other of the process.
    """

    def __init__(self, owner: AgentProcess) -> None:
        self._owner = owner
        self._pending = bytearray()
        self._closing = self._closed = False

    def write(self, data: Any) -> None:
        """See `asyncio.StreamWriter.write`."""
        if not self._closing:
            self._pending += data

    def writelines(self, data: Any) -> None:
        """See `asyncio.StreamWriter.writelines`."""
        for each in data:
            self.write(each)

    def can_write_eof(self) -> bool:
        """See `asyncio.StreamWriter.can_write_eof`."""
        return True

    def write_eof(self) -> None:
        """See `asyncio.StreamWriter.write_eof`."""
        self._closing = True

    def close(self) -> None:
        """See `asyncio.StreamWriter.close`."""
        self._closing = True

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
            try:
                if not process.ended:
                    await self._owner.give("stdin.close", None, process.close_input, waits=waits)
            finally:  # also if nobody waits for it any more
                process.note_closed("stdin")

    async def _written(self, *, waits: bool) -> None:
        if not self._pending:
            return
        data, process = bytes(self._pending), self._owner.process
        self._pending.clear()
        write = functools.partial(process.write, data)
        try:
            await self._owner.give("stdin.write", describe_data(data), write, waits=waits)
        finally:  # it is given also what nobody waits for any more
            process.note_written(data)
