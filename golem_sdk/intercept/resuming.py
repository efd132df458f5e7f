"""A process that was started again, on its way to where its agent is.

It is given again what it was given, its output is read up to where the agent had read it, and it gets each
signal where it got it. Each of its pipes by itself: what it puts out may depend on what another task or
thread of the agent gives it at this moment, so a call waits for no more than it needs.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import deque
from signal import SIGKILL
from typing import TYPE_CHECKING, Any, NamedTuple

from golem_sdk import originals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from golem_sdk.intercept.processes import RealProcess

__all__ = ["STREAMS", "Past", "Resumption", "Signal", "daemon_thread", "write_all"]

STREAMS = ("stdin", "stdout", "stderr")

_AT_ONCE_BYTES = 64 * 1024


class Signal(NamedTuple):
    """A signal.

    Attributes:
        number: which.
        after: how many bytes had passed through each pipe before it.
    """

    number: int
    after: Mapping[str, int]


class Past(NamedTuple):
    """What had passed between the agent and its process.

    Attributes:
        given: its input.
        read: of each output, how many bytes, and their hash.
        signals: in their order.
        has_ended_input: whether the process was told that there is no more.
    """

    given: list[memoryview]
    read: Mapping[str, tuple[int, bytes]]
    signals: Iterable[Signal]
    has_ended_input: bool


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
        self._at = dict.fromkeys(STREAMS, 0)
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
        with contextlib.suppress(OSError, ValueError):  # it reads no more, or is lost
            for view in self._past.given:
                for at in range(0, len(view), _AT_ONCE_BYTES):
                    piece = view[at : at + _AT_ONCE_BYTES]
                    write_all(pipe, piece)
                    self._move(name, len(piece))
        self._move(name, sum(map(len, self._past.given)))
        if self._past.has_ended_input:
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

    def _move(self, name: str, size: int) -> None:
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
                if self._signals and self._is_after(self._signals[0]):
                    with contextlib.suppress(OSError):
                        self._real.send_signal(self._signals.popleft().number)
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

    def _is_after(self, signal: Signal) -> bool:
        return all(self._at[name] >= size for name, size in signal.after.items())


def write_all(pipe: Any, data: bytes | memoryview) -> None:
    """Write all of it, into a pipe that may take less at once."""
    view = memoryview(data)
    while view:
        view = view[pipe.write(view) :]


def daemon_thread(body: Callable[..., None], *args: Any) -> threading.Thread:
    """A thread, not started yet, for what blocks on a process; Python's end does not wait for it."""
    return threading.Thread(target=body, args=args, name="golem-process", daemon=True)
