"""Files that agent code opens for writing, or for both: each write is a remote write.

Opening, each flushed buffer, truncating, each piece that is read and each look for the end are durable
calls; positions are counted, so other seeking writes no entries. Of what is written the size and the hash
are kept. In replay no path is touched: the file is opened again, without truncating it, when there is
something to be done live.

A crash may repeat the last write: at the same place, or, where it is appended, only if it is not at the
place where it was to land. A file that the agent has begun to make with mode ``x`` is its own when it makes
it again.

Does not cover: what others write to the same file meanwhile; a file that was renamed or removed while it was
open cannot be written on after a crash (an `OSError`). Nothing is synced to the disk. A file that was handed
to a process as its ``stdout=`` goes on where that has left it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
from functools import partial
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.paths import compared_path, shown_path
from golem_sdk.intercept.raw_files import RawFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["lend", "written_file"]

_READ = FunctionType.READ_LOCAL
_PIECE_BYTES = 8 * 1024 * 1024
_MAKES = {
    "w": os.O_CREAT | os.O_TRUNC,
    "x": os.O_CREAT | os.O_EXCL,
    "a": os.O_CREAT,
    "r": 0,
}


def written_file(path: Any, mode: str, permissions: int) -> Any:
    """The raw file that agent code has for one that it writes.

    Args:
        path: where.
        mode: as of ``open``, valid.
        permissions: of a new file, before the umask.
    """
    return _File(path, mode, permissions)


def lend(files: Iterable[Any], changes: durability.OwnChanges | None) -> None:
    """Agent code hands these to a process, as its standard streams: live, or in replay.

    Where that has left the file is asked before agent code writes on; of one in the agent's own directory,
    where all is made again, that is the end of what the process has changed. What is no file of an agent, or
    not open for writing, is left alone.
    """
    for file in files:
        buffer = getattr(file, "buffer", file)
        raw = getattr(buffer, "raw", buffer)
        if isinstance(raw, _File):
            raw.is_lent = True
        elif changes is not None and isinstance(raw, int | io.FileIO):
            with contextlib.suppress(ValueError):  # it is closed
                changes.share(raw if isinstance(raw, int) else raw.fileno())


class _File(RawFile):
    """A file that is open for writing."""

    _instead = (
        "what is written to the descriptor itself cannot be journaled. Write to the file object"
    )

    def __init__(self, path: Any, mode: str, permissions: int) -> None:
        super().__init__(path)
        self._how = next(letter for letter in mode if letter in _MAKES)
        self._reads = "+" in mode
        self.mode = _raw_mode(self._how, self._reads)
        self._permissions = permissions
        self._size = 0
        self.is_lent = self._was_used = False
        session = durability.current()
        assert session is not None
        self._session = session
        again = durability.may_have_been_made(session)
        self._state = durability.durable_call(
            session,
            "open",
            FunctionType.READ_LOCAL if self._how == "r" else FunctionType.WRITE_REMOTE,
            [shown_path(self._path), self.mode],
            partial(self._open, again),
            identity=[compared_path(self._path), self.mode],
        )
        if self._state:
            self._size = self._state[0]
        if self._how == "a":
            self._position = self._size

    def readable(self) -> bool:
        self._check()
        return self._reads

    def writable(self) -> bool:
        self._check()
        return True

    def seekable(self) -> bool:
        self._check()
        return bool(self._state)

    def readall(self) -> bytes:
        parts = []
        while data := self._read(_PIECE_BYTES):
            parts.append(data)
        return b"".join(parts)

    def write(self, data: Any, /) -> int:
        self._check()
        given = bytes(data)
        if self.is_lent and self._state:
            self.is_lent = False
            self._position = self._made("tell", _READ, None, self._left_at, self._position)
            self._size = max(self._size, self._position)
        start = self._position
        if self._how == "a" and self._state:
            start = self._size
        again = durability.current() is not None and durability.may_have_been_made(self._session)
        end = self._made(
            "write",
            FunctionType.WRITE_REMOTE,
            [start, len(given), hashlib.sha256(given).hexdigest()[:16]],
            partial(self._write_real, given, start, again),
            start + len(given),
        )
        self._position, self._size = end, max(self._size, end)
        return len(given)

    def truncate(self, size: int | None = None, /) -> int:
        self._check()
        length = self._position if size is None else size
        if length < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._made(
            "truncate",
            FunctionType.WRITE_REMOTE,
            length,
            lambda: os.ftruncate(self._running(0), length),
            None,
        )
        self._size = length
        return length

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self.is_lent = self.is_lent and whence == io.SEEK_CUR
        return super().seek(offset, whence)

    def fileno(self) -> int:
        real = super().fileno()
        self._was_used = True
        return real

    def _read(self, size: int) -> bytes:
        self._check()
        if not self._reads:
            raise io.UnsupportedOperation("File not open for reading")
        request = [self._position, size]
        read = partial(self._read_real, size)
        data: bytes = self._made("read", FunctionType.READ_LOCAL, request, read, b"")
        self._position += len(data)
        return data

    def _made(
        self,
        operation: str,
        function_type: FunctionType,
        request: object,
        perform: Callable[[], Any],
        without: Any,
    ) -> Any:
        """One durable call; ``without``: what is given where there is no agent any more."""
        session = self._session
        if durability.current() is session:
            return durability.durable_call(
                session, f"open.{operation}", function_type, request, perform
            )
        # Buffers are flushed when they are dropped, also those of an agent that was unloaded. Inside
        # another durable call, that is what is recorded.
        return perform() if durability.works_beside(session) else without

    # --- the real file ----------------------------------------------------------------------------

    def _write_real(self, data: bytes, start: int, again: bool) -> int:
        real, appends = self._running(), self._how == "a"
        if not self._state:
            _write_all(real, data)
            return start + len(data)
        if self._was_used:  # by a durable function, say
            start, self._was_used = os.lseek(real, 0, os.SEEK_CUR), False
        if appends:
            if not (again and self._has(data, start)):
                _write_all(real, data)
                return os.lseek(real, 0, os.SEEK_CUR)
            return start + len(data)
        os.lseek(real, start, os.SEEK_SET)
        _write_all(real, data)
        return start + len(data)

    def _left_at(self) -> int:
        """Where a process has left the file; the end, if another life of the agent had started it."""
        is_new, self._was_used = self._real < 0, False
        real = self._running()
        if is_new or self._how == "a":
            return os.fstat(real).st_size
        return os.lseek(real, 0, os.SEEK_CUR)

    def _found_size(self) -> int:
        found: int = self._made(
            "size", _READ, None, lambda: os.fstat(self._running()).st_size, self._size
        )
        return found

    def _has(self, data: bytes, start: int) -> bool:
        """Whether the life that has crashed has appended it already."""
        found = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(found, len(data), start) == data
        finally:
            os.close(found)

    def _read_real(self, size: int) -> bytes:
        real = self._running()
        return os.pread(real, size, self._position) if self._state else os.read(real, size)

    def _running(self, least: int | None = None) -> int:
        """The real file, which has at least this size; by default what the agent knows of."""
        if self._real < 0:
            try:
                found = self._opened(0)
            except FileNotFoundError:
                found = []
            least = self._size if least is None else least
            if found[1:] != self._state[1:] or (found and found[0] < least):
                self._close_real()
                raise OSError(
                    errno.ESTALE,
                    f"{self._path!r} is not the file any more that this agent began to write before it was"
                    " interrupted. Open it again",
                )
        return self._real

    def _open(self, again: bool) -> list[int]:
        """Open it as agent code does; gives what it is known by, nothing if it is no regular file."""
        try:
            return self._opened(_MAKES[self._how])
        except FileExistsError:
            if not again:
                raise
        found = self._opened(0)
        if found and found[0] == 0:  # a life that has crashed had made it
            return found
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self._path)

    def _opened(self, flags: int) -> list[int]:
        self._close_real()  # of an attempt before
        flags |= os.O_CLOEXEC | (os.O_RDWR if self._reads else os.O_WRONLY)
        if self._how == "a":
            flags |= os.O_APPEND
        self._real = os.open(self._path, flags, self._permissions)
        found = os.fstat(self._real)
        if not stat.S_ISREG(found.st_mode):
            return []
        return [found.st_size, found.st_ino, found.st_dev]


def _raw_mode(how: str, reads: bool) -> str:
    """As the original's raw file tells it."""
    if how in "xa":
        return f"{how}b+" if reads else f"{how}b"
    return "rb+" if reads else "wb"


def _write_all(real: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(real, view) :]
