"""A store that outlives its processes, and what each of them sees of it: slow, full, failing, unknown."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from attrs import evolve

from golem_sdk.codec.entries import decode_chunk
from golem_sdk.core.entries import Create
from golem_sdk.errors import StoreBrokenError, StoreError, StoreFencedError, StoreFullError
from golem_sdk.storage.base import Space
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.checkers import Append

if TYPE_CHECKING:
    from collections.abc import Sequence

    from golem_sdk.storage.base import Batch, Row
    from golem_sdk.testing.simulation.machine import Machine

__all__ = ["Disk", "SimulatedEngine"]

_LONGEST_FULL_S = 10.0

_DEADLY = 0.3
"""How likely a commit fails in one of the other ways, or a read, for each one that is slow."""


class Disk:
    """What is on disk, and every change since the simulation began.

    Attributes:
        content: the rows.
        appends: the chunks that were committed, in order.
        failures: how many commits and reads failed, by process: agents start anew then, as after a crash.
        owner: the number of the process that opened the store last.
        fences: commits of former owners are refused.
    """

    fences = True

    def __init__(self) -> None:
        self.content = MemoryEngine()
        self.appends: list[Append] = []
        self.failures: Counter[int] = Counter()
        self.owner = 0

    def open(self, machine: Machine) -> SimulatedEngine:
        """The store as one more process sees it, which owns it from now on."""
        self.owner = machine.number
        return SimulatedEngine(self, machine)

    def commit(self, machine: Machine, batches: Sequence[Batch]) -> list[bool]:
        """One transaction of a process."""
        if machine.number != self.owner and self.fences:
            machine.tally.hit("zombie refused")
            raise StoreFencedError(
                "another runtime has opened the store since this one did: nothing was written"
            )
        won = self.content.commit(batches)
        if len(batches) > 1:
            machine.tally.hit("shared commit")
        happened = [batch for batch, happens in zip(batches, won, strict=True) if happens]
        for batch in happened:
            puts = [key for _, key, _ in batch.puts]
            machine.baton.trace.note("commit", machine.number, *puts, *(k for _, k in batch.dels))
            if batch.claim is not None and batch.claim[0] is Space.OPLOG:
                _, key, chunk = batch.claim
                entries = decode_chunk(chunk)
                log, first = key[:-9], int.from_bytes(key[-8:], "big")
                self.appends.append(Append(log, first, len(entries), machine.number, self.owner))
                for entry in entries:
                    if isinstance(entry, Create):
                        entry = evolve(entry, hash_canary=0)  # differs from process to process
                    machine.baton.trace.note("entry", key, entry)
        return won


class SimulatedEngine:
    """An `Engine` of one simulated process."""

    def __init__(self, disk: Disk, machine: Machine) -> None:
        self._disk = disk
        self._machine = machine
        self._refusal: Exception | None = None
        self._full_until_ns = 0

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        """See `Engine.commit`."""
        machine = self._machine
        likelihood, deadly = machine.faults.commit, machine.faults.commit * _DEADLY
        machine.baton.point(always=True)
        if machine.may(likelihood, "slow commit"):
            machine.baton.sleep(machine.draw.uniform(0.1, 5.0))
        self._check()
        self._check_room()
        if machine.may(deadly, "failed commit"):
            self._disk.failures[self._machine.number] += 1
            raise StoreError("the disk failed (simulated): nothing of the commit happened")
        if machine.may(deadly, "unknown, not done"):
            raise self._broken()
        won = self._disk.commit(machine, batches)
        if machine.may(deadly, "unknown, done"):
            raise self._broken()
        if machine.doomed and machine.alive:
            machine.alive = False
            machine.tally.hit("kill in commit")
            machine.baton.wake(machine.baton.driver)
        machine.baton.point(always=True)
        self._check()
        return won

    def get(self, space: Space, key: bytes) -> bytes | None:
        """See `Engine.get`."""
        self._before_read()
        return self._disk.content.get(space, key)

    def scan(
        self, space: Space, lo: bytes, hi: bytes | None, *, limit: int, reverse: bool = False
    ) -> list[Row]:
        """See `Engine.scan`."""
        self._before_read()
        return self._disk.content.scan(space, lo, hi, limit=limit, reverse=reverse)

    def size_bytes(self) -> int:
        """See `Engine.size_bytes`."""
        self._check()
        return self._disk.content.size_bytes()

    def close(self) -> None:
        """See `Engine.close`."""
        if self._refusal is None:
            self._refusal = StoreError("the store is closed")

    def _before_read(self) -> None:
        machine = self._machine
        machine.baton.point()
        if machine.may(machine.faults.read, "slow read"):
            machine.baton.sleep(machine.draw.uniform(0.001, 2.0))
        if machine.may(machine.faults.read * _DEADLY, "failed read"):
            self._disk.failures[self._machine.number] += 1
            raise StoreError("the disk failed (simulated): nothing was read")
        self._check()

    def _check_room(self) -> None:
        machine, now_ns = self._machine, self._machine.baton.now_ns
        if self._full_until_ns <= now_ns and machine.may(machine.faults.commit * _DEADLY, "full"):
            seconds = machine.draw.uniform(0.0, _LONGEST_FULL_S)
            self._full_until_ns = now_ns + round(seconds * 1e9)
        if self._full_until_ns > now_ns:
            self._disk.failures[self._machine.number] += 1
            raise StoreFullError("the disk is full (simulated): nothing of the commit happened")

    def _broken(self) -> StoreBrokenError:
        error = StoreBrokenError("the disk failed (simulated) in a commit: it may have happened")
        self._refusal = error
        self._disk.failures[self._machine.number] += 1
        return error

    def _check(self) -> None:
        self._machine.check()
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)
