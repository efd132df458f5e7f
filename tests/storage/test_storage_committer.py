"""Group commit: order, grouping, write-behind, closing."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, Semaphore
from typing import TYPE_CHECKING

import pytest

from golem_sdk.errors import RuntimeClosedError, StoreError, StoreFullError
from golem_sdk.storage.base import Batch, Row, Space, be64
from golem_sdk.storage.committer import Committer
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.storage.tickets import Writer
from storage.gates import PATIENCE_S, Gate, Waiters, acquire, claim, join, run, stored

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


# --- alone ----------------------------------------------------------------------------------------


def test_waiting_commits_everything_submitted_in_order(engine: Gate, committer: Committer) -> None:
    tickets = [committer.submit(claim(key)) for key in (b"2", b"1", b"3")]
    assert engine.flushes == []
    assert [ticket.settled for ticket in tickets] == [False] * 3
    committer.wait(tickets[1])
    assert engine.flushes == [[b"2", b"1", b"3"]]
    assert [(ticket.settled, ticket.error) for ticket in tickets] == [(True, None)] * 3
    for ticket in tickets:
        committer.wait(ticket)
    assert committer.commits == 1


def test_alone_the_waiting_thread_commits_itself(engine: Gate, committer: Committer) -> None:
    for number in range(5):
        committer.wait(committer.submit(claim(be64(number))))
    assert committer.commits == 5
    assert committer._thread is None


# --- groups ---------------------------------------------------------------------------------------


def test_those_who_wait_during_a_commit_share_the_next_one(
    engine: Gate, committer: Committer
) -> None:
    keys = [be64(number) for number in range(30)]
    waiters = Waiters(committer, engine, keys)
    engine.open.set()
    join(waiters.threads)
    assert waiters.errors == dict.fromkeys([b"leader", *keys])
    assert committer.commits == 2
    assert sorted(engine.flushes[1]) == keys


def test_many_threads_can_wait_for_one_ticket(engine: Gate, committer: Committer) -> None:
    engine.open.clear()
    leader = run(lambda: committer.wait(committer.submit(claim(b"1"))))
    acquire(engine.entered)
    ticket = committer.submit(claim(b"2"))
    ready = Semaphore(0)

    def follow() -> None:
        ready.release()
        committer.wait(ticket)

    followers = run(*[follow] * 8)
    acquire(ready, 8)
    engine.open.set()
    join(leader + followers)
    assert committer.commits == 2


def test_batches_are_committed_in_the_order_of_their_submission(
    engine: Gate, committer: Committer
) -> None:
    order: list[bytes] = []
    in_order = Lock()

    def work(me: int) -> None:
        for number in range(40):
            key = bytes([me]) + be64(number)
            with in_order:
                order.append(key)
                ticket = committer.submit(claim(key))
            if number % 3 == me % 3:
                committer.wait(ticket)

    join(run(*(lambda me=me: work(me) for me in range(8))))
    committer.close()
    assert [key for flush in engine.flushes for key in flush] == order
    assert committer.commits <= len(order)


# --- write-behind and closing ---------------------------------------------------------------------


class Pause:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.begun = Semaphore(0)
        self.go = Semaphore(0)

    def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        self.begun.release()
        assert self.go.acquire(timeout=PATIENCE_S)


def test_soon_commits_once_for_all_who_ask_within_its_pause(engine: Gate) -> None:
    pause = Pause()
    committer = Committer(engine, write_behind_s=0.25, pause=pause)
    first = committer.submit(claim(b"1"))
    committer.soon()
    acquire(pause.begun)
    second = committer.submit(claim(b"2"))
    committer.soon()
    assert engine.flushes == []
    pause.go.release()
    acquire(engine.left)
    committer.wait(second)
    assert engine.flushes == [[b"1", b"2"]]
    assert first.settled
    assert pause.asked == [0.25]
    committer.submit(claim(b"3"))
    committer.soon()  # it can be asked again
    acquire(pause.begun)
    pause.go.release()
    acquire(engine.left)
    assert engine.flushes[1:] == [[b"3"]]
    pause.go.release()
    committer.close()


def test_what_write_behind_finds_while_somebody_commits_rides_with_who_commits_next(
    engine: Gate,
) -> None:
    """An extra commit would hold up who waits for one of their own."""
    pause = Pause()
    committer = Committer(engine, write_behind_s=0.25, pause=pause)
    engine.open.clear()
    leader = run(lambda: committer.wait(committer.submit(claim(b"leader"))))
    acquire(engine.entered)
    tickets = [committer.submit(claim(key)) for key in (b"1", b"2")]
    committer.soon()
    acquire(pause.begun)
    pause.go.release()
    acquire(pause.begun)  # it has seen that somebody commits, and will look again
    engine.open.set()
    join(leader)
    acquire(engine.left)
    assert engine.flushes == [[b"leader"]]
    committer.wait(committer.submit(claim(b"next")))
    assert engine.flushes == [[b"leader"], [b"1", b"2", b"next"]]
    acquire(engine.left)
    pause.go.release(2)
    committer.close()
    assert len(engine.flushes) == 2
    assert [ticket.settled for ticket in tickets] == [True] * 2


def test_write_behind_looks_again_after_who_commits(engine: Gate) -> None:
    pause = Pause()
    committer = Committer(engine, write_behind_s=0.25, pause=pause)
    engine.open.clear()
    leader = run(lambda: committer.wait(committer.submit(claim(b"leader"))))
    acquire(engine.entered)
    keys = [be64(number) for number in range(100)]
    for key in keys:
        ticket = committer.submit(claim(key))
        committer.soon()
    for _ in range(3):  # it takes them long
        acquire(pause.begun)
        pause.go.release()
    acquire(pause.begun)
    assert len(committer._prepare) == 1, "it looks at one for all of them"
    engine.open.set()
    join(leader)
    acquire(engine.left)
    pause.go.release()
    acquire(engine.left)
    assert engine.flushes == [[b"leader"], keys]
    pause.go.release()
    committer.close()
    assert ticket.settled


def test_write_behind_commits_also_for_who_asks_before_one_with_nothing_new(engine: Gate) -> None:
    pause = Pause()
    committer = Committer(engine, write_behind_s=0.25, pause=pause)
    durable = committer.submit(claim(b"1"))
    committer.wait(durable)
    acquire(engine.left)
    committer.soon(lambda: committer.submit(claim(b"2")))
    acquire(pause.begun)
    committer.soon(lambda: durable)  # it has committed all that it had meanwhile
    pause.go.release()
    acquire(engine.left)
    assert engine.flushes == [[b"1"], [b"2"]]
    pause.go.release()
    committer.close()


def test_write_behind_survives_failures_which_the_tickets_keep(engine: Gate) -> None:
    committer = Committer(engine, write_behind_s=0.0, pause=lambda seconds: None)
    for failure in (StoreFullError("full"), ValueError("a bug"), SystemExit()):
        engine.failure = failure
        writer = Writer()
        ticket = committer.submit(claim(b"1"), writer)
        committer.soon()
        acquire(engine.left)
        with pytest.raises((StoreError, ValueError)) as caught:
            committer.wait(ticket)
        assert failure in (caught.value, caught.value.__cause__)
        assert writer.broken is caught.value
        committer.reopen()
    engine.failure = None
    committer.submit(claim(b"1"))
    committer.soon()
    acquire(engine.left)
    committer.close()
    assert stored(engine) == [b"1"]


def test_without_write_behind_only_waiting_and_closing_commit(engine: Gate) -> None:
    committer = Committer(engine, write_behind_s=None)
    committer.submit(claim(b"1"))
    committer.soon()
    assert committer._thread is None
    assert engine.flushes == []
    committer.close()
    assert stored(engine) == [b"1"]


def test_closing_commits_what_is_queued_and_refuses_more(engine: Gate) -> None:
    committer = Committer(engine)
    committer.soon()
    tickets = [committer.submit(claim(key)) for key in (b"1", b"2")]
    committer.close()
    committer.close()
    assert stored(engine) == [b"1", b"2"]
    assert committer._thread is not None
    assert not committer._thread.is_alive()
    for ticket in tickets:
        committer.wait(ticket)
    with pytest.raises(RuntimeClosedError):
        committer.submit(claim(b"3"))
    committer.soon()


def test_closing_waits_for_the_commit_in_progress(engine: Gate, committer: Committer) -> None:
    waiters = Waiters(committer, engine, [b"1"])
    last = committer.submit(claim(b"2"))
    closing = run(committer.close)
    engine.open.set()
    join(closing + waiters.threads)
    assert last.settled
    assert stored(engine) == [b"1", b"2", b"leader"]


def test_closing_with_a_failing_engine_leaves_the_error_to_the_tickets(engine: Gate) -> None:
    committer = Committer(engine)
    ticket = committer.submit(claim(b"1"), Writer())
    engine.failure = StoreFullError("full")
    committer.close()
    with pytest.raises(StoreFullError):
        committer.wait(ticket)


def test_group_commit_on_lmdb_keeps_every_acknowledged_row(tmp_path: Path) -> None:
    engine = LmdbEngine(tmp_path / "store", map_size=1 << 16)
    committer = Committer(engine)

    def work(me: int) -> None:
        writer = Writer()
        for number in range(30):
            row: Row = (bytes([me]) + be64(number), b"v" * (number * 100))
            committer.wait(committer.submit(Batch(claim=(Space.OPLOG, *row)), writer))
            assert engine.get(Space.OPLOG, row[0]) == row[1]

    join(run(*(lambda me=me: work(me) for me in range(8))))
    committer.close()
    assert stored(engine) == [bytes([me]) + be64(n) for me in range(8) for n in range(30)]
    assert committer.commits < 8 * 30
    assert engine.verify() == []
    engine.close()


# --- many at once ---------------------------------------------------------------------------------


def test_after_a_large_commit_the_next_one_waits_while_the_queue_grows(engine: Gate) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) in (1, 2):
            busy.submit(claim(b"late %d" % len(pauses)))

    busy = Committer(engine, write_behind_s=None, pause=pause)
    tickets = [busy.submit(claim(be64(number))) for number in range(8)]
    busy.wait(tickets[0])
    assert pauses == []
    busy.wait(busy.submit(claim(b"first")))
    assert engine.flushes[1:] == [[b"first", b"late 1", b"late 2"]]
    assert len(pauses) == 3
    assert sum(pauses) < 0.001
    busy.wait(busy.submit(claim(b"alone")))  # three are not many
    assert len(pauses) == 3


def test_no_commit_waits_for_ever_for_more(engine: Gate) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        busy.submit(claim(be64(len(pauses))))

    busy = Committer(engine, write_behind_s=None, pause=pause)
    for number in range(8):
        busy.submit(claim(b"%d" % number))
    busy.wait(busy.submit(claim(b"9")))
    busy.wait(busy.submit(claim(b"10")))
    assert len(engine.flushes[1]) == 41
    assert sum(pauses) <= 0.0025


def test_it_is_busy_while_somebody_commits(engine: Gate, committer: Committer) -> None:
    assert not committer.is_busy
    waiters = Waiters(committer, engine, [b"1"])
    assert committer.is_busy
    engine.open.set()
    join(waiters.threads)
    assert not committer.is_busy


# --- who commits for those who do not wait --------------------------------------------------------


class Sought(MemoryEngine):
    """During each commit somebody submits a batch and goes on: there is always one more to be told."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times
        self.told: list[BaseException | None] = []
        self.committer: Committer

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        if self.left:
            self.left -= 1
            ticket = self.committer.submit(claim(be64(self.left)))
            self.committer.tell(ticket, self.told.append)
        return super().commit(batches)


def test_who_waits_does_not_commit_for_others_for_ever() -> None:
    engine, jobs = Sought(1_000), list[Callable[[], None]]()
    committer = engine.committer = Committer(engine, write_behind_s=None, relieve=jobs.append)
    committer.wait(committer.submit(claim(b"mine")))
    assert committer.commits <= 10
    assert len(jobs) == 1
    while jobs:
        jobs.pop()()
    assert engine.told == [None] * 1_000
    assert not committer.is_busy


def test_without_relief_nobody_is_left_untold() -> None:
    engine = Sought(50)
    committer = engine.committer = Committer(engine, write_behind_s=None)
    committer.wait(committer.submit(claim(b"mine")))
    assert engine.told == [None] * 50
