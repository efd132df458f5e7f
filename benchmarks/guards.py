"""What guards cost: entering and leaving one, and the commits that it adds."""

from __future__ import annotations

from contextlib import nullcontext
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.figures import Figure
from benchmarks.workloads import step
from golem_sdk import (
    PersistenceLevel,
    RetryPolicy,
    Runtime,
    agent,
    atomically,
    idempotence_mode,
    persistence_level,
    retry_policy,
)
from golem_sdk.originals import perf_counter

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from benchmarks.__main__ import Plan

__all__ = ["guards"]

_POLICY = RetryPolicy(max_attempts=5)

_GUARDS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "none": nullcontext,
    "atomically": atomically,
    "idempotence": lambda: idempotence_mode(True),
    "level": lambda: persistence_level(PersistenceLevel.PERSIST_NOTHING),
    "retry": lambda: retry_policy(_POLICY),
}

_TAKEN_S: list[float] = []


@agent
def guarded(run: int, guard: str, blocks: int) -> None:
    """Blocks in which nothing is done."""
    make = _GUARDS[guard]
    begin = perf_counter()
    for _ in range(blocks):
        with make():
            pass
    _TAKEN_S.append((perf_counter() - begin) / blocks)


@agent
def writes(run: int, guard: str, blocks: int) -> None:
    """Blocks with one step that writes to the outside."""
    make = _GUARDS[guard]
    for number in range(blocks):
        with make():
            step(number)


def guards(plan: Plan) -> list[Figure]:
    """Time of an empty block over one without guard; commits of a block with a write over one without."""
    over_us: dict[str, list[float]] = {name: [] for name in _GUARDS if name != "none"}
    commits: list[float] = []
    with TemporaryDirectory(dir=plan.directory) as scratch, Runtime(scratch) as runtime:
        for number in range(plan.rounds):
            plain_s = _block_s(runtime, number, "none", plan.size)
            for name, samples in over_us.items():
                samples.append((_block_s(runtime, number, name, plan.size) - plain_s) * 1e6)
            plain = _commits(runtime, number, "none", plan.size)
            commits.append((_commits(runtime, number, "atomically", plan.size) - plain) / plan.size)
    return [
        *(Figure(f"guard {name}", samples) for name, samples in over_us.items()),
        Figure("guard commits", commits),
    ]


def _block_s(runtime: Runtime, run: int, guard: str, blocks: int) -> float:
    runtime.run(guarded, run, guard, blocks)
    return _TAKEN_S.pop()


def _commits(runtime: Runtime, run: int, guard: str, blocks: int) -> int:
    committer = runtime._kernel.committer
    before = committer.commits
    runtime.run(writes, run, guard, blocks)
    return committer.commits - before
