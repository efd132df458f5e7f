"""Damages copies of a store of agents and looks at what becomes of each (child process).

    python damage.py <directory> <checks> <seed> <stores> <stores for a runtime>

Checks: "all"; "no checksums": the negative control, in which nobody looks at them.

Prints as JSON how often each happened: "harmless", "noticed", "WRONG", "DIED".
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from golem_sdk import Runtime
from golem_sdk.codec.entries import decode_chunk
from golem_sdk.core.ids import storage_key
from golem_sdk.doctor.examine import examine
from golem_sdk.doctor.health import opened
from golem_sdk.doctor.repair import Repair, repair
from golem_sdk.errors import GolemError, StoreCorruptError, StoreError
from golem_sdk.oplog.writer import EagerWriter, OplogWriter
from golem_sdk.storage import lmdb, salvage
from golem_sdk.storage.base import Space
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.storage.records import OVERHEAD
from storage.agent_store import META_BYTES, NAMES, PAGE, AgentStore, DamagedKeeper, make, read_rows
from storage.judging import OUTCOMES, judged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from golem_sdk.core.entries import Entry
    from storage.agent_store import Rows

TRANSACTION_BYTE = 144
"""See flips.py: the newest meta page with bit 1 of this, or as it was two transactions ago, is what a
crash before the last commit leaves. Nothing in one file can tell these apart. Left out."""


# --- damage ---------------------------------------------------------------------------------------


def flip(store: AgentStore, data: bytearray, rng: random.Random) -> str:
    page = rng.randrange(len(data) // PAGE)
    offset = rng.randrange(META_BYTES if page < 2 else rng.choice([80, PAGE]))
    bit = rng.randrange(8)
    if page < 2 and offset == TRANSACTION_BYTE and bit == 1:
        bit = 2
    data[page * PAGE + offset] ^= 1 << bit
    return f"bit {bit} of byte {offset} of page {page}"


def zero(store: AgentStore, data: bytearray, rng: random.Random) -> str:
    page, count = rng.randrange(len(data) // PAGE), rng.choice([1, 1, 1, 3])
    begin, end = page * PAGE, min((page + count) * PAGE, len(data))
    data[begin:end] = bytes(end - begin)
    return f"zeros in {count} pages from {page} on"


def swap(store: AgentStore, data: bytearray, rng: random.Random) -> str:
    one, other = rng.sample(range(len(data) // PAGE), 2)
    first, second = slice(one * PAGE, one * PAGE + PAGE), slice(other * PAGE, other * PAGE + PAGE)
    data[first], data[second] = data[second], data[first]
    return f"pages {one} and {other} swapped"


def truncate(store: AgentStore, data: bytearray, rng: random.Random) -> str:
    left = rng.choice([rng.randrange(len(data)), rng.randrange(len(data) // PAGE) * PAGE])
    del data[left:]
    return f"only {left} bytes left"


def age(store: AgentStore, data: bytearray, rng: random.Random) -> str:
    pages = [page for page, old in store.old_pages.items() if old and page > 1]
    page = rng.choice(pages)
    back = rng.randrange(1, 1 + min(4, len(store.old_pages[page])))
    data[page * PAGE : page * PAGE + PAGE] = store.old_pages[page][-back]
    return f"page {page} as it was {back} writes ago"


KINDS: list[Callable[[AgentStore, bytearray, random.Random], str]] = [
    flip,
    zero,
    swap,
    truncate,
    age,
]


# --- what becomes of it ---------------------------------------------------------------------------


def look(store: AgentStore, work: Path) -> str:
    """Through the engine, by `golem doctor --verify`, and by `--repair`."""
    outcomes = {"engine": by_engine(store, work), "doctor": by_doctor(store, work)}
    if "WRONG" in outcomes.values():
        print(outcomes, file=sys.stderr)
    return max(outcomes.values(), key=OUTCOMES.index)


def by_engine(store: AgentStore, work: Path) -> str:
    try:
        engine = LmdbEngine(work)
    except StoreCorruptError:
        return "noticed"
    try:
        outcome = "harmless" if read_rows(engine) == store.rows else "WRONG"
    except StoreCorruptError:
        outcome = "noticed"
    engine.close()
    return outcome


def by_doctor(store: AgentStore, work: Path) -> str:
    before, new = (work / "data.mdb").read_bytes(), place_of_repaired(work)
    try:
        with opened(work, thoroughly=True) as left:
            verified = examine(left)
        done = repair(work, new)
    except StoreCorruptError:
        return "noticed"
    assert (work / "data.mdb").read_bytes() == before
    assert verified.is_sound == done.findings.is_sound
    engine = LmdbEngine(new)
    rows = read_rows(engine)
    engine.close()
    if verified.is_sound:
        return "harmless" if without_heads(rows) == without_heads(store.rows) else "WRONG"
    return "noticed" if all(fair(name, done, rows, store.rows) for name in NAMES) else "WRONG"


def place_of_repaired(work: Path) -> Path:
    new = work.with_name("repaired")
    shutil.rmtree(new, ignore_errors=True)
    return new


def without_heads(rows: Rows) -> Rows:
    return {place: value for place, value in rows.items() if place[0] is not Space.HEAD}


def key_of(name: str) -> bytes:
    return storage_key(f'DamagedKeeper("{name}")')


def fair(name: str, done: Repair, new: Rows, old: Rows) -> bool:
    """Whether an agent is whole, or said not to be."""
    key = key_of(name)
    agent = done.findings.agents.get(key)
    if agent is None:
        return bool(done.findings.problems)
    old_log, new_log = (_entries(key, rows) for rows in (old, new))
    if agent.cut:
        head = new.get((Space.HEAD, key))
        return old_log[: len(new_log)] == new_log and (head is not None or agent.written == 0)
    if new_log != old_log:
        return False
    if agent.problems or done.findings.problems:
        return True
    return all(_of(key, new, s) == _of(key, old, s) for s in (Space.RESULT, Space.INBOX))


def _entries(key: bytes, rows: Rows) -> list[Entry]:
    """Those of a log, whose chunks may have been put together since."""
    return [entry for data in _of(key, rows, Space.OPLOG).values() for entry in decode_chunk(data)]


def _of(key: bytes, rows: Rows, space: Space) -> Rows:
    return {
        place: value
        for place, value in rows.items()
        if place[0] is space and place[1].startswith(key + b"\0")
    }


def run_agents(store: AgentStore, work: Path) -> str:
    """Through a runtime: of the damaged store if it opens, and of what was saved of it."""
    outcome, new = ask(store, work, NAMES), place_of_repaired(work)
    try:
        done = repair(work, new)
    except StoreError:
        return max(outcome, "noticed", key=OUTCOMES.index)
    # Of an agent of which no row is left, the new store cannot know; that something is lost was said.
    known = [n for n in NAMES if key_of(n) in done.findings.agents or done.findings.is_sound]
    after = ask(store, new, known)
    if done.findings.is_sound and after != "harmless":
        return "WRONG"
    return max(outcome, after, key=OUTCOMES.index)


def ask(store: AgentStore, path: Path, names: list[str]) -> str:
    outcomes = {"harmless"}
    try:
        with Runtime(path) as runtime:
            for name in names:
                if name == NAMES[1]:  # it rests, whoever asks
                    continue
                try:
                    handle = runtime.trigger(runtime.get(DamagedKeeper, name).kept)
                    same = handle.result(timeout=60) == store.parcels[name]
                    outcomes.add("harmless" if same else "WRONG")
                except GolemError:
                    outcomes.add("noticed")
    except StoreCorruptError:
        outcomes.add("noticed")
    return max(outcomes, key=OUTCOMES.index)


def outcome_of(
    store: AgentStore, work: Path, data: bytes, judge: Callable[[AgentStore, Path], str]
) -> str:
    """What ``judge`` says of a store with this file, in a process of its own."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(0o700)
    (work / "data.mdb").write_bytes(data)
    return judged(lambda: judge(store, work))


def main(directory: Path, checks: str, seed: int, stores: int, runtimes: int) -> None:
    store = make(directory / "sound", (OplogWriter, EagerWriter)[seed % 2])
    if checks != "all":
        for module in (lmdb, salvage):
            vars(module)["open_record"] = lambda space, key, sealed: sealed[OVERHEAD:]
    work = directory / "damaged"
    assert outcome_of(store, work, store.data, look) == "harmless"
    assert outcome_of(store, work, store.data, run_agents) == "harmless"
    counts: Counter[str] = Counter()
    for number, (what, data) in enumerate(damaged(store, seed, stores + runtimes)):
        outcome = outcome_of(store, work, data, look if number < stores else run_agents)
        counts[outcome] += 1
        if outcome in ("WRONG", "DIED"):
            print(f"{outcome}: seed {seed}, store {number}: {what}", flush=True)
    print(json.dumps(counts))


def damaged(store: AgentStore, seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """So many files, no two alike and none as it was."""
    number, known = 0, {store.data}
    while len(known) <= count:
        changed = bytearray(store.data)
        what = KINDS[number % len(KINDS)](store, changed, random.Random(f"{seed} {number}"))
        number, data = number + 1, bytes(changed)
        if data not in known:
            known.add(data)
            yield what, data


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
