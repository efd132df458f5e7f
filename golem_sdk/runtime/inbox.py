"""What an agent has accepted, and who waits for it to be over."""

from __future__ import annotations

from _thread import LockType
from threading import Lock

from attrs import define, evolve, field

from golem_sdk.errors import GolemError
from golem_sdk.runtime.completion import Completion, forget
from golem_sdk.runtime.leavings import Leavings
from golem_sdk.runtime.registry import Found
from golem_sdk.stores.invocations import Invocation, InvocationStatus

__all__ = ["Inbox"]


@define(eq=False, repr=False, weakref_slot=False)
class Inbox:
    """The invocations that wait for an agent, and the one under way.

    Attributes:
        mutex: guards all of this.
        queue: accepted invocations, the one under way first.
        blank: the store has nothing of the agent, not even a head.
        retired: nothing may be added here any more.
    """

    agent_id: str
    _found: Found | None
    mutex: LockType = field(init=False)
    queue: list[Invocation] = field(init=False)
    _completions: dict[str, Completion] | None = field(init=False)
    blank: bool = field(init=False)
    retired: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self.mutex = Lock()
        found = self._found
        assert found is not None, "it is let go of later"
        self.queue, self.blank = found.inbox, found.blank
        self._completions = {i.key: self._completion(i.key) for i in self.queue} or None

    @property
    def completions(self) -> dict[str, Completion]:
        """Ends that somebody may wait for, by idempotency key; made when it is first asked for."""
        if self._completions is None:
            self._completions = {}
        return self._completions

    def add(self, invocation: Invocation, completion: Completion) -> None:
        """Queue an accepted invocation (under ``mutex``; then wake the agent, unless it is asleep)."""
        self.expect(invocation.key, completion)
        if self.queue:
            self.queue.append(invocation)
        else:
            self.queue = [invocation]  # which keeps no room for more: most agents have one

    def expect(self, key: str, completion: Completion) -> None:
        """An invocation is stored that is to be queued, now or later (under ``mutex``)."""
        self.completions[key] = completion
        self.blank = False

    def end_of(self, key: str) -> Completion | None:
        """That of an invocation which is scheduled, queued or under way (under ``mutex``)."""
        end = self.completions.get(key)
        if end is None and self.queue and self.queue[0].key == key:
            end = self.completions[key] = Completion(self.agent_id, key, InvocationStatus.RUNNING)
        return end

    def forget(self, key: str) -> bool:
        """Keep only what is needed of the invocation under way (under ``mutex``); whether no end is left.

        Its own is kept if somebody has it; otherwise `end_of` makes another one.
        """
        if self.queue and self.queue[0].key == key and self.queue[0].constructor:
            self.queue[0] = evolve(self.queue[0], arguments=b"", constructor=b"")
        if self._completions is not None and forget(self._completions, key):
            self._completions = None
        return self._completions is None

    def surrender(self) -> Leavings:
        """Stop standing for the agent, whatever it does: give away what has to go on without this."""
        with self.mutex:
            self.retired = True
            left = Leavings.of(self.completions)
            self.queue.clear()
            for key in left.completions:
                del self.completions[key]
        return left

    def inherit(self, left: Leavings) -> None:
        """Go on with what an earlier one had to leave (before anybody else knows this one)."""
        self.blank = self.blank and not left.completions
        for key, completion in left.completions.items():
            if completion.status is not InvocationStatus.SCHEDULED:
                completion.status = self._completion(key).status
            self.completions[key] = completion

    def fail(self, error: BaseException, *, refuse: bool) -> None:
        """Nobody can be answered: tell all who wait. ``refuse``: agents that wait are told, too."""
        with self.mutex:
            self.retired = True
            completions, self._completions = list(self.completions.values()), None
            self.queue.clear()
        for completion in completions:
            if refuse and isinstance(error, GolemError):
                completion.refuse(error)
            else:
                completion.fail(error)

    def _completion(self, key: str) -> Completion:
        """That of an invocation which is not over; one that has begun is not taken back any more."""
        head = None if self._found is None else self._found.head
        began = head is not None and head.record.invocation == key
        status = InvocationStatus.RUNNING if began else InvocationStatus.PENDING
        return Completion(self.agent_id, key, status)
