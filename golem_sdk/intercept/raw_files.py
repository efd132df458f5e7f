"""What files that agent code reads and files that it writes have in common, below the usual stack of files.

Where the agent is in a file, and how large it is, is known in replay without a look at it. The real file is
opened in the life that needs it.
"""

from __future__ import annotations

import errno
import io
import os
from typing import Any

from golem_sdk import durability

__all__ = ["RawFile"]


class RawFile(io.RawIOBase):
    """A file at its position; what it reads, and which real file that is, subclasses say.

    Args:
        path: as agent code has given it.
    """

    _state: list[int]
    """What the real file is known by, nothing if it is no regular one."""

    _size: int
    """Of a regular one."""

    _instead: str
    """Why there is no descriptor, and what to do."""

    def __init__(self, path: Any) -> None:
        super().__init__()
        self.name = self._path = os.fspath(path)
        self._real = -1
        self._position = 0

    def readinto(self, buffer: Any, /) -> int:
        """See `io.RawIOBase`."""
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """See `io.IOBase`."""
        self._check()
        if not self._state:
            raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE))
        if whence == io.SEEK_END:
            self._size = self._found_size()
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}.get(whence)
        if start is None or start + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """See `io.IOBase`."""
        self._check()
        return self._position

    def fileno(self) -> int:
        """Of the real file, at the agent's position, while a durable call is performed."""
        if durability.current() is not None:
            raise io.UnsupportedOperation(
                f"{self._path!r} has no fileno() in an agent: {self._instead}"
            )
        self._check()
        real = self._running()
        if self._state:
            os.lseek(real, self._position, os.SEEK_SET)
        return real

    def close(self) -> None:
        """See `io.IOBase`."""
        if not self.closed:
            self._close_real()
        super().close()

    def _read(self, size: int) -> bytes:
        raise NotImplementedError

    def _found_size(self) -> int:
        """How large the file is now: others may write to it."""
        raise NotImplementedError

    def _running(self) -> int:
        raise NotImplementedError

    def _close_real(self) -> None:
        real, self._real = self._real, -1
        if real >= 0:
            os.close(real)

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
