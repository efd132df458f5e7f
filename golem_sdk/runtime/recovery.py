"""Takes up what the store says is unfinished: after a restart, when code arrives late, when it is time."""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING

from golem_sdk.core.status import AgentStatus
from golem_sdk.errors import StoreCorruptError
from golem_sdk.runtime.intake import for_nobody, set_aside
from golem_sdk.stores.heads import load_head
from golem_sdk.stores.invocations import pending_agents

if TYPE_CHECKING:
    from golem_sdk.runtime.kernel import Kernel
    from golem_sdk.runtime.timers import Timer
    from golem_sdk.stores.heads import AgentHead

__all__ = ["Sleepers", "is_asleep", "wake_pending"]


class Sleepers:
    """The agents of a runtime that are unloaded until a time: all that is in memory of each is a timer."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._asleep: dict[str, _Sleeper] = {}

    def __len__(self) -> int:
        return len(self._asleep)

    def add(self, agent_type: str, agent_id: str, due_ns: int) -> None:
        """Wake an agent then, and not when it was to be woken before."""
        before = self._asleep.pop(agent_id, None)
        if before is not None and before.timer is not None:
            before.timer.cancel()
        sleeper = self._asleep[agent_id] = _Sleeper(self._kernel, agent_type, agent_id)
        sleeper.timer = self._kernel.environment.call_at(due_ns, sleeper)  # it may be due by now

    def woken(self, agent_id: str, sleeper: _Sleeper) -> None:
        """Its timer has fired, which another one may have followed by now."""
        if self._asleep.get(agent_id) is sleeper:
            del self._asleep[agent_id]


class _Sleeper:
    """Who sleeps. Its timer calls this."""

    __slots__ = ("_agent_id", "_agent_type", "_kernel", "timer")

    def __init__(self, kernel: Kernel, agent_type: str, agent_id: str) -> None:
        self._kernel = kernel
        self._agent_type = intern(agent_type)
        self._agent_id = agent_id
        self.timer: Timer | None = None

    def __call__(self) -> None:
        """It is time."""
        self._kernel.environment.spawn(self._rouse)
        self._kernel.sleepers.woken(self._agent_id, self)

    def _rouse(self) -> None:
        claimed = False
        with (
            for_nobody(self._kernel),
            self._kernel.holding(self._agent_type, self._agent_id) as actor,
        ):
            claimed = actor.claim()
        if claimed:
            actor.run()


def is_asleep(head: AgentHead, now_ns: int) -> bool:
    """Whether an agent is suspended until its timer is due. If calls are queued, there is a `Sleeper` for it.

    Nothing is if its constructor waits, and the call for which it was made was taken back.
    """
    return head.record.status is AgentStatus.SUSPENDED and head.record.wake_at > now_ns


def wake_pending(kernel: Kernel, agent_type: str | None = None) -> None:
    """Wake every agent (of one type) that has work, those that wait for a timer only when it is due."""
    for invocation in pending_agents(kernel.engine, set_aside):
        if agent_type not in (None, invocation.agent_type):
            continue
        agent = invocation.agent_type, invocation.agent_id
        try:
            head = load_head(kernel.engine, invocation.agent_id)
            if head is not None and head.record.wake_at:
                kernel.sleepers.add(*agent, head.record.wake_at)
            else:
                kernel.actor(*agent, queued=True).wake()
        except StoreCorruptError as error:
            set_aside(error)
