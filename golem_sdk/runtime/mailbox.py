"""Completions on their way to an agent: one inbox, one order for calls, timers, lanes and messages."""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import TYPE_CHECKING

from attrs import define, frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from golem_sdk.runtime.environment import Environment

__all__ = ["Alarm", "Mail", "Mailbox"]


@define  # not frozen, as `StartedCall`
class Mail:
    """The outcome of one started call, already encoded; ``error``: what it raised, as long as known."""

    call: int
    outcome: bytes
    failed: bool
    error: BaseException | None = None


@frozen
class Alarm:
    """The time has come to make a failed call again."""

    call: int


class Mailbox:
    """Thread-safe. Anyone posts; only the agent's own thread takes.

    Args:
        on_mail: called after each post that no waiting thread takes, from the posting thread.
    """

    def __init__(self, on_mail: Callable[[], None]) -> None:
        self._on_mail = on_mail
        self._mutex = Lock()
        self._items: deque[Mail | Alarm] = deque()
        self._waiting: tuple[int | None, Environment] | None = None
        self._closed = False
        self._arrived = Lock()
        self._arrived.acquire()

    def post(self, mail: Mail | Alarm) -> None:
        """Deliver an outcome, or an alarm."""
        with self._mutex:
            self._items.append(mail)
            wanted = self._waiting is not None and self._waiting[0] in {mail.call, None}
            if wanted:
                self._rouse()
        if not wanted:
            self._on_mail()

    def take(self) -> Mail | Alarm | None:
        """The oldest, ``None`` if there is none."""
        try:
            return self._items.popleft()
        except IndexError:
            return None

    def wait(self, call: int, timeout_s: float, environment: Environment) -> Mail | Alarm | None:
        """What is posted for one call, waited for at most ``timeout_s`` seconds; others stay.

        Meanwhile the calling thread counts as one that does not run. It runs again from the moment of the
        post on, not from when it notices: or a simulated clock would go on in between.
        """
        with self._mutex:
            mail = self._pick(call)
            if mail is not None or self._closed or timeout_s <= 0:
                return mail
            self._waiting = call, environment
        self._await(timeout_s, environment)
        with self._mutex:
            return self._pick(call)

    def wait_for_any(self, timeout_s: float, environment: Environment) -> bool:
        """The same for whatever comes first, which stays; whether there is anything."""
        with self._mutex:
            if self._items or self._closed or timeout_s <= 0:
                return bool(self._items)
            self._waiting = None, environment
        self._await(timeout_s, environment)
        return bool(self._items)

    def _await(self, timeout_s: float, environment: Environment) -> None:
        environment.leave()
        self._arrived.acquire(timeout=timeout_s)
        with self._mutex:
            if self._waiting is None:
                self._arrived.acquire(blocking=False)  # posted just after the time was up
            else:
                self._waiting = None
                environment.enter()

    def close(self) -> None:
        """Who waits gets ``None`` now; nobody waits any more."""
        with self._mutex:
            self._closed = True
            if self._waiting is not None:
                self._rouse()

    def _rouse(self) -> None:
        waiting, self._waiting = self._waiting, None
        assert waiting is not None, "somebody waits"
        waiting[1].enter()
        self._arrived.release()

    def _pick(self, call: int) -> Mail | Alarm | None:
        for mail in self._items:
            if mail.call == call:
                self._items.remove(mail)
                return mail
        return None
