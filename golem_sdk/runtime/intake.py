"""Accepting invocations: at once, at a time, once per idempotency key; and taking them back."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from golem_sdk.core.ids import AgentId
from golem_sdk.core.status import NEW_AGENT
from golem_sdk.errors import (
    InvocationCancelledError,
    RuntimeClosedError,
    StoreCorruptError,
    StoreError,
)
from golem_sdk.runtime.completion import Completion
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.payloads import load_payload, split_payload
from golem_sdk.storage.tickets import Writer
from golem_sdk.stores.heads import AgentHead, head_put
from golem_sdk.stores.invocations import (
    Invocation,
    InvocationStatus,
    Result,
    inbox_key,
    load_result,
    load_scheduled,
    result_key,
    result_row,
    scheduled_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from golem_sdk.oplog.writer import OplogWriter
    from golem_sdk.runtime.actor import Actor
    from golem_sdk.runtime.kernel import Kernel
    from golem_sdk.runtime.timers import Timer
    from golem_sdk.storage.tickets import Ticket

__all__ = ["Intake", "Request", "for_nobody", "set_aside"]

_log = logging.getLogger("golem_sdk")

Put = tuple[Space, bytes, bytes]
Del = tuple[Space, bytes]


@frozen
class Request:
    """An invocation asked for: ``constructor`` and ``arguments`` encode ``[positional, keyword]``."""

    agent: AgentId
    constructor: bytes
    method: str
    arguments: bytes
    key: str


class Intake:
    """The only way by which invocations enter the store. Thread-safe.

    Attributes:
        writer: for the actors that are made from now on, until what is in memory is given up.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._orders = Lock()
        self._order = 0
        self._arming = Lock()
        self._timers: dict[tuple[str, str], tuple[int, Invocation, Timer]] = {}
        self._recovering = Lock()
        self._losses, self._made_good = 1, 0  # of what is scheduled; as many if all of it is armed
        self._loss: BaseException  # as soon as there was one
        self.writer = Writer()

    def enqueue(self, request: Request, writer: OplogWriter | None = None) -> Completion:
        """Accept an invocation, or find the one with the same key.

        With ``writer`` the queue row rides in that agent's next commit: messages between agents of one
        store need no wait of their own. Without, it is queued for commit; nobody waits for that.

        Raises:
            RuntimeClosedError, StoreError: it was not accepted.
            AgentFailedError: the agent is parked.
        """
        return self._enqueue(request, writer)[0]

    def trigger(self, request: Request) -> None:
        """Accept an invocation as `enqueue` does, and return when it is on disk."""
        actor, ticket = self._enqueue(request, None)[1:]  # who has the completion keeps the actor
        self._kernel.accepted(ticket, actor.intake)

    def _enqueue(
        self, request: Request, writer: OplogWriter | None
    ) -> tuple[Completion, Actor, Ticket | None]:
        ticket = None
        with self._holding(request.agent) as actor:
            completion = self._known(actor, request.key)
            if completion is None:
                if actor.parked is not None:
                    raise actor.parked.with_traceback(None)
                invocation, puts = self._invocation(request, actor)
                ticket = self._write(actor, writer, [*puts, _queued(invocation)])
                completion = Completion(actor.agent_id, request.key, InvocationStatus.PENDING)
                actor.add(invocation, completion)
        _nudge(actor, completion)
        return completion, actor, ticket

    def schedule(self, request: Request, due_ns: int, writer: OplogWriter | None = None) -> None:
        """Accept an invocation that is to be queued at ``due_ns`` (nanoseconds since the epoch).

        Without ``writer`` (see `enqueue`) it is on disk when this returns.
        """
        ticket = None
        with self._holding(request.agent) as actor:
            if self._known(actor, request.key) is None:
                if actor.parked is not None:
                    raise actor.parked.with_traceback(None)
                invocation, puts = self._invocation(request, actor)
                key = scheduled_key(due_ns, invocation.order)
                row = (Space.SCHEDULED, key, invocation.to_row())
                ticket = self._write(actor, writer, [*puts, row])
                completion = Completion(actor.agent_id, request.key, InvocationStatus.SCHEDULED)
                actor.expect(request.key, completion)
                self._arm(due_ns, invocation)
        if writer is None:
            self._kernel.accepted(ticket, actor.intake)

    def cancel(self, agent: AgentId, key: str) -> bool:
        """Take back an invocation that has not begun; ``False`` if it has, or is over, or unknown.

        ``True`` also if it was taken back before: who asks again after a crash gets the same answer.
        """
        with self._holding(agent) as actor:
            completion = self._known(actor, key)
            if completion is None:
                return False
            if completion.status is InvocationStatus.SCHEDULED:
                with self._arming:
                    armed = self._timers.pop((agent.text, key), None)
                if armed is None:  # it is due, and about to be queued
                    return False
                due_ns, invocation, timer = armed
                timer.cancel()
                row = (Space.SCHEDULED, scheduled_key(due_ns, invocation.order))
            elif completion.status is InvocationStatus.PENDING:
                invocation = next(i for i in actor.queue if i.key == key)
                row = (Space.INBOX, inbox_key(agent.text, invocation.order))
            elif completion.status is InvocationStatus.CANCELLED:  # maybe just now
                row = None
            else:
                return False
            ticket = None
            if row is not None:
                ticket = self._write(actor, None, [_cancelled_row(invocation)], [row])
                if invocation in actor.queue:
                    actor.queue.remove(invocation)
                completion.status = InvocationStatus.CANCELLED
        try:  # until it is on disk, it keeps the actor: another one would find it queued
            self._kernel.accepted(ticket, actor.intake)
        except BaseException as error:
            completion.fail(error)  # nobody else knows who waits for it
            raise
        finally:
            with actor.mutex:
                actor.completions.pop(key, None)
            if actor.is_vacant:
                self._kernel.rested(actor)
        completion.refuse(_cancelled(agent.text, key))
        return True

    def find(self, agent: AgentId, key: str) -> Completion | None:
        """The completion of an invocation accepted earlier, ``None`` if its key is unknown."""
        with self._holding(agent) as actor:
            known = self._known(actor, key)
        if known is not None:
            _nudge(actor, known)
        return known

    def recover(self) -> None:
        """Arm the timers of everything scheduled on disk, unless they are armed."""
        with self._recovering:
            losses = self._losses
            if losses == self._made_good:
                return
            for due_ns, invocation in load_scheduled(self._kernel.engine, set_aside):
                self.above(invocation.order)
                try:
                    self._take_up(due_ns, invocation)
                except StoreCorruptError as error:  # what else there is of its agent is damaged
                    set_aside(error)
            self._made_good = losses

    def _take_up(self, due_ns: int, invocation: Invocation) -> None:
        agent = invocation.agent_type, invocation.agent_id
        self._kernel.actor(*agent, queued=True)  # an older version gave it no head
        with self._kernel.holding(*agent) as actor:
            # It may have been queued since it was read: a timer that was due waits for nobody.
            if self._found(actor, invocation.key) is None:
                completion = Completion(actor.agent_id, invocation.key, InvocationStatus.SCHEDULED)
                actor.expect(invocation.key, completion)
            self._arm(due_ns, invocation)

    def above(self, order: int) -> None:
        """A place in a queue is taken on disk: later ones come after it, whatever the clock says."""
        with self._orders:
            self._order = max(self._order, order)

    def forget(self, reason: BaseException, *, lost: bool = True) -> None:
        """Disarm everything, for ``reason``; what is on disk stays, and `recover` comes before all else.

        Args:
            reason: what is told to who asks.
            lost: what is not on disk yet will not be.
        """
        self._loss = reason
        self._losses += 1
        if lost:
            self.writer.broken, self.writer = reason, Writer()
        with self._arming:
            timers, self._timers = self._timers, {}
        for _, _, timer in timers.values():
            timer.cancel()

    def _arm(self, due_ns: int, invocation: Invocation) -> None:
        def deliver() -> None:
            with for_nobody(self._kernel):
                self._deliver(due_ns, invocation)

        def due() -> None:
            self._kernel.environment.spawn(deliver)

        with self._arming:  # it may be due before this returns
            timer = self._kernel.environment.call_at(due_ns, due)
            self._timers[invocation.agent_id, invocation.key] = (due_ns, invocation, timer)

    def _deliver(self, due_ns: int, invocation: Invocation) -> None:
        with self._arming:
            armed = self._timers.pop((invocation.agent_id, invocation.key), None)
        if armed is None:
            return
        with self._kernel.holding(invocation.agent_type, invocation.agent_id) as actor:
            row = (Space.SCHEDULED, scheduled_key(due_ns, invocation.order))
            known = self._found(actor, invocation.key)
            if known is not None and known.status is not InvocationStatus.SCHEDULED:
                self._write(actor, None, [], [row])  # its key was used meanwhile
                return
            invocation = evolve(invocation, order=self._next())  # it is queued behind who is there
            self._write(actor, None, [_queued(invocation)], [row])
            completion = actor.completions.setdefault(
                invocation.key,
                Completion(actor.agent_id, invocation.key, InvocationStatus.SCHEDULED),
            )
            completion.status = InvocationStatus.PENDING
            actor.add(invocation, completion)
        self._kernel.committer.soon()
        if not actor.asleep:
            actor.wake()

    def _holding(self, agent: AgentId) -> AbstractContextManager[Actor]:
        """The agent's actor, which has everything that is scheduled: `_known` raises if it does not."""
        if self._losses != self._made_good:
            self._kernel.check_open()
            self.recover()
        return self._kernel.holding(agent.agent_type, agent.text)

    def _known(self, actor: Actor, key: str) -> Completion | None:
        if self._losses != self._made_good:  # just now: nobody has what is scheduled
            raise self._loss.with_traceback(None)
        return self._found(actor, key)

    def _found(self, actor: Actor, key: str) -> Completion | None:
        completion = actor.end_of(key)
        if completion is not None or actor.blank:
            return completion
        result = load_result(self._kernel.engine, actor.agent_id, key)
        if result is None:
            return None
        if result.status is InvocationStatus.COMPLETED:
            outcome = load_payload(self._kernel.engine, result.outcome)
            return Completion.known(actor.agent_id, key, outcome, result.failed)
        if result.status is InvocationStatus.CANCELLED:
            completion = Completion(actor.agent_id, key, InvocationStatus.CANCELLED)
            completion.refuse(_cancelled(actor.agent_id, key))
            return completion
        return None

    def _invocation(self, request: Request, actor: Actor) -> tuple[Invocation, list[Put]]:
        arguments, puts = split_payload(request.arguments)
        constructor, more = split_payload(request.constructor)
        order, agent = self._next(), request.agent
        if actor.blank:  # the first thing that is stored of it comes with a head
            more.append(head_put(AgentHead(agent.agent_type, agent.text, NEW_AGENT)))
        invocation = Invocation(
            agent.agent_type, agent.text, request.key, request.method, arguments, constructor, order
        )
        return invocation, puts + more

    def _next(self) -> int:
        now_us = self._kernel.environment.now_ns() // 1000
        with self._orders:
            self._order = max(now_us, self._order + 1)
            return self._order

    def _write(
        self,
        actor: Actor,
        writer: OplogWriter | None,
        puts: list[Put],
        dels: list[Del] | None = None,
    ) -> Ticket | None:
        if writer is None:
            batch = Batch(None, tuple(puts), tuple(dels or ()))
            return self._kernel.committer.submit(batch, actor.intake)
        for space, key, value in puts:
            writer.put(space, key, value)
        return writer.flush()


def _nudge(actor: Actor, completion: Completion) -> None:
    """Wake who has to do it. If it cannot run (parked, code gone), who waits must learn it."""
    waits = completion.status is InvocationStatus.PENDING or (
        completion.status is InvocationStatus.RUNNING and actor.session is None
    )
    if waits and not actor.asleep:
        actor.wake()


def _queued(invocation: Invocation) -> Put:
    return (
        Space.INBOX,
        inbox_key(invocation.agent_id, invocation.order),
        invocation.to_row(),
    )


def _cancelled_row(invocation: Invocation) -> Put:
    key = result_key(invocation.agent_id, invocation.key)
    return Space.RESULT, key, result_row(Result(InvocationStatus.CANCELLED))


def _cancelled(agent_id: str, key: str) -> InvocationCancelledError:
    return InvocationCancelledError(
        f"invocation {key} of {agent_id} was cancelled before it began; nothing of it was done"
    )


@contextmanager
def for_nobody(kernel: Kernel) -> Iterator[None]:
    """What a timer has done here, for which nobody waits; if it fails, it is made good later."""
    try:
        yield
    except RuntimeClosedError:
        pass  # it is done when the store is opened again
    except StoreCorruptError as error:
        set_aside(error)
    except StoreError as error:
        kernel.store_failed(error)


def set_aside(error: StoreCorruptError) -> None:
    """Report a damaged record; what does not need it runs on (K2)."""
    _log.error("a damaged record was set aside, what does not need it runs on: %s", error)
