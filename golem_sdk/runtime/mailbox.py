"""Completions on their way to an agent: one inbox, one order for calls, timers, lanes and messages."""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from attrs import define, frozen

if TYPE_CHECKING:
    from _thread import LockType

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


class Owner(Protocol):
    """Whose mail it is.

    Attributes:
        mutex: never held by who waits for anybody that posts.
    """

    mutex: LockType

    def wake(self) -> None:
        """There is mail that no waiting thread takes. From the posting thread."""
        ...


class Mailbox:
    """Thread-safe. Anyone posts; only the agent's own thread takes."""

    __slots__ = ("_closed", "_items", "_owner", "_waiting")

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        # ``None``: there is none. An empty one takes much room.
        self._items: deque[Mail | Alarm] | None = None
        self._waiting: tuple[int | None, Environment, LockType] | None = None
        self._closed = False

    def post(self, mail: Mail | Alarm) -> None:
        """Deliver an outcome, or an alarm."""
        with self._owner.mutex:
            if self._items is None:
                self._items = deque()
            self._items.append(mail)
            wanted = self._waiting is not None and self._waiting[0] in {mail.call, None}
            if wanted:
                self._rouse()
        if not wanted:
            self._owner.wake()

    def take(self) -> Mail | Alarm | None:
        """The oldest, ``None`` if there is none."""
        if self._items is None:
            return None
        with self._owner.mutex:
            return self._without(self._items[0])

    def wait(self, call: int, timeout_s: float, environment: Environment) -> Mail | Alarm | None:
        """What is posted for one call, waited for at most ``timeout_s`` seconds; others stay.

        Meanwhile the calling thread counts as one that does not run. It runs again from the moment of the
        post on, not from when it notices: or a simulated clock would go on in between.
        """
        with self._owner.mutex:
            mail = self._pick(call)
            if mail is not None or self._closed or timeout_s <= 0:
                return mail
            bell = self._begin(call, environment)
        self._await(bell, timeout_s, environment)
        with self._owner.mutex:
            return self._pick(call)

    def wait_for_any(self, timeout_s: float, environment: Environment) -> bool:
        """The same for whatever comes first, which stays; whether there is anything."""
        with self._owner.mutex:
            if self._items or self._closed or timeout_s <= 0:
                return bool(self._items)
            bell = self._begin(None, environment)
        self._await(bell, timeout_s, environment)
        return bool(self._items)

    def _begin(self, call: int | None, environment: Environment) -> LockType:
        bell = Lock()
        bell.acquire()
        self._waiting = call, environment, bell
        return bell

    def _await(self, bell: LockType, timeout_s: float, environment: Environment) -> None:
        environment.leave()
        bell.acquire(timeout=timeout_s)
        with self._owner.mutex:
            if self._waiting is not None:  # or it was posted just after the time was up
                self._waiting = None
                environment.enter()

    def close(self) -> None:
        """Who waits gets ``None`` now; nobody waits any more."""
        with self._owner.mutex:
            self._closed = True
            if self._waiting is not None:
                self._rouse()

    def _rouse(self) -> None:
        waiting, self._waiting = self._waiting, None
        assert waiting is not None, "somebody waits"
        waiting[1].enter()
        waiting[2].release()

    def _pick(self, call: int) -> Mail | Alarm | None:
        for mail in self._items or ():
            if mail.call == call:
                return self._without(mail)
        return None

    def _without(self, mail: Mail | Alarm) -> Mail | Alarm:
        assert self._items is not None, "it is one of them"
        self._items.remove(mail)
        self._items = self._items or None
        return mail
