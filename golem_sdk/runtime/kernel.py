"""What all agents of one runtime share: the store, the environment, and who is awake.

Recovery is the normal path: after a store failure every agent is dropped from memory and taken up again
from disk, exactly as after a crash of the process.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from contextlib import contextmanager, suppress
from threading import Lock, RLock
from typing import TYPE_CHECKING
from zlib import crc32

from golem_sdk.core.ids import storage_key
from golem_sdk.errors import (
    AgentControlSignal,
    AgentFailedError,
    AgentFencedSignal,
    DivergenceError,
    GolemError,
    RuntimeClosedError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    UnknownAgentTypeError,
    UsageError,
)
from golem_sdk.runtime.actor import Actor
from golem_sdk.runtime.definitions import AgentDefinition, registered
from golem_sdk.runtime.hostloop import HostLoop
from golem_sdk.runtime.intake import Intake
from golem_sdk.runtime.leavings import Leavings
from golem_sdk.runtime.loading import parked_error
from golem_sdk.runtime.recovery import Sleepers, wake_pending
from golem_sdk.runtime.registry import Registry
from golem_sdk.runtime.resolving import resolve
from golem_sdk.runtime.reverting import revert, reverted
from golem_sdk.runtime.workspaces import Workspaces
from golem_sdk.storage.base import Batch, Engine, RecordSizeError
from golem_sdk.storage.committer import Committer
from golem_sdk.storage.payloads import load_payload
from golem_sdk.storage.process import check_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from golem_sdk.core.entries import OplogIndex, Payload
    from golem_sdk.core.status import StatusRecord
    from golem_sdk.runtime.environment import Environment
    from golem_sdk.runtime.settings import Origin, Settings
    from golem_sdk.storage.tickets import Ticket, Writer

__all__ = ["Kernel"]

_log = logging.getLogger("golem_sdk")

_RETRY_NS = 1_000_000_000
_OF_ONE_AGENT = (StoreCorruptError, RecordSizeError)
"""Refusals of the store that concern one agent's records only."""


class Kernel:
    """The running system behind one `Runtime`. Thread-safe.

    Args:
        engine: the store; the kernel closes it.
        environment: clock, entropy, timers, threads; the kernel closes it.
        settings: how it behaves.
        origin: what writes.
        before_invocation: called before an agent is replayed, and before each live invocation.

    Attributes:
        closed: why nothing runs any more, ``None`` while the runtime is open.
        sleepers: the agents that are unloaded until a time.
    """

    def __init__(
        self,
        engine: Engine,
        environment: Environment,
        settings: Settings,
        origin: Origin,
        before_invocation: Callable[[], None],
    ) -> None:
        self.engine = engine
        self.environment = environment
        self.settings = settings
        self.origin = origin
        self.before_invocation = before_invocation
        self.committer = Committer(
            engine,
            write_behind_s=settings.write_behind_s,
            pause=environment.sleep,
            failed=lambda error: environment.spawn(lambda: self.store_failed(error)),
            relieve=environment.spawn,
        )
        self.host = HostLoop(environment.event_loop)
        self.intake = Intake(self)
        self._registry = Registry(engine)
        self.sleepers = Sleepers(self)
        self.workspaces = Workspaces(settings.workspaces)
        self.closed: BaseException | None = None
        self._pid = os.getpid()
        self._mutex = RLock()
        # Making an actor reads the store: not under the one mutex, but once per agent.
        self._making = [Lock() for _ in range(64)]
        self._actors: dict[str, Actor] = {}
        self._failures: dict[str, AgentFailedError] = {}
        self._resting: OrderedDict[str, Actor] = OrderedDict()
        self._unregister = registered(self._code_arrived)

    def check_open(self) -> None:
        """Raise why nothing is accepted any more, if that is so."""
        check_process(self._pid, "a runtime")
        if self.closed is not None:
            raise self.closed.with_traceback(None)  # else it grows with each who asks

    def actor(self, agent_type: str, agent_id: str, *, queued: bool = False) -> Actor:
        """The actor of an agent, made if need be with what the store has queued for it.

        Nothing is, if it has neither head nor oplog; ``queued``: look nevertheless.

        Raises:
            RuntimeClosedError: the runtime is closed.
            StoreCorruptError: the agent's queue is damaged.
        """
        self.check_open()
        actor = self._actors.get(agent_id)
        if actor is not None:
            return actor
        with self._making_of(agent_id):
            return self._actors.get(agent_id) or self._made(agent_type, agent_id, queued=queued)

    def _making_of(self, agent_id: str) -> Lock:
        return self._making[crc32(storage_key(agent_id)) % len(self._making)]

    def _made(
        self,
        agent_type: str,
        agent_id: str,
        left: Leavings | None = None,
        *,
        queued: bool = False,
    ) -> Actor:
        found = self._registry.look(agent_id, queued=queued)
        if found.inbox:
            self.intake.above(found.inbox[-1].order)
        actor = Actor(agent_id, found, self, agent_type)
        if left is not None:
            actor.inherit(left)
        with self._mutex:
            self.check_open()
            actor.intake = self.intake.writer  # of now: all may have been given up meanwhile
            if found.head is not None:
                actor.parked = self.parked(agent_type, agent_id, found.head.record)
            self._actors[agent_id] = actor
        return actor

    def parked(
        self, agent_type: str, agent_id: str, record: StatusRecord
    ) -> AgentFailedError | None:
        """Why an agent does not run, ``None`` if it may.

        One that has diverged is tried once by each runtime: replay does nothing before the difference,
        whose cause may be gone (another module's code, a variable of the environment).
        """
        error = parked_error(agent_type, agent_id, record)
        if isinstance(error, DivergenceError) and agent_id not in self._failures:
            return None
        return error and self._failures.get(agent_id, error)

    @contextmanager
    def holding(self, agent_type: str, agent_id: str) -> Iterator[Actor]:
        """The actor that stands for an agent now, with its mutex held."""
        while True:  # one that is retired is about to be replaced
            actor = self.actor(agent_type, agent_id)
            try:
                with actor.mutex:
                    if not actor.retired:
                        yield actor
                        return
            finally:
                if actor.is_vacant:  # whoever has just looked for something need not keep it
                    self.rested(actor)

    def accepted(self, ticket: Ticket | None = None, writer: Writer | None = None) -> None:
        """Return when this is on disk, or else all that was accepted so far by this writer.

        Others' commits may have lost what they took along, and the store may take new batches since.

        Raises:
            StoreError: the store refused it; it was not accepted.
        """
        try:
            self.committer.wait(ticket or self.committer.submit(Batch(), writer))
        except StoreError as error:
            self.store_failed(error)
            raise

    def load_payload(self, payload: Payload) -> bytes:
        """A whole payload, wherever it is kept."""
        return load_payload(self.engine, payload)

    # --- recovery and failures --------------------------------------------------------------------

    def recover(self) -> None:
        """Take up everything that the store says is unfinished."""
        self.environment.enter()  # or a simulated clock would go on between what is taken up
        try:
            self._registry.learn(self.environment.spawn)
            self.intake.recover()
            wake_pending(self)
        finally:
            self.environment.leave()

    def agent_ended(self, actor: Actor, reason: BaseException) -> None:
        """An agent cannot go on, for ``reason``. Its own fault parks it; the store's fault stops all."""
        if isinstance(reason, StoreError) and not isinstance(reason, _OF_ONE_AGENT):
            self.store_failed(reason)
            return
        with suppress(GolemError):  # its next actor looks for what this one wrote
            self.committer.wait(self.committer.submit(Batch()))
        with self._mutex:
            if self._actors.get(actor.agent_id) is not actor:
                return
            del self._actors[actor.agent_id]
            if isinstance(reason, AgentFailedError):
                self._failures[actor.agent_id] = reason  # with its details, for who asks later
        match reason:
            case AgentFailedError() | UnknownAgentTypeError() | StoreCorruptError():
                _log.error("%s", reason)
                actor.fail(reason, refuse=True)
            case _:
                _log.error("agent %s stopped", actor.agent_id, exc_info=reason)
                why = f"agent {actor.agent_id} stopped for a reason that is not its own: {reason!r}"
                error = AgentFailedError(actor.agent_id, why)
                error.__cause__ = reason
                actor.fail(error, refuse=True)

    def store_failed(self, error: BaseException) -> None:
        """The store refused a commit: whatever was not on disk is lost, so every agent starts anew.

        Waiting callers get ``error``. A full store is tried again every second; otherwise this runtime
        is over.
        """
        with self._mutex:
            full = isinstance(error, StoreFullError)
            if self.closed is not None or (full and not self.committer.has_failed):
                return  # what this failure has spoilt is gone already
            if not full:
                self.closed = error
            actors = self._drop_all(error)
            self.committer.reopen()
        _log.error("the store refused a commit: %s", error)
        for actor in actors:
            actor.fail(error, refuse=False)
            actor.stop()
        if full:
            again = self.environment.now_ns() + _RETRY_NS
            self.environment.call_at(again, lambda: self.environment.spawn(self._retry))

    def resolve(self, agent_type: str, agent_id: str, outcome: bytes | None) -> None:
        """An operator says what became of an agent's write; the agent goes on. See `resolve`."""
        actor = self._actors.get(agent_id)
        if actor is not None and actor.session is not None:
            raise UsageError(f"agent {agent_id} runs: it has no write with an unknown outcome")
        with self._taken(agent_type, agent_id):
            resolve(self.engine, self.committer, agent_id, outcome, self.environment.now_ns())

    def revert(
        self,
        agent_type: str,
        agent_id: str,
        *,
        to_index: OplogIndex | None,
        invocations: int | None,
    ) -> OplogIndex:
        """An operator drops the end of an agent's history; what is left goes on. See `revert`."""
        with self._taken(agent_type, agent_id) as dropped:
            where, now_ns = (self.engine, self.committer, agent_id), self.environment.now_ns()
            reversal = revert(*where, to_index=to_index, invocations=invocations, now_ns=now_ns)
            dropped.update(reversal.dropped)
        return reversal.region.start - 1

    @contextmanager
    def _taken(self, agent_type: str, agent_id: str) -> Iterator[set[str]]:
        """Keep an agent from memory while this block changes it on disk. Gives a set for what that drops."""
        dropped, left = set[str](), Leavings()
        try:
            with self._making_of(agent_id):
                if (present := self._actors.get(agent_id)) is not None:
                    left = self._interrupt(present)
                try:
                    yield dropped
                    self._failures.pop(agent_id, None)
                finally:
                    with left.without(dropped).failing():
                        self._made(agent_type, agent_id, left.without(dropped)).wake()
        finally:  # also if it cannot go on: on disk they are dropped
            for key in dropped & left.completions.keys():
                left.completions[key].refuse(reverted(agent_id, key))

    def _interrupt(self, actor: Actor) -> Leavings:
        """Take an agent from memory, whatever it does. What it leaves must be given to its next actor.

        All of that is on disk; otherwise this raises the store's error, as who waits is told, too.
        """
        with self._mutex:
            self._actors.pop(actor.agent_id, None)
            self._resting.pop(actor.agent_id, None)
        actor.retired = True  # first: one that is loading its session looks afterwards
        session = actor.session
        if session is not None:
            session.end(
                AgentFencedSignal(RuntimeClosedError("an operator has interrupted the agent"))
            )
            with session.writer.together():  # it has submitted what it ever will
                pass
        left = actor.surrender()
        actor.stop()
        with left.failing():
            self.accepted(writer=actor.intake)
        return left

    def close(self) -> None:
        """Stop at once: agents are fenced where they are, nothing is waited for. Idempotent.

        A forked child does nothing: the agents are its parent's, and no code of theirs may run here.
        """
        if os.getpid() != self._pid:
            return
        error = RuntimeClosedError(
            "the runtime was closed; its agents go on when it is opened again"
        )
        with self._mutex:
            if self.closed is None:
                self.closed = error
            for actor in self._actors.values():
                session = actor.session  # its own thread may unload it now
                if session is not None:
                    with suppress(Exception, AgentControlSignal):  # it has ended by itself
                        session.writer.flush()
            actors = self._drop_all(error, lost=False)  # what was accepted is written, too
        self._unregister()
        for actor in actors:
            actor.fail(error, refuse=False)
            actor.stop()
        self.environment.close()
        self.host.close()
        self.workspaces.close()
        self.committer.close()
        self.engine.close()

    def _drop_all(self, error: BaseException, *, lost: bool = True) -> list[Actor]:
        actors = list(self._actors.values())
        self._actors.clear()
        self._resting.clear()
        self.intake.forget(error, lost=lost)
        for actor in actors:
            actor.retired = True  # first: one that is loading its session looks afterwards
            session = actor.session
            if session is not None:
                session.end(AgentFencedSignal(error))
        return actors

    def _retry(self) -> None:
        try:
            self.recover()
        except GolemError as error:
            self.store_failed(error)

    def rested(self, actor: Actor) -> None:
        """An actor's thread has nothing more to do for now: unload who has been idle for longest."""
        with self._mutex:
            if self._actors.get(actor.agent_id) is not actor:
                return
            if actor.session is None:
                self._evict(actor)
                return
            self._resting[actor.agent_id] = actor
            self._resting.move_to_end(actor.agent_id)
            while len(self._resting) > self.settings.max_loaded:
                self._evict(self._resting.popitem(last=False)[1])

    def _evict(self, actor: Actor) -> None:
        self._resting.pop(actor.agent_id, None)
        if actor.retire():
            self._actors.pop(actor.agent_id, None)

    def _code_arrived(self, definition: AgentDefinition) -> None:
        if os.getpid() == self._pid:  # a forked child defines agents of its own
            with self._mutex:
                if self.closed is not None:
                    return
            wake_pending(self, definition.name)
