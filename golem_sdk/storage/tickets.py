"""Submitted batches: who waits for them, and what becomes of them."""

from __future__ import annotations

from _thread import LockType
from collections.abc import Callable
from threading import Lock

from attrs import define, field

from golem_sdk.storage.base import Batch  # attrs classes are resolved at run time

__all__ = ["Ticket", "Told", "Writer"]

Told = Callable[[BaseException | None], object]
"""Takes what became of a batch: an error, or ``None``: it is durable."""


@define(eq=False)
class Writer:
    """Whoever appends to one log: none of its batches happens after one that did not.

    Attributes:
        broken: why no more of its batches will be accepted, once one of them failed.
        newest: its last batch, until that is durable.
    """

    broken: BaseException | None = field(default=None, init=False)
    newest: Ticket | None = field(default=None, init=False)


@define(eq=False)
class Ticket:
    """A submitted batch.

    Attributes:
        settled: whether its fate is known: it is durable, or `error` says why it did not happen.
        error: set before `settled`.
        told: called with `error` by who settles it, if nobody waits for it (see `Committer.tell`).
    """

    batch: Batch
    writer: Writer | None
    settled: bool = False
    error: BaseException | None = None
    told: Told | None = field(default=None, init=False)
    _followers: LockType | None = field(default=None, init=False)

    def fail(self, error: BaseException) -> None:
        """It did not happen, or nobody knows; nothing else of its writer may happen."""
        if self.writer is not None and self.writer.broken is None:
            self.writer.broken = error
        self.error = error
        self.settled = True

    def follow(self) -> LockType:
        """A lock that opens when the ticket is settled or its waiter shall lead."""
        if self._followers is None:
            self._followers = Lock()
            self._followers.acquire()
        return self._followers

    def over(self) -> LockType | None:
        """It is settled: let go of what is not needed any more. Gives what `dismiss` gives."""
        writer, self.writer = self.writer, None
        if writer is not None and writer.newest is self and self.error is None:
            writer.newest = None
        return self.dismiss()

    def dismiss(self) -> LockType | None:
        """The lock to open for those who follow, which nobody follows any more; ``None``: nobody did."""
        followers, self._followers = self._followers, None
        return followers

    def wake(self) -> bool:
        """Let go whoever follows. Gives whether there was anybody."""
        followers = self.dismiss()
        if followers is not None:
            followers.release()
        return followers is not None
