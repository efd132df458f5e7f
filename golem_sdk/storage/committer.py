"""Group commit: batches of all agents share durable transactions, in the order of submission.

Leader and followers: whoever waits first commits everything that is queued, on its own thread; who
comes meanwhile waits, and one of them leads next. Alone, a thread commits without any thread hop. Who
has nothing more to do than to pass the news on need not wait: the leader does it (`Committer.tell`).

A failed commit fails everything that is queued and breaks its writers (C1): what an agent submits
later builds on what was lost, so it must not be written. The agent has to be loaded again.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from golem_sdk import originals
from golem_sdk.errors import RuntimeClosedError, StoreBrokenError
from golem_sdk.storage.flights import batches_of, fenced, spread
from golem_sdk.storage.process import check_process
from golem_sdk.storage.tickets import Ticket

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable

    from golem_sdk.storage.base import Batch, Engine
    from golem_sdk.storage.tickets import Told, Writer

__all__ = ["Committer"]

_SIBLINGS = 8
"""If the last commit had so many batches, the next one waits for those that they let go."""

_GATHER_S = 50e-6
_MOST_TURNS = 40

_MOST_FLIGHTS = 4
"""So many commits a thread makes for others, after its own: under load there is always one more."""


class Committer:
    """The one way into ``engine`` for everything that writes to it. Thread-safe.

    Args:
        engine: nobody else commits to it.
        write_behind_s: how long `soon` lets batches gather; ``None``: `soon` does nothing, batches
            are committed only by `wait` and `close` (simulation).
        pause: how a thread lets time pass.
        failed: is told of each commit that failed, on the thread that tried it; must neither block nor
            raise. Somebody has to call `reopen` then, and maybe nobody waits for that commit.
        relieve: runs a job on another thread, soon: it commits for those who do not wait. ``None``: whoever
            leads does that, for as long as there is somebody.

    Attributes:
        engine: where batches go.
        commits: how many transactions were tried.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        write_behind_s: float | None = 0.002,
        pause: Callable[[float], object] = originals.sleep,
        failed: Callable[[BaseException], object] | None = None,
        relieve: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.commits = 0
        self._tell_failed = failed
        self._relieve = relieve
        self.engine = engine
        self._write_behind_s = write_behind_s
        self._pause = pause
        self._pid = os.getpid()
        self._lock = Lock()  # over everything below; never held while the engine commits
        self._queue: list[Ticket] = []
        self._flight: list[Ticket] = []  # what the present leader commits
        self._size = 0  # of the last flight
        self._leading = False
        self._closed = False
        self._failed: BaseException | None = None
        self._thread: Thread | None = None
        self._asked = False
        self._prepare: deque[Callable[[], Ticket | None]] = deque()
        self._bell = Event()
        # Settled, but asleep still. Each wakes the next: many at once would only fight for the interpreter.
        self._sleepers: deque[LockType] = deque()

    def submit(self, batch: Batch, writer: Writer | None = None) -> Ticket:
        """Queue ``batch``. It becomes durable by a `wait`, by `soon`, or by `close`.

        Raises:
            RuntimeClosedError: the committer is closed.
            BaseException: what broke ``writer``, or what failed (see `reopen`).
        """
        check_process(self._pid, "a runtime")
        ticket = Ticket(batch, writer)
        with self._lock:
            if writer is not None and writer.broken is not None:
                raise writer.broken.with_traceback(None)
            if self._closed:
                raise RuntimeClosedError("the runtime is closed: nothing was written")
            if self._failed is not None:
                raise self._failed.with_traceback(None)
            self._queue.append(ticket)
            if writer is not None:
                writer.newest = ticket
        return ticket

    def wait(self, ticket: Ticket) -> None:
        """Return when ``ticket`` is durable, with everything that was submitted before it.

        Raises:
            StoreFencedError: its claim was lost; nothing of it happened.
            StoreError: the commit failed.
        """
        while not ticket.settled:
            self._lead_or_follow(ticket)
        if ticket.error is not None:
            raise ticket.error.with_traceback(None)

    def tell(self, ticket: Ticket, told: Told) -> None:
        """Call ``told`` with the ticket's error, or ``None`` when it is durable; maybe after returning.

        If nobody commits at the moment, this thread does; otherwise whoever does calls ``told``, and
        this thread may go on at once. ``told`` must neither block nor raise; an interrupt may have it
        called twice.
        """
        with self._lock:
            if self._leading and not ticket.settled:
                ticket.told = told
                return
        while not ticket.settled:
            self._lead_or_follow(ticket)
        told(ticket.error)

    def soon(self, prepare: Callable[[], Ticket | None] | None = None) -> None:
        """Have what is queued committed shortly, by the write-behind thread. Cheap when repeated.

        Or that of which ``prepare`` gives the ticket, if any: it is called by that thread, and may submit
        what was gathered until then.
        """
        if self._write_behind_s is None:
            return
        self._prepare.append(prepare or self._newest)
        if self._asked:
            return
        check_process(self._pid, "a runtime")
        with self._lock:
            if self._closed:
                return
            if self._thread is None:
                thread = Thread(
                    target=self._write_behind,
                    args=(self._write_behind_s,),
                    name="golem-write-behind",
                    daemon=True,
                )
                try:
                    originals.start_thread(thread)
                except RuntimeError:  # no more threads now: the next one who asks tries again
                    return
                self._thread = thread
            self._asked = True
        self._bell.set()

    @property
    def is_busy(self) -> bool:
        """Whether somebody commits just now, so that what is submitted waits for the next commit."""
        return self._leading

    @property
    def has_failed(self) -> bool:
        """Whether a commit failed and nobody has called `reopen` since."""
        return self._failed is not None

    def reopen(self) -> None:
        """After a failed commit: everybody who built on what was lost is gone, take batches again.

        Until then every submit raises what failed: an agent may have seen, in memory, what another one
        could not write, and must not go on from there.
        """
        with self._lock:
            self._failed = None

    def close(self) -> None:
        """Commit what is queued and stop the thread. Later submits raise; closing twice is fine.

        Raises nothing when that commit fails: the tickets say so, and nobody was told otherwise.
        The engine stays open.
        """
        check_process(self._pid, "a runtime")
        with self._lock:
            self._closed = True
        self._settle_all()
        self._bell.set()
        if self._thread is not None:
            self._thread.join()

    # --- leader and followers -------------------------------------------------------------------

    def _lead_or_follow(self, ticket: Ticket) -> None:
        """Commit everything queued, or sleep until the ticket is settled or this thread may lead."""
        check_process(self._pid, "a runtime")
        leads = False
        try:
            with self._lock:
                if ticket.settled:
                    return
                if self._leading:
                    followers = ticket.follow()
                else:
                    self._leading = leads = True
            if leads:
                self._flush()
                return
            with followers:  # and on to the next one who follows the same ticket
                pass
            self._wake_next()
        except BaseException:
            # Interrupted: who sleeps beside or behind this thread must not wait for it for ever.
            self._rouse(ticket)
            raise
        finally:
            if leads:
                self._retire()

    def _flush(self) -> None:
        interrupt: BaseException | None = None
        try:
            if self._size >= _SIBLINGS:
                self._gather()
        except BaseException as error:  # nothing has begun: it is raised when the commit is over
            interrupt = error
        try:
            with self._lock:
                self._flight, self._queue = self._queue, []
            self._size = len(self._flight)
            self._commit(self._flight)
        except BaseException as error:
            self._fail_everything(error)
            if not isinstance(error, Exception):
                interrupt = error
        if interrupt is not None:
            raise interrupt

    def _gather(self) -> None:
        """Wait while the queue grows, for 2 ms at most (PostgreSQL: ``commit_delay``, ``commit_siblings``).

        Those whom the last commit has let go run until they wait for the next. They would run beside it, too,
        but each call of the engine would wake one of them in vain, as the interpreter's lock is taken back
        before it has got it: that took longer than the commit.
        """
        for _ in range(_MOST_TURNS):
            queued = len(self._queue)
            self._pause(_GATHER_S)
            if len(self._queue) == queued:
                return

    def _retire(self) -> None:
        """End a flush; if only such are queued as do not wait, commit for them, too."""
        interrupt: BaseException | None = None
        leads, flights = True, 0
        while leads:
            has_heir = False
            try:
                has_heir = self._hand_over()
            except BaseException as error:
                interrupt = error
            leads = not has_heir and self._leads_on(flights)
            flights += 1
            try:
                if leads:
                    self._flush()
            except BaseException as error:  # who waits for this flight is told first
                interrupt = error
        if interrupt is not None:
            raise interrupt

    def _hand_over(self) -> bool:
        """Tell everybody whose ticket a flush settled, and find who leads next; ``False``: nobody waits."""
        with self._lock:
            flight, self._flight = self._flight, []
            self._leading = False
            for ticket in flight:
                if (followers := ticket.over()) is not None:
                    self._sleepers.append(followers)
            has_heir = bool(self._queue) and self._wake_heir()
        if not has_heir:
            self._wake_next()
        spread(flight)
        return has_heir

    def _leads_on(self, flights: int) -> bool:
        """Whether this thread commits for those who are told; not for ever, if somebody can relieve it."""
        if not self._queue:  # who comes now leads
            return False
        with self._lock:
            if self._leading or not any(ticket.told for ticket in self._queue):
                return False
            self._leading = leads = self._relieve is None or flights < _MOST_FLIGHTS
        if self._relieve is not None and not leads:
            self._relieve(self._settle_all)
        return leads

    def _rouse(self, ticket: Ticket) -> None:
        self._wake_next()
        with self._lock:
            ticket.wake()
            if self._leading:
                return
            self._leading = True
        self._retire()

    def _wake_next(self) -> None:
        if self._sleepers:
            with suppress(IndexError):  # somebody else has woken the last one
                self._sleepers.popleft().release()

    def _wake_heir(self) -> bool:
        return any(ticket.wake() for ticket in self._queue)

    # --- what a flush does ----------------------------------------------------------------------

    def _commit(self, tickets: list[Ticket]) -> None:
        alive = []
        for ticket in tickets:
            if ticket.writer is not None and ticket.writer.broken is not None:
                ticket.fail(ticket.writer.broken)
            else:
                alive.append(ticket)
        if not alive:
            return
        self.commits += 1
        happened = self.engine.commit(batches_of(alive))
        for ticket, won in zip(alive, happened, strict=True):
            if won:
                ticket.settled = True
            elif ticket.writer is not None and ticket.writer.broken is not None:
                ticket.fail(ticket.writer.broken)
            else:
                ticket.fail(fenced(ticket.batch))

    def _fail_everything(self, error: BaseException) -> None:
        if not isinstance(error, Exception):
            cause = error
            error = StoreBrokenError(
                "a commit was interrupted; whether it happened is known after a restart only: load "
                "the agents again, or restart the process"
            )
            error.__cause__ = cause
        with self._lock:
            self._failed = error
            self._flight += self._queue
            self._queue = []
            for ticket in self._flight:
                if not ticket.settled:
                    ticket.fail(error)
        if self._tell_failed is not None:
            self._tell_failed(error)

    def _write_behind(self, delay_s: float) -> None:
        while not self._closed:
            self._bell.wait()
            self._bell.clear()
            self._pause(delay_s)
            self._asked = False
            with suppress(BaseException):  # no signal arrives here: only an engine can raise
                prepared = []
                while self._prepare:
                    with suppress(Exception):  # its writer is broken or fenced, which others learn
                        prepared.append(self._prepare.popleft()())
                for ticket in filter(None, prepared):  # in no order: some had nothing new
                    with suppress(Exception):
                        if self._is_left(ticket):
                            self.soon()  # once for all of them: each commit takes everything along
                            break
                        self.wait(ticket)

    def _newest(self) -> Ticket | None:
        queued = self._queue or self._flight
        return queued[-1] if queued else None

    def _is_left(self, ticket: Ticket) -> bool:
        """Whether somebody commits at the moment: who commits next takes it along.

        If nobody does, it is still there when this thread looks again.
        """
        with self._lock:
            return self._leading and not ticket.settled

    def _settle_all(self) -> None:
        """Commit everything submitted so far. Failures are the tickets', which keep them."""
        last = self._newest()
        if last is not None:
            with suppress(Exception):
                self.wait(last)
