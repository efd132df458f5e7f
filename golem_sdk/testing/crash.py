"""Crashes at chosen appends of chosen runs, simulated in one process."""

from __future__ import annotations

from enum import Enum
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from golem_sdk.errors import StoreError
from golem_sdk.oplog.writer import EagerWriter, OplogWriter
from golem_sdk.storage.base import Engine

if TYPE_CHECKING:
    from golem_sdk.core.entries import Entry, OplogIndex
    from golem_sdk.storage.tickets import Ticket

__all__ = ["CrashMoment", "CrashPoint", "MortalEngine", "SimulatedCrashError", "Trap"]


class SimulatedCrashError(StoreError):
    """Every operation of a store whose process is dead."""


class CrashMoment(Enum):
    """When, around the append of an entry, the process dies."""

    BEFORE = "before the append: what the entry tells of has happened, nobody has noted it"
    LOST = "after the append: the entry is in memory, and lost"
    DURABLE = "after the flush that holds the entry: it is on disk, nobody was told"


@frozen
class CrashPoint:
    """The ``append``-th append of a run (counted over all agents, from 1), and the moment."""

    append: int
    moment: CrashMoment


class MortalEngine(Engine, Protocol):
    """The store of a process that can be killed."""

    def snapshot(self) -> MortalEngine:
        """What the next process finds if this one dies now; works on a killed engine, too."""
        ...

    def kill(self, error: Exception) -> None:
        """From now on every operation but `close` and `snapshot` raises ``error``."""
        ...


class Trap:
    """Kills a run at a crash point.

    Args:
        engine: the run's store.
        point: when; ``None``: never, only count.

    Attributes:
        appends: how many entries the run has appended.
    """

    def __init__(self, engine: MortalEngine, point: CrashPoint | None) -> None:
        self.appends = 0
        self._survivor: MortalEngine | None = None
        self._engine = engine
        self._point = point
        self._mutex = Lock()

    @property
    def survivor(self) -> MortalEngine | None:
        """The store as the crash left it, ``None`` if there was no crash."""
        with self._mutex:
            return self._survivor

    def arm(self, point: CrashPoint) -> None:
        """Crash at ``point`` from now on, in place of any other."""
        with self._mutex:
            self._point = point

    def kill(self) -> SimulatedCrashError:
        """The process dies now; what its store answers from now on."""
        error = SimulatedCrashError("the process was killed (simulated)")
        with self._mutex:
            if self._survivor is None:
                self._engine.kill(error)  # first: what another thread commits now would be lost
                self._survivor = self._engine.snapshot()
        return error

    def writer_class(self) -> type[OplogWriter]:
        """A writer that falls into this trap, for `Settings`."""
        trap = self

        class TrappedWriter(EagerWriter):
            _armed = False

            def append(self, entry: Entry) -> OplogIndex:
                moment = trap._reached(self)
                if moment is CrashMoment.BEFORE:
                    trap._spring()
                index = super().append(entry)
                if moment is CrashMoment.LOST:
                    trap._spring()
                self._armed = self._armed or moment is CrashMoment.DURABLE
                return index

            def flush(self) -> Ticket | None:
                ticket = super().flush()
                if self._armed and ticket is not None:
                    self._committer.wait(ticket)
                    trap._spring()
                return ticket

        return TrappedWriter

    def _reached(self, writer: OplogWriter) -> CrashMoment | None:
        """What is to happen at the append that ``writer`` is about to make."""
        with self._mutex:
            self.appends += 1
            if self._point is None or self.appends != self._point.append:
                return None
            return self._point.moment

    def _spring(self) -> None:
        raise self.kill()
