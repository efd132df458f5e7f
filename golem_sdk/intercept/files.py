"""Files that agent code reads: what it reads is recorded, and replayed without the file.

Covers: ``open`` (and ``io.open``, ``Path.open``, ``Path.read_text``, …) for reading, by agent code itself or
through `pathlib`, `codecs`, `configparser`, `gzip` and `zipfile`. It gives the usual stack of files over one
whose opening and pieces are durable calls; positions are counted, so seeking writes no entries. Long pieces
are kept once for each content. An agent that dies while it reads goes on in the file at the same position,
and gets an `OSError` if the file is another one by then. Only the file's name is compared on replay, because
the directories above it may move.

Files opened for writing, or for both, are passed on: they are written again in replay, and not recorded. So
is everything that other libraries open for themselves.

Does not cover: writing, what `os` and `shutil` do, and directory listings. ``fileno()`` in agent code is
refused; handed to a process, as its ``stdin=``, a file is itself.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.patching import Patch, replacement_of
from golem_sdk.intercept.temporary import without_temporary_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import MethodType, ModuleType

__all__ = ["builtins_patches", "io_patches"]

_NAME = "files"
_HELPERS = frozenset({"codecs", "configparser", "gzip", "pathlib", "zipfile"})
_BUFFER_BYTES = 64 * 1024
_PIECE_BYTES = 8 * 1024 * 1024
_LOCAL = FunctionType.READ_LOCAL


def builtins_patches(module: ModuleType) -> list[Patch]:
    """The patch of `builtins`."""
    return [Patch(module, "open", _open, spread=True)]


def io_patches(module: ModuleType) -> list[Patch]:
    """The patch of `io`, whose ``open`` is the builtin one."""
    return [Patch(module, "open", _open, spread=True)]


def _open(original: Callable[..., Any]) -> MethodType:
    current = durability.current

    # Spelled out, because taking and passing on any arguments would cost more than the rest.
    def function(
        _home: object,
        /,
        file: Any,
        mode: Any = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if current() is None or not (
            opener is None and closefd and _is_recorded(sys._getframe(1), file, mode)
        ):
            return original(file, mode, buffering, encoding, errors, newline, closefd, opener)
        return _opened(original, file, mode, buffering, encoding, errors, newline)

    return replacement_of(original, function, "io")


def _is_recorded(frame: Any, file: Any, mode: Any) -> bool:
    """Whether agent code opens a path for reading."""
    session = durability.current_since(_NAME)
    if session is None or not isinstance(file, str | bytes | os.PathLike):
        return False
    if not isinstance(mode, str) or set(mode) - set("rbt"):
        return False
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _HELPERS:
        frame = frame.f_back
    return frame is not None and session.sites.is_user_code(frame.f_code)


def _opened(
    original: Callable[..., Any],
    file: Any,
    mode: str,
    buffering: int,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
) -> Any:
    # What is wrong with the arguments is said by the original, on a file that is always there.
    original(os.devnull, mode, buffering, encoding, errors, newline).close()
    raw = _File(file)
    if buffering == 0:
        return raw
    buffered = io.BufferedReader(raw, buffering if buffering > 1 else _BUFFER_BYTES)
    if "b" in mode:
        return buffered
    text = io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering=buffering == 1)
    text.mode = mode  # type: ignore[misc]  # as the original does
    return text


class _File(io.RawIOBase):
    """A file that is open for reading. The real one is opened again in the life that needs it."""

    mode = "rb"

    def __init__(self, path: Any) -> None:
        super().__init__()
        self.name = path
        self._path = os.fspath(path)
        self._real = -1
        self._position = 0
        session = durability.current()
        assert session is not None
        self._session = session
        shown = os.fsdecode(self._path)
        name = os.path.basename(without_temporary_names(shown))
        self._state: list[int] = durability.durable_call(
            session, "open", _LOCAL, shown, self._open, identity=name
        )

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._state)

    def readinto(self, buffer: Any, /) -> int:
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        parts = []
        while data := self._read(_PIECE_BYTES):
            parts.append(data)
            if self._state and len(data) < _PIECE_BYTES:
                break
        return b"".join(parts)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._check()
        if not self._state:
            raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE))
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(whence)
        target = (self._state[0] if start is None else start) + offset
        if target < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._position = target
        return target

    def tell(self) -> int:
        self._check()
        return self._position

    def fileno(self) -> int:
        if durability.current() is not None:
            raise io.UnsupportedOperation(
                f"{self._path!r} has no fileno() in an agent: what is read from the descriptor itself cannot"
                " be journaled. Read from the file object"
            )
        self._check()
        real = self._running()
        if self._state:
            os.lseek(real, self._position, os.SEEK_SET)
        return real

    def close(self) -> None:
        if not self.closed and self._real >= 0:
            os.close(self._real)
            self._real = -1
        super().close()

    def _read(self, size: int) -> bytes:
        self._check()
        session = durability.current()
        if session is None:  # inside another durable call, which is what is recorded
            data = self._read_real(size)
        else:
            data = durability.durable_call(
                session, "open.read", _LOCAL, [self._position, size], lambda: self._read_real(size)
            )
        self._position += len(data)
        return data

    def _read_real(self, size: int) -> bytes:
        real, parts, position = self._running(), [], self._position
        if not self._state:
            return os.read(real, size)
        while size and (part := os.pread(real, size, position)):
            parts.append(part)
            position += len(part)
            size -= len(part)
        return b"".join(parts)

    def _running(self) -> int:
        if self._real < 0 and self._open() != self._state:
            raise OSError(
                errno.ESTALE,
                f"{self._path!r} is not the file any more that this agent began to read before it was"
                " interrupted. Open it again",
            )
        return self._real

    def _open(self) -> list[int]:
        """Open it; gives what it is known by, nothing if it is no regular file."""
        if self._real >= 0:  # an attempt before
            os.close(self._real)
        self._real = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        found = os.fstat(self._real)
        if stat.S_ISDIR(found.st_mode):
            with contextlib.suppress(OSError):
                os.close(self._real)
            self._real = -1
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self._path)
        if not stat.S_ISREG(found.st_mode):
            return []
        return [found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev]

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
