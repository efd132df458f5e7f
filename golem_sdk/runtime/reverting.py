"""Drops the end of an agent's history, on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from golem_sdk.core.entries import Create, ExportedFunctionInvoked, OplogIndex, Revert
from golem_sdk.core.ids import storage_key
from golem_sdk.core.reverting import Reversal, revert_to, target_before
from golem_sdk.core.status import status_after
from golem_sdk.errors import InvocationCancelledError, UsageError
from golem_sdk.oplog.reader import read_entries, survey
from golem_sdk.oplog.writer import OplogWriter
from golem_sdk.runtime.definitions import INIT
from golem_sdk.storage.base import Space
from golem_sdk.stores.heads import AgentHead, head_put, known_head
from golem_sdk.stores.invocations import Invocation, inbox_key, load_inbox, result_key

if TYPE_CHECKING:
    from golem_sdk.storage.base import Engine
    from golem_sdk.storage.committer import Committer

__all__ = ["revert", "reverted"]

_FIRST = 1
"""Place in the queue of an invocation that was over and goes on: before all that wait."""


def revert(
    engine: Engine,
    committer: Committer,
    agent_id: str,
    *,
    to_index: OplogIndex | None,
    invocations: int | None,
    now_ns: int,
) -> Reversal:
    """Drop everything after an entry, or the newest invocations. The agent must not be running.

    Args:
        engine: the store.
        committer: writes to it.
        agent_id: the agent, as text.
        to_index: the entry that becomes the last one, or ``None``.
        invocations: how many invocations to drop, or ``None``.
        now_ns: the time, nanoseconds since the epoch.

    Raises:
        AgentNotFoundError: the store has no such agent.
        UsageError: not one of ``to_index`` and ``invocations`` is given, or it cannot be reverted to that.
    """
    if (to_index is None) == (invocations is None):
        raise UsageError("say either to_index or invocations")
    head = known_head(engine, agent_id)
    agent_key = storage_key(agent_id)
    found = survey(engine, agent_key)
    if invocations is not None:
        to_index = target_before(read_entries(engine, agent_key), found.plan, invocations, INIT)
    assert to_index is not None, "one of them is given"
    reversal = revert_to(read_entries(engine, agent_key), found.plan, to_index)
    writer = OplogWriter(agent_id, committer, found)
    with writer.together():
        resumed = reversal.resumed
        key = "" if resumed is None else resumed.idempotency_key
        entry = Revert(now_ns, reversal.region, reversal.completed, key)
        record = status_after(head.record, writer.append(entry), entry)
        writer.put(*head_put(AgentHead(head.agent_type, agent_id, record)))
        _mend_queue(engine, writer, head.agent_type, agent_id, reversal)
    writer.commit()
    return reversal


def _mend_queue(
    engine: Engine, writer: OplogWriter, agent_type: str, agent_id: str, reversal: Reversal
) -> None:
    """Forget the invocations that began after the target; have the one in its middle go on."""
    waiting = {invocation.key: invocation for invocation in load_inbox(engine, agent_id)}
    resumed = reversal.resumed
    unfinished = [*reversal.dropped, *([resumed.idempotency_key] if resumed else [])]
    for key in unfinished:
        writer.delete(Space.RESULT, result_key(agent_id, key))
    again = None
    if resumed is not None and resumed.idempotency_key not in waiting and resumed.method != INIT:
        again = _again(reversal.created, resumed, agent_type, agent_id)
        writer.put(Space.INBOX, inbox_key(agent_id, again.order), again.to_row())
    for key in reversal.dropped:
        # One that an earlier revert has put first gives its place to the one that is put there now.
        if key in waiting and not (again is not None and waiting[key].order == again.order):
            writer.delete(Space.INBOX, inbox_key(agent_id, waiting[key].order))


def _again(
    created: Create, invoked: ExportedFunctionInvoked, agent_type: str, agent_id: str
) -> Invocation:
    return Invocation(
        agent_type,
        agent_id,
        invoked.idempotency_key,
        invoked.method,
        invoked.arguments,
        created.arguments,
        _FIRST,
    )


def reverted(agent_id: str, key: str) -> InvocationCancelledError:
    """What they get who wait for an invocation that a revert has dropped."""
    return InvocationCancelledError(
        f"invocation {key} of {agent_id} is gone: an operator has reverted the agent to an earlier entry"
    )
