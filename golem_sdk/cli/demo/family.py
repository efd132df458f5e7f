"""Processes that the demo starts, and how none of them outlives it.

A child holds the read end of a pipe as its standard input. When the parent is gone, however it went, the
pipe is closed and the child ends itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import IO, TYPE_CHECKING, Any

from golem_sdk import originals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Child", "die_with_parent"]

_ORPHAN_STATUS = 3


def die_with_parent() -> None:
    """In a child: end this process as soon as its standard input is closed."""
    Thread(target=_wait_for_end_of_input, name="parent-watch", daemon=True).start()


def _wait_for_end_of_input() -> None:
    while os.read(0, 1024):
        pass
    os._exit(_ORPHAN_STATUS)


class Child:
    """A Python module running as a process of its own, in no terminal's process group.

    Args:
        module: its name.
        arguments: for its command line.
        environment: variables in addition to this process's.
        log: gets its standard error.
        listener: called on a thread of its own with every line of its standard output, as
            the JSON object in it or as text, and with the (monotonic) time of its arrival; with
            ``None`` at the end.

    Attributes:
        started: monotonic time of the start, in seconds.
    """

    def __init__(
        self,
        module: str,
        arguments: list[str],
        environment: Mapping[str, str],
        log: IO[bytes],
        listener: Callable[[dict[str, Any] | str | None, float], None],
    ) -> None:
        self._listener = listener
        self.started = originals.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-X", "faulthandler", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **_import_path(), **environment},
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        self._reader = Thread(target=self._read, name=f"reader-{self.pid}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL it, wait until it is gone and all of its lines are delivered. Idempotent."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def ending(self) -> str:
        """Wait for the end; how it came, in words."""
        status = self._process.wait()
        return f"exit status {status}" if status >= 0 else signal.Signals(-status).name

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            at = originals.monotonic()
            text = line.decode(errors="replace").rstrip("\n")
            self._listener(_parsed(text), at)
        self._listener(None, originals.monotonic())


def _parsed(text: str) -> dict[str, Any] | str:
    if text.startswith("{"):
        try:
            value: dict[str, Any] = json.loads(text)
        except ValueError:
            return text
        return value
    return text


def _import_path() -> dict[str, str]:
    """Children find this very package, also when it was not installed."""
    here = str(Path(__file__).resolve().parents[3])
    rest = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": here if not rest else os.pathsep.join((here, rest))}
