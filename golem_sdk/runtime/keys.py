"""Idempotency keys: derived from where in its code an agent makes a call, so every run derives the same.

Which completion arrives first may differ from run to run of an atomic region. So a key does not say which
call of the agent it is, but which call of which task or thread, and which child of which task that is.
"""

from __future__ import annotations

from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, TypeVarTuple, Unpack
from uuid import uuid5

from golem_sdk.core.ids import invocation_namespace
from golem_sdk.runtime.context import SCOPE, SESSION

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from golem_sdk.core.entries import OplogIndex
    from golem_sdk.core.scopes import Scope

__all__ = ["Keys", "Place", "Strand", "branch", "thread_context"]

Ts = TypeVarTuple("Ts")


class Strand:
    """One line of an agent's code: an invocation's own, or that of a task or thread.

    Attributes:
        calls: how many durable calls it has started.
        generated: how many keys it has generated.
    """

    __slots__ = ("_children", "_derive", "_namespace", "_origin", "calls", "generated")

    def __init__(self, derive: Callable[[Unpack[Ts]], UUID], *origin: *Ts) -> None:
        self.calls = 0
        self.generated = 0
        self._derive: Callable[..., UUID] = derive
        self._origin: tuple[object, ...] = origin
        self._namespace: UUID | None = None
        self._children = 0

    def child(self) -> Strand:
        """That of a task or thread which begins here."""
        self._children += 1
        return Strand(_of_child, self, self._children)

    @property
    def namespace(self) -> UUID:
        """From what its keys are derived: made when the first of them is asked for."""
        if self._namespace is None:
            self._namespace = self._derive(*self._origin)
        return self._namespace

    def gone_back(self, index: OplogIndex, times: int) -> None:
        """It runs on from a place that was jumped back to: what it does now is not what it did then."""
        self._namespace = uuid5(self.namespace, f"{times} times back to {index}")


def _of_child(parent: Strand, number: int) -> UUID:
    return uuid5(parent.namespace, f"task {number}")


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


class Keys:
    """The keys of one session.

    Args:
        agent_id: the agent, as text.
        context: that of the agent's code.
    """

    def __init__(self, agent_id: str, context: Context) -> None:
        self._agent_id = agent_id
        self._context = context

    def begin(self, invocation: str) -> None:
        """An invocation with this key begins."""
        self._main = Strand(invocation_namespace, self._agent_id, invocation)
        self._context.run(_STRAND.set, self._main)
        self._generated: dict[OplogIndex, int] = {}
        self._called: dict[OplogIndex, int] = {}

    @property
    def _strand(self) -> Strand:
        return _STRAND.get() or self._main

    def started(self) -> Place:
        """A call is started here; gives from what its key is derived."""
        strand = _STRAND.get() or self._main
        strand.calls += 1
        return strand, strand.calls

    def called(self, zone: OplogIndex) -> Place:
        """A call is made in a zone; gives from what its key is derived."""
        count = self._called[zone] = self._called.get(zone, 0) + 1
        return self._strand, count

    def upcoming(self) -> UUID:
        """The key of the next call that starts here."""
        scope, strand = SCOPE.get(), self._strand
        made = self._called.get(scope.zone, 0) if scope.zone else strand.calls
        return self.key((strand, made + 1), scope)

    def key(self, place: Place, scope: Scope) -> UUID:
        """That of a call which was started at this place, under these guards."""
        strand, number = place
        return uuid5(_base(strand, scope), f"{'unrecorded' if scope.zone else 'call'} {number}")

    def generate(self) -> UUID:
        """A key for agent code. In a zone that replay skips, its own positions count."""
        scope, strand = SCOPE.get(), self._strand
        if scope.zone:
            count = self._generated[scope.zone] = self._generated.get(scope.zone, 0) + 1
        else:
            strand.generated += 1
            count = strand.generated
        return uuid5(_base(strand, scope), f"generated {count}")

    def gone_back(self, index: OplogIndex, times: int) -> None:
        """Code that was jumped back to runs here: see `Strand.gone_back`."""
        self._strand.gone_back(index, times)


def _base(strand: Strand, scope: Scope) -> UUID:
    """From what keys are derived: each run of a saga, and what follows it, count calls alike."""
    key = strand.namespace
    for saga, run in scope.runs:
        key = uuid5(key, f"run {run} of saga {saga}")
    return uuid5(key, f"zone {scope.zone_number}") if scope.zone else key
