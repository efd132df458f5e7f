"""A process that was started again, on its way to where its agent is.

Its output is read up to where the agent had read it, and it is given again what it was given, and gets each
signal, after as much output as before. Each of its pipes by itself: what it puts out may depend on what
another task or thread of the agent gives it at this moment, so a call waits for no more than it needs.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping  # aliases are made of them
from signal import SIGKILL
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from golem_sdk import originals
from golem_sdk.intercept.exchanges import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from golem_sdk.intercept.exchanges import RealProcess

__all__ = [
    "Delivered",
    "Given",
    "Past",
    "Piece",
    "Place",
    "Resumption",
    "Send",
    "Signal",
    "daemon_thread",
    "lost",
    "with_descriptors",
    "write_all",
]

T = TypeVar("T")

_AT_ONCE_BYTES = 64 * 1024


Place = Mapping[str, int]
"""How far a process has got: how many bytes have passed through each pipe, at least; and "signals"."""


Send = Callable[["RealProcess", int], object]
"""Sends a process a signal: to itself, or to all of its group."""


class Piece(NamedTuple):
    """A piece of input, which the agent has given to a process that had got as far as ``after``."""

    data: memoryview
    after: Place


class Signal(NamedTuple):
    """A signal, which the agent has sent in this way to a process that had got as far as ``after``."""

    number: int
    after: Place
    send: Send


class Given:
    """The input of a process: in the order in which agent code gives it, whoever passes it on.

    Added to by agent code; who passes it on has the pipe for itself. What has passed is not kept: only a
    process that nobody talks to yet is started again.

    Attributes:
        size: of all of it, in bytes.
        passed: how much of it has passed through the pipe, at least, as agent code knows.
        is_unwanted: whether the process was found to read no more.
    """

    def __init__(self) -> None:
        self.size = self.passed = 0
        self.is_unwanted = False
        self._waiting: deque[Piece] = deque()
        self._begun = 0

    @property
    def waits(self) -> bool:
        """Whether some of it is still to be passed on."""
        return self._begun < self.size

    def add(self, piece: Piece, *, keeps: bool) -> int:
        """Agent code gives more; gives where that ends. ``keeps``: whether it may still be passed on."""
        self.size += len(piece.data)
        if keeps:
            self._waiting.append(piece)
        return self.size

    def give(self, pipe: Any, end: int, wait_until: Callable[[Place], None]) -> None:
        """Pass it on up to there, as far as nobody has begun to, each piece when its time has come.

        Raises:
            BrokenPipeError: the process reads no more, whoever has found that.
        """
        while self._begun < end and self._waiting and not self.is_unwanted:
            piece = self._next()
            wait_until(piece.after)
            try:
                write_all(pipe, piece.data)
            except BrokenPipeError:
                self.is_unwanted = True
        if self.is_unwanted:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def take(self) -> list[Piece]:
        """All that waits; it counts as passed on."""
        return [self._next() for _ in range(len(self._waiting))]

    def _next(self) -> Piece:
        piece = self._waiting.popleft()
        self._begun += len(piece.data)
        return piece


class Delivered:
    """What was read of an output so far."""

    def __init__(self) -> None:
        self.size = 0
        self.hash = hashlib.sha256()


class Past(NamedTuple):
    """What had passed between the agent and its process.

    Attributes:
        given: its input, of which it gets all that waits, also what agent code gives at this moment.
        communicated: what it was given after that.
        read: of each output, how many bytes, and their hash.
        signals: in their order.
        end: how far it had got when it was told that there is no more input; ``None``: it was not.
    """

    given: Given
    communicated: Piece
    read: Mapping[str, tuple[int, bytes]]
    signals: Iterable[Signal]
    end: Place | None


class Resumption:
    """Does all that again, on threads of its own.

    Args:
        real: the process, with binary, unbuffered pipes.
        past: what is done.
    """

    def __init__(self, real: RealProcess, past: Past) -> None:
        self._real = real
        self._past = past
        self._moved = threading.Condition(originals.Lock())
        self._at: dict[str, float] = dict.fromkeys([*STREAMS, "signals"], 0)
        self._signals = deque(past.signals)
        self._outputs = {name for name in past.read if getattr(real, name) is not None}
        self._is_lost = self._is_over = False

    def begin(self, let_go: Callable[[str], None], lose: Callable[[str], None]) -> None:
        """Begin; returns at once.

        Args:
            let_go: is called with the name of each pipe that is there.
            lose: is called, before that, with the reason, when the process turns out to be another one.
        """

        def step(name: str, pipe: Any) -> None:
            try:
                if name == "stdin":
                    self._feed(name, pipe)
                elif not self._skip(name, pipe):
                    self._give_up(f"it was started again, but its {name} is another one", lose)
            finally:
                self._move(name, math.inf)  # what comes later comes after what passes from now on
                let_go(name)

        pipes = {name: getattr(self._real, name) for name in STREAMS}
        threads = [daemon_thread(step, *each) for each in pipes.items() if each[1] is not None]
        for thread in threads:
            thread.start()
        daemon_thread(self._follow, threads).start()

    def wait(self, timeout: float | None) -> bool:
        """Whether all has been read, and all signals sent, or that will never be; ``False``: not in time."""
        with self._moved:
            return self._moved.wait_for(lambda: self._is_over, timeout)

    def wait_until(self, after: Place) -> None:
        """Wait until the process has got there, or all is over."""
        with self._moved:
            self._moved.wait_for(lambda: self._is_lost or self._is_over or self._is_after(after))

    def send(self, signal: Signal) -> bool:
        """Send one more in its turn; ``False``: it is over, so that the process itself may be sent it.

        So it is by the one that ends the process, which need not get anywhere any more.
        """
        with self._moved:
            if signal.number == SIGKILL:
                self._end()
            elif not self._is_over:
                self._signals.append(signal)
                self._moved.notify_all()
            return not self._is_over

    def _feed(self, name: str, pipe: Any) -> None:
        try:
            for data, after in [*self._past.given.take(), self._past.communicated]:
                self.wait_until(after)
                for at in range(0, len(data), _AT_ONCE_BYTES):
                    part = data[at : at + _AT_ONCE_BYTES]
                    write_all(pipe, part)
                    self._move(name, len(part))
        except (OSError, ValueError):  # or it is lost
            self._past.given.is_unwanted = True
        if self._past.end is not None:
            self.wait_until(self._past.end)
            with contextlib.suppress(OSError):
                pipe.close()

    def _skip(self, name: str, pipe: Any) -> bool:
        """Whether it was the same as before, as far as one can tell of a process that was killed."""
        (left, digest), seen = self._past.read[name], hashlib.sha256()
        with contextlib.suppress(OSError, ValueError):  # it is lost
            while left and (chunk := pipe.read(left)):
                left -= len(chunk)
                seen.update(chunk)
                self._move(name, len(chunk))
        is_same = not left and seen.digest() == digest
        with self._moved:
            if is_same:
                self._outputs.discard(name)
                self._moved.notify_all()
            return is_same or self._is_over

    def _move(self, name: str, size: float) -> None:
        with self._moved:
            self._at[name] += size
            self._moved.notify_all()

    def _give_up(self, reason: str, lose: Callable[[str], None]) -> None:
        lose(reason)
        with self._moved:
            self._is_lost = True
            self._moved.notify_all()
        self._real.kill()

    def _follow(self, threads: list[threading.Thread]) -> None:
        with self._moved:
            while not (self._is_lost or self._is_over) and (self._signals or self._outputs):
                if self._signals and self._is_after(self._signals[0].after):
                    signal = self._signals.popleft()
                    with contextlib.suppress(OSError):
                        signal.send(self._real, signal.number)
                    self._at["signals"] += 1
                    self._moved.notify_all()
                else:
                    self._moved.wait()
            self._end()
        if self._is_lost:
            self._real.wait()
            for thread in threads:
                thread.join()
            self._real.close_pipes()

    def _end(self) -> None:
        self._is_over = True
        self._moved.notify_all()

    def _is_after(self, after: Place) -> bool:
        return all(self._at[name] >= size for name, size in after.items())


def with_descriptors(start: Callable[[], T], options: Mapping[str, Any]) -> Callable[[], T]:
    """What starts a process only as long as the descriptors that it is given by number are what they are now.

    Agent code closes them when it has started the process. When this is started again, another file may have
    their numbers: the agent's store, for one.
    """
    given = [*map(options.get, STREAMS), *(options.get("pass_fds") or ())]
    before = {each: _identity(each) for each in given if isinstance(each, int) and each >= 0}

    def checked() -> T:
        for descriptor, identity in before.items():
            if _identity(descriptor) != identity:
                raise OSError(errno.EBADF, f"descriptor {descriptor} is not what it was")
        return start()

    return checked


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        state = os.fstat(descriptor)
    except OSError:  # it is closed: whoever starts the process says so
        return None
    return state.st_dev, state.st_ino


def lost(command: object, reason: str) -> ChildProcessError:
    """What the agent of a process gets that is not started again."""
    return ChildProcessError(
        errno.ECHILD,
        f"process lost in a crash: {command} was started by an earlier life of this agent and had not ended; "
        f"{reason}. Start it anew if it is still needed",
    )


def write_all(pipe: Any, data: bytes | memoryview) -> None:
    """Write all of it, into a pipe that may take less at once."""
    view = memoryview(data)
    while view:
        view = view[pipe.write(view) :]


def daemon_thread(body: Callable[..., None], *args: Any) -> threading.Thread:
    """A thread, not started yet, for what blocks on a process; Python's end does not wait for it."""
    return threading.Thread(target=body, args=args, name="golem-process", daemon=True)
