"""Those who do the work: ours, and a peer. Both are asked in the same words."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from benchmarks.peers.processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.peers.worker import Values

__all__ = ["Contestant", "Library", "library", "ours"]


class Contestant(Protocol):
    """One store, or one database, and the processes that work on it."""

    @property
    def versions(self) -> dict[str, str]:
        """Of its packages, by their names."""
        ...

    def work(self, name: str, run: int, size: int) -> Values:
        """Do W1, W2/1, W2/64 or W3 once. `run` is a number that it has not had before."""
        ...

    def recover(self, run: int, steps: int) -> tuple[float, float]:
        """W4: kill a process after so many steps, and start it again.

        Returns:
            Seconds from there to its result, and those that the replay took.
        """
        ...


@frozen
class Library:
    """A contestant that is imported: its script is ``work``, ``die STEPS`` or ``finish STEPS``.

    Attributes:
        command: the interpreter and the script.
        directory: on the disk that is measured; each life of W4 begins in a new one below it.
        environment: variables by which it finds the database of this name.
    """

    command: tuple[str, ...]
    directory: Path
    environment: Callable[[str], dict[str, str]]
    process: Process
    versions: dict[str, str]

    def work(self, name: str, run: int, size: int) -> Values:
        """In the process that lives through all rounds."""
        self.process.tell(work=name, run=run, size=size)
        return self.process.hear(name)

    def recover(self, run: int, steps: int) -> tuple[float, float]:
        """In two processes with a database of their own."""
        name = f"killed{run}"
        place = self.directory / name
        place.mkdir()
        with Process([*self.command, "die", str(steps)], place, self.environment(name)) as first:
            first.hear("killed")
        begin = perf_counter()
        second = Process([*self.command, "finish", str(steps)], place, self.environment(name))
        with second:
            replay_s = second.hear("replay_s")["replay_s"]
            result = second.hear("result")["result"]
            whole_s = perf_counter() - begin
            if result != steps:
                raise second.failed(f"remembered {result} steps of {steps}")
        return whole_s, replay_s


@contextmanager
def library(
    command: tuple[str, ...],
    directory: Path,
    environment: Callable[[str], dict[str, str]] = lambda name: {},
) -> Iterator[Library]:
    """Start the process that does W1 to W3."""
    place = directory / "work"
    place.mkdir(parents=True)
    with Process([*command, "work"], place, environment("work")) as process:
        yield Library(command, directory, environment, process, process.hear())


@contextmanager
def ours(directory: Path) -> Iterator[Contestant]:
    """golem_sdk, as this interpreter has it."""
    with library((sys.executable, "-m", "benchmarks.peers.golem_work"), directory) as contestant:
        yield contestant
