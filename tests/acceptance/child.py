"""A process with a hash seed of its own, which drives scenarios on stores on disk.

It reads lives and writes what they have shown, in the frames of `golem_sdk.testing.worker`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

from attrs import frozen

import golem_sdk
from acceptance.shapes import SCENARIOS
from golem_sdk.testing.crash import CrashPoint
from golem_sdk.testing.driver import drive
from golem_sdk.testing.evidence import Evidence, Notes
from golem_sdk.testing.mortal import MortalLmdb
from golem_sdk.testing.quiet import silence
from golem_sdk.testing.witness import Witness
from golem_sdk.testing.worker import read_frame, write_frame

__all__ = ["Child", "Life", "Lived", "main"]

TESTS = Path(__file__).parents[1]


@frozen
class Life:
    """What a process is to do.

    Attributes:
        scenario: drive this one.
        store: on what is here.
        point: until it crashes; ``None``: to the end.
        notes, crashes: what earlier lives have shown, and how many they were.
    """

    scenario: str
    store: str
    suspend_after_s: float
    point: CrashPoint | None
    notes: Notes
    crashes: int


@frozen
class Lived:
    """What it was.

    Attributes:
        hash: the process's ``hash("x")``.
        evidence: ``None``: it has crashed.
    """

    hash: int
    notes: Notes
    evidence: Evidence | None


class Child:
    """Such a process."""

    def __init__(self, hash_seed: int) -> None:
        package = Path(golem_sdk.__file__).parents[
            1
        ]  # this one, not another in the working directory
        path = os.pathsep.join([str(package), str(TESTS)])
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from acceptance.child import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": path},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # its input ends, and with it the process

    def live(self, life: Life) -> Lived:
        """Have the process do this."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        write_frame(self._process.stdin, [life])  # type: ignore[arg-type]  # a pipe of bytes
        match read_frame(self._process.stdout):  # type: ignore[arg-type]  # a pipe of bytes
            case [Lived() as lived]:
                return lived
        raise AssertionError("the process does not answer with what it has lived")


class CrashedSignal(BaseException):
    """The life is over; another process takes up the store."""


def main() -> None:
    """Do what is read until there is no more."""
    told, sys.stdout = sys.stdout.buffer, sys.stderr
    while True:
        try:
            message = read_frame(sys.stdin.buffer)
        except EOFError:
            return
        match message:
            case [Life() as life]:
                with silence():
                    lived = _live(life)
                write_frame(told, [lived])


def _live(life: Life) -> Lived:
    def crashed(_: int) -> None:
        raise CrashedSignal

    witness = Witness(life.notes, life.crashes)
    with suppress(CrashedSignal):
        drive(
            SCENARIOS[life.scenario].begin(),
            [] if life.point is None else [life.point],
            suspend_after_s=life.suspend_after_s,
            on_crash=crashed,
            store=MortalLmdb(Path(life.store)),
            witness=witness,
        )
    return Lived(hash("x"), witness.notes, witness.evidence)
