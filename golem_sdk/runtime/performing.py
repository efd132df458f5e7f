"""Completes the calls of synchronous agent code in place: performs them, waits for them, tries again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from golem_sdk.core.function_type import COMMIT_TABLE
from golem_sdk.errors import AgentControlSignal
from golem_sdk.runtime import retries
from golem_sdk.runtime.blocking import blocking
from golem_sdk.runtime.context import SCOPE
from golem_sdk.runtime.effects import AlarmEffect, Effect, TimerEffect
from golem_sdk.runtime.mailbox import Mail
from golem_sdk.runtime.outcomes import raised, success

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from golem_sdk.core.entries import ImportedFunctionInvoked
    from golem_sdk.core.machine import StartedCall
    from golem_sdk.core.scopes import Scope
    from golem_sdk.runtime.session import Session

__all__ = ["Performer", "perform", "wait"]


class Performer(Protocol):
    """Stands between durable calls and what performs them: watches it, or gives another outcome.

    It is asked once per attempt, in live code only. What it raises, or what it gives for asynchronous code,
    is the call's outcome, unless it is an `AgentControlSignal`.
    """

    def perform(
        self, session: Session, call: StartedCall, scope: Scope, action: Callable[[], Any]
    ) -> Any:
        """The result of a call that ``action()`` would make."""
        ...

    def perform_async(
        self,
        session: Session,
        call: StartedCall,
        scope: Scope,
        action: Callable[[], Awaitable[Any]],
    ) -> Callable[[], Awaitable[Any]]:
        """A coroutine function in place of ``action``. Asked on the agent's thread, as the call begins."""
        ...


def perform(
    session: Session, call: StartedCall, action: Callable[[], Any]
) -> ImportedFunctionInvoked:
    """Perform a call on this thread, as often as the retry policy allows, and record its outcome."""
    if call.begin:
        call = session.operations.writes.announced(call)
    while True:
        if session.writer.plan.call_retries:
            _await_next_attempt(session, call)
        if COMMIT_TABLE[call.function_type].before:
            with session:
                session.writer.commit()
        if session.pump.loop is None:
            made = _attempt(session, call, action)
        else:
            with blocking(session, call):
                made = _attempt(session, call, action)
        mail = made if made.error is None else retries.settled(session, call, made, SCOPE.get())
        if mail is not None:
            return session.record(call, mail)


def wait(session: Session, call: StartedCall, effect: Effect) -> ImportedFunctionInvoked:
    """Wait for a call that somebody else completes; a long wait suspends the agent."""
    if call.begin:
        call = session.operations.writes.announced(call)
    with session:
        effect.launch(session, call)
    due = effect.due_ns if isinstance(effect, TimerEffect) else 0
    with blocking(session, call, (due - session.now_ns()) / 1e9 if due else 0.0):
        mail = _mail(session, call, effect, due)
    assert isinstance(mail, Mail)
    return session.record(call, mail)


def _attempt(session: Session, call: StartedCall, action: Callable[[], Any]) -> Mail:
    session.depth += 1
    try:
        performer = session.kernel.settings.performer
        if performer is None:
            return Mail(call.number, *success(action()))
        return Mail(call.number, *success(performer.perform(session, call, SCOPE.get(), action)))
    except AgentControlSignal:
        raise
    except BaseException as error:  # whatever it raises is its outcome
        return Mail(call.number, *raised(error))
    finally:
        session.depth -= 1


def _await_next_attempt(session: Session, call: StartedCall) -> None:
    retry = session.writer.plan.call_retries.get(call.number)
    if retry is None or retry.due <= session.now_ns():
        return
    alarm = AlarmEffect(retry.due)
    alarm.launch(session, call)
    _mail(session, call, alarm, retry.due)


def _mail(session: Session, call: StartedCall, effect: Effect, due: int) -> object:
    patience_s = session.kernel.settings.patience_s(session.writer)
    if due and due - session.now_ns() > patience_s * 1e9:
        patience_s = 0.0
    mail = session.mailbox.wait(call.number, patience_s, session.kernel.environment)
    if mail is None:
        effect.cancel()
        raise session.suspend(due, only_timers=bool(due))
    return mail
