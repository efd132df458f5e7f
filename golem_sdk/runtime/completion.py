"""The end of an invocation, as those see it who wait for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from threading import TIMEOUT_MAX, Lock, RLock
from typing import TYPE_CHECKING
from weakref import ref

from golem_sdk.runtime.outcomes import failure
from golem_sdk.stores.invocations import InvocationStatus

if TYPE_CHECKING:
    from golem_sdk.errors import GolemError

__all__ = ["Completion", "forget"]

_log = logging.getLogger("golem_sdk")

Listener = Callable[[bytes, bool], None]


class Completion:
    """Where the outcome of one invocation appears. Thread-safe.

    It is first *settled* (agents of this store may see it: their own commits come later in the same
    order) and then *published* (it is on disk: everybody may see it, P4).

    Attributes:
        status: what has become of the invocation.
    """

    __slots__ = (
        "__weakref__",
        "_agents",
        "_error",
        "_mutex",
        "_others",
        "_outcome",
        "_published",
        "agent_id",
        "key",
        "status",
    )

    def __init__(self, agent_id: str, key: str, status: InvocationStatus) -> None:
        self.agent_id = agent_id
        self.key = key
        self.status = status
        # Reentrant: garbage collection in here may close a coroutine, which then withdraws.
        self._mutex = RLock()
        self._outcome: tuple[bytes, bool] | None = None
        self._published = False
        self._error: BaseException | None = None
        self._agents: list[Listener] = []
        self._others: list[Callable[[], None]] = []

    @staticmethod
    def known(agent_id: str, key: str, outcome: bytes, failed: bool) -> Completion:
        """The completion of an invocation whose result is on disk."""
        completion = Completion(agent_id, key, InvocationStatus.COMPLETED)
        completion._outcome, completion._published = (outcome, failed), True
        return completion

    @property
    def is_awaited(self) -> bool:
        """Whether anybody is to be told of it."""
        with self._mutex:
            return bool(self._agents or self._others)

    def listen(self, listener: Listener) -> None:
        """Give the outcome to an agent, as soon as it is settled."""
        with self._mutex:
            if self._outcome is None:
                self._agents.append(listener)
                return
            outcome = self._outcome
        listener(*outcome)

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call back when `outcome` gives something or raises."""
        with self._mutex:
            if not self._published and self._error is None:
                self._others.append(callback)
                return
        callback()

    def withdraw(self, callback: Callable[[], None]) -> None:
        """Do not call back (again), if that has not been done: nobody waits there any more."""
        with self._mutex, suppress(ValueError):
            self._others.remove(callback)

    def settle(self, outcome: bytes, failed: bool, status: InvocationStatus) -> None:
        """The outcome is decided and queued for the next commit."""
        with self._mutex:
            self._outcome, self.status = (outcome, failed), status
            listeners, self._agents = self._agents, []
        for listener in listeners:
            _guarded(listener, outcome, failed)

    def publish(self) -> None:
        """The outcome is on disk."""
        self._finish(None)

    def fail(self, error: BaseException) -> None:
        """There will be no outcome in this runtime: waiters get ``error``; agents get nothing new."""
        self._finish(error)

    def refuse(self, error: GolemError) -> None:
        """The agent cannot run: everybody who waits, agents included, gets ``error`` as the outcome."""
        self.settle(*failure(error), self.status)
        self._finish(error)

    def outcome(self, timeout_s: float | None = None) -> tuple[bytes, bool]:
        """Wait for the outcome to be on disk.

        Raises:
            TimeoutError: it was not within ``timeout_s`` seconds; the invocation goes on.
            BaseException: what keeps it from ever being.
        """
        done = Lock()
        done.acquire()
        self.when_done(done.release)
        try:
            done.acquire(timeout=-1 if timeout_s is None else min(max(0.0, timeout_s), TIMEOUT_MAX))
        finally:
            self.withdraw(done.release)
        with self._mutex:
            if self._published and self._outcome is not None:
                return self._outcome
            if self._error is not None:
                raise self._error.with_traceback(None)  # it may be told to many
        raise TimeoutError(
            f"invocation {self.key} of {self.agent_id} is not finished after {timeout_s} s; it goes on,"
            " ask again later"
        )

    def _finish(self, error: BaseException | None) -> None:
        with self._mutex:
            self._published = self._published or error is None
            self._error = error
        # One at a time: after an interrupt, calling this again reaches those who were not told.
        while (callback := self._next_other()) is not None:
            _guarded(callback)

    def _next_other(self) -> Callable[[], None] | None:
        with self._mutex:
            return self._others.pop(0) if self._others else None


def forget(completions: dict[str, Completion], key: str) -> bool:
    """Keep this completion no longer, if nobody has it; whether now there is none.

    Nobody may be given one meanwhile. Who has been, and has not begun to wait yet, has a reference.
    """
    if key not in completions or completions[key].is_awaited:
        return not completions
    forgotten = ref(completions.pop(key))
    missed = forgotten()
    if missed is not None:
        completions[key] = missed
    return not completions


def _guarded(callback: Callable[..., None], *args: object) -> None:
    """Call somebody who waits. If that fails, neither the agent nor others who wait can help it."""
    try:
        callback(*args)
    except Exception:
        _log.exception("somebody who waits for an invocation could not be told that it is over")
