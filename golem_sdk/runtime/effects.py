"""What it takes to complete a durable call live: on the host loop, in a lane, by a timer, by a message.

An effect is launched at most once per load of its agent and then posts exactly one mail, unless it is
cancelled. The agent's code and the machine never see which kind it was.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from golem_sdk.errors import (
    AgentFailedError,
    AgentFencedSignal,
    InvocationNotFoundError,
    RuntimeClosedError,
    StoreCorruptError,
    StoreError,
    UnknownAgentTypeError,
)
from golem_sdk.runtime.context import SESSION
from golem_sdk.runtime.mailbox import Alarm, Mail
from golem_sdk.runtime.outcomes import failure, raised, success

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from golem_sdk.core.machine import StartedCall
    from golem_sdk.core.scopes import Scope
    from golem_sdk.runtime.completion import Completion
    from golem_sdk.runtime.hostloop import Running
    from golem_sdk.runtime.lanes import Lane
    from golem_sdk.runtime.session import Session
    from golem_sdk.runtime.timers import Timer

__all__ = [
    "AlarmEffect",
    "Effect",
    "HostEffect",
    "LaneEffect",
    "ResultEffect",
    "TimerEffect",
    "Waiter",
    "asked",
]

T = TypeVar("T")

NONE = success(None)
REFUSALS = (
    AgentFailedError,
    InvocationNotFoundError,
    StoreCorruptError,
    UnknownAgentTypeError,
)
"""Why an agent takes no call."""


class Waiter(Protocol):
    """Who waits for a call: a future, a timer of the loop, or a lane."""

    def resume(self, value: object) -> None:
        """The call is completed, by this entry."""
        ...


class Effect:
    """How a call is completed live.

    Attributes:
        resumable: it can be taken up again after the agent was unloaded: nothing runs meanwhile.
        waiter: who waits for it, unless that is the thread of agent code.
        scope: the guards around the code that does.
    """

    __slots__ = ("scope", "waiter")

    resumable: bool
    waiter: Waiter
    scope: Scope

    @abstractmethod
    def launch(self, session: Session, call: StartedCall) -> None:
        """Set it going; it posts to the session's mailbox."""

    @abstractmethod
    def cancel(self) -> None:
        """Agent code does not want it any more."""


class HostEffect(Effect):
    """A coroutine function, run on the host loop outside the agent's context."""

    __slots__ = ("_call", "_context", "_perform", "_running", "_session")

    resumable = False
    _session: Session
    _call: int

    def __init__(self, perform: Callable[[], Awaitable[Any]]) -> None:
        self._perform = perform
        self._running: Running | None = None
        self._context = copy_context()
        self._context.run(SESSION.set, None)

    def launch(self, session: Session, call: StartedCall) -> None:
        """See `Effect.launch`."""
        self._session, self._call = session, call.number
        performer, perform = session.kernel.settings.performer, self._perform
        if performer is not None:
            perform = performer.perform_async(session, call, self.scope, self._perform)
        session.kernel.environment.enter()
        self._running = session.kernel.host.run(perform, self._context, self._done)

    def cancel(self) -> None:
        """See `Effect.cancel`."""
        if self._running is not None:
            self._running.cancel()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._session.mailbox.post(_mail(self._call, task))
        self._session.kernel.environment.leave()


class LaneEffect(Effect):
    """A function, run on its lane's own thread while the lane is parked."""

    __slots__ = ("_perform", "lane")

    resumable = False

    def __init__(self, lane: Lane, perform: Callable[[], Any]) -> None:
        self.lane = lane
        self._perform = perform

    def launch(self, session: Session, call: StartedCall) -> None:
        """See `Effect.launch`."""
        environment = session.kernel.environment
        performer, perform = session.kernel.settings.performer, self._perform
        if performer is not None:
            perform = partial(performer.perform, session, call, self.scope, self._perform)
        environment.enter()

        def body() -> None:
            token = SESSION.set(None)
            try:
                mail = Mail(call.number, *success(perform()))
            except BaseException as error:  # whatever it raises is its outcome
                mail = Mail(call.number, *raised(error))
            finally:
                SESSION.reset(token)
            session.mailbox.post(mail)
            environment.leave()

        self.lane.perform(body)

    def cancel(self) -> None:
        """See `Effect.cancel`."""


class TimerEffect(Effect):
    """Completes when its time has come: what its call asks for is a delay in nanoseconds.

    The due time survives a crash and an unloading.
    """

    __slots__ = ("_call", "_mailbox", "_timer", "due_ns")

    resumable = True

    def __init__(self) -> None:
        self._timer: Timer | None = None
        self.due_ns: int  # once it is launched

    def launch(self, session: Session, call: StartedCall) -> None:
        """See `Effect.launch`."""
        environment = session.kernel.environment
        self.due_ns = session.pump.timer_due(call)
        self._mailbox, self._call = session.mailbox, call.number
        if self.due_ns <= environment.now_ns():
            self()
        else:
            self._timer = environment.call_at(self.due_ns, self)

    def __call__(self) -> None:
        """It has: the timer calls this."""
        self._mailbox.post(Mail(self._call, *NONE))

    def cancel(self) -> None:
        """See `Effect.cancel`."""
        if self._timer is not None:
            self._timer.cancel()


class AlarmEffect(Effect):
    """The delay before a failed call is made again.

    Attributes:
        due_ns: when it is over, nanoseconds since the epoch.
        again: what is launched then; ``None``: whoever waits performs the call.
    """

    __slots__ = ("_timer", "again", "due_ns")

    resumable = True

    def __init__(self, due_ns: int, again: Effect | None = None) -> None:
        self.due_ns = due_ns
        self.again = again
        if again is not None:
            self.waiter, self.scope = again.waiter, again.scope
        self._timer: Timer | None = None

    def launch(self, session: Session, call: StartedCall) -> None:
        """See `Effect.launch`."""
        self._timer = session.kernel.environment.call_at(
            self.due_ns, lambda: session.mailbox.post(Alarm(call.number))
        )

    def cancel(self) -> None:
        """See `Effect.cancel`."""
        if self._timer is not None:
            self._timer.cancel()


class ResultEffect(Effect):
    """Completes when another agent's invocation is over."""

    __slots__ = ("_enqueue",)

    resumable = True

    def __init__(self, enqueue: Callable[[], Completion]) -> None:
        self._enqueue = enqueue

    def launch(self, session: Session, call: StartedCall) -> None:
        """See `Effect.launch`."""
        try:
            completion = self._enqueue()
        except REFUSALS as error:  # of the agent asked: an outcome, for the one that asks
            session.mailbox.post(Mail(call.number, *failure(error)))
            return
        # Not the session: it may be unloaded meanwhile.
        mailbox, number = session.mailbox, call.number
        completion.listen(lambda outcome, failed: mailbox.post(Mail(number, outcome, failed)))

    def cancel(self) -> None:
        """See `Effect.cancel`."""


def asked(session: Session, ask: Callable[[], T]) -> T:
    """What this runtime itself answers to agent code.

    If its store fails, that is no outcome to be recorded: the agent starts anew from disk.

    Raises:
        AgentControlSignal: it failed.
    """
    try:
        return ask()
    except REFUSALS:
        raise
    except (StoreError, RuntimeClosedError) as error:
        raise session.end(AgentFencedSignal(error)) from error


def _mail(call: int, task: asyncio.Task[Any]) -> Mail:
    if task.cancelled():
        return Mail(call, *failure(asyncio.CancelledError()))
    error = task.exception()
    if error is not None:
        return Mail(call, *raised(error))
    return Mail(call, *success(task.result()))
