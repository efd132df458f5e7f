"""Lives of a program that begin in milliseconds, to be killed by the thousand.

A nursery is a process that has the program imported and nothing else begun. For every life it forks: a
process of its own, with its own runtime, threads and locks, that ends by itself or by a signal. An
interpreter of its own (`fresh`) takes a hundred times as long to begin, nearly all of it imports.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from importlib import import_module

from attrs import frozen

from storage.powerloss import ENVIRONMENT

__all__ = ["Life", "Nursery", "fresh"]

_MESSAGE = 1 << 16


@frozen
class Life:
    """One process that runs the program.

    Attributes:
        pid: its number, which stays its own until `end` has returned.
        said: reads what it prints, to its end.
    """

    pid: int
    said: int
    _wait: Callable[[], int]

    def kill(self) -> None:
        """SIGKILL. One that has ended by itself stays so."""
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> tuple[str, int]:
        """The rest of what it said, and its exit status: negative, the signal that ended it."""
        with os.fdopen(self.said, "rb") as said:
            rest = said.read().decode()
        return rest, self._wait()


class Nursery:
    """Forks lives of ``module``, whose ``main`` takes a list of arguments."""

    def __init__(self, module: str) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "acceptance.nursery", module],
                stdin=theirs.fileno(),
                env=ENVIRONMENT,
            )

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.wait()

    def begin(self, *arguments: object) -> Life:
        said, says = os.pipe()
        try:
            socket.send_fds(self._socket, [_packed(list(map(str, arguments)))], [says])
        finally:
            os.close(says)
        pid = self._answer()
        return Life(pid, said, lambda: self._ended(pid))

    def _ended(self, pid: int) -> int:
        self._socket.send(_packed(pid))
        return self._answer()

    def _answer(self) -> int:
        answer = self._socket.recv(_MESSAGE)
        assert answer, f"the nursery ended with {self._process.wait()}"
        return int(answer)


def fresh(module: str, *arguments: object) -> Life:
    """A life in an interpreter of its own, with a hash seed of its own."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    said, says = os.pipe()
    process = subprocess.Popen(command, stdout=says, env=ENVIRONMENT)
    os.close(says)
    return Life(process.pid, said, process.wait)


def _packed(message: list[str] | int) -> bytes:
    return json.dumps(message).encode()


# --- in the nursery -----------------------------------------------------------------------------------


def main(module: str) -> None:
    """Answer on standard input: a list, to begin a life with these arguments; a number, to wait for it."""
    program = import_module(module)
    assert len(os.listdir("/proc/self/task")) == 1, "only a process without threads may be forked"
    gc.freeze()
    with socket.socket(fileno=os.dup(0)) as asked:
        while True:
            request, descriptors, _, _ = socket.recv_fds(asked, _MESSAGE, 1)
            if not request:
                return
            message = json.loads(request)
            if isinstance(message, int):
                status = os.waitpid(message, 0)[1]
                asked.send(_packed(os.waitstatus_to_exitcode(status)))
                continue
            (says,) = descriptors
            pid = os.fork()
            if pid == 0:
                asked.close()
                _live(program.main, message, says)
            os.close(says)
            asked.send(_packed(pid))


def _live(program: Callable[[list[str]], None], arguments: list[str], says: int) -> None:
    os.dup2(says, 1)
    os.close(says)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # nor is the nursery's socket its own
    try:
        program(arguments)
        sys.stdout.flush()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
