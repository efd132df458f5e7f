"""Hypothesis strategies for entries, and for oplogs that keep the rules L1, L2, R1 and R2."""

from __future__ import annotations

from typing import Any

from attrs import fields
from hypothesis import strategies as st

from golem_sdk.core.entries import (
    ENTRY_KINDS,
    BeginAtomicRegion,
    BeginRemoteWrite,
    ChangePersistenceLevel,
    Create,
    EndAtomicRegion,
    EndRemoteWrite,
    Entry,
    Error,
    Jump,
    OplogRegion,
    PayloadRef,
    Revert,
)
from golem_sdk.core.plan import EMPTY_PLAN, Plan, plan_after

__all__ = ["CREATE", "entries", "oplogs"]

_numbers = st.integers(0, 2**63 - 1)
_payloads = st.binary(max_size=40) | st.builds(
    PayloadRef, st.binary(min_size=32, max_size=32), _numbers
)
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "int": _numbers,
    "bool": st.booleans(),
    "str": st.text(max_size=20),
    "bytes": st.binary(max_size=10),
    "OplogIndex": st.integers(1, 2**32),
    "Payload": _payloads,
    "OplogRegion": st.builds(OplogRegion, st.integers(2, 99), st.integers(2, 99)),
    "dict[str, int]": st.dictionaries(st.text(max_size=5), st.integers(0, 9), max_size=3),
}

CREATE = Create(1, "Order", "Order(1)", b"", "code", 7, "0", {})


def _entry_of(kind: type[Entry]) -> st.SearchStrategy[Entry]:
    """Any entry of one class; its fields are drawn by their annotated types."""
    return st.builds(kind, *(_FIELDS[str(field.type)] for field in fields(kind)))


def entries() -> st.SearchStrategy[Entry]:
    """Any entry, of every kind there is."""
    return st.one_of([_entry_of(kind.entry_class) for kind in ENTRY_KINDS.values()])


_BOUND = {Create, Jump, Revert, EndAtomicRegion, EndRemoteWrite, ChangePersistenceLevel, Error}
_ORDINARY = st.one_of(
    [
        *(_entry_of(k.entry_class) for k in ENTRY_KINDS.values() if k.entry_class not in _BOUND),
        st.builds(ChangePersistenceLevel, _numbers, st.integers(0, 2), st.just(0)),
        st.builds(
            Error, _numbers, *[st.text(max_size=20)] * 3, call=st.integers(0, 3), due=_numbers
        ),
    ]
)
_ENDS: dict[type[Entry], Any] = {
    BeginAtomicRegion: EndAtomicRegion,
    BeginRemoteWrite: EndRemoteWrite,
    ChangePersistenceLevel: lambda index, begin: ChangePersistenceLevel(index, 0, begin),
}


@st.composite
def oplogs(draw: st.DrawFn, longest: int = 25) -> list[tuple[int, Entry]]:
    """An agent's oplog: entries with their indices, as a runtime could have written them.

    Indices are dense and start at 1 with `Create` (L1), ends name visible begins (L2), skipped regions are
    nested or apart (R1) and begin behind a visible entry (R2). Payloads are arbitrary bytes.

    Args:
        draw: given by hypothesis.
        longest: how many entries it has at most.
    """
    log: list[tuple[int, Entry]] = [(1, CREATE)]
    plan = plan_after(EMPTY_PLAN, 1, CREATE)
    for index in range(2, draw(st.integers(1, longest)) + 1):
        entry = _next(draw, plan, index)
        plan = plan_after(plan, index, entry)
        log.append((index, entry))
    return log


def _next(draw: st.DrawFn, plan: Plan, index: int) -> Entry:
    what = draw(st.sampled_from(["ordinary", "ordinary", "end", "jump", "revert"]))
    visible = [at for at in range(1, index - 1) if plan.regions.is_visible(at)]
    if what == "end" and plan.open_begins:
        begin = draw(st.sampled_from(sorted(plan.open_begins)))
        kind = plan.open_begins[begin]
        if kind is BeginAtomicRegion and draw(st.booleans()):
            return Error(
                index, "ValueError", "it failed", "code", begin=begin, attempt=1, due=index
            )
        ended: Entry = _ENDS[kind](index, begin)
        return ended
    if what == "jump" and visible:
        return Jump(index, OplogRegion(draw(st.sampled_from(visible)) + 1, index))
    if what == "revert" and visible:
        return Revert(index, OplogRegion(draw(st.sampled_from(visible)) + 1, index - 1))
    return draw(_ORDINARY)
