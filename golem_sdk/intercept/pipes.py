"""The pipes of recorded processes, as agent code sees them: the usual stack of files over raw ones.

Output is recorded in chunks as they are read, and replayed in the same chunks; input as it is written. The
buffers have a fixed size, so that entries do not depend on the platform.

Does not cover: ``fileno()`` in agent code (`select`, `os.read`): refused. Handed to another process, as its
``stdin=``, a pipe is itself.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.commands import describe_data
from golem_sdk.intercept.exchanges import whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.intercept.processes import Process

__all__ = ["open_input", "open_output", "rest_of"]

_BUFFER_BYTES = 64 * 1024


def open_output(process: Process, name: str, bufsize: int) -> Any:
    """The binary file from which agent code reads an output."""
    raw = _Output(process, name)
    return (
        raw if bufsize == 0 else io.BufferedReader(raw, bufsize if bufsize > 1 else _BUFFER_BYTES)
    )


def open_input(process: Process, bufsize: int) -> Any:
    """The binary file into which agent code writes its input."""
    raw = _Input(process, "stdin")
    return (
        raw if bufsize == 0 else io.BufferedWriter(raw, bufsize if bufsize > 1 else _BUFFER_BYTES)
    )


def rest_of(pipe: Any, data: bytes) -> Any:
    """What agent code has not read of an output yet: what its buffers hold, and after it ``data``.

    ``data`` is all that has come since, and the last.
    """
    if pipe.closed:
        return "" if isinstance(pipe, io.TextIOWrapper) else b""
    raw = pipe
    while not isinstance(raw, _Output):
        raw = raw.buffer if isinstance(raw, io.TextIOWrapper) else raw.raw
    raw.end(data)
    return pipe.read()


class _Pipe(io.RawIOBase):
    def __init__(self, process: Process, name: str) -> None:
        super().__init__()
        self._process = process
        self._name = name

    def fileno(self) -> int:
        """Of the real pipe, while a durable call is performed."""
        if durability.current() is not None:
            raise io.UnsupportedOperation(
                f"the {self._name} of a process has no fileno() in an agent: what passes over the descriptor "
                "itself cannot be journaled. Read and write through the file object"
            )
        number: int = self._process.pipe(self._name).fileno()
        return number

    def _call(
        self,
        operation: str,
        function_type: FunctionType,
        request: object,
        perform: Callable[[], Any],
        without: Any,
    ) -> Any:
        """One durable call; ``without``: what is given where there is no agent any more."""
        session = durability.current()
        if session is not None:
            name = f"subprocess.Popen.{self._name}.{operation}"
            return durability.durable_call(
                session, name, function_type, request, perform, repeatable=False
            )
        # Buffers are flushed when they are dropped, also those of an agent that was unloaded.
        return perform() if durability.works_beside(self._process.session) else without


class _Output(_Pipe):
    def __init__(self, process: Process, name: str) -> None:
        super().__init__(process, name)
        self._at_end = False
        self._rest = io.BytesIO()

    def readable(self) -> bool:
        return True

    def end(self, rest: bytes) -> None:
        """This is read next, and nothing after it."""
        self._at_end, self._rest = True, io.BytesIO(rest)

    def readinto(self, buffer: Any, /) -> int:
        process, name, size = self._process, self._name, len(buffer)
        chunk = self._rest.read(size) or self._next(lambda: process.read(name, size))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def readall(self) -> bytes:
        parts = [rest] if (rest := self._rest.read()) else []
        while piece := self._next(lambda: self._process.read_much(self._name)):
            parts.append(piece)
        return whole(parts)

    def _next(self, read: Callable[[], bytes]) -> bytes:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if self._at_end:
            return b""
        chunk: bytes = self._call("read", FunctionType.READ_REMOTE, None, read, b"")
        self._at_end = not chunk
        self._process.note_read(self._name, chunk)
        return chunk

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._process.note_closed(self._name)


class _Input(_Pipe):
    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        if self.closed:
            raise ValueError("write to closed file")
        given = bytes(data)
        if (
            not self._process.takes_input
        ):  # what communicate() could not give it is dropped, as there
            return len(given)
        request, end = describe_data(given), self._process.note_given(given)
        try:
            self._call(
                "write",
                FunctionType.WRITE_REMOTE,
                request,
                lambda: self._process.give(end),
                None,
            )
        finally:  # also where it has read but a part of it
            self._process.note_passed(end)
        return len(given)

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        process = self._process
        process.note_closed("stdin")
        if not process.ended:
            self._call("close", FunctionType.WRITE_REMOTE, None, process.close_input, None)
