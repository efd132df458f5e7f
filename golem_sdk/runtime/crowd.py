"""Threads beside a synchronous agent's code: from the first one on, a thread of the runtime drives them all.

The invocation's own thread becomes a lane among lanes, so its calls, too, are performed without the baton and
come back in the one recorded order. When its code is over, the threads are waited for, as at the end of a
program; daemons are ended.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import Context
from queue import SimpleQueue
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING

from golem_sdk.errors import AgentControlSignal
from golem_sdk.runtime.effects import AlarmEffect, TimerEffect
from golem_sdk.runtime.lanes import MainLane, current_lane

if TYPE_CHECKING:
    from golem_sdk.runtime.crews import Lanes
    from golem_sdk.runtime.session import Session

__all__ = ["Crowd"]


class Crowd(AbstractContextManager[None]):
    """The threads of a session. In its block a synchronous invocation runs.

    Attributes:
        threads_made: how many threads without a name its code has made.
    """

    __slots__ = ("_driver", "session", "threads_made")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.threads_made = 0
        self._driver: _Driver | None = None

    def lanes(self) -> Lanes:
        """The session's lanes, driven from now on: agent code is about to start one.

        Raises:
            AgentControlSignal: the session is over.
        """
        session = self.session
        session.check()
        lanes = session.pump.open_loop().lanes
        if current_lane() is None and not session.pump.is_running:
            self._driver = _Driver(session, lanes)
        return lanes

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.end(is_over=isinstance(error, AgentControlSignal))


class _Driver:
    """Delivers completions to the lanes of a synchronous agent, the invocation's own among them."""

    def __init__(self, session: Session, lanes: Lanes) -> None:
        self.session = session
        self._lanes = lanes
        self._gone: SimpleQueue[None] = SimpleQueue()
        self._main = MainLane(lanes)
        environment = session.kernel.environment
        Context().run(environment.spawn, self._drive)
        environment.leave()  # from now on the driver stands for it

    def end(self, *, is_over: bool) -> None:
        """The invocation's code is over, on its own thread; ``is_over``: the session is, too.

        Raises:
            AgentControlSignal: the session ended while it waited for its threads.
        """
        try:
            if not is_over:
                self._lanes.drain_for(self._main)
                self._lanes.release_threads()
        finally:
            self._main.end()
            self._gone.get()
            self._lanes.baton.holder = None

    def _drive(self) -> None:
        session, main = self.session, self._main
        signal: BaseException | None = None
        try:
            main.await_baton()
            self._lanes.baton.holder = None
            with session:
                while not session.pump.run(lambda: main.over):
                    self._await_mail()
        except BaseException as error:  # the invocation's own code is to raise it
            signal = error
        session.kernel.environment.enter()  # for the thread of the invocation, which runs alone again
        if signal is not None:
            main.fence(signal)
        self._gone.put(None)

    def _await_mail(self) -> None:
        """Wait until something arrives; a long wait for what needs no thread suspends the agent."""
        session = self.session
        settings, environment = session.kernel.settings, session.kernel.environment
        effects = session.pump.effects
        due = [effect.due_ns for effect in effects if isinstance(effect, TimerEffect | AlarmEffect)]
        wake_at = min(due, default=0)
        patience_s = TIMEOUT_MAX
        is_resumable = bool(effects) and all(effect.resumable for effect in effects)
        if is_resumable:
            patience_s = settings.patience_s(session.writer)
            if wake_at and wake_at - environment.now_ns() > patience_s * 1e9:
                patience_s = 0.0
        if session.mailbox.wait_for_any(patience_s, environment):
            return
        session.check()
        if is_resumable:
            raise session.suspend(wake_at, only_timers=len(due) == len(effects))
