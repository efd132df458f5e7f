"""An interrupt in the midst of a commit leaves nobody waiting, and nobody untold (C1)."""

from __future__ import annotations

from contextlib import suppress
from threading import Semaphore
from typing import TYPE_CHECKING, cast

import pytest

from golem_sdk.errors import StoreBrokenError, StoreError
from golem_sdk.storage.committer import Committer
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.storage.tickets import Ticket, Writer
from storage.gates import Gate, acquire, claim, join, run, stored

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable, Sequence

    from golem_sdk.storage.base import Batch


class Interrupt(BaseException):
    """As ctrl-c may be raised in the middle of anything."""


class Stepwise(MemoryEngine):
    """Each commit waits until the test says so, and then fails on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go = Semaphore(0), Semaphore(0)
        self.failure: BaseException | None = None

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        self.entered.release()
        acquire(self.go)
        if self.failure is not None:
            raise self.failure
        return super().commit(batches)


def quietly(committer: Committer, ticket: Ticket) -> Callable[[], None]:
    def wait() -> None:
        with suppress(Interrupt, StoreError):
            committer.wait(ticket)

    return wait


def until_followed(ticket: Ticket) -> None:
    while ticket._followers is None:
        pass


def test_interrupted_while_it_commits_for_others_a_leader_leaves_nobody_waiting() -> None:
    engine = Stepwise()
    committer = Committer(engine, write_behind_s=None)
    told: list[BaseException | None] = []
    threads = run(quietly(committer, committer.submit(claim(b"first"))))
    acquire(engine.entered)
    committer.tell(committer.submit(claim(b"of another"), Writer()), told.append)
    engine.go.release()
    acquire(engine.entered)  # the same thread again, for the other one
    late = committer.submit(claim(b"late"))
    threads += run(quietly(committer, late))
    until_followed(late)
    engine.failure = Interrupt()
    engine.go.release()
    join(threads)
    assert [type(error) for error in told] == [StoreBrokenError]
    assert isinstance(late.error, StoreBrokenError)


class Interrupting:
    """A lock for followers. Who has waited for it is interrupted as soon as it is opened."""

    def __init__(self) -> None:
        self.entered = Semaphore(0)
        self._opened = Semaphore(0)

    def release(self) -> None:
        self._opened.release()

    def __enter__(self) -> None:
        self.entered.release()
        acquire(self._opened)
        raise Interrupt

    def __exit__(self, *_: object) -> None:
        """Nobody comes this far."""


def test_an_interrupted_follower_leaves_nobody_untold() -> None:
    engine = Stepwise()
    committer = Committer(engine, write_behind_s=None)
    told: list[BaseException | None] = []
    threads = run(quietly(committer, committer.submit(claim(b"leader"))))
    acquire(engine.entered)
    mine, interrupting = committer.submit(claim(b"follower")), Interrupting()
    mine._followers = cast("LockType", interrupting)
    threads += run(quietly(committer, mine))
    acquire(interrupting.entered)
    committer.tell(committer.submit(claim(b"of another"), Writer()), told.append)
    for _ in range(2):
        engine.go.release()
    join(threads)
    assert told == [None]


def test_an_interrupt_while_it_gathers_fails_nothing(engine: Gate) -> None:
    interrupts = [Interrupt()]

    def pause(_: float) -> None:
        if interrupts:
            raise interrupts.pop()

    busy = Committer(engine, write_behind_s=None, pause=pause)
    for number in range(7):
        busy.submit(claim(b"%d" % number))
    busy.wait(busy.submit(claim(b"7")))
    ticket = busy.submit(claim(b"8"))
    with pytest.raises(Interrupt):
        busy.wait(ticket)
    busy.wait(ticket)
    assert not busy.has_failed
    assert stored(engine) == [b"%d" % number for number in range(9)]


@pytest.mark.parametrize("error", [RuntimeError("a waiter's own fault"), Interrupt()])
def test_everybody_is_told_though_one_raises(
    engine: Gate,
    committer: Committer,
    error: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[int] = []

    def bad(_: object) -> None:
        told.append(-1)
        raise error

    def lead() -> None:
        with suppress(Interrupt):
            committer.wait(first)

    first = committer.submit(claim(b"first"))
    engine.open.clear()
    leader = run(lead)
    acquire(engine.entered)
    for number in range(6):
        committer.tell(
            committer.submit(claim(b"%d" % number), Writer()),
            bad if number == 3 else lambda _, number=number: told.append(number),  # type: ignore[misc]  # mypy takes the default for Any
        )
    engine.open.set()
    join(leader)
    assert sorted(told) == [-1] * (1 + isinstance(error, Interrupt)) + [0, 1, 2, 4, 5]
    assert ("own fault" in caplog.text) is isinstance(error, RuntimeError)
