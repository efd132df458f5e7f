"""Faults to be planted in the real code, each by what would be seen if somebody wrote it.

Where the code has a second guard that would stop the fault, the fault takes that away, too.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid5

from attrs import evolve

from golem_sdk import modules
from golem_sdk.codec import classes, entries, records
from golem_sdk.codec.values import encode
from golem_sdk.core.entries import (
    Create,
    EndAtomicRegion,
    Entry,
    Jump,
    OplogRegion,
    Suspend,
    TimerSet,
)
from golem_sdk.core.function_type import COMMIT_TABLE, CommitRule, FunctionType
from golem_sdk.core.plan import OplogRuleError, Plan, plan_after
from golem_sdk.core.status import NEW_AGENT, fold_status, status_after
from golem_sdk.errors import AgentFencedSignal, UnknownOutcomeError
from golem_sdk.intercept import net
from golem_sdk.oplog.reader import chunk_key
from golem_sdk.oplog.writer import OplogWriter
from golem_sdk.runtime import performing
from golem_sdk.runtime.announcing import Announcements
from golem_sdk.runtime.execution import Execution
from golem_sdk.runtime.keys import Keys
from golem_sdk.runtime.outcomes import success
from golem_sdk.runtime.pump import Pump
from golem_sdk.runtime.session import Session
from golem_sdk.runtime.tasks import AgentTask
from golem_sdk.storage.base import Engine, Space
from golem_sdk.storage.committer import Committer
from golem_sdk.storage.flights import batches_of
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.storage.records import OVERHEAD
from golem_sdk.testing import checkers, unjournaled

if TYPE_CHECKING:
    import pytest

    from golem_sdk.core.machine import StartedCall

__all__ = ["Fault"]

Fault = Callable[["pytest.MonkeyPatch"], None]


# --- the oplog --------------------------------------------------------------------------------------


def _appends(patch: pytest.MonkeyPatch, change: Callable[[Entry], list[Entry]]) -> None:
    """Entries are appended as ``change`` gives them, and nobody looks at the oplog's rules."""
    original = OplogWriter.append

    def append(self: OplogWriter, entry: Entry) -> int:
        return [original(self, each) for each in change(entry)][-1]

    def lenient(plan: Plan, index: int, entry: Entry) -> Plan:
        try:
            return plan_after(plan, index, entry)
        except OplogRuleError:
            return plan

    patch.setattr(OplogWriter, "append", append)
    patch.setattr("golem_sdk.oplog.writer.plan_after", lenient)
    patch.setattr("golem_sdk.oplog.reader.plan_after", lenient)


def created_twice(patch: pytest.MonkeyPatch) -> None:
    """The first entry is written twice."""
    _appends(patch, lambda entry: [entry] * (1 + isinstance(entry, Create)))


def ended_twice(patch: pytest.MonkeyPatch) -> None:
    """The end of an atomic region is written twice."""
    _appends(patch, lambda entry: [entry] * (1 + isinstance(entry, EndAtomicRegion)))


def jumps_into_what_it_dropped(patch: pytest.MonkeyPatch) -> None:
    """Each jump leads one entry further than the one before."""
    jumps: list[Entry] = []

    def change(entry: Entry) -> list[Entry]:
        if isinstance(entry, Jump):
            start = entry.region.start + len(jumps)
            jumps.append(entry)
            return [evolve(entry, region=OplogRegion(start, entry.region.end))]
        return [entry]

    _appends(patch, change)


def jumps_too_far(patch: pytest.MonkeyPatch) -> None:
    """A jump drops one entry more than there is."""

    def change(entry: Entry) -> list[Entry]:
        if isinstance(entry, Jump):
            region = OplogRegion(entry.region.start, entry.region.end + 1)
            return [evolve(entry, region=region)]
        return [entry]

    _appends(patch, change)


def status_by_itself(patch: pytest.MonkeyPatch) -> None:
    """The session keeps a count of its own in the status."""
    patch.setattr(
        "golem_sdk.runtime.session.status_after",
        lambda record, index, entry: evolve(status_after(record, index, entry), completed=7),
    )


def folded_anew(patch: pytest.MonkeyPatch) -> None:
    """A fold that goes on from a status begins with nothing all the same."""
    patch.setattr(checkers, "fold_status", lambda entries, record=NEW_AGENT: fold_status(entries))


# --- replay and effects -----------------------------------------------------------------------------


def performs_in_replay(patch: pytest.MonkeyPatch) -> None:
    """Synchronous calls are made without a look at what was recorded."""
    patch.setattr(Session, "_replayed", lambda self, call: None)


def objects_live_on(patch: pytest.MonkeyPatch) -> None:
    """The object of an agent is kept when the agent is loaded again."""
    run_through = Execution._run_through
    kept: dict[str, object] = {}

    def run(self: Execution, session: Session) -> tuple[bytes, bool]:
        outcome = run_through(self, session)
        session.instance = kept.setdefault(session.agent_id, session.instance)
        return outcome

    patch.setattr(Execution, "_run_through", run)


def key_of_the_life(patch: pytest.MonkeyPatch) -> None:
    """Idempotency keys are made anew whenever the agent is loaded."""
    key = Keys.key
    loaded: list[Keys] = []

    def drawn(self: Keys, *place: Any) -> Any:
        loaded.extend([self] if self not in loaded else [])
        return uuid5(key(self, *place), str(loaded.index(self)))

    patch.setattr(Keys, "key", drawn)


def not_announced(patch: pytest.MonkeyPatch) -> None:
    """A write that must not be made twice is not noted before it is made."""
    patch.setattr(Announcements, "announce", lambda *given: 0)


def unknown_outcome_of_nothing(patch: pytest.MonkeyPatch) -> None:
    """Who is told of an unknown outcome is not told of which write."""
    made = UnknownOutcomeError.__init__

    def make(self: UnknownOutcomeError, agent_id: str, message: str, *_: object) -> None:
        made(self, agent_id, message)

    patch.setattr(UnknownOutcomeError, "__init__", make)


def shown_before_it_is_safe(patch: pytest.MonkeyPatch) -> None:
    """A remote write does not wait for what was recorded before it."""
    careless = CommitRule(before=False, soon=True, parks=True)
    patch.setitem(COMMIT_TABLE, FunctionType.WRITE_REMOTE, careless)


def shown_by_a_task_before_it_is_safe(patch: pytest.MonkeyPatch) -> None:
    """A remote write of asynchronous code does not wait for what was recorded before it."""
    launch = Pump._launch

    def careless(self: Pump) -> None:
        writer: Any = self.session.writer
        kind = type(writer)
        writer.__class__ = type(
            kind.__name__, (kind,), {"__slots__": (), "commit": lambda writer: None}
        )
        try:
            launch(self)
        finally:
            writer.__class__ = kind

    patch.setattr(Pump, "_launch", careless)


def told_before_it_is_safe(patch: pytest.MonkeyPatch) -> None:
    """The caller is told at once."""
    patch.setattr(Committer, "tell", lambda self, ticket, told: told(None))


def hash_by_address(patch: pytest.MonkeyPatch) -> None:
    """Sets of tasks have an order that follows from nothing, as that of addresses does."""
    addresses = count(2**40, 2_654_435_761)

    def by_address(self: Any) -> int:
        if not hasattr(self, "address"):
            self.address = next(addresses) % 2**32
        address: int = self.address >> 8
        return address

    patch.setattr(AgentTask, "__hash__", by_address)


def live_values_past_the_codec(patch: pytest.MonkeyPatch) -> None:
    """On the first run agent code is given the very object that the call has returned."""
    made: list[object] = []
    reveal, replayed = Session._reveal, Session._replayed

    def keep(value: object) -> tuple[bytes, bool]:
        made.append(value)
        return success(value)

    def forget(self: Session, call: StartedCall) -> Any:
        made.clear()
        return replayed(self, call)

    patch.setattr(performing, "success", keep)
    patch.setattr(Session, "_replayed", forget)
    patch.setattr(
        Session, "_reveal", lambda self, entry: made.pop() if made else reveal(self, entry)
    )


# --- the store --------------------------------------------------------------------------------------


def commits_backwards(patch: pytest.MonkeyPatch) -> None:
    """What shares a commit is written from the newest to the oldest, and no claim looks at later ones."""
    patch.setattr(
        "golem_sdk.storage.committer.batches_of",
        lambda tickets: [evolve(batch, log=b"") for batch in reversed(batches_of(tickets))],
    )


def claims_are_puts(patch: pytest.MonkeyPatch) -> None:
    """The store writes over what somebody else has claimed."""
    stage = MemoryEngine._stage

    def careless(self: MemoryEngine, batch: Any, *rest: Any) -> bool:
        puts = (*batch.puts, *([batch.claim] if batch.claim else []))
        return stage(self, evolve(batch, claim=None, puts=puts), *rest)

    patch.setattr(MemoryEngine, "_stage", careless)


def lock_for_nothing(patch: pytest.MonkeyPatch) -> None:
    """The owner's lock is not taken."""
    patch.setattr("golem_sdk.storage.owner.fcntl.flock", lambda descriptor, operation: None)


def checksums_unread(patch: pytest.MonkeyPatch) -> None:
    """Nobody compares the checksums."""
    patch.setattr(
        "golem_sdk.storage.memory.open_record", lambda space, key, sealed: sealed[OVERHEAD:]
    )


def gaps_unseen(patch: pytest.MonkeyPatch) -> None:
    """Nobody looks whether an index is missing."""
    patch.setattr("golem_sdk.oplog.reader._chunks", _without_a_look)


def _without_a_look(engine: Engine, agent_key: bytes, first: int) -> Iterator[tuple[Any, ...]]:
    lo, hi = chunk_key(agent_key, first), chunk_key(agent_key, 2**60)
    for key, data in engine.scan(Space.OPLOG, lo, hi, limit=1000):
        yield int.from_bytes(key[-8:], "big"), entries.chunk_kinds(data), data


# --- what is stored ---------------------------------------------------------------------------------


def forgets_a_field(patch: pytest.MonkeyPatch) -> None:
    """The due time of a timer is not stored."""
    patch.setitem(entries._FIELDS, TimerSet, lambda entry: (entry.timestamp, entry.call, 0))
    patch.setitem(entries._FIELDS, Suspend, lambda entry: (entry.timestamp, 0))


def dicts_lose_their_order(patch: pytest.MonkeyPatch) -> None:
    """The keys of a dict come back from the last to the first."""
    patch.setattr("golem_sdk.codec.values._Decoder.mapping", lambda self, pairs: dict(pairs[::-1]))


def imports_what_it_reads(patch: pytest.MonkeyPatch) -> None:
    """A class whose module is not there is imported; of the modules that the data names, the harmless one."""
    find_module = modules.find_module
    patch.delitem(sys.modules, "this", raising=False)
    patch.setattr(
        classes,
        "find_module",
        lambda name: importlib.import_module(name) if name == "this" else find_module(name),
    )


def calls_constructors(patch: pytest.MonkeyPatch) -> None:
    """Objects are made by calling their classes."""
    patch.setattr(records, "_filled", lambda plan, present: plan.cls(**present))


def stores_a_text_instead(patch: pytest.MonkeyPatch) -> None:
    """What cannot be stored is stored as its repr."""

    def lenient(value: object) -> bytes:
        try:
            return encode(value)
        except Exception:
            return encode(repr(value))

    patch.setattr("golem_sdk.runtime.outcomes.encode", lenient)


# --- what is told -----------------------------------------------------------------------------------


def lines_are_not_told(patch: pytest.MonkeyPatch) -> None:
    """A divergence does not say where."""
    patch.setattr("golem_sdk.runtime.divergence.describe_site", lambda site: "")


def not_parked(patch: pytest.MonkeyPatch) -> None:
    """A divergence is not noted on disk."""
    patch.setattr(Session, "park", lambda self, error: self.end(AgentFencedSignal(error)))


def events_unseen(patch: pytest.MonkeyPatch) -> None:
    """Nobody looks at the audit events."""
    patch.setattr(unjournaled.Watch, "note", lambda self, event, details: None)


def not_warned(patch: pytest.MonkeyPatch) -> None:
    """What is heard of is not told."""
    patch.setattr(net, "_warn", lambda message, file, line: None)


def warned_again(patch: pytest.MonkeyPatch) -> None:
    """What was told is forgotten."""
    report = net._report

    def forgetful(*given: Any) -> None:
        net.forget()
        report(*given)

    patch.setattr(net, "_report", forgetful)
