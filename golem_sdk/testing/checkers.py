"""The promises of DESIGN.md as functions of what was seen: each gives the violations that it finds.

They ask nothing but the values they are given, so that any proof (simulation, crash tests, a user's own) can
use them. An empty list means that the promise was kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from golem_sdk.codec.entries import decode_chunk, encode_chunk
from golem_sdk.core.entries import (
    BeginAtomicRegion,
    BeginRemoteWrite,
    ChangePersistenceLevel,
    Create,
    EndAtomicRegion,
    EndRemoteWrite,
    Entry,
    Jump,
    OplogIndex,
    OplogRegion,
    Revert,
)
from golem_sdk.core.status import NEW_AGENT, StatusRecord, fold_status
from golem_sdk.errors import GolemError

__all__ = [
    "Append",
    "Observation",
    "Performance",
    "Told",
    "check_c1",
    "check_l1",
    "check_l2",
    "check_p1",
    "check_p2",
    "check_p3",
    "check_p3_unknown",
    "check_p4",
    "check_p5",
    "check_p6",
    "check_r1",
    "check_r2",
    "check_s1",
    "check_s2",
    "check_x1",
]

Oplog = Sequence[tuple[OplogIndex, Entry]]


@frozen
class Performance:
    """An effect that the outside has seen.

    Attributes:
        name: what was done.
        key: the idempotency key that it came with, empty if that is not known.
        process: the number of the process that did it.
        live: the agent had no recorded entries left to meet.
        unwritten: how many of the agent's entries were not on disk then.
    """

    name: str
    key: str
    process: int
    live: bool = True
    unwritten: int = 0


@frozen
class Observation:
    """What agent code saw at the ``number``-th place of a life: which place, and what it looked like.

    ``live``: the agent had no recorded entries left to meet, so it may have been there for the first time.
    """

    agent_id: str
    number: int
    place: str
    look: str
    live: bool = True


@frozen
class Told:
    """What a caller outside was told of its invocation, and whether that was on disk by then."""

    call: str
    outcome: tuple[Any, ...]
    on_disk: bool


@frozen
class Append:
    """A chunk of entries that was committed, by which process, and who owned the store then."""

    log: bytes
    first: OplogIndex
    count: int
    process: int
    owner: int


# --- one oplog --------------------------------------------------------------------------------------


def check_l1(oplog: Oplog) -> list[str]:
    """L1: indices are dense and start at 1; entry 1 is `Create`, and no other is."""
    found = [
        f"L1: entry {index} stands where {expected} should"
        for expected, (index, _) in enumerate(oplog, start=1)
        if index != expected
    ]
    creates = [index for index, entry in oplog if isinstance(entry, Create)]
    if oplog and creates != [1]:
        found.append(f"L1: Create is at {creates}, not at 1 alone")
    return found


_BEGIN_OF: dict[type[Entry], type[Entry]] = {
    EndAtomicRegion: BeginAtomicRegion,
    EndRemoteWrite: BeginRemoteWrite,
    ChangePersistenceLevel: ChangePersistenceLevel,
}


def check_l2(oplog: Oplog) -> list[str]:
    """L2: an end names an earlier visible begin of its kind, which has at most one visible end."""
    found = []
    for end, entry in oplog:
        begin = getattr(entry, "begin", 0)
        if type(entry) not in _BEGIN_OF or not begin:
            continue
        before = [(index, seen) for index, seen in visible(oplog, end) if index < end]
        if not any(
            index == begin and type(seen) is _BEGIN_OF[type(entry)] for index, seen in before
        ):
            found.append(f"L2: the end at {end} names {begin}, where no visible begin of it is")
        ends = [
            i
            for i, seen in before
            if type(seen) is type(entry) and getattr(seen, "begin", 0) == begin
        ]
        if ends:
            found.append(f"L2: what began at {begin} ends at {end}, and at {ends} before")
    return found


def check_r1(oplog: Oplog) -> list[str]:
    """R1: the entry before a region was visible when it was written: regions nest or stay apart."""
    return [
        f"R1: the region {region.start} to {region.end} was written at {at}, and what precedes it was dropped"
        for at, region in regions(oplog)
        if region.start > 1 and not _is_visible(oplog, region.start - 1, at)
    ]


def check_r2(oplog: Oplog) -> list[str]:
    """R2: where a revert or a jump leads is visible, and lies before it."""
    return [
        f"R2: the {type(oplog[at - 1][1]).__name__} at {at} leads to {region.start - 1}"
        for at, region in regions(oplog)
        if not 1 <= region.start - 1 < at or region.end > at
    ]


def regions(oplog: Oplog) -> list[tuple[OplogIndex, OplogRegion]]:
    """The regions that replay skips, each with the entry that says so."""
    return [(at, entry.region) for at, entry in oplog if isinstance(entry, Jump | Revert)]


def visible(oplog: Oplog, at: OplogIndex) -> list[tuple[OplogIndex, Entry]]:
    """The entries that were visible just before ``at`` was written."""
    dropped = [region for written, region in regions(oplog) if written < at]
    return [(i, e) for i, e in oplog if i < at and not any(i in region for region in dropped)]


def _is_visible(oplog: Oplog, index: OplogIndex, at: OplogIndex) -> bool:
    return not any(index in region for written, region in regions(oplog) if written < at)


def check_s1(oplog: Oplog, head: StatusRecord) -> list[str]:
    """S1: the stored status is the fold over the oplog as of its last entry, however the fold is split."""
    entries = [(index, entry) for index, entry in oplog if index <= head.last]
    at_once, middle = fold_status(entries), len(entries) // 2
    one_by_one = NEW_AGENT
    for each in entries:
        one_by_one = fold_status([each], one_by_one)
    halves = fold_status(entries[middle:], fold_status(entries[:middle]))
    found = [
        f"S1: folded {how} {record}, at once {at_once}"
        for how, record in (("one by one", one_by_one), ("in halves", halves))
        if record != at_once
    ]
    if head != at_once:
        found.append(f"S1: stored {head}, the oplog says {at_once}")
    return found


def check_s2(oplog: Oplog) -> list[str]:
    """S2: every entry is the same after encoding and decoding, alone and with the others."""
    entries = [entry for _, entry in oplog]
    alone = [_there_and_back([entry]) for entry in entries]
    found = [f"S2: {a!r} became {b!r}" for a, b in zip(entries, alone, strict=True) if [a] != b]
    if entries and not found and _there_and_back(entries) != entries:
        found.append("S2: the entries together are not what they are one by one")
    return found


def _there_and_back(entries: Sequence[Entry]) -> object:
    try:
        return decode_chunk(encode_chunk(entries))
    except (GolemError, KeyError, TypeError, ValueError) as error:
        return error


# --- what was done ----------------------------------------------------------------------------------


def check_p1(performances: Iterable[Performance]) -> list[str]:
    """P1: no effect was performed in replay."""
    return [f"P1: {p.name} was performed in replay" for p in performances if not p.live]


def check_p2(expected: Mapping[str, object], found: Mapping[str, object]) -> list[str]:
    """P2: results (or states, or oplogs), by name, are those of a run that never crashed."""
    return [
        f"P2: {name} is {found.get(name)!r}, without a crash {expected.get(name)!r}"
        for name in {**expected, **found}
        if name not in found or name not in expected or found[name] != expected[name]
    ]


def check_p3(
    expected: Iterable[str],
    performances: Sequence[Performance],
    *,
    crashes: int,
    never_twice: Iterable[str] = (),
    in_doubt: Iterable[str] = (),
    again: Mapping[str, int] | None = None,
    failures: Mapping[int, int] | None = None,
) -> list[str]:
    """P3: each effect at least once, once more at most per crash, always under one key; others at most once.

    So no process does one twice by itself, however many others have crashed.

    Args:
        expected: the effects of a run that never crashed.
        performances: what was done.
        crashes: how many crashes, or takeovers, there were.
        never_twice: the effects made with ``idempotence_mode(False)``.
        in_doubt: those of them which need not have happened.
        again: how often an atomic region in which an effect is was run again for another reason.
        failures: how often the store of a process failed, by its number: agents start anew in it then.
    """
    more, restarts = again or {}, failures or {}
    times = Counter(p.name for p in performances)
    keys: dict[str, set[str]] = defaultdict(set)
    for performance in performances:
        keys[performance.name].add(performance.key)
    once, doubtful = set(never_twice), set(in_doubt)
    wanted = set(expected)
    found = [f"P3: {name} was never done" for name in sorted(wanted - set(times) - doubtful)]
    found += [f"P3: {name} was done, and nobody wanted it" for name in sorted(set(times) - wanted)]
    for name, count in times.items():
        most = 1 if name in once else 1 + crashes + more.get(name, 0)
        if count > most:
            found.append(f"P3: {name} was done {count} times, at most {most} are promised")
        if len(keys[name]) > 1:
            found.append(f"P3: {name} was done under {len(keys[name])} idempotency keys")
    for (name, process), count in Counter((p.name, p.process) for p in performances).items():
        most = 1 + restarts.get(process, 0) + more.get(name, 0)
        if count > most:
            found.append(
                f"P3: process {process} did {name} {count} times, at most {most} by itself"
            )
    return found


def check_p3_unknown(
    expected: Mapping[str, Any], results: Mapping[str, Any], calls: Iterable[str]
) -> list[str]:
    """P3: whoever is not told the result is told of a write with an unknown outcome, and which call it is.

    Args:
        expected: what each call from outside gives without crashes.
        results: what it gave: ``("result", value)`` or ``("error", type, args, notes)``.
        calls: of the writes that are made with ``idempotence_mode(False)``, what their text holds.
    """
    wanted, found = list(calls), []
    for call, told in results.items():
        if told == expected.get(call):
            continue
        is_unknown = told[:2] == ("error", "UnknownOutcomeError")
        _, message, _, write = told[2] if is_unknown else ("", "", 0, "")
        if not (write and write in message and any(each in write for each in wanted)):
            found.append(f"P3: {call} gave {told!r}, and names no write with an unknown outcome")
    return found


def check_p4(performances: Iterable[Performance], told: Iterable[Told]) -> list[str]:
    """P4: what was shown or told was on disk before; and nobody is told two different things."""
    found = [
        f"P4: {p.name} was shown with {p.unwritten} entries before it not on disk"
        for p in performances
        if p.unwritten
    ]
    said: dict[str, tuple[Any, ...]] = {}
    for each in told:
        if not each.on_disk:
            found.append(f"P4: {each.call} was answered with what is not on disk")
        first = said.setdefault(each.call, each.outcome)
        if first != each.outcome:
            found.append(f"P4: {each.call} was answered {first!r}, then {each.outcome!r}")
    return found


def check_p5(observations: Iterable[Observation]) -> list[str]:
    """P5: in replay agent code comes to the same places in the same order as it did live."""
    return [
        f"P5: {each.agent_id} came to {first.place}, and in replay to {each.place}"
        for first, each in _again(observations)
        if first.place != each.place
    ]


def check_p6(observations: Iterable[Observation]) -> list[str]:
    """P6: in replay a value looks the same as it did live."""
    return [
        f"P6: {each.agent_id} saw {first.look} at {first.place}, and in replay {each.look}"
        for first, each in _again(observations)
        if first.place == each.place and first.look != each.look
    ]


def _again(observations: Iterable[Observation]) -> Iterator[tuple[Observation, Observation]]:
    """What was seen in replay, after what was seen there live: in the last life that went on from there."""
    seen: dict[tuple[str, int], Observation] = {}
    for each in observations:
        place = each.agent_id, each.number
        if not each.live and place in seen:
            yield seen[place], each
        seen[place] = each


def check_c1(appends: Iterable[Append]) -> list[str]:
    """C1: each log's chunks were committed in the order of their indices, without a gap."""
    following: dict[bytes, OplogIndex] = {}
    found = []
    for append in appends:
        expected = following.get(append.log, 1)
        if append.first != expected:
            found.append(f"C1: {append.log!r} got entry {append.first} where {expected} was next")
        following[append.log] = append.first + append.count
    return found


def check_x1(appends: Iterable[Append]) -> list[str]:
    """X1: nothing was appended by a process that did not own the store any more."""
    return [
        f"X1: process {a.process} appended to {a.log!r} at {a.first} when {a.owner} owned the store"
        for a in appends
        if a.process != a.owner
    ]
