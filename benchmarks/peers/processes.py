"""A contestant's processes: each in a group of its own, spoken to in lines of JSON."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PATIENCE_S", "CannotRunError", "Process", "free_port", "output"]

_PROJECT = Path(__file__).resolve().parents[2]
"""From where every process imports this package."""

PATIENCE_S = 900.0
"""The longest that a contestant may take for one thing that it is told to do."""


class CannotRunError(Exception):
    """Something could not be installed, started or measured here; the message says what and why."""


class Process:
    """A process and its children.

    Args:
        command: what is run. What it writes to stderr is kept beside `directory`.
        directory: where it runs.
        environment: variables that it has besides ours.
    """

    def __init__(
        self, command: Sequence[str], directory: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._name = Path(command[0]).name
        self._log = directory.with_name(f"{directory.name}-{self._name}.log")
        self._heard = b""
        with self._log.open("ab") as log:
            try:
                self._popen = subprocess.Popen(
                    command,
                    cwd=directory,
                    env={**os.environ, "PYTHONPATH": str(_PROJECT), **(environment or {})},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise CannotRunError(f"{command[0]} could not be started: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def tell(self, **order: object) -> None:
        """One line for it. That it has ended is noticed by `hear`."""
        assert self._popen.stdin is not None
        with suppress(BrokenPipeError):
            self._popen.stdin.write(json.dumps(order).encode() + b"\n")
            self._popen.stdin.flush()

    def hear(self, *expected: str) -> dict[str, Any]:
        """The next line that it prints, which must tell about what is expected.

        Raises:
            CannotRunError: it ended, said nothing for minutes, or said something else.
        """
        line = self._line()
        try:
            told = json.loads(line)
        except ValueError:
            raise self.failed(f"printed {line!r}" if line else "ended") from None
        if not isinstance(told, dict) or not all(key in told for key in expected):
            raise self.failed(f"printed {line!r} where {expected} was expected")
        return told

    def _line(self) -> bytes:
        """Nothing, once it has ended. A file object would hide from `select` what it has read ahead."""
        out = self._popen.stdout
        assert out is not None
        while b"\n" not in self._heard:
            if not select.select([out], [], [], PATIENCE_S)[0]:
                raise self.failed(f"did not answer for {PATIENCE_S:.0f} s")
            if not (more := os.read(out.fileno(), 1 << 16)):
                break
            self._heard += more
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    def failed(self, what: str) -> CannotRunError:
        """An error with the end of its log."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return CannotRunError(f"{self._name} {what}: {' | '.join(lines[-3:])}")

    def kill(self) -> None:
        """SIGKILL for it and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.communicate()


def output(command: Sequence[str]) -> str:
    """What a command prints that has to end well.

    Raises:
        CannotRunError: it could not be started, or failed.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotRunError(f"{command[0]} could not be started: {error}") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise CannotRunError(f"`{' '.join(command)}` failed: {' | '.join(lines[-3:])}")
    return done.stdout


def free_port() -> int:
    """A port of the loopback interface on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
