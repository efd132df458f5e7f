"""Brings an agent into memory: reads its oplog once, or creates it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from golem_sdk.core.cursor import LIVE, Cursor
from golem_sdk.core.entries import Create
from golem_sdk.core.ids import storage_key
from golem_sdk.core.machine import Machine
from golem_sdk.core.status import NEW_AGENT, AgentStatus, StatusRecord, fold_status
from golem_sdk.errors import AgentFailedError, DivergenceError, StoreCorruptError
from golem_sdk.oplog.reader import read_entries, surveyed_entries
from golem_sdk.runtime.definitions import AgentDefinition, code_of, definition_named
from golem_sdk.runtime.divergence import hash_canary
from golem_sdk.runtime.mailbox import Mailbox
from golem_sdk.runtime.session import Session
from golem_sdk.runtime.settings import Origin
from golem_sdk.runtime.sites import SiteTable
from golem_sdk.runtime.unknown import noted_unknown
from golem_sdk.storage.base import Space

if TYPE_CHECKING:
    from golem_sdk.runtime.actor import Actor
    from golem_sdk.runtime.kernel import Kernel

__all__ = ["load_session", "parked_error"]


def load_session(kernel: Kernel, actor: Actor) -> Session:
    """The agent, ready to replay what its oplog holds and then to go on.

    Raises:
        UnknownAgentTypeError: the code of this agent is not in this process.
        AgentFailedError: the agent is parked, and its code is still that with which it failed.
        StoreCorruptError: its oplog is damaged.
    """
    definition = definition_named(actor.agent_type)
    agent_key = storage_key(actor.agent_id)
    head, found = actor.on_disk()
    record = head.record if head is not None else NEW_AGENT
    if record.last > found.last:  # both are written together (K2)
        raise StoreCorruptError(
            f"the oplog of agent {actor.agent_id} ends at entry {found.last}, but its entry {record.last} was"
            " on disk. It is set aside and other agents run on. Restore the store from a backup to get it"
            " back; `golem agent revert` has it go on from an earlier entry",
            Space.OPLOG.name,
            agent_key,
        )
    if not record.last and found.last:  # its head was lost
        record = fold_status(read_entries(kernel.engine, agent_key))
    parked = kernel.parked(actor.agent_type, actor.agent_id, record)
    if parked is not None:
        raise (actor.parked or parked).with_traceback(None)
    if found.create is not None:
        kernel.before_invocation()  # replay is to meet what live code met
    writer = kernel.settings.writer_class(actor.agent_id, kernel.committer, found)
    created, origin, cursor = found.create, kernel.origin, LIVE
    if created is None:
        created = _create(kernel, actor, definition)
    else:
        items = islice(surveyed_entries(kernel.engine, agent_key, found), 1, None)
        cursor = Cursor(items, found.plan.regions)
        origin = _origin(kernel, definition, created)
    session = Session(
        kernel,
        definition,
        actor.agent_id,
        created.arguments,
        origin,
        record,
        Machine(cursor, now=created.timestamp),
        writer,
        SiteTable(found.sites, definition.file),
        Mailbox(actor),
    )
    if found.create is None:
        session.append(created)
    return session


def parked_error(agent_type: str, agent_id: str, record: StatusRecord) -> AgentFailedError | None:
    """Why an agent does not run: it failed, and its code is still that with which it failed."""
    if record.status is not AgentStatus.FAILED:
        return None
    if record.error_code != code_of(agent_type):
        return None
    message = f"agent {agent_id} is parked: its code is still the one with which it failed:\n{record.error}"
    match record.error_type:
        case "UnknownOutcomeError":
            return noted_unknown(agent_id, record.error, message)
        case "DivergenceError":
            return DivergenceError(agent_id, message)
    return AgentFailedError(agent_id, message)


def _origin(kernel: Kernel, definition: AgentDefinition, created: Create) -> Origin:
    """What made the agent: mostly what makes others now, which is kept once."""
    same = created.code == definition.code, created.hash_canary == hash_canary()
    origin = Origin(created.sdk_version, created.interceptors, *same)
    return kernel.origin if origin == kernel.origin else origin


def _create(kernel: Kernel, actor: Actor, definition: AgentDefinition) -> Create:
    return Create(
        kernel.environment.now_ns(),
        actor.agent_type,
        actor.agent_id,
        actor.queue[0].constructor,
        definition.code,
        hash_canary(),
        kernel.origin.sdk_version,
        dict(kernel.origin.interceptors),
    )
