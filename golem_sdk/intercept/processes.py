"""A process that an agent has started and goes on talking to: what was said so far, and the real one.

The real process exists in the life of the agent that started it. When the agent lives again and goes on with
a process that had not ended, ``idempotence_mode``, as it was when the process was started, decides:

* ``True``, the default: the process is started again. It is given again what it was given, its output is read
  up to where the agent had read it, and it gets the signals that it got, each where it got it (see
  `golem_sdk.intercept.resuming`). If its output is not the same up to there, or it cannot be started now,
  the agent cannot go on with it, and gets a `ChildProcessError`.
* ``False``: it is not started again; the agent gets a `ChildProcessError`.

What is recorded of a process that has ended is simply replayed. The process of the earlier life may be
running on, as it does when Python ends in any other program: its pipes are closed, and nobody waits for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

from attrs import evolve

from golem_sdk import durability, originals
from golem_sdk.errors import OutputTooLargeError
from golem_sdk.intercept.exchanges import STREAMS, RealProcess, Said, Uses, exchange, whole
from golem_sdk.intercept.resuming import (
    Delivered,
    Given,
    Past,
    Piece,
    Place,
    Resumption,
    Send,
    Signal,
    daemon_thread,
    lost,
    write_all,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["PIECE_BYTES", "PROCESSES", "Process"]

PROCESSES = "processes"
"""The name of the interceptor."""

_BY_PIECES = 2
"""The version from which on output that is wanted as a whole comes in pieces from everywhere."""

PIECE_BYTES = 8 * 1024 * 1024
"""Output that is wanted as a whole is recorded in pieces of this size."""

_KEPT_INPUT_BYTES = 16 * 1024 * 1024
_NOT_IDEMPOTENT = "it was started under idempotence_mode(False), so it is not started again"
_TOO_MUCH = f"it was given more than {_KEPT_INPUT_BYTES} bytes of input, so it is not started again"


class Process:
    """One process of an agent.

    The methods that touch the real process block, and are called as the performing part of durable calls. The
    ``note_`` methods are called by agent code, live and in replay: of what it asks for before that part, of
    what came of it after that.

    Args:
        session: of the agent.
        start: starts it, with pipes that are binary and unbuffered.
        command: as it is stored.
    """

    def __init__(
        self, session: durability.Session, start: Callable[[], RealProcess], command: object
    ) -> None:
        self.session = session
        self.ended = False
        self.by_pieces = durability.interceptor_version(session, PROCESSES) >= _BY_PIECES
        """Whether `communicate` gives much in pieces."""
        self.input: Any = None
        """What `communicate` gives it."""
        self.changes = durability.OwnChanges(session.workspace) if session.workspace else None
        """What it changes in the agent's own directory."""
        self._start = start
        self._command = command
        self._no_more = None if durability.SCOPE.get().idempotent else _NOT_IDEMPOTENT
        self._starting = originals.allocate_lock()
        self._uses = Uses()
        self._real: RealProcess | None = None
        self._resumption: Resumption | None = None
        self._talking = self._gives_rest = False
        self._until_s: float | None = None
        self._taken_bytes = 0
        self._said: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        self._given = Given()
        self._signals: list[Signal] = []
        self._delivered = {"stdout": Delivered(), "stderr": Delivered()}
        self._unclaimed: dict[str, bytes] = {}
        self._closed: dict[str, Place] = {}
        self._communicates_after: Place = {}

    @property
    def takes_input(self) -> bool:
        """Whether the agent has not closed its input yet."""
        return "stdin" not in self._closed

    # --- performed, on the real process -----------------------------------------------------------

    def start(self) -> int:
        """Start it; gives its number."""
        self._real = self._begun()
        return self._real.pid

    def pipe(self, name: str) -> Any:
        """The real pipe with this name, of a process that is running."""
        with self._use(name) as pipe:
            return pipe

    def read(self, name: str, size: int) -> bytes:
        """The next piece of an output, at most that long; ``b""``: there is no more.

        Raises:
            OutputTooLargeError: with it, more than the runtime's ``max_received_bytes`` would be recorded.
        """
        with self._use(name) as pipe:
            chunk: bytes = pipe.read(size)
            self._unclaimed[name] = chunk
        self._check(len(chunk))
        return chunk

    def read_much(self, name: str) -> bytes:
        """The same of a piece that is full but for the last."""
        parts, size = [], 0
        with self._use(name) as pipe:
            while size < PIECE_BYTES and (chunk := pipe.read(PIECE_BYTES - size)):
                parts.append(chunk)
                size += len(chunk)
        self._check(size)
        return b"".join(parts)

    def give(self, end: int) -> None:
        """Give it its input up to there (see `note_given`), unless it has got that.

        Raises:
            BrokenPipeError: it reads no more.
        """
        if self.ended and self._real is None:  # it is not started again for this
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        with self._use("stdin") as pipe:
            self._given.give(pipe, end, self._wait_until)

    def close_input(self) -> None:
        """Tell it that there is no more, when it has got all."""
        with contextlib.suppress(BrokenPipeError):
            self.give(self._given.size)
        if self._real is not None:  # else it has ended
            with self._use("stdin") as pipe:
                self._wait_until(self._closed["stdin"])
                pipe.close()

    def poll(self) -> int | None:
        """Its return code, if it has ended."""
        return self._running().poll() if self._is_there(0) else None

    def wait(self, timeout: float | None) -> int | None:
        """Its return code, or ``None``: it has not ended in time."""
        until_s = None if timeout is None else time.monotonic() + timeout
        if not self._is_there(timeout):
            return None
        try:
            return self._running().wait(None if until_s is None else until_s - time.monotonic())
        except subprocess.TimeoutExpired:
            return None

    def number(self) -> int:
        """Its number in this life."""
        return self._running().pid

    def send_signal(self, number: int, send: Send = RealProcess.send_signal) -> int | None:
        """Send it a signal, unless it has ended: then its return code."""
        self._running()
        signal = Signal(number, self._place(), send)
        if self._resumption is not None and self._resumption.send(signal):
            return None
        real = self._running()
        send(real, number)
        return real.returncode

    def exchange(self, timeout: float | None) -> list[Any]:
        """``[return code, output, errors, bytes of input that were taken, whether there is more]``.

        Of ``communicate()``, the next piece. Without a return code, and more, it has not ended in time.

        Args:
            timeout: seconds, ``None``: for ever.

        Raises:
            OutputTooLargeError: see `read`.
        """
        if timeout is not None and self._until_s is None:
            self._until_s = time.monotonic() + timeout
        is_there = self._is_there(self._patience_s())
        real = self._running()
        before = [self._unclaimed.pop(name, b"") for name in self._delivered]  # by reads given up
        with self._uses.exchanging(real):
            said = self._exchanged(real) if is_there else Said(b"", b"", 0, False, True)
        said = evolve(said, output=before[0] + said.output, errors=before[1] + said.errors)
        self._check(len(said.output) + len(said.errors))
        code = None
        if said.at_end:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = real.wait(self._patience_s())
        output = None if real.stdout is None else said.output
        errors = None if real.stderr is None else said.errors
        return [code, output, errors, said.taken_bytes, not (said.at_end or said.late)]

    def _exchanged(self, real: RealProcess) -> Said:
        left = memoryview(self.input or b"").cast("B")[self._taken_bytes :]
        held = self._uses.of["stdin"]
        if not (self._gives_rest or self._given.waits) and held.acquire(blocking=False):
            try:
                return exchange(real, left, self._until_s, PIECE_BYTES, self._taken)
            finally:
                held.release()
        # It may take what it was given before only when its output is read: the rest follows, beside this.
        if not self._gives_rest:
            self._gives_rest = True
            daemon_thread(self._give_rest, real, left).start()
        said = exchange(real, left, self._until_s, PIECE_BYTES, self._taken, gives=False)
        return evolve(said, taken_bytes=len(left))

    def _taken(self, name: str) -> bytes | None:
        with self._uses.of[name]:  # a read that was given up has it: as there is something, it ends
            return self._unclaimed.pop(name, None)

    def _give_rest(self, real: RealProcess, left: memoryview) -> None:
        with self._uses.of["stdin"], contextlib.suppress(OSError, ValueError):  # it reads no more
            self._given.give(real.stdin, self._given.size, self._wait_until)
            write_all(real.stdin, left)
            real.stdin.close()  # type: ignore[union-attr]  # else nobody gives it anything

    def _patience_s(self) -> float | None:
        return None if self._until_s is None else self._until_s - time.monotonic()

    def communicate(self, timeout: float | None) -> list[Any]:
        """``[return code, output, errors]``, as version 1 of the interceptor did it, all at once."""
        self._is_there(None)
        real = self._running()
        given, self._talking = None if self._talking else self.input, True
        try:
            output, errors = real.communicate(given, timeout)
        except subprocess.TimeoutExpired as late:
            return [None, late.output, late.stderr]
        return [real.returncode, output, errors]

    def _check(self, size: int) -> None:
        size += sum(delivered.size for delivered in self._delivered.values())
        limit = self.session.kernel.settings.max_received_bytes
        if size > limit:
            raise OutputTooLargeError(limit)

    def kill(self) -> None:
        """End the process, if it runs, and let go of its pipes."""
        if self._real is not None:
            self._real.kill()
            self._real.wait()
            self._real.close_pipes()

    def drop(self) -> None:
        """This life of the agent is over: the process is left alone, whoever still waits for it."""
        for name in STREAMS:
            self._uses.close(name, self._real)

    # --- noted, live and in replay ------------------------------------------------------------------

    def note_exchange(self) -> None:
        """The agent begins to communicate, or does so again."""
        self._until_s = None
        if not self._taken_bytes:
            self._communicates_after = self._place()

    def note_said(self, output: bytes | None, errors: bytes | None, taken_bytes: int) -> None:
        """The agent has got a piece of what it communicates."""
        self._taken_bytes += taken_bytes
        if self._taken_bytes == memoryview(self.input or b"").nbytes:
            self.note_closed("stdin")
        for name, part in (("stdout", output), ("stderr", errors)):
            if part:
                self.note_read(name, part)
                self._said[name].append(part)

    def all_said(
        self, output: bytes | None, errors: bytes | None, *, has_ended: bool
    ) -> list[bytes | None]:
        """All of both outputs, whose last pieces these are.

        As ``communicate()`` does it: if it has not ended in time, ``None`` stands for nothing, too.
        """
        found: list[bytes | None] = []
        for name, last in (("stdout", output), ("stderr", errors)):
            said = None if last is None else whole(self._said[name])
            if said and not has_ended:  # it is asked for again
                self._said[name].append(said)
            found.append(said if has_ended else said or None)
        return found

    def note_read(self, name: str, chunk: bytes) -> None:
        """The agent has read this."""
        self._unclaimed.pop(name, None)
        delivered = self._delivered[name]
        delivered.size += len(chunk)
        delivered.hash.update(chunk)

    def note_given(self, data: bytes) -> int:
        """The agent gives it this, after all before; gives where in its input that ends."""
        if self._given.size + len(data) > _KEPT_INPUT_BYTES:
            self._no_more = _TOO_MUCH
        will_get_it = self._real is not None or self._no_more is None
        return self._given.add(Piece(memoryview(data), self._place()), keeps=will_get_it)

    def note_passed(self, end: int) -> None:
        """Its input has passed through the pipe up to there, or it reads no more."""
        self._given.passed = max(self._given.passed, end)

    def note_signal(self, number: int, send: Send = RealProcess.send_signal) -> None:
        """The agent has sent it this."""
        self._signals.append(Signal(number, self._place(), send))

    def note_closed(self, name: str) -> None:
        """The agent has closed a pipe. One that is read from is closed by this, too."""
        self._closed.setdefault(name, self._place())
        if name != "stdin":
            self._uses.close(name, self._real)

    # --- lives ----------------------------------------------------------------------------------------

    def _begun(self) -> RealProcess:
        if self.changes is not None:
            self.changes.begin()
        return self._start()

    def _running(self) -> RealProcess:
        with self._starting:  # both outputs may be read at once, and wait for one process
            if self._real is None:
                self._real = self._begun_again()
                self._resumption = Resumption(self._real, self._past())
                for name in STREAMS:
                    if getattr(self._real, name) is not None:
                        self._uses.of[name].acquire()
                self._resumption.begin(self._let_go, self._lose)
            return self._real

    def _begun_again(self) -> RealProcess:
        try:
            if self._no_more is None:
                return self._begun()
        except (OSError, ValueError) as error:  # what it needs is not there any more
            self._no_more = f"it cannot be started again: {error}"
        raise lost(self._command, self._no_more)

    def _past(self) -> Past:
        read = {name: (each.size, each.hash.digest()) for name, each in self._delivered.items()}
        taken = memoryview(self.input or b"").cast("B")[: self._taken_bytes]
        communicated, end = Piece(taken, self._communicates_after), self._closed.get("stdin")
        return Past(self._given, communicated, read, list(self._signals), end)

    def _place(self) -> Place:
        passed = {name: each.size for name, each in self._delivered.items()}
        passed["stdin"] = self._given.passed + self._taken_bytes
        return {**passed, "signals": len(self._signals)}

    def _lose(self, reason: str) -> None:
        with self._starting:
            if self._real is not None:  # the first reason counts
                self._no_more, self._real = reason, None

    def _is_there(self, timeout: float | None) -> bool:
        """Whether it is where the agent is: ``False``: it was started again, and is not in time."""
        self._running()
        return self._resumption is None or self._resumption.wait(timeout)

    def _wait_until(self, after: Place) -> None:
        if self._resumption is not None:
            self._resumption.wait_until(after)

    @contextlib.contextmanager
    def _use(self, name: str) -> Iterator[Any]:
        """The real pipe with this name, once it is where the agent is, and nobody else uses it."""
        self._running()
        self._uses.of[name].acquire()
        try:
            yield getattr(self._running(), name)
        finally:
            self._let_go(name)

    def _let_go(self, name: str) -> None:
        self._uses.let_go(name, self._real)
