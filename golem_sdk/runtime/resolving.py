"""What an operator says about a write of which nobody knew whether it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from golem_sdk.core.entries import (
    BeginAtomicRegion,
    BeginRemoteWrite,
    EndRemoteWrite,
    Entry,
    ImportedFunctionInvoked,
    OplogIndex,
)
from golem_sdk.core.function_type import BATCH, FunctionType
from golem_sdk.core.ids import storage_key
from golem_sdk.core.status import status_after
from golem_sdk.errors import UsageError
from golem_sdk.oplog.reader import read_entries, survey
from golem_sdk.oplog.writer import OplogWriter
from golem_sdk.stores.heads import AgentHead, head_put, known_head

if TYPE_CHECKING:
    from golem_sdk.core.plan import Plan
    from golem_sdk.storage.base import Engine
    from golem_sdk.storage.committer import Committer

__all__ = ["resolve"]


def resolve(
    engine: Engine, committer: Committer, agent_id: str, outcome: bytes | None, now_ns: int
) -> None:
    """Close an agent's announced write, on disk. The agent must not be running.

    Args:
        engine: the store.
        committer: writes to it.
        agent_id: the agent, as text.
        outcome: the encoded result with which it happened; ``None``: it did not happen and is made again.
        now_ns: the time, nanoseconds since the epoch.

    Raises:
        AgentNotFoundError: the store has no such agent.
        UsageError: none of its writes has an unknown outcome, or an atomic region around it is open.
    """
    head = known_head(engine, agent_id)
    agent_key = storage_key(agent_id)
    found = survey(engine, agent_key)
    index = _unknown(agent_id, found.plan)
    begin = next(read_entries(engine, agent_key, index))[1]
    assert isinstance(begin, BeginRemoteWrite), "the plan says so"
    if begin.function_name == BATCH:
        raise UsageError(
            f"the write of agent {agent_id} has several parts, of which some may have happened: it has no one"
            f" result. Look what happened, put it right, and revert the agent to entry {index - 1} or earlier"
        )
    writer = OplogWriter(agent_id, committer, found)
    entries: list[Entry] = [EndRemoteWrite(now_ns, index)]
    if outcome is not None:
        entries.insert(0, _performed(begin, writer, outcome, now_ns))
    record = head.record
    with writer.together():
        for entry in entries:
            record = status_after(record, writer.append(entry), entry)
        writer.put(*head_put(AgentHead(head.agent_type, agent_id, record)))
    writer.commit()


def _unknown(agent_id: str, plan: Plan) -> OplogIndex:
    writes = [at for at, kind in plan.open_begins.items() if kind is BeginRemoteWrite]
    if not writes:
        raise UsageError(f"agent {agent_id} has no write with an unknown outcome")
    first = min(writes)
    if any(at < first and kind is BeginAtomicRegion for at, kind in plan.open_begins.items()):
        raise UsageError(
            f"the write of agent {agent_id} is part of an atomic region that was interrupted: the region"
            " would run again and send it once more, whatever is said about it now"
        )
    return first


def _performed(
    begin: BeginRemoteWrite, writer: OplogWriter, outcome: bytes, now_ns: int
) -> ImportedFunctionInvoked:
    return ImportedFunctionInvoked(
        now_ns,
        begin.call,
        begin.function_name,
        int(FunctionType.WRITE_REMOTE),
        begin.request,
        begin.fingerprint,
        writer.keep(outcome),
        False,
        begin.site,
        begin.task,
    )
