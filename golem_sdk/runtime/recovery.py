"""Takes up what the store says is unfinished: after a restart, and when an agent's code arrives late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from golem_sdk.errors import StoreCorruptError
from golem_sdk.runtime.intake import set_aside
from golem_sdk.stores.heads import load_head
from golem_sdk.stores.invocations import pending_agents

if TYPE_CHECKING:
    from golem_sdk.runtime.kernel import Kernel

__all__ = ["wake_pending"]


def wake_pending(kernel: Kernel, agent_type: str | None = None) -> None:
    """Wake every agent (of one type) that has work, those that wait for a timer only when it is due."""
    for invocation in pending_agents(kernel.engine, set_aside):
        if agent_type not in (None, invocation.agent_type):
            continue
        try:
            actor = kernel.actor(invocation.agent_type, invocation.agent_id, queued=True)
            head = load_head(kernel.engine, invocation.agent_id)
        except StoreCorruptError as error:
            set_aside(error)
            continue
        record = head.record if head is not None else None
        if record is not None and record.wake_at:
            if actor.doze():
                kernel.environment.call_at(record.wake_at, actor.wake)
        else:
            actor.wake()
