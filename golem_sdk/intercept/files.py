"""Files that agent code opens: what it reads is recorded, what it writes is a remote write.

Covers: ``open`` (and ``io.open``, ``Path.open``, ``Path.read_text``, …) by agent code itself or through the
modules of Python that work on files for it (`golem_sdk.intercept.paths`). It gives the usual stack of
files over one whose opening and pieces are durable calls; positions are counted, so seeking writes no
entries, but from the end, for which is looked each time. Long pieces are kept once for each content. Of a
file that is larger than `LARGE_FILE_BYTES` only the hashes of what was read are kept: replay reads it
again, and the agent is parked if it has changed. An agent that dies while it reads goes on in the file at
the same position, also if that has grown, and gets an `OSError` if the file is another one by then. Only
the file's name is compared on replay, because the directories above it may move.

Files in the agent's own directory are passed on: replay writes them again. So is what other libraries open
for themselves, and what is opened by a descriptor, or with an ``opener``.

For files that are written see `golem_sdk.intercept.written_files`, for `os` and `shutil`
`golem_sdk.intercept.file_system`. ``fileno()`` in agent code is refused; handed to a process, as its
``stdin=``, a file is itself.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

from golem_sdk import durability, originals
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.patching import Patch, replacement_of
from golem_sdk.intercept.paths import (
    FILES,
    PATHS,
    asked_by_agent,
    compared_path,
    is_own,
    shown_path,
)
from golem_sdk.intercept.raw_files import RawFile
from golem_sdk.intercept.written_files import written_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import MethodType, ModuleType

__all__ = ["LARGE_FILE_BYTES", "builtins_patches", "io_patches", "open_recorded"]

LARGE_FILE_BYTES = 16 * 1024 * 1024
"""Of larger files, what is read is not kept, but its hash."""

_FIRST_HELPERS = frozenset({"codecs", "configparser", "gzip", "pathlib", "zipfile"})
"""Those of version 1, which recorded only reading."""

_WRITING = frozenset("wax+")
_LETTERS = frozenset("rwaxbt+")
_BUFFER_BYTES = 64 * 1024
_LARGE_BUFFER_BYTES = 1024 * 1024
_PIECE_BYTES = 8 * 1024 * 1024
_COMPARED_BYTES = 4096
"""So much of what was read last is looked for in a file that is opened again."""

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
        return open_recorded(file, mode, buffering, encoding, errors, newline)

    return replacement_of(original, function, "io")


def _is_recorded(frame: Any, file: Any, mode: Any) -> bool:
    """Whether agent code opens a path outside its own directory."""
    session = durability.current_since(FILES)
    if session is None or not isinstance(file, PATHS):
        return False
    if not isinstance(mode, str) or not _LETTERS.issuperset(mode):
        return False
    if durability.interceptor_version(session, FILES) < 2:
        return not _WRITING.intersection(mode) and asked_by_agent(session, frame, _FIRST_HELPERS)
    return asked_by_agent(session, frame) and not is_own(session, file, follows=True)


def open_recorded(
    file: Any,
    mode: str,
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    permissions: int = 0o666,
) -> Any:
    """What ``open`` gives in agent code; ``permissions`` are those of a new file, before the umask."""
    # What is wrong with the arguments is said by the original, on a file that is always there.
    probe = file if b"\0" in os.fsencode(file) else os.devnull
    with contextlib.suppress(FileExistsError):
        originals.open(probe, mode, buffering, encoding, errors, newline).close()
    raw: Any
    if _WRITING.intersection(mode):
        raw, size = written_file(file, mode, permissions), _BUFFER_BYTES
    else:
        raw = _File(file)
        size = _LARGE_BUFFER_BYTES if raw.is_large else _BUFFER_BYTES
    if buffering == 0:
        return raw
    buffered = _buffered(raw, mode, buffering if buffering > 1 else size)
    if "b" in mode:
        return buffered
    text = io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering=buffering == 1)
    text.mode = mode  # type: ignore[misc]  # as the original does
    return text


def _buffered(raw: Any, mode: str, size: int) -> Any:
    if "+" in mode and raw.seekable():
        return io.BufferedRandom(raw, size)
    if "+" in mode:
        raise io.UnsupportedOperation("File or stream is not seekable.")  # as the original says it
    return (
        io.BufferedWriter(raw, size)
        if _WRITING.intersection(mode)
        else io.BufferedReader(raw, size)
    )


class _File(RawFile):
    """A file that is open for reading."""

    mode = "rb"
    _instead = (
        "what is read from the descriptor itself cannot be journaled. Read from the file object"
    )

    def __init__(self, path: Any) -> None:
        super().__init__(path)
        session = durability.current()
        assert session is not None
        self._session = session
        shown, compared = shown_path(self._path), compared_path(self._path)
        self._state = durability.durable_call(
            session, "open", _LOCAL, shown, self._open, identity=compared
        )
        self._size = self._state[0] if self._state else 0
        keeps = durability.interceptor_version(session, FILES) < 2
        self._looks_for_end = not keeps
        self.is_large = not keeps and self._size > LARGE_FILE_BYTES
        self._last = 0, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._state)

    def readall(self) -> bytes:
        parts = []
        while data := self._read(_PIECE_BYTES):
            parts.append(data)
            if self._state and len(data) < _PIECE_BYTES:
                break
        return b"".join(parts)

    def _read(self, size: int) -> bytes:
        self._check()
        session = durability.current()
        if session is None:  # inside another durable call, which is what is recorded
            data = self._read_real(size)
        elif self.is_large:
            data = self._read_by_hash(session, size)
        else:
            data = durability.durable_call(
                session, "open.read", _LOCAL, [self._position, size], lambda: self._read_real(size)
            )
        self._position += len(data)
        if data:
            tail = data[-_COMPARED_BYTES:]
            self._last = self._position - len(tail), tail
        return data

    def _found_size(self) -> int:
        session = durability.current()
        if session is None or not self._looks_for_end:
            return self._size
        return durability.durable_call(
            session, "open.size", _LOCAL, None, lambda: os.fstat(self._running()).st_size
        )

    def _read_by_hash(self, session: durability.Session, size: int) -> bytes:
        """What is read is not recorded, but what it is known by; in replay it is read again."""
        found: list[bytes] = []

        def perform() -> list[Any]:
            found[:] = [self._read_real(size)]
            return _known_by(found[0])

        expected = durability.durable_call(
            session, "open.read_by_hash", _LOCAL, [self._position, size], perform
        )
        if not found:
            found.append(self._read_again(session, size, expected))
        return found[0]

    def _read_again(self, session: durability.Session, size: int, expected: list[Any]) -> bytes:
        try:
            with durability.suppressed(session):
                if self._real < 0:
                    self._open()
                data = self._read_real(size)
        except OSError as error:
            data, why = b"", f"cannot be read any more: {error}"
        else:
            why = "has another content now"
            if _known_by(data) == expected:
                return data
        raise durability.has_changed(
            session,
            f"agent {session.agent_id} has read {self._path!r}, which {why}. It is larger than"
            f" {LARGE_FILE_BYTES} bytes, so the oplog has only hashes of what was read from it. Put"
            " the file back as it was and open the runtime again; let agents read large files from their"
            " golem_sdk.workspace(), or through a function decorated with @durable that returns what they"
            " need of it",
        )

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
        if self._real < 0 and not self._is_same(self._open()):
            self._close_real()
            raise OSError(
                errno.ESTALE,
                f"{self._path!r} is not the file any more that this agent began to read before it was"
                " interrupted. Open it again",
            )
        return self._real

    def _is_same(self, found: list[int]) -> bool:
        """Whether the open file is the one that was read; it may have grown, as logs do."""
        if found == self._state:
            return True
        position, data = self._last
        return (
            found[2:] == self._state[2:]
            and found[:1] >= self._state[:1]
            and os.pread(self._real, len(data), position) == data
        )

    def _open(self) -> list[int]:
        """Open it; gives what it is known by, nothing if it is no regular file."""
        self._close_real()  # of an attempt before
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


def _known_by(data: bytes) -> list[Any]:
    return [len(data), hashlib.sha256(data).hexdigest()]
