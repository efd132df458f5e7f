"""Reads all of a store and says what is wrong with it, agent by agent. Changes nothing.

An agent is whole if each of its entries is there and can be read, with the payloads it needs, and if none
can be missing at its end. That is certain if the oplogs of all agents add up to what was written, or lack
but records that are known by their keys. Otherwise the agent's head can tell, if the heads add up: of an
agent that rests, it names the last entry.
"""

from __future__ import annotations

from hashlib import sha256
from itertools import groupby
from typing import TYPE_CHECKING

from golem_sdk.codec.entries import decode_chunk, entry_fields, is_archived
from golem_sdk.core.entries import (
    Create,
    Entry,
    ExportedFunctionCompleted,
    ExportedFunctionInvoked,
    Payload,
    PayloadRef,
)
from golem_sdk.core.ids import storage_key
from golem_sdk.core.plan import OplogRuleError, plan_after
from golem_sdk.core.reverting import is_open
from golem_sdk.core.status import AgentStatus, status_after
from golem_sdk.doctor.findings import AgentFindings, Findings
from golem_sdk.errors import DecodingError, StoreCorruptError
from golem_sdk.storage.base import Space
from golem_sdk.storage.salvage import Gap, Salvage
from golem_sdk.stores.heads import read_head
from golem_sdk.stores.invocations import Invocation, read_result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from golem_sdk.storage.base import Row

__all__ = ["examine"]

_UNLOCATED = (
    "the records of {} do not add up to what was written: some are lost or came back from an earlier time,"
    " and nothing tells which"
)
_AT_REST = frozenset({AgentStatus.IDLE, AgentStatus.FAILED})
"""Whatever such an agent does next changes its status, which its head notes with that entry."""


def examine(store: Salvage) -> Findings:
    """Read everything in ``store``."""
    findings = Findings(store.transaction, list(store.problems), store.structure)
    _read_payloads(findings, _rows(store, findings, Space.PAYLOAD))
    for key, chunks in groupby(_rows(store, findings, Space.OPLOG), lambda row: row[0][:-9]):
        _take_oplog(findings.agent(key), chunks, findings.payloads)
    for space, take in _SIDE_ROWS.items():
        for key, value in _rows(store, findings, space):
            take(findings, key, value)
    for agent in findings.agents.values():
        if not agent.cut:
            agent.cut = _doubt(agent, findings)
    for space in (Space.OPLOG, Space.PAYLOAD, *_SIDE_ROWS):
        _lay(findings, space)
    findings.agents = dict(sorted(findings.agents.items()))
    return findings


def _rows(store: Salvage, findings: Findings, space: Space) -> Iterator[Row]:
    """The sound rows of ``space``; then it is known whether these are all, and where others were."""
    gaps, count = [], 0
    for row in store.rows(space):
        if isinstance(row, Gap):
            gaps.append(row)
        else:
            count += 1
            yield row
    findings.counts[space] = count
    if store.is_certain(space):
        gaps = [gap for gap in gaps if gap.is_one_row]  # nothing was in the others
    else:
        findings.uncertain.add(space)
    findings.gaps[space] = gaps


def _read_payloads(findings: Findings, rows: Iterator[Row]) -> None:
    for digest, pieces in groupby(rows, lambda row: row[0][:-8]):
        content = sha256()
        for _, piece in pieces:
            content.update(piece)
        if content.digest() == digest:
            findings.payloads.add(digest)


# --- oplogs ---------------------------------------------------------------------------------------


def _take_oplog(agent: AgentFindings, chunks: Iterator[Row], payloads: set[bytes]) -> None:
    """Take the chunks of an oplog in, up to the first that is missing or cannot be used."""
    marks: list[tuple[int, bool]] = []
    for key, value in chunks:
        first = int.from_bytes(key[-8:], "big")
        agent.written = max(agent.written, first)
        if agent.cut:
            continue
        if first != agent.last + 1:
            agent.cut = f"entry {agent.last + 1} is missing, the next one is {first}"
            continue
        try:
            entries = decode_chunk(value)
            # An archived chunk was not written at once: what comes before the damage is as good as ever.
            for some in [[entry] for entry in entries] if is_archived(value) else [entries]:
                marks += _fold(agent, agent.last + 1, some, payloads)
        except (DecodingError, OplogRuleError, _PayloadLostError) as error:
            at = agent.last + 1
            agent.cut = f"entry {at}, or one that was written with it, cannot be used: {error}"
    visible = [mark for mark in marks if agent.plan.regions.is_visible(mark[0])]
    if visible and visible[-1][1]:
        agent.under_way = visible[-1][0]


class _PayloadLostError(Exception):
    """An entry needs a payload that is not whole."""


def _fold(
    agent: AgentFindings, first: int, entries: list[Entry], payloads: set[bytes]
) -> list[tuple[int, bool]]:
    """Take the entries of a chunk in; gives where invocations begin (true) and end in it."""
    record, plan, marks, create = agent.record, agent.plan, [], agent.create
    for index, entry in enumerate(entries, start=first):
        if not all(_is_whole(value, payloads) for value in entry_fields(entry).values()):
            raise _PayloadLostError("a long value of it is lost")
        record, plan = status_after(record, index, entry), plan_after(plan, index, entry)
        if not is_open(plan):
            agent.ends.append(index)
        if isinstance(entry, Create):
            create = entry
        elif isinstance(entry, ExportedFunctionInvoked | ExportedFunctionCompleted):
            marks.append((index, isinstance(entry, ExportedFunctionInvoked)))
    if create is not None:
        agent.create, agent.agent_id, agent.agent_type = create, create.agent_id, create.agent_type
    agent.record, agent.plan, agent.last = record, plan, record.last
    agent.written = max(agent.written, agent.last)
    return marks


def _is_whole(value: object, payloads: set[bytes]) -> bool:
    return not isinstance(value, PayloadRef) or value.sha256 in payloads


def _doubt(agent: AgentFindings, findings: Findings) -> str:
    """Why an agent whose entries are in order may yet lack some; empty: it does not."""
    if agent.written > agent.last:
        return f"it had {agent.written} entries, {agent.last} are left"
    if Space.HEAD not in findings.uncertain:
        never_headed = not any(
            gap.meets(agent.key, agent.key + b"\1") for gap in findings.gaps[Space.HEAD]
        )
        if agent.rests_at or (never_headed and not agent.written):  # which has not begun
            return ""
    for gap in findings.gaps[Space.OPLOG]:
        if gap.meets(*agent.keys()):
            return f"entries after {agent.last} may be lost: {gap.why}"
    if Space.OPLOG in findings.uncertain:
        return f"entries after {agent.last} may be lost: {_UNLOCATED.format(Space.OPLOG.name)}"
    return ""


# --- what lies beside them ------------------------------------------------------------------------


def _take_head(findings: Findings, key: bytes, value: bytes) -> None:
    agent = findings.agent(key)
    try:
        head = read_head(key, value)
    except StoreCorruptError as error:
        agent.problems.append(str(error))
        return
    agent.agent_id, agent.agent_type = head.agent_id, head.agent_type
    agent.written = max(agent.written, head.record.last)
    if head.record.status in _AT_REST and head.record.last == agent.last:
        agent.rests_at = agent.last


def _take_result(findings: Findings, key: bytes, value: bytes) -> None:
    agent = findings.agent(key.partition(b"\0")[0])
    try:
        outcome: Payload = read_result(key, value).outcome
    except StoreCorruptError as error:
        agent.problems.append(str(error))
        return
    if not _is_whole(outcome, findings.payloads):
        agent.problems.append("the long result of an invocation is lost")


def _take_queued(findings: Findings, key: bytes, value: bytes) -> None:
    _take_invocation(findings, Space.INBOX, key, value)


def _take_scheduled(findings: Findings, key: bytes, value: bytes) -> None:
    _take_invocation(findings, Space.SCHEDULED, key, value)


def _take_invocation(findings: Findings, space: Space, key: bytes, value: bytes) -> None:
    try:
        invocation = Invocation.from_row(space, key, value)
    except StoreCorruptError as error:
        findings.problems.append(str(error))
        return
    agent = findings.agent(storage_key(invocation.agent_id))
    agent.agent_id, agent.agent_type = invocation.agent_id, invocation.agent_type
    payloads = invocation.arguments, invocation.constructor
    if not all(_is_whole(payload, findings.payloads) for payload in payloads):
        agent.problems.append(f"the long arguments of invocation {invocation.key} are lost")


_SIDE_ROWS = {
    Space.HEAD: _take_head,
    Space.RESULT: _take_result,
    Space.INBOX: _take_queued,
    Space.SCHEDULED: _take_scheduled,
}

_LOST = {
    Space.OPLOG: "agents that nothing else tells of may be lost, and would begin anew",
    Space.HEAD: "what a listing shows of it may be lost",
    Space.RESULT: "results of its invocations may be lost",
    Space.INBOX: "invocations that waited for it may be lost",
    Space.SCHEDULED: "scheduled invocations may be lost",
    Space.PAYLOAD: "long values may be lost",
}


def _lay(findings: Findings, space: Space) -> None:
    """Say what may be missing in ``space``, of those agents who may miss it."""
    gaps = findings.gaps[space]
    if space in findings.uncertain and not gaps:
        findings.problems.append(_UNLOCATED.format(space.name))
    for gap in gaps:
        met = []
        if space is not Space.PAYLOAD and space is not Space.SCHEDULED:  # whose keys name no agent
            agents = findings.agents.values()
            met = [agent for agent in agents if gap.meets(agent.key, agent.key + b"\1")]
        if not met or (space is Space.OPLOG and Space.HEAD in findings.uncertain):
            findings.problems.append(f"{_LOST[space]}: {gap.why}")
        if space is not Space.OPLOG:  # an oplog that may lack something is cut anyway
            for agent in met:
                agent.problems.append(f"{_LOST[space]}: {gap.why}")
