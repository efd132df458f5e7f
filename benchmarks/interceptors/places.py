"""What bodies talk to: servers of our own, each in a process of its own, which answer at once."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path  # attrs classes are resolved at run time
from typing import TYPE_CHECKING

from attrs import frozen

from benchmarks.peers.postgres import postgres
from benchmarks.peers.processes import CannotRunError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Places", "places"]


@frozen
class Places:
    """Where servers are.

    Attributes:
        web: URL of one that answers every request alike, and questions to language models as they do.
        keys: port of one that speaks redis' protocol.
        sockets: URL of one that returns WebSocket messages; ``""``: websockets is not installed.
        database: URL of a PostgreSQL; ``""``: it cannot be run here.
        directory: files of bodies; ``read`` is one of 200 bytes.
    """

    web: str
    keys: int
    sockets: str
    database: str
    directory: Path


@contextmanager
def places(directory: Path) -> Iterator[Places]:
    """Start all servers that can be; they are gone afterwards."""
    command = [sys.executable, "-m", "benchmarks.interceptors.web"]
    directory.chmod(0o755)  # PostgreSQL's own user comes through it
    with ExitStack() as stack:
        server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(server.kill)
        assert server.stdout is not None
        ports = json.loads(server.stdout.readline())
        try:
            database, _ = stack.enter_context(postgres(directory / "postgres"))
        except CannotRunError:
            database = ""
        yield Places(
            f"http://127.0.0.1:{ports['web']}/",
            ports["keys"],
            f"ws://127.0.0.1:{ports['sockets']}/" if ports["sockets"] else "",
            f"{database}postgres" if database else "",
            directory,
        )
