"""Nothing of a writer is written after what failed or was fenced (C1, X1)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golem_sdk.errors import StoreBrokenError, StoreError, StoreFencedError, StoreFullError
from golem_sdk.storage.base import Batch, Engine, Space
from golem_sdk.storage.committer import Committer
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.storage.tickets import Ticket, Writer
from storage import children
from storage.gates import Gate, Waiters, acquire, claim, join, run, stored

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def test_a_failed_commit_fails_everything_queued(engine: Gate, committer: Committer) -> None:
    writer = Writer()
    waiters = Waiters(committer, engine, [b"1", b"2"])
    behind = committer.submit(claim(b"behind"), writer)
    engine.failure = StoreFullError("full")
    engine.open.set()
    join(waiters.threads)
    assert waiters.errors == dict.fromkeys([b"leader", b"1", b"2"], engine.failure)
    assert (behind.settled, behind.error, writer.broken) == (True, *[engine.failure] * 2)
    with pytest.raises(StoreFullError) as caught:
        committer.submit(claim(b"later"), writer)
    assert caught.value is engine.failure
    assert committer.commits == 1  # nothing queued behind the failure was even tried
    engine.failure = None
    with pytest.raises(StoreFullError):  # somebody else may have seen what was lost
        committer.submit(claim(b"unaware"), Writer())
    committer.reopen()
    committer.wait(committer.submit(claim(b"reloaded"), Writer()))
    assert stored(engine) == [b"reloaded"]


def test_an_interrupted_leader_leaves_nobody_waiting(engine: Gate, committer: Committer) -> None:
    writer = Writer()
    ticket = committer.submit(claim(b"1"), writer)
    other = committer.submit(claim(b"2"), Writer())
    engine.failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        committer.wait(ticket)
    engine.failure = None
    for interrupted in (ticket, other):
        with pytest.raises(StoreBrokenError, match="interrupted") as caught:
            committer.wait(interrupted)
        assert isinstance(caught.value.__cause__, KeyboardInterrupt)
    assert isinstance(writer.broken, StoreBrokenError)
    committer.reopen()
    committer.wait(committer.submit(claim(b"3"), Writer()))


def test_an_interrupted_follower_hands_leadership_on() -> None:
    lines = children.run(
        """
        import threading

        class Interrupted(BaseException):
            pass

        def interrupt(number, frame):
            if not interrupted:
                interrupted.append(True)
                raise Interrupted

        interrupted = []
        signal.signal(signal.SIGUSR1, interrupt)
        gate, entered = threading.Event(), threading.Semaphore(0)

        class Slow(MemoryEngine):
            def commit(self, batches):
                entered.release()
                gate.wait()
                return super().commit(batches)

        def batch(key):
            return Batch(claim=(Space.OPLOG, key, b""))

        def until(condition):
            while not condition():
                pass

        committer = Committer(Slow())
        leader = threading.Thread(target=lambda: committer.wait(committer.submit(batch(b"1"))))
        leader.start()
        entered.acquire()
        mine, theirs = committer.submit(batch(b"2")), committer.submit(batch(b"3"))
        behind = threading.Thread(target=committer.wait, args=(theirs,))
        behind.start()
        until(lambda: theirs._followers is not None)
        main = threading.main_thread().ident

        def interrupt_main():
            until(lambda: mine._followers is not None)
            while not interrupted:  # a signal that comes just before main sleeps does not wake it
                signal.pthread_kill(main, signal.SIGUSR1)

        killer = threading.Thread(target=interrupt_main)
        killer.start()
        try:
            committer.wait(mine)
        except Interrupted:
            print("interrupted")
        gate.set()
        for thread in (killer, leader, behind):
            thread.join()
        print(mine.settled, theirs.settled, committer.commits)
        """
    )
    assert lines == ["interrupted", "True True 2"]


@pytest.mark.parametrize("kind", ["memory", "lmdb"])
def test_a_lost_claim_fences_its_writer_only(tmp_path: Path, kind: str) -> None:
    engine: Engine = MemoryEngine() if kind == "memory" else LmdbEngine(tmp_path / "store")
    engine.commit([claim(b"stale 2")])
    committer = Committer(engine)
    stale, sound = Writer(), Writer()
    tickets = [
        committer.submit(claim(b"stale 1"), stale),
        committer.submit(claim(b"sound 1"), sound),
        committer.submit(claim(b"stale 2"), stale),
        committer.submit(claim(b"stale 3"), stale),
        committer.submit(Batch(puts=((Space.OPLOG, b"stale row", b""),)), stale),
        committer.submit(claim(b"sound 2"), sound),
        committer.submit(claim(b"stale 2")),
        committer.submit(claim(b"nobody's")),
    ]
    committer.wait(tickets[0])
    assert committer.commits == 1
    fenced = [isinstance(ticket.error, StoreFencedError) for ticket in tickets]
    assert fenced == [False, False, True, True, True, False, True, False]
    assert stored(engine) == [b"nobody's", b"sound 1", b"sound 2", b"stale 1", b"stale 2"]
    assert stale.broken is tickets[2].error
    assert tickets[3].error is tickets[2].error
    assert sound.broken is None
    with pytest.raises(StoreFencedError, match="OPLOG already has a record b'stale 2'"):
        committer.wait(tickets[2])
    with pytest.raises(StoreFencedError):
        committer.submit(claim(b"stale 4"), stale)
    committer.close()
    engine.close()


def test_a_writer_fenced_by_one_commit_writes_nothing_in_the_next(
    engine: Gate, committer: Committer
) -> None:
    engine.commit([claim(b"1")])
    acquire(engine.entered)
    engine.open.clear()
    stale = Writer()
    first = committer.submit(claim(b"1"), stale)
    leader = run(lambda: wait_quietly(committer, first))
    acquire(engine.entered)
    second = committer.submit(claim(b"2"), stale)
    other = committer.submit(claim(b"other"), Writer())
    engine.open.set()
    join(leader)
    committer.wait(other)
    assert isinstance(second.error, StoreFencedError)
    assert second.error is first.error
    assert stored(engine) == [b"1", b"other"]


def wait_quietly(committer: Committer, ticket: Ticket) -> None:
    try:
        committer.wait(ticket)
    except StoreError:
        assert ticket.error is not None


class Flaky(MemoryEngine):
    """Fails the commits whose number is in ``failures``; nothing of those happens."""

    def __init__(self, failures: set[int]) -> None:
        super().__init__()
        self._failures = failures
        self._count = 0

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        self._count += 1
        if self._count in self._failures:
            raise StoreFullError(f"commit {self._count} fails")
        return super().commit(batches)


Step = tuple[int, bool, bool]  # which writer appends, whether it waits, whether its claim is lost


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 9).map(lambda n: n == 0))),
    st.sets(st.integers(1, 15)),
)
def test_what_is_stored_of_a_writer_is_a_beginning_of_what_it_submitted(
    steps: list[Step], failures: set[int]
) -> None:
    engine = Flaky(failures)
    committer = Committer(engine, write_behind_s=None)
    writers = [Writer() for _ in range(3)]
    submitted: list[list[Ticket]] = [[], [], []]
    refused = []
    for who, waits, loses in steps:
        key = b"%d %03d" % (who, len(submitted[who]))
        batch = claim(b"0 taken") if loses else claim(key)
        if loses and stored(engine)[:1] != [b"0 taken"]:
            continue
        try:
            ticket = committer.submit(batch, writers[who])
            submitted[who].append(ticket)
            if waits:
                committer.wait(ticket)
        except StoreError:
            refused.append(who)
            committer.reopen()
    assert all(writers[who].broken for who in refused)
    committer.close()
    check_prefixes(stored(engine), submitted)


def test_the_same_with_threads_and_failures() -> None:
    engine = Flaky({7, 20, 33})
    committer = Committer(engine)
    submitted: list[list[Ticket]] = [[] for _ in range(60)]

    def work(me: int) -> None:
        for generation in range(10):
            who = me * 10 + generation
            writer = Writer()
            committer.reopen()
            with suppress(StoreFullError):
                for number in range(20):
                    key = b"%d %03d" % (who, number)
                    submitted[who].append(committer.submit(claim(key), writer))
                    if number % 3 == 0:
                        committer.wait(submitted[who][-1])
                    elif number % 3 == 1:
                        committer.soon()

    join(run(*(lambda me=me: work(me) for me in range(6))))
    committer.close()
    check_prefixes(stored(engine), submitted)


def check_prefixes(keys: list[bytes], submitted: list[list[Ticket]]) -> None:
    for who, tickets in enumerate(submitted):
        assert all(ticket.settled for ticket in tickets)
        fates = [ticket.error is None for ticket in tickets]
        assert fates == sorted(fates, reverse=True)  # after the first failure everything failed
        mine = [key for key in keys if key.startswith(b"%d " % who)]
        assert mine == [b"%d %03d" % (who, number) for number in range(sum(fates))]
