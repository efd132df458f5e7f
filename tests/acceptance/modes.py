"""The table of modes in which every scenario is run, and what shows that a mode is in effect."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence  # attrs classes are resolved at run time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from attrs import frozen

from acceptance.child import Child, Life
from acceptance.shapes import SCENARIOS, Scenario
from golem_sdk.core.entries import Entry, OplogIndex, Suspend, TimerSet
from golem_sdk.core.ids import storage_key
from golem_sdk.oplog.reader import read_entries
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import drive
from golem_sdk.testing.evidence import Evidence, Notes
from golem_sdk.testing.mortal import MortalLmdb
from golem_sdk.testing.witness import Witness

if TYPE_CHECKING:
    from golem_sdk.testing.crash import MortalEngine

__all__ = ["KEPT_S", "MODES", "Mode", "Run", "check_in_effect", "every_index", "in_memory", "runs"]

KEPT_S = 1e6
"""No wait of a scenario is longer."""

SEVERAL = 12
"""So many schedules of two to four crashes, in each of two modes."""

HASH_SEEDED = 4
"""So many schedules of one crash, after which a process with another hash seed takes over."""

SHORT_LIVES, LIVES = 40, 200
"""So many that each append one entry, or more and more."""

Schedule = Sequence[CrashPoint]


def calm(appends: int, draw: random.Random, scale: int) -> Iterator[Schedule]:
    yield ()


def every_index(appends: int, *_: object) -> Iterator[Schedule]:
    for append in range(1, appends + 1):
        for moment in CrashMoment:
            yield [CrashPoint(append, moment)]


def each_index(appends: int, draw: random.Random, scale: int) -> Iterator[Schedule]:
    """The same, at one of the moments each; with the fuzz knob at all of them."""
    if scale > 1:
        yield from every_index(appends)
        return
    for append in range(1, appends + 1):
        yield [CrashPoint(append, draw.choice(list(CrashMoment)))]


def several(appends: int, draw: random.Random, scale: int) -> Iterator[Schedule]:
    """Each recovery crashes somewhere, or where there is still something to append if little was lost."""
    for _ in range(SEVERAL * scale):
        points: list[CrashPoint] = []
        left = appends
        for _ in range(draw.randint(2, 4)):
            points.append(CrashPoint(draw.randint(1, left), draw.choice(list(CrashMoment))))
            left = draw.choice([appends, max(1, left - points[-1].append)])
        yield points


def spread(appends: int, draw: random.Random, scale: int) -> Iterator[Schedule]:
    """No crash, and a few from the first append to the last."""
    yield ()
    for number in range(HASH_SEEDED):
        append = 1 + number * (appends - 1) // (HASH_SEEDED - 1)
        yield [CrashPoint(append, list(CrashMoment)[number % 3])]


def each_life_an_entry(appends: int, draw: random.Random, scale: int) -> Iterator[Schedule]:
    """Whatever is awaited, the process dies as soon as that is on disk.

    What is done as a whole would never be done: in the end, each life appends one entry more.
    """
    yield [CrashPoint(1 + max(0, life - SHORT_LIVES), CrashMoment.DURABLE) for life in range(LIVES)]


@frozen
class Mode:
    """How scenarios are run.

    Attributes:
        unloads: a wait of any length unloads its agent, which is replayed then.
        on_disk: on LMDB; else in memory.
        schedules: where runs are crashed, from the number of appends of one that is not.
        hash_seeds: each run is begun by a process with another PYTHONHASHSEED, and taken up by a third.
    """

    unloads: bool = False
    on_disk: bool = False
    schedules: Callable[[int, random.Random, int], Iterator[Schedule]] = calm
    hash_seeds: bool = False


MODES: dict[str, Mode] = {
    "normal": Mode(),
    "unloaded": Mode(unloads=True),
    "crashed": Mode(schedules=every_index),
    "crashed-unloaded": Mode(unloads=True, schedules=each_index),
    "crashed-again": Mode(schedules=several),
    "crashed-again-unloaded": Mode(unloads=True, schedules=several),
    "each-life-an-entry": Mode(schedules=each_life_an_entry),
    "disk": Mode(on_disk=True),
    "disk-unloaded": Mode(on_disk=True, unloads=True),
    "disk-crashed": Mode(on_disk=True, schedules=each_index),
    "hash-seeds": Mode(on_disk=True, schedules=spread, hash_seeds=True),
}


@frozen
class Run:
    """One run of a scenario.

    Attributes:
        schedule: where it was to crash.
        file: what was found in the store's file afterwards; ``None``: there is none.
        hashes: what each process of it has for ``hash("x")``, the one that reports it first.
    """

    schedule: Schedule
    evidence: Evidence
    file: dict[str, list[tuple[OplogIndex, Entry]]] | None = None
    hashes: tuple[int, ...] = ()


def runs(
    name: str, mode: Mode, seed: int, scale: int, children: Callable[[], Sequence[Child]]
) -> Iterator[Run]:
    """Run a scenario in a mode.

    Args:
        name: of the scenario.
        mode: the mode.
        seed: of what is drawn.
        scale: how much more than usual.
        children: processes with hash seeds of their own.
    """
    scenario = SCENARIOS[name]
    suspend_after_s = 0.0 if mode.unloads else KEPT_S
    appends = drive(scenario.begin(), suspend_after_s=suspend_after_s).appends
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        schedules = mode.schedules(appends, random.Random(f"{seed} {name}"), scale)
        for number, schedule in enumerate(schedules):
            store = Path(directory) / str(number)
            if mode.hash_seeds:
                yield in_children(name, schedule, store, suspend_after_s, children())
            elif mode.on_disk:
                disk = MortalLmdb(store)
                evidence = in_memory(scenario, schedule, suspend_after_s, disk)
                yield Run(schedule, evidence, file=found_in(store, evidence))
            else:
                yield Run(schedule, in_memory(scenario, schedule, suspend_after_s))
            shutil.rmtree(store, ignore_errors=True)


def in_memory(
    scenario: Scenario,
    schedule: Schedule = (),
    suspend_after_s: float = KEPT_S,
    store: MortalEngine | None = None,
) -> Evidence:
    """Run a scenario in this process, in memory unless there is a store."""
    witness = Witness()
    drive(
        scenario.begin(),
        schedule,
        suspend_after_s=suspend_after_s,
        store=store,
        witness=witness,
    )
    assert witness.evidence is not None
    return witness.evidence


def in_children(
    name: str, schedule: Schedule, store: Path, suspend_after_s: float, children: Sequence[Child]
) -> Run:
    """The first child drives a scenario until it crashes, the next one takes up what it has left."""
    hashes, notes = [hash("x")], Notes()
    points: Sequence[CrashPoint | None] = [*schedule, None]
    for crashes, point in enumerate(points):
        lived = children[crashes].live(
            Life(name, str(store), suspend_after_s, point, notes, crashes)
        )
        hashes.append(lived.hash)
        notes = lived.notes
        if lived.evidence is not None:
            file = found_in(store, lived.evidence)
            return Run(schedule, lived.evidence, file, tuple(hashes))
    raise AssertionError("the last life has no crash point and comes to its end")


def found_in(store: Path, evidence: Evidence) -> dict[str, list[tuple[OplogIndex, Entry]]]:
    engine = LmdbEngine(store, read_only=True)
    try:
        return {agent: list(read_entries(engine, storage_key(agent))) for agent in evidence.oplogs}
    finally:
        engine.close()


def check_in_effect(mode: Mode, scenario: Scenario, seen: Sequence[Run]) -> None:
    """That these runs really were what the mode says.

    Raises:
        AssertionError: they were not.
    """
    oplogs = [oplog for run in seen for oplog in run.evidence.oplogs.values()]
    kinds = Counter(type(entry) for oplog in oplogs for _, entry in oplog)
    unloads, unloaded = kinds[Suspend], mode.unloads and scenario.waits
    assert unloads == 0 or unloaded, f"{unloads} unloads"
    # All answers of other agents for which a single run waits may come before it is unloaded.
    assert unloads > 0 or not unloaded or (len(seen) == 1 and not kinds[TimerSet]), "no unloads"
    for run in seen:
        on_disk = run.file is not None and run.file == dict(run.evidence.oplogs)
        assert on_disk == mode.on_disk, f"in the file is {run.file}"
    wanted = sum(len(run.schedule) > 0 for run in seen)
    crashes = sum(run.evidence.crashes > 0 for run in seen)
    assert (wanted > 0) == (mode.schedules is not calm), f"{wanted} runs were to crash"
    # Where things race, and how often an agent is unloaded does, a run may end before its crash point.
    races = mode.unloads or not scenario.ordered
    assert crashes >= (0.5 * wanted if races else wanted), f"{crashes} of {wanted} crashed"
    if mode.schedules is each_life_an_entry:
        lives = seen[0].evidence.crashes
        assert lives < LIVES, "it came to its end by itself"
        assert lives > 1, f"it ended after {lives} crashes"
    for run in seen:
        several = mode.hash_seeds and len(run.hashes) == 2 + run.evidence.crashes
        assert several == mode.hash_seeds, f"{len(run.hashes)} processes"
        assert len(set(run.hashes)) == len(run.hashes), "hash seeds are equal"
