"""Who is compared with us: how each is installed and started, and which ratios must hold."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from benchmarks.peers.contestants import Contestant, library
from benchmarks.peers.environments import node_program, python_with
from benchmarks.peers.postgres import postgres
from benchmarks.peers.restate import restate

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PEERS", "Peer"]

_DBOS = ("-m", "benchmarks.peers.dbos_work")


@frozen
class Peer:
    """One whom we are compared with.

    Attributes:
        label: its name, and what it stores in.
        start: from the cache of environments and a new directory on the measured disk to a contestant.
        floors: how many times better ours must be.
    """

    label: str
    start: Callable[[Path, Path], AbstractContextManager[Contestant]]
    floors: dict[str, float] = field(factory=dict)


@contextmanager
def _dbos_sqlite(cache: Path, directory: Path) -> Iterator[Contestant]:
    python = python_with(cache, "dbos", ["dbos"])
    with library((python, *_DBOS), directory) as contestant:
        yield contestant


@contextmanager
def _dbos_postgres(cache: Path, directory: Path) -> Iterator[Contestant]:
    python = python_with(cache, "dbos", ["dbos"])
    with postgres(directory / "server") as (url, version):
        command = (python, *_DBOS)
        place = directory / "client"
        with library(command, place, lambda name: {"DBOS_SYSTEM_DATABASE_URL": url + name}) as peer:
            peer.versions["PostgreSQL"] = version
            yield peer


@contextmanager
def _restate(cache: Path, directory: Path) -> Iterator[Contestant]:
    python = python_with(cache, "restate", ["restate-sdk", "hypercorn"])
    server = node_program(cache, "restate-server", "@restatedev/restate-server", "restate-server")
    with restate(python, server, directory) as contestant:
        yield contestant


PEERS: Final = {
    "dbos-sqlite": Peer(
        "DBOS Transact on SQLite",
        _dbos_sqlite,
        {"W1": 5, "W2/1": 4, "W2/64": 10, "W3": 15, "W4 whole": 10},
    ),
    "dbos-postgres": Peer("DBOS Transact on PostgreSQL", _dbos_postgres),
    "restate": Peer("Restate", _restate, {"W1": 3.5, "W2/64": 4.5, "W3": 7.5}),
}
"""By the names under which one can choose them."""
