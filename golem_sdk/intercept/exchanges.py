"""Talking to a real process until it has said so much, or all: what ``communicate()`` does, piece by piece.

What a process puts out is not kept here: a piece is given away, to be recorded, before the next is read.
Meanwhile the process waits.
"""

from __future__ import annotations

import contextlib
import io
import os
import selectors
import subprocess
import time
import weakref
from typing import IO, TYPE_CHECKING, Any

from attrs import frozen

from golem_sdk import originals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["STREAMS", "RealProcess", "Said", "Uses", "exchange", "whole"]

STREAMS = ("stdin", "stdout", "stderr")

_AT_ONCE_BYTES = 64 * 1024


class RealProcess(subprocess.Popen[bytes]):
    """The process itself. When the agent that has it is unloaded, it is left alone, and its pipes closed."""

    def __init__(self, *args: Any, **options: Any) -> None:
        pipes: list[IO[bytes]] = []
        self.close_pipes = weakref.finalize(self, _close, pipes)
        """Close all that there are. Of a reference cycle the collector might finalize the pipes before this
        process, and they would complain: a weak reference hears of it before either."""
        self.close_pipes.atexit = False
        super().__init__(*args, **options)
        pipes += [pipe for pipe in (self.stdin, self.stdout, self.stderr) if pipe is not None]

    def __del__(self, *_: Any) -> None:
        self.close_pipes()
        super().__del__(_warn=_say_nothing)  # type: ignore[call-arg]  # typeshed hides its parameters


def _close(pipes: list[IO[bytes]]) -> None:
    for pipe in pipes:
        with contextlib.suppress(OSError):
            pipe.close()


def _say_nothing(*_: object, **__: object) -> None:
    pass


class Uses:
    """Who uses the pipes of a process: each is used by one at a time.

    One that nobody wants any more is closed when nobody uses it: what is closed under a read may be another
    file by then.

    Attributes:
        of: the lock of each pipe.
    """

    def __init__(self) -> None:
        self.of = {name: originals.allocate_lock() for name in STREAMS}
        self._unwanted: dict[str, None] = {}
        self._is_exchanging = False

    def close(self, name: str, real: RealProcess | None) -> None:
        """Nobody wants it any more."""
        self._unwanted[name] = None
        self._close_unused(name, real)

    def let_go(self, name: str, real: RealProcess | None) -> None:
        """It was used."""
        self.of[name].release()
        if name in self._unwanted:
            self._close_unused(name, real)

    @contextlib.contextmanager
    def exchanging(self, real: RealProcess) -> Iterator[None]:
        """The block reads whatever output there is."""
        self._is_exchanging = True
        try:
            yield
        finally:
            self._is_exchanging = False
            for name in tuple(self._unwanted):
                self._close_unused(name, real)

    def _close_unused(self, name: str, real: RealProcess | None) -> None:
        pipe, lock = getattr(real, name, None), self.of[name]
        if pipe is not None and not self._is_exchanging and lock.acquire(blocking=False):
            try:
                pipe.close()
            finally:
                lock.release()


@frozen
class Said:
    """What came of an exchange.

    Attributes:
        output, errors: what the process has said since the last one.
        taken_bytes: how much of the input it has taken, or will never take.
        at_end: whether it says no more.
        late: whether the time was up.
    """

    output: bytes
    errors: bytes
    taken_bytes: int
    at_end: bool
    late: bool


def exchange(
    real: RealProcess,
    given: memoryview,
    until_s: float | None,
    most_bytes: int,
    taken: Callable[[str], bytes | None],
    *,
    gives: bool = True,
) -> Said:
    """Give a process its input, and take what it says, until that is so much.

    Args:
        real: the process, with binary, unbuffered pipes.
        given: all the input that is left for it. Its end is told to the process.
        until_s: when the time is up, of `time.monotonic`; ``None``: never.
        most_bytes: more than this is given by some 100 KiB at most.
        taken: is called with the name of an output in which there is something: what another who waited for
            that has read of it, if there is one.
        gives: whether its input is this one's business at all.

    Raises:
        ValueError: there is but one pipe, an output, and it is closed.
    """
    pipes = [each for each in (real.stdin, real.stdout, real.stderr) if each is not None]
    if len(pipes) == 1 and real.stdin is None:
        pipes[0].readable()  # as `subprocess` does, which just reads it then
    said = {name: io.BytesIO() for name in ("stdout", "stderr")}
    left = given
    late = False
    with selectors.DefaultSelector() as selector:
        _listen(selector, real)
        if gives and real.stdin is not None and not real.stdin.closed:
            if left:
                os.set_blocking(real.stdin.fileno(), False)
                selector.register(real.stdin, selectors.EVENT_WRITE)
            else:
                _end(real.stdin)
        while selector.get_map() and sum(map(io.BytesIO.tell, said.values())) < most_bytes:
            patience_s = None if until_s is None else until_s - time.monotonic()
            if late := patience_s is not None and patience_s < 0:
                break
            for key, _ in selector.select(patience_s):
                if key.data is None:
                    left = _write_some(key.fileobj, left)
                    if not left:
                        selector.unregister(key.fileobj)
                        _end(key.fileobj)
                    continue
                pipe, data = key.fileobj, taken(key.data)
                if data is None:
                    data = pipe.read(_AT_ONCE_BYTES)  # type: ignore[union-attr]  # a pipe
                if not said[key.data].write(data):
                    selector.unregister(pipe)
                    pipe.close()  # type: ignore[union-attr]  # a pipe
        at_end = not selector.get_map()
    output, errors = (each.getvalue() for each in said.values())
    return Said(output, errors, len(given) - len(left), at_end, late)


def whole(parts: list[bytes]) -> bytes:
    """What the parts make, which are taken out of the list: never all of it twice."""
    if len(parts) == 1:
        return parts.pop()
    joined = io.BytesIO()
    for at, part in enumerate(parts):
        joined.write(part)
        parts[at] = b""
    parts.clear()
    return joined.getvalue()


def _listen(selector: selectors.BaseSelector, real: RealProcess) -> None:
    for name in ("stdout", "stderr"):
        pipe = getattr(real, name)
        if pipe is not None and not pipe.closed:
            selector.register(pipe, selectors.EVENT_READ, name)


def _write_some(pipe: Any, data: memoryview) -> memoryview:
    try:
        return data[pipe.write(data[:_AT_ONCE_BYTES]) or 0 :]
    except BrokenPipeError:  # it reads no more
        return data[:0]


def _end(pipe: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
        pipe.close()
