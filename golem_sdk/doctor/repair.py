"""Saves what is whole of a damaged store into a new one.

An agent goes on in the new store only if its oplog is whole. One that lacks its end could be replayed up
to there, but would then do again what it did since, for the second time in the eyes of the world: so its
whole beginning is kept, with a head that knows of later entries, and the runtime refuses to run it (K2).
Whoever accepts that says so with `golem agent revert`.

Heads are made from the oplogs, and so are the results of agents that go on. Queued invocations are taken
over, unless they have a result; the one that an agent was in the middle of is queued anew if it is lost.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from golem_sdk.codec.entries import decode_chunk, encode_chunk
from golem_sdk.core.entries import ExportedFunctionCompleted, ExportedFunctionInvoked
from golem_sdk.core.status import AgentStatus
from golem_sdk.doctor.examine import examine
from golem_sdk.doctor.findings import AgentFindings, Findings
from golem_sdk.errors import StoreCorruptError, StoreError
from golem_sdk.runtime.definitions import INIT
from golem_sdk.storage.base import Batch, Engine, Space
from golem_sdk.storage.directory import sync_directory
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.storage.owner import unowned
from golem_sdk.storage.pins import structure_problem
from golem_sdk.storage.salvage import Gap, Salvage, open_salvage
from golem_sdk.stores.heads import AgentHead, head_put
from golem_sdk.stores.invocations import (
    Invocation,
    InvocationStatus,
    Result,
    inbox_key,
    load_inbox,
    read_result,
    result_key,
    result_row,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from golem_sdk.core.entries import Payload
    from golem_sdk.storage.base import Row

__all__ = ["Repair", "repair"]

_BATCH_BYTES: Final = 1 << 20
_FIRST: Final = 1
"""Place in the queue of the invocation that an agent was in the middle of: before all that wait."""


@frozen
class Repair:
    """What became of a store.

    Attributes:
        findings: what was wrong with the old one.
        agents: how many agents go on in the new one.
        parked: those that do not, since their oplogs are not whole.
        left_behind: records that were not taken over: whose, and what.
    """

    findings: Findings
    agents: int
    parked: tuple[AgentFindings, ...]
    left_behind: tuple[tuple[str, str], ...]


def repair(old: Path, new: Path) -> Repair:
    """Save what is whole of the store in directory ``old`` into a new one in directory ``new``.

    The old one is not changed. The new one appears when it is finished.

    Raises:
        StoreError: there is something at ``new`` already, it is inside ``old``, or it could not be written.
        StoreLockedError: a runtime has the old store open.
        StoreCorruptError: nothing at all can be found in the old store.
    """
    if new.resolve().is_relative_to(old.resolve()):
        raise StoreError(
            f"{new} is inside the store that is not to be changed: choose another path"
        )
    unfinished = new.with_name(f"{new.name}.unfinished")
    for path in (new, unfinished):
        if path.exists():
            raise StoreError(f"there is something at {path} already: choose another path")
    with unowned(old), open_salvage(old) as store:
        store.structure = structure_problem(old)
        findings = examine(store)
        try:
            left_behind = _rescue(store, findings, unfinished)
            unfinished.rename(new)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    sync_directory(new.parent)
    parked = tuple(agent for agent in findings.agents.values() if agent.cut)
    return Repair(findings, len(findings.agents) - len(parked), parked, tuple(left_behind))


def _rescue(store: Salvage, findings: Findings, path: Path) -> list[tuple[str, str]]:
    engine = LmdbEngine(path)
    try:
        left_behind = _Rescue(store, findings, engine).run()
        problems = engine.verify()
    finally:
        engine.close()
    if problems:
        raise problems[0]
    return left_behind


class _Rescue:
    """One run over an examined store, space by space."""

    def __init__(self, store: Salvage, findings: Findings, engine: Engine) -> None:
        self._store = store
        self._findings = findings
        self._engine = engine
        self._puts: list[tuple[Space, bytes, bytes]] = []
        self._size = 0
        self._left: dict[tuple[str, str], None] = {}  # in order, each once
        self._running: dict[bytes, ExportedFunctionInvoked] = {}

    def run(self) -> list[tuple[str, str]]:
        """Copy everything that is whole; gives what was left behind."""
        for key, value in self._rows(Space.PAYLOAD):
            if key[:-8] in self._findings.payloads:
                self._put(Space.PAYLOAD, key, value)
        self._copy_results()
        self._copy_oplogs()
        self._flush()  # who is queued again is asked of the new store
        for space in (Space.INBOX, Space.SCHEDULED):
            self._copy_queue(space)
        self._flush()
        for agent in self._findings.agents.values():
            self._queue_again(agent)
            self._write_head(agent)
        self._flush()
        return list(self._left)

    # --- oplogs and what is made from them --------------------------------------------------------

    def _copy_oplogs(self) -> None:
        begun: dict[bytes, ExportedFunctionInvoked] = {}
        for key, value in self._rows(Space.OPLOG):
            agent = self._findings.agents[key[:-9]]
            first = int.from_bytes(key[-8:], "big")
            entries = decode_chunk(value) if first <= agent.last else []
            whole = agent.last + 1 - first
            if whole < max(1, len(entries)):
                self._leave(agent.name, f"its entries after {agent.last}")
                if not entries:
                    continue
                value = encode_chunk(entries := entries[:whole])
            self._put(Space.OPLOG, key, value)
            for index, entry in enumerate(entries, start=first):
                if not agent.plan.regions.is_visible(index):
                    continue
                if isinstance(entry, ExportedFunctionInvoked):
                    begun[agent.key] = entry
                    if index == agent.under_way and entry.method != INIT:
                        self._running[agent.key] = entry
                elif isinstance(entry, ExportedFunctionCompleted):
                    self._completed(agent, begun.pop(agent.key, None), entry)

    def _completed(
        self,
        agent: AgentFindings,
        begun: ExportedFunctionInvoked | None,
        entry: ExportedFunctionCompleted,
    ) -> None:
        if begun is None or begun.method == INIT:
            return
        result = Result(InvocationStatus.COMPLETED, entry.outcome, entry.failed)
        key = result_key(agent.agent_id, begun.idempotency_key)
        self._put(Space.RESULT, key, result_row(result))

    def _write_head(self, agent: AgentFindings) -> None:
        record = agent.record
        if agent.cut:
            record = evolve(
                record,
                status=AgentStatus.FAILED,
                last=max(agent.written, agent.last + 1),
                wake_at=0,
                error=f"its oplog was cut by damage: {agent.cut}. Entries 1 to {agent.last} are whole",
                error_code="",
                error_type=StoreCorruptError.__name__,
            )
        self._put(*head_put(AgentHead(agent.agent_type, agent.name, record)))

    # --- results and queues -----------------------------------------------------------------------

    def _copy_results(self) -> None:
        """Take results over, but those that an oplog tells better."""
        for key, value in self._rows(Space.RESULT):
            agent = self._findings.agents[key.partition(b"\0")[0]]
            try:
                result = read_result(key, value)
            except StoreCorruptError as error:
                self._leave(agent.name, str(error))
                continue
            told = result.status is InvocationStatus.COMPLETED and not agent.cut
            if told and Space.RESULT in self._findings.uncertain:
                continue
            if self._is_whole(result.outcome):
                self._put(Space.RESULT, key, value)
            else:
                self._leave(agent.name, "a result whose value is lost")

    def _copy_queue(self, space: Space) -> None:
        for key, value in self._rows(space):
            try:
                invocation = Invocation.from_row(space, key, value)
            except StoreCorruptError as error:
                self._leave("", str(error))
                continue
            agent_id = invocation.agent_id
            if self._engine.get(Space.RESULT, result_key(agent_id, invocation.key)) is not None:
                self._leave(agent_id, f"invocation {invocation.key}, which was over")
            elif self._is_whole(invocation.arguments) and self._is_whole(invocation.constructor):
                self._put(space, key, value)
            else:
                self._leave(agent_id, f"invocation {invocation.key}, whose arguments are lost")

    def _queue_again(self, agent: AgentFindings) -> None:
        """Queue the invocation that an agent was in the middle of, if its place in the queue is lost."""
        running, create = self._running.get(agent.key), agent.create
        if agent.cut or running is None or create is None:
            return
        if running.idempotency_key in {row.key for row in load_inbox(self._engine, agent.agent_id)}:
            return
        again = Invocation(
            agent.agent_type,
            agent.agent_id,
            running.idempotency_key,
            running.method,
            running.arguments,
            create.arguments,
            _FIRST,
        )
        self._put(Space.INBOX, inbox_key(agent.agent_id, _FIRST), again.to_row())

    # --- reading and writing ----------------------------------------------------------------------

    def _is_whole(self, payload: Payload) -> bool:
        return isinstance(payload, bytes) or payload.sha256 in self._findings.payloads

    def _rows(self, space: Space) -> Iterator[Row]:
        for row in self._store.rows(space):
            if not isinstance(row, Gap):
                yield row

    def _leave(self, whose: str, what: str) -> None:
        self._left[whose, what] = None

    def _put(self, space: Space, key: bytes, value: bytes) -> None:
        self._puts.append((space, key, value))
        self._size += len(key) + len(value)
        if self._size >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._puts:
            self._engine.commit([Batch(puts=tuple(self._puts))])
        self._puts, self._size = [], 0
