"""Drives agents to the end of a scenario over any number of simulated crashes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import fields, frozen

from golem_sdk.app import Runtime
from golem_sdk.core.entries import KIND_OF, Entry, OplogIndex
from golem_sdk.core.ids import storage_key
from golem_sdk.core.status import StatusRecord
from golem_sdk.errors import GolemError, RuntimeClosedError, StoreError
from golem_sdk.oplog.reader import read_entries
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.stores.heads import load_heads
from golem_sdk.testing.crash import CrashPoint, Trap
from golem_sdk.testing.environment import START_NS, VirtualEnvironment

if TYPE_CHECKING:
    from golem_sdk.testing.crash import MortalEngine
    from golem_sdk.testing.witness import Witness

__all__ = ["End", "Step", "drive", "visible"]

_LONGEST_S = 60.0
_FLEETING = {"timestamp", "site", "hash_canary"}


@frozen(repr=False)
class Step:
    """One call that the outside makes. It prints itself as code.

    Attributes:
        agent: the agent class, or the function agent.
        identity: the arguments of its constructor, or of the function.
        method: one of its methods; ``None``: a function agent.
        arguments: the method's arguments.
    """

    agent: Callable[..., Any]
    identity: tuple[Any, ...]
    method: str | None = None
    arguments: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        return f"Step({self.agent.__name__}, {', '.join(map(repr, self._given()))})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """For hypothesis, which prints more kinds of values as code than `repr` does."""
        printer.text(f"Step({self.agent.__name__}")
        for part in self._given():
            printer.text(", ")
            printer.pretty(part)
        printer.text(")")

    def _given(self) -> list[Any]:
        given = [self.identity, self.method, self.arguments]
        while len(given) > 1 and not given[-1]:
            given.pop()
        return given


@frozen
class End:
    """How a scenario ended.

    Attributes:
        results: what each step gave: ``("result", value)`` or ``("error", type, args, notes)``.
        oplogs: every agent's committed entries with their indices.
        heads: every agent's stored status.
        appends: how many entries the last run appended.
        crashes: how many crashes there were.
    """

    results: tuple[tuple[Any, ...], ...]
    oplogs: Mapping[str, list[tuple[OplogIndex, Entry]]]
    heads: Mapping[str, StatusRecord]
    appends: int
    crashes: int


def drive(
    steps: Sequence[Step],
    points: Sequence[CrashPoint] = (),
    *,
    suspend_after_s: float = 0.0,
    on_crash: Callable[[int], object] = lambda crashes: None,
    store: MortalEngine | None = None,
    witness: Witness | None = None,
) -> End:
    """Make every step's call, each under an idempotency key, until all have results.

    Args:
        steps: the calls, made one after the other; after a crash those without result are made again.
        points: where the first run, the second run (the first recovery) and so on crash.
        suspend_after_s: 0: every wait unloads its agent, so that it is replayed after each.
        on_crash: told the number of crashes so far, before each recovery; what it raises ends the drive.
        store: what an earlier process has left; ``None``: an empty one in memory.
        witness: sees what is done, and what is left in the end.

    Raises:
        TimeoutError: a result did not come.
        GolemError: the runtime failed without a crash.
    """
    engine = store or MemoryEngine()
    results: list[tuple[Any, ...]] = [()] * len(steps)
    for crashes in range(len(points) + 1):
        if witness is not None:
            engine = witness.begins(engine, crashes)
        trap = Trap(engine, points[crashes] if crashes < len(points) else None)
        settings = Settings(
            suspend_after_s=suspend_after_s,
            write_behind_s=None,
            writer_class=trap.writer_class(),
            performer=witness,
        )
        environment = VirtualEnvironment(crashes, _newest_ns(engine))
        try:
            with Runtime.over(engine, environment, settings) as runtime:
                _make(runtime, steps, results, witness)
                if witness is not None:
                    witness.ends(runtime, partial(environment.rest, _LONGEST_S), results, crashes)
                heads = {head.agent_id: head.record for head in load_heads(engine)}
                oplogs = {m.agent_id: list(runtime.oplog(m)) for m in runtime.agents()}
                return End(tuple(results), oplogs, heads, trap.appends, crashes)
        except GolemError:
            if trap.survivor is None:
                raise
        finally:
            environment.join(_LONGEST_S)  # of a process that was killed nothing goes on
        engine = trap.survivor
        on_crash(crashes + 1)
    raise AssertionError("the last run has no crash point and returns or raises")


def _newest_ns(engine: MortalEngine) -> int:
    """When the newest entry was made: timers race in the next life as they would have without the crash."""
    return max(
        (
            entry.timestamp
            for head in load_heads(engine)
            for _, entry in read_entries(engine, storage_key(head.agent_id))
        ),
        default=START_NS,
    )


def visible(oplog: Sequence[tuple[OplogIndex, Entry]]) -> list[tuple[Any, ...]]:
    """The replayed entries without what may differ: times, numbers of call sites, the process's hash seed."""
    return [
        (type(entry).__name__, *(getattr(entry, name) for name in _lasting(type(entry))))
        for _, entry in oplog
        if KIND_OF[type(entry)].replayed
    ]


def _lasting(kind: type[Entry]) -> list[str]:
    return [field.name for field in fields(kind) if field.name not in _FLEETING]


def _make(
    runtime: Runtime,
    steps: Sequence[Step],
    results: list[tuple[Any, ...]],
    witness: Witness | None,
) -> None:
    for number, step in enumerate(steps):
        if results[number]:
            continue
        if step.method is None:
            handle = runtime.trigger(step.agent, *step.identity)
        else:
            method = getattr(runtime.get(step.agent, *step.identity), step.method)
            handle = runtime.trigger(method, *step.arguments, key=f"step-{number}")
        try:
            results[number] = ("result", handle.result(timeout=_LONGEST_S))
        except (StoreError, RuntimeClosedError, TimeoutError):
            raise
        except Exception as error:
            notes = getattr(error, "__notes__", None)
            results[number] = ("error", type(error).__name__, error.args, notes)
        if witness is not None:
            witness.hears(runtime, handle.agent_id, handle.key, results[number])
