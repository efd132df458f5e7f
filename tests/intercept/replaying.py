"""Runs a function inside a real agent, live and again in replay, and looks at the oplog."""

from __future__ import annotations

import asyncio
import gc
import inspect
import random
import time
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any

from golem_sdk import Runtime, agent, intercept, oplog_commit
from golem_sdk.core.entries import ImportedFunctionInvoked, Log
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = [
    "PATIENT",
    "Crash",
    "Runs",
    "crashed",
    "crashed_async",
    "engine_of",
    "let_connections_close",
    "nap",
    "only_new_objects",
    "recovered",
    "run",
    "run_async",
    "same",
]

_BODIES: dict[str, Callable[[], Any]] = {}
_SEEN: dict[str, list[Any]] = {}
_LEFT: list[MemoryEngine] = []
"""The store that the last crash and what came after it have left."""

PATIENT = Settings(suspend_after_s=60.0)
"""With these, a timer that is a second late, on a machine that stands still, costs no agent a life."""


@agent
class Intercepted:
    """Runs the body of its name; what the body returns stays in this process, unencoded."""

    def __init__(self, body: str) -> None:
        self.body = body

    def go(self) -> None:
        _SEEN[self.body].append(_BODIES[self.body]())

    async def go_async(self) -> None:
        _SEEN[self.body].append(await _BODIES[self.body]())

    def recall(self) -> None:
        """Does nothing; to answer, a reloaded agent has to be replayed."""


@contextmanager
def _open_runtime(engine: MemoryEngine, settings: Settings = PATIENT) -> Iterator[Runtime]:
    with Runtime.over(engine, RealEnvironment(), settings) as runtime:
        try:
            yield runtime
        finally:
            host = runtime._kernel.host._thread
    if host is not None:
        host.join(60)  # the runtime waits for a second: then connections might still be open


class Runs:
    """What a body returned live and in replay, and what was recorded.

    Attributes:
        live, replayed: what the body returned.
        calls: names of the durable calls, in order.
        entries: the oplog.
        engine: the store, as it was after the live run.
    """

    def __init__(self, results: list[Any], entries: list[Any], engine: MemoryEngine) -> None:
        self.live, self.replayed = results
        self.entries = entries
        self.calls = [e.function_name for e in entries if isinstance(e, ImportedFunctionInvoked)]
        self.logs = [(e.level, e.context, e.message) for e in entries if isinstance(e, Log)]
        self.engine = engine


def run(
    body: Callable[[], Any],
    between: Callable[[], None] = lambda: None,
    settings: Settings = PATIENT,
) -> Runs:
    """Run a function in a synchronous agent, restart the runtime, and have it replayed.

    Args:
        body: the function.
        between: is called before it is replayed.
        settings: of the live run; those of the replay are the usual ones.
    """
    return _run(body, "go", between, settings)


def run_async(
    body: Callable[[], Awaitable[Any]],
    between: Callable[[], None] = lambda: None,
    settings: Settings = PATIENT,
) -> Runs:
    """The same for a coroutine function in an asynchronous agent."""
    return _run(body, "go_async", between, settings)


def crashed(body: Callable[[], Any], waits: Event, go_on: Event) -> Any:
    """Run a function in a synchronous agent, crash while it waits, and give what it returns after that.

    Args:
        body: the function.
        waits: set when what was committed then is to be all that a crash leaves.
        go_on: is set once that has happened.
    """
    return _crashed(body, "go", waits, go_on)


def crashed_async(body: Callable[[], Awaitable[Any]], waits: Event, go_on: Event) -> Any:
    """The same for a coroutine function in an asynchronous agent."""
    return _crashed(body, "go_async", waits, go_on)


class Crash:
    """What a body is interrupted by."""

    def __init__(self) -> None:
        self.waits, self.go_on = Event(), Event()

    def here(self) -> None:
        oplog_commit(1)
        self.waits.set()
        self.go_on.wait(60)

    def outcome(self, body: Callable[[], Any]) -> Any:
        return crashed(body, self.waits, self.go_on)

    def outcome_async(self, body: Callable[[], Any]) -> Any:
        return crashed_async(body, self.waits, self.go_on)


def recovered(body: Callable[[], Any], waits: Event, go_on: Event) -> Runs:
    """As `crashed`, of a function or a coroutine function; and then again in replay."""
    method = "go_async" if inspect.iscoroutinefunction(body) else "go"
    live = _crashed(body, method, waits, go_on)
    left = _LEFT.pop()
    with _open_runtime(left.snapshot()) as runtime:
        handle = runtime.get(Intercepted, _name_of(body))
        handle.recall()
        entries = [entry for _, entry in runtime.oplog(handle)]
    [_, replayed] = _SEEN[_name_of(body)]
    return Runs([live, replayed], entries, left)


@contextmanager
def only_new_objects() -> Iterator[None]:
    """In this block a garbage collection looks at what was made in it: at all that there is takes long."""
    intercept.install()
    intercept.heal()  # which looks at everything, the first time
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@only_new_objects()
def _crashed(body: Callable[[], Any], method: str, waits: Event, go_on: Event) -> Any:
    name = _prepare(body)
    with _open_runtime(MemoryEngine()) as runtime:
        runtime.trigger(getattr(runtime.get(Intercepted, name), method), key="one")
        assert waits.wait(60)
        left = engine_of(runtime).snapshot()
    go_on.set()
    with _open_runtime(left) as runtime:
        runtime.trigger(getattr(runtime.get(Intercepted, name), method), key="one").result(60)
        _LEFT[:] = [engine_of(runtime).snapshot()]
    gc.collect()  # connections that the crash left open complain now, in this test
    [result] = _SEEN[name]
    return result


def _prepare(body: Callable[[], Any]) -> str:
    name = _name_of(body)
    _BODIES[name], _SEEN[name] = body, []
    return name


def _name_of(body: Callable[[], Any]) -> str:
    return f"{body.__module__}.{body.__qualname__}"


def engine_of(runtime: Runtime) -> MemoryEngine:
    engine = runtime._kernel.engine
    assert isinstance(engine, MemoryEngine)
    return engine


def let_connections_close(runtime: Runtime) -> None:
    """Connections of asynchronous agents are closed in the background; nobody waits for it but us."""
    gc.collect()  # of those that were dropped unclosed, too
    loop = runtime._kernel.host._loop
    if loop is None:
        return

    async def drained() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others) if others else None
        for _ in range(3):  # transports close their sockets one turn later
            await asyncio.sleep(0)

    asyncio.run_coroutine_threadsafe(drained(), loop).result(60)


@only_new_objects()
def _run(
    body: Callable[[], Any],
    method: str,
    between: Callable[[], None] = lambda: None,
    settings: Settings = PATIENT,
) -> Runs:
    name = _prepare(body)
    with _open_runtime(MemoryEngine(), settings) as runtime:
        handle = runtime.get(Intercepted, name)
        runtime.trigger(getattr(handle, method)).result()
        left = engine_of(runtime).snapshot()
        let_connections_close(runtime)
    between()
    with _open_runtime(left.snapshot()) as runtime:
        handle = runtime.get(Intercepted, name)
        handle.recall()
        entries = [entry for _, entry in runtime.oplog(handle)]
    return Runs(_SEEN[name], entries, left)


def same(runs: Runs) -> Any:
    """What the body returned, live as in replay."""
    assert runs.live == runs.replayed
    return runs.live


def nap() -> None:
    """Wait in agent code, for another time in each life."""
    time.sleep(0.002 * random.random())
