"""Watches a driven scenario over all its lives, and notes what the checkers of promises ask for."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from golem_sdk.codec.entries import chunk_kinds
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.ids import storage_key
from golem_sdk.core.status import AgentStatus
from golem_sdk.oplog.reader import read_entries, survey
from golem_sdk.runtime.context import current_or_performing
from golem_sdk.runtime.lanes import current_lane
from golem_sdk.storage.base import Space
from golem_sdk.stores.heads import load_head, load_heads
from golem_sdk.stores.invocations import load_result
from golem_sdk.testing.checkers import Append, Observation, Performance, Told
from golem_sdk.testing.evidence import Evidence, Notes
from golem_sdk.testing.observations import value_text
from golem_sdk.testing.states import look_at_agents, unload_agents

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from golem_sdk.app import Runtime
    from golem_sdk.core.machine import StartedCall
    from golem_sdk.core.scopes import Scope
    from golem_sdk.runtime.kernel import Kernel
    from golem_sdk.runtime.session import Session
    from golem_sdk.storage.base import Batch
    from golem_sdk.testing.crash import MortalEngine

__all__ = ["WatchedEngine", "Witness", "observe"]

_OWN = "golem:rpc/"
"""Calls that concern other agents of the same store: no effects on the outside."""


class Witness:
    """Notes what a scenario does, over all its lives. A `Performer`; the driver tells it the rest.

    What was not on disk when it was shown is not known of an agent's threads, beside which it goes on.

    Args:
        notes: those of earlier lives, in another process; ``crashes``: how many they were.

    Attributes:
        notes: what was seen.
        evidence: everything, once all is done.
    """

    def __init__(self, notes: Notes | None = None, crashes: int = 0) -> None:
        self.notes = notes or Notes()
        self.evidence: Evidence | None = None
        self._before = crashes
        self._life = crashes
        self._observed: Counter[Session] = Counter()

    # --- told by the driver -----------------------------------------------------------------------

    def begins(self, engine: MortalEngine, life: int) -> WatchedEngine:
        """A life begins, with this store. Gives the one to be used in its place."""
        self._life = self._before + life
        return WatchedEngine(engine, self.notes.appends, self._life)

    def hears(self, runtime: Runtime, agent_id: str, key: str, outcome: tuple[Any, ...]) -> None:
        """A caller was told what became of its invocation."""
        engine = runtime._kernel.engine
        head = load_head(engine, agent_id)
        parked = head is not None and head.record.status is AgentStatus.FAILED
        on_disk = parked or load_result(engine, agent_id, key) is not None
        self.notes.told.append(Told(f"{agent_id} {key}", outcome, on_disk))

    def ends(
        self, runtime: Runtime, rest: Callable[[], None], results: Sequence[Any], crashes: int
    ) -> None:
        """Everything is done: look at the agents, have all of them replayed, and look again."""
        rest()
        kernel = runtime._kernel
        states = look_at_agents(kernel, rest)
        written = len(self.notes.appends)
        unload_agents(kernel)
        replayed = look_at_agents(kernel, rest, functions=True)
        heads = {head.agent_id: head.record for head in load_heads(kernel.engine)}
        self.evidence = Evidence(
            {str(number): result for number, result in enumerate(results)},
            states,
            replayed,
            {agent: list(read_entries(kernel.engine, storage_key(agent))) for agent in heads},
            heads,
            self.notes,
            self._before + crashes,
            len(self.notes.appends) - written,
        )

    # --- a Performer ------------------------------------------------------------------------------

    def perform(
        self, session: Session, call: StartedCall, scope: Scope, action: Callable[[], Any]
    ) -> Any:
        """See `Performer.perform`."""
        _check_alive(session.kernel)
        unwritten = _unwritten(session, call) if current_lane() is None else 0
        self._note(session, call, scope, unwritten)
        return action()

    def perform_async(
        self,
        session: Session,
        call: StartedCall,
        scope: Scope,
        action: Callable[[], Awaitable[Any]],
    ) -> Callable[[], Awaitable[Any]]:
        """See `Performer.perform_async`."""
        unwritten = _unwritten(session, call)

        async def performing() -> Any:
            _check_alive(session.kernel)
            self._note(session, call, scope, unwritten)
            return await action()

        return performing

    def _note(self, session: Session, call: StartedCall, scope: Scope, unwritten: int) -> None:
        if call.function_name.startswith(_OWN):
            return
        key = str(session.keys.key(call.place, scope))
        name = f"{session.agent_id}: {call.function_name} {value_text(call.request)} under {key}"
        live = session.machine.is_live
        is_remote = call.function_type >= FunctionType.READ_REMOTE
        if not is_remote and call.number < 0:  # guards have it made again in replay
            return
        noted = self.notes.performances if is_remote else self.notes.readings
        noted.append(Performance(name, key, self._life, live, unwritten))

    def observed(self, session: Session, place: str, look: str) -> None:
        """Agent code has come to a place, see `observe`."""
        number = self._observed[session]
        self._observed[session] += 1
        live = session.machine.is_live
        self.notes.observations.append(Observation(session.agent_id, number, place, look, live))


class WatchedEngine:
    """A store whose commits to oplogs are noted. A `MortalEngine`.

    Args:
        engine: the store.
        appends: the notes; several stores may share them.
        process: who writes.
        owner: who owns the store; ``None``: the writer.
    """

    def __init__(
        self,
        engine: MortalEngine,
        appends: list[Append],
        process: int,
        owner: Callable[[], int] | None = None,
    ) -> None:
        self.death: Exception | None = None
        self._engine = engine
        self._appends = appends
        self._process = process
        self._owner = owner or (lambda: process)
        self.get = engine.get
        self.scan = engine.scan
        self.size_bytes = engine.size_bytes
        self.snapshot = engine.snapshot
        self.close = engine.close

    def kill(self, error: Exception) -> None:
        """See `MortalEngine.kill`."""
        self.death = error
        self._engine.kill(error)

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        """See `Engine.commit`."""
        happened = self._engine.commit(batches)
        for batch, won in zip(batches, happened, strict=True):
            if won and batch.claim is not None and batch.claim[0] is Space.OPLOG:
                _, key, data = batch.claim
                first, count = int.from_bytes(key[-8:], "big"), len(chunk_kinds(data))
                self._appends.append(Append(key[:-9], first, count, self._process, self._owner()))
        return happened


def _check_alive(kernel: Kernel) -> None:
    """A dead process performs nothing. Its agents see that as an outcome, and end at their next commit."""
    death = kernel.engine.death if isinstance(kernel.engine, WatchedEngine) else None
    if death is not None:
        raise death


def observe(place: str, value: object = None) -> None:
    """Called by agent code, also in replay: what it sees here must be the same in every life (P5, P6).

    Not inside what is run again as a whole (`atomically`), nor before a jump back. Where nobody watches,
    it does nothing.
    """
    session = current_or_performing()
    witness = None if session is None else session.kernel.settings.performer
    if session is not None and isinstance(witness, Witness):
        witness.observed(session, place, repr(value))


def _unwritten(session: Session, call: StartedCall) -> int:
    """How many entries of the agent are not on disk when it shows something to the outside."""
    if call.function_type < FunctionType.WRITE_REMOTE:
        return 0
    on_disk = survey(session.kernel.engine, storage_key(session.agent_id)).last
    return max(0, session.writer.last - on_disk)
