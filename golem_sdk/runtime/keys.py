"""Idempotency keys: derived from where in its code an agent makes a call, so every run derives the same.

Which completion arrives first may differ from run to run of an atomic region. So a key does not say which
call of the agent it is, but which call of which task or thread, and which child of which task that is.
"""

from __future__ import annotations

from contextvars import Context, ContextVar
from sys import intern
from typing import TYPE_CHECKING
from uuid import uuid5

from golem_sdk.core.ids import invocation_namespace
from golem_sdk.runtime.context import SCOPE, SESSION

if TYPE_CHECKING:
    from uuid import UUID

    from golem_sdk.core.entries import OplogIndex
    from golem_sdk.core.scopes import Scope

__all__ = ["Keys", "Place", "Strand", "branch", "thread_context"]


class Strand:
    """One line of an agent's code: an invocation's own, or that of a task or thread.

    Args:
        origin: the strand on which it begins; of an invocation's own, the id of the agent.
        name: what it is called there; of an invocation's own, the invocation's key.

    Attributes:
        calls: how many durable calls it has started.
        generated: how many keys it has generated.
    """

    __slots__ = ("_children", "_name", "_namespace", "_origin", "calls", "generated")

    def __init__(self, origin: Strand | str, name: str) -> None:
        self.calls = 0
        self.generated = 0
        self._origin = origin
        self._name = name
        self._namespace: UUID | None = None
        self._children = 0

    def child(self) -> Strand:
        """That of a task or thread which begins here."""
        self._children += 1
        return Strand(self, intern(f"task {self._children}"))

    @property
    def namespace(self) -> UUID:
        """From what its keys are derived: made when the first of them is asked for."""
        if self._namespace is None:
            # A task may begin the next one for ever: not by recursion.
            line: list[Strand] = []
            origin: Strand | str = self
            while isinstance(origin, Strand) and origin._namespace is None:
                line.append(origin)
                origin = origin._origin
            for strand in reversed(line):
                strand._namespace = strand._derived()
        assert self._namespace is not None, "it is the last of them"
        return self._namespace

    def _derived(self) -> UUID:
        origin, name = self._origin, self._name
        if isinstance(origin, Strand):
            return uuid5(origin.namespace, name)
        return invocation_namespace(origin, name)

    def gone_back(self, index: OplogIndex, times: int) -> None:
        """It runs on from a place that was jumped back to: what it does now is not what it did then."""
        self._namespace = uuid5(self.namespace, f"{times} times back to {index}")


Place = tuple[Strand, int]
"""Where a call is made: its strand, and which of that strand's calls (of its zone's, in one) it is."""

_STRAND: ContextVar[Strand | None] = ContextVar("golem_strand", default=None)


def branch(context: Context) -> None:
    """Agent code that runs in ``context`` from now on is a task or thread of its own."""
    parent = context.get(_STRAND)
    if parent is not None:
        context.run(_STRAND.set, parent.child())


def thread_context() -> Context:
    """What a thread sees that agent code begins here: the agent and the guards around, nothing else."""
    context = Context()
    for variable in (SESSION, SCOPE, _STRAND):
        context.run(variable.set, variable.get())  # type: ignore[arg-type]  # each gets a value of its own
    branch(context)
    return context


class Keys(Strand):
    """The keys of one invocation, and the strand of its own code.

    Args:
        agent_id: the agent, as text.
        invocation: the invocation's key.
    """

    __slots__ = ("_made",)

    def __init__(self, agent_id: str, invocation: str) -> None:
        super().__init__(agent_id, invocation)
        self._made: dict[tuple[str, OplogIndex], int] | None = None  # in zones

    def enter(self, context: Context) -> None:
        """The invocation's own code is to run in this context."""
        context.run(_STRAND.set, self)

    @property
    def _strand(self) -> Strand:
        return _STRAND.get() or self

    def started(self) -> Strand:
        """A call is started here: the newest one of this strand."""
        strand = _STRAND.get() or self
        strand.calls += 1
        return strand

    def called(self, zone: OplogIndex) -> Place:
        """A call is made in a zone, 0: in none."""
        if zone:
            return self._strand, self._counted("call", zone)
        strand = self.started()
        return strand, strand.calls

    def upcoming(self) -> UUID:
        """The key of the next call that starts here."""
        scope, strand = SCOPE.get(), self._strand
        made = (self._made or {}).get(("call", scope.zone), 0) if scope.zone else strand.calls
        return self.key((strand, made + 1), scope)

    def key(self, place: Place, scope: Scope) -> UUID:
        """That of a call which was started at this place, under these guards."""
        strand, number = place
        return uuid5(_base(strand, scope), f"{'unrecorded' if scope.zone else 'call'} {number}")

    def generate(self) -> UUID:
        """A key for agent code. In a zone that replay skips, its own positions count."""
        scope, strand = SCOPE.get(), self._strand
        if scope.zone:
            count = self._counted("key", scope.zone)
        else:
            strand.generated += 1
            count = strand.generated
        return uuid5(_base(strand, scope), f"generated {count}")

    def jumped_back(self, index: OplogIndex, times: int) -> None:
        """Code that was jumped back to runs here: see `Strand.gone_back`."""
        self._strand.gone_back(index, times)

    def _counted(self, what: str, zone: OplogIndex) -> int:
        """How many of these were made in a zone, with the one that is made now."""
        made = self._made = self._made or {}
        made[what, zone] = made.get((what, zone), 0) + 1
        return made[what, zone]


def _base(strand: Strand, scope: Scope) -> UUID:
    """From what keys are derived: each run of a saga, and what follows it, count calls alike."""
    key = strand.namespace
    for saga, run in scope.runs:
        key = uuid5(key, f"run {run} of saga {saga}")
    return uuid5(key, f"zone {scope.zone_number}") if scope.zone else key
