"""Takes up what the store says is unfinished: after a restart, when code arrives late, when it is time."""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING

from golem_sdk.core.status import AgentStatus
from golem_sdk.errors import RuntimeClosedError, StoreCorruptError, StoreError
from golem_sdk.runtime.intake import set_aside
from golem_sdk.stores.heads import load_head
from golem_sdk.stores.invocations import pending_agents

if TYPE_CHECKING:
    from golem_sdk.runtime.kernel import Kernel
    from golem_sdk.stores.heads import AgentHead

__all__ = ["Sleeper", "is_asleep", "wake_pending"]


class Sleeper:
    """All that is in memory of an agent that is unloaded until a time: who it is. Its timer calls this."""

    __slots__ = ("_agent_id", "_agent_type", "_kernel")

    def __init__(self, kernel: Kernel, agent_type: str, agent_id: str) -> None:
        self._kernel = kernel
        self._agent_type = intern(agent_type)
        self._agent_id = agent_id

    def __call__(self) -> None:
        """It is time."""
        self._kernel.environment.spawn(self._rouse)

    def _rouse(self) -> None:
        try:
            with self._kernel.holding(self._agent_type, self._agent_id) as actor:
                claimed = actor.claim()
        except RuntimeClosedError:
            pass  # it is woken when the store is opened again
        except StoreCorruptError as error:
            set_aside(error)
        except StoreError as error:
            self._kernel.store_failed(error)
        else:
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
                kernel.intake.above(invocation.order)
                kernel.environment.call_at(head.record.wake_at, Sleeper(kernel, *agent))
            else:
                kernel.actor(*agent, queued=True).wake()
        except StoreCorruptError as error:
            set_aside(error)
