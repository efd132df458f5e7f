"""W5: what an agent takes that sleeps, in memory or unloaded until its time; ``--sleepers`` says how many.

The peers are not compared: theirs sleep in processes, and a server, which do other work as well. Measured by
hand were 11.3 KiB with DBOS 3.4, and 15.8 KiB with Restate 1.7 and 17.4 KiB more in its server.

Run as a script (``STORE COUNT WAY``, see `_WAYS`) it is one of the processes that do it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from attrs import evolve

from benchmarks.figures import Figure
from benchmarks.memory import can_be_told, own_kib
from golem_sdk import Runtime, agent, trigger
from golem_sdk.codec.entries import encode_chunk
from golem_sdk.codec.values import encode
from golem_sdk.core.entries import Create, ExportedFunctionInvoked
from golem_sdk.core.ids import storage_key
from golem_sdk.core.status import AgentStatus
from golem_sdk.oplog.reader import chunk_key, read_entries
from golem_sdk.originals import perf_counter, sleep
from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.lmdb import LmdbEngine
from golem_sdk.stores.heads import head_put, known_head
from golem_sdk.stores.invocations import inbox_key, load_inbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.__main__ import Plan
    from golem_sdk.core.entries import Entry

__all__ = ["make", "w5"]

Told = dict[str, float]

_LONG_S: Final = 1e7
_WARM: Final = 64
_AT_ONCE: Final = 100
_ROUNDS: Final = 3
_BEGUN_MOST: Final = 10_000


@agent
async def sleeping(number: int) -> int:
    await asyncio.sleep(_LONG_S)
    return number


@agent
def lulling(first: int, count: int) -> None:
    """Others of one store are told to begin without a wait for each."""
    for number in range(first, first + count):
        trigger(sleeping, number)


def w5(plan: Plan) -> list[Figure]:
    """Sleepers kept in memory; unloaded ones where they have begun, and after a restart.

    Nothing where the system does not tell what a process takes.
    """
    if not can_be_told():
        return []
    rounds = min(plan.rounds, _ROUNDS)
    count = plan.sleepers
    begun: dict[str, list[float]] = {"resident": [], "unloaded": []}
    for _ in range(rounds):
        for way, samples in begun.items():
            with TemporaryDirectory(dir=plan.directory) as scratch:
                samples.append(_done(scratch, min(count, _BEGUN_MOST), way)["kib_each"])
    with TemporaryDirectory(dir=plan.directory) as scratch:
        without = _done(f"{scratch}/empty", 0, "evicted")
        _done(f"{scratch}/store", count, "make")
        evicted = [_done(f"{scratch}/store", count, "evicted") for _ in range(rounds)]
    return [
        Figure("W5 resident", begun["resident"]),
        Figure("W5 unloaded", begun["unloaded"]),
        Figure("W5 evicted", [(told["kib"] - without["kib"]) / count for told in evicted]),
        Figure("W5 process", [told["kib"] / 1024 for told in evicted]),
        Figure("W5 opening", [told["opening_s"] / count * 1e6 for told in evicted]),
    ]


def _done(store: str, count: int, what: str) -> Told:
    command = [sys.executable, "-m", "benchmarks.sleepers", store, str(count), what]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    told: Told = json.loads(done.stdout)
    return told


def _resident(store: Path, count: int) -> Told:
    """All of them have begun in this process and are made to stay in its memory."""
    with Runtime(store, suspend_after=2 * _LONG_S) as runtime:
        return _begun(runtime, count, _is_waiting)


def _unloaded(store: Path, count: int) -> Told:
    """All of them have begun in this process, which unloads them as it usually does."""
    with Runtime(store) as runtime:
        return _begun(runtime, count, _is_gone)


def _begun(runtime: Runtime, count: int, is_asleep: Callable[[Runtime, str], bool]) -> Told:
    _lull(runtime, 0, _WARM, is_asleep)
    before = _at_rest_kib()
    for first in range(_WARM, _WARM + count, _AT_ONCE):
        _lull(runtime, first, min(_AT_ONCE, _WARM + count - first), is_asleep)
    return {"kib_each": (_at_rest_kib() - before) / count}


def _at_rest_kib() -> int:
    """What the process takes when the threads that had something to do have gone."""
    while any(thread.name == "golem-worker" for thread in threading.enumerate()):
        sleep(0.1)
    return own_kib()


def _lull(
    runtime: Runtime, first: int, count: int, is_asleep: Callable[[Runtime, str], bool]
) -> None:
    runtime.run(lulling, first, count)
    for number in range(first, first + count):
        # It runs until it waits, and nothing tells when it does.
        while not is_asleep(runtime, f"sleeping({number})"):
            sleep(0.001)


def _is_waiting(runtime: Runtime, agent_id: str) -> bool:
    actor = runtime._kernel.actor("sleeping", agent_id)
    session = actor.session
    return session is not None and bool(session.pump.effects) and not actor._scheduled


def _is_gone(runtime: Runtime, agent_id: str) -> bool:
    actor = runtime._kernel._actors.get(agent_id)
    return actor is None or actor.asleep


def _evicted(store: Path, count: int) -> Told:
    """All of them were unloaded; a process that opens their store has only to wake them some day."""
    begin = perf_counter()
    with Runtime(store) as runtime:
        opening_s, kib = perf_counter() - begin, own_kib()
        armed = len(runtime._kernel.environment._timers._heap)  # type: ignore[attr-defined]  # the real one
        if armed < count:
            sys.exit(f"only {armed} of {count} agents are asleep")
    return {"kib": kib, "opening_s": opening_s}


def make(store: Path, count: int) -> Told:
    """A store with so many sleepers. One has really begun; for the others the same is written as for it."""
    with Runtime(store, suspend_after=0) as runtime:
        runtime.run(lulling, 0, 1)
        while not any(found.status is AgentStatus.SUSPENDED for found in runtime.agents()):
            sleep(0.001)
    engine = LmdbEngine(store)
    copies = _copies(engine, "sleeping(0)")
    for first in range(1, count, _AT_ONCE):
        engine.commit([copies(number) for number in range(first, min(first + _AT_ONCE, count))])
    engine.close()
    return {}


def _copies(engine: LmdbEngine, agent_id: str) -> Callable[[int], Batch]:
    """What is stored of this agent, as that of another number."""
    head = known_head(engine, agent_id)
    (invocation,) = load_inbox(engine, agent_id)
    entries = [entry for _, entry in read_entries(engine, storage_key(agent_id))]

    def copy(number: int) -> Batch:
        name = f"sleeping({number})"
        identity, key = encode([[number], {}]), f"run {name}"
        mine = evolve(
            invocation,
            agent_id=name,
            key=key,
            constructor=identity,
            order=invocation.order + number,
        )
        record = evolve(head.record, invocation=key)
        chunk = encode_chunk([_renamed(entry, name, key, identity) for entry in entries])
        return Batch(
            (Space.OPLOG, chunk_key(storage_key(name), 1), chunk),
            (
                head_put(evolve(head, agent_id=name, record=record)),
                (Space.INBOX, inbox_key(name, mine.order), mine.to_row()),
            ),
        )

    return copy


def _renamed(entry: Entry, agent_id: str, key: str, identity: bytes) -> Entry:
    if isinstance(entry, Create):
        return evolve(entry, agent_id=agent_id, arguments=identity)
    if isinstance(entry, ExportedFunctionInvoked):
        return evolve(entry, idempotency_key=key)
    return entry


_WAYS: Final = {
    "make": make,
    "resident": _resident,
    "unloaded": _unloaded,
    "evicted": _evicted,
}

if __name__ == "__main__":
    directory, number_of, way = sys.argv[1:]
    print(json.dumps(_WAYS[way](Path(directory), int(number_of))))
