"""Closing a runtime leaves what agents did on disk, and in memory nothing: no code, no thread, no runtime."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref

from golem_sdk import Runtime, agent
from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.environment import VirtualEnvironment
from runtime.acting import GATE, REACHED, SEEN, Acting


@agent
async def reads_and_waits(name: str) -> None:
    time.time()
    REACHED.set()
    try:
        await asyncio.Event().wait()
    finally:
        SEEN.append("unwound")


def begin() -> None:
    for event in (GATE, REACHED):
        event.clear()
    SEEN.clear()


def test_what_was_not_yet_on_disk_is_written_and_code_that_waits_is_unwound() -> None:
    begin()
    engine, environment = MemoryEngine(), VirtualEnvironment()
    runtime = Runtime.over(engine, environment, Settings(write_behind_s=None))
    runtime.trigger(reads_and_waits, "x")
    environment.join(30)
    assert SEEN == []
    runtime.close()
    assert SEEN == ["unwound"]
    with Runtime.over(engine.snapshot(), VirtualEnvironment(), Settings()) as opened:
        entries = [entry for _, entry in opened.oplog('reads_and_waits("x")')]
    assert sum(isinstance(entry, ImportedFunctionInvoked) for entry in entries) == 1


def test_no_thread_is_left() -> None:
    begin()
    before = set(threading.enumerate())
    runtime = Runtime.over(MemoryEngine(), RealEnvironment(), Settings(write_behind_s=0.0))
    assert runtime.get(Acting, "x").add(1) == 1
    runtime.trigger(runtime.get(Acting, "x").wait, key="wait")
    assert REACHED.wait(30)
    runtime._kernel.committer.soon()
    names = {thread.name for thread in set(threading.enumerate()) - before}
    assert {"golem-host", "golem-write-behind"} <= names
    GATE.set()
    runtime.close()
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not left & {"golem-host", "golem-write-behind"}


def test_nobody_keeps_it_in_memory() -> None:
    begin()
    runtime = Runtime.over(MemoryEngine(), VirtualEnvironment(), Settings())
    assert runtime.get(Acting, "x").add(1) == 1
    kernel = weakref.ref(runtime._kernel)
    runtime.close()
    del runtime
    gc.collect()
    assert kernel() is None
