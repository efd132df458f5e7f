"""An engine whose commits a test holds up, and threads that wait for them."""

from __future__ import annotations

from threading import Event, Semaphore, Thread
from typing import TYPE_CHECKING

from golem_sdk.errors import StoreError
from golem_sdk.storage.base import Batch, Engine, Space
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.storage.tickets import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from golem_sdk.storage.committer import Committer

PATIENCE_S = 60  # how long a test waits for another thread before it fails


class Gate(MemoryEngine):
    """An engine whose commits wait for a gate, and fail on demand. Records what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.open = Event()
        self.open.set()
        self.entered = Semaphore(0)
        self.left = Semaphore(0)
        self.failure: BaseException | None = None
        self.flushes: list[list[bytes]] = []

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        self.flushes.append([batch.claim[1] for batch in batches if batch.claim])
        self.entered.release()
        assert self.open.wait(PATIENCE_S)
        try:
            if self.failure is not None:
                raise self.failure
            return super().commit(batches)
        finally:
            self.left.release()


def claim(key: bytes) -> Batch:
    return Batch(claim=(Space.OPLOG, key, b""))


def stored(engine: Engine) -> list[bytes]:
    return [key for key, _ in engine.scan(Space.OPLOG, b"", None, limit=10_000)]


def acquire(semaphore: Semaphore, times: int = 1) -> None:
    for _ in range(times):
        assert semaphore.acquire(timeout=PATIENCE_S)


def run(*work: Callable[[], object]) -> list[Thread]:
    threads = [Thread(target=call, daemon=True) for call in work]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[Thread]) -> None:
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


class Waiters:
    """Threads that submit a batch each and wait for it, behind a leader stuck at the gate."""

    def __init__(self, committer: Committer, engine: Gate, keys: Sequence[bytes]) -> None:
        self.committer = committer
        self.submitted = Semaphore(0)
        self.errors: dict[bytes, BaseException | None] = {}
        engine.open.clear()
        self.threads = run(lambda: self._one(b"leader"))
        acquire(engine.entered)
        self.threads += run(*(lambda key=key: self._one(key) for key in keys))
        acquire(self.submitted, 1 + len(keys))

    def _one(self, key: bytes) -> None:
        ticket = self.committer.submit(claim(key), Writer())
        self.submitted.release()
        try:
            self.committer.wait(ticket)
            self.errors[key] = None
        except StoreError as error:
            self.errors[key] = error
        assert ticket.settled
