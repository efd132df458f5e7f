"""The questions, each a function from sizes to seconds."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from benchmarks import workloads
from benchmarks.curves.curve import Curve
from benchmarks.rounds import flows
from benchmarks.sleepers import make
from golem_sdk import Runtime, agent, durable, originals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.__main__ import Plan

__all__ = ["curves"]

_IN_FLIGHT = 64
_PAYLOADS: Final = [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000]
_PAYLOAD_STEPS = 5
_RUNNABLE_MOST = 1_000
_FLOWS_LEAST, _FLOWS_EACH = 100, 4

Taken = dict[str, float]


@agent
class Historic:
    """Has a past of many entries."""

    def __init__(self, entries: int) -> None:
        self.entries = entries

    def work(self) -> None:
        for number in range(self.entries):
            workloads.read(number)

    def recall(self) -> int:
        """To answer, an agent that was unloaded is replayed."""
        return self.entries


@durable
def given(number: int, size: int) -> bytes:
    return number.to_bytes(8, "big") + bytes(
        size - 8
    )  # another each time: equal ones are stored once


@agent
def loaded(run: int, size: int, steps: int) -> int:
    """Steps that give so many bytes each."""
    return sum(len(given(number + run * steps, size)) for number in range(steps))


def _entries(directory: Path, size: int) -> Taken:
    with Runtime(directory) as runtime:
        append_s = _taken_s(runtime.get(Historic, size).work)
    with Runtime(directory) as runtime:
        return {
            "entries appended": append_s,
            "entries replayed": _taken_s(runtime.get(Historic, size).recall),
        }


def _agents(directory: Path, size: int) -> Taken:
    with Runtime(directory) as runtime:
        make_s = _taken_s(partial(flows, runtime, iter(range(size)), _IN_FLIGHT))
    begin = originals.perf_counter()
    with Runtime(directory) as runtime:
        open_s = originals.perf_counter() - begin
        runtime.run(workloads.flow, size)  # what is made on first use
        next_s = _taken_s(partial(flows, runtime, iter(range(size + 1, size + 21)), 1)) / 20
    return {"agents made": make_s, "agents opened": open_s, "agents one more": next_s}


def _runnable(directory: Path, size: int) -> Taken:
    with Runtime(directory) as runtime:
        runtime.run(workloads.flow, -1)

        def at_once() -> None:
            for handle in [runtime.trigger(workloads.flow, run) for run in range(size)]:
                handle.result()

        return {"runnable": _taken_s(at_once)}


def _in_flight(directory: Path, size: int) -> Taken:
    """Seconds for `size` workflows, of more: so many callers that one each would not keep them busy."""
    count = max(_FLOWS_LEAST, _FLOWS_EACH * size)
    with Runtime(directory) as runtime:
        runtime.run(workloads.flow, -1)
        taken_s = _taken_s(partial(flows, runtime, iter(range(count)), size))
        return {"in flight": taken_s * size / count}


def _sleepers(directory: Path, size: int) -> Taken:
    make(directory, size)
    begin = originals.perf_counter()
    with Runtime(directory):
        return {"sleepers opened": originals.perf_counter() - begin}


def _payload(directory: Path, size: int) -> Taken:
    with Runtime(directory) as runtime:
        runtime.run(loaded, 0, size, 1)
        taken_s = _taken_s(lambda: runtime.run(loaded, 1, size, _PAYLOAD_STEPS))
        return {"payload": taken_s / _PAYLOAD_STEPS}


_WHAT: Final = {
    "entries appended": "read entries written by one agent",
    "entries replayed": "an agent with so many entries is loaded",
    "agents made": "one-step workflows, 64 in flight",
    "agents opened": "a store with so many agents is opened",
    "agents one more": "one more workflow in such a store",
    "sleepers opened": "a store in which so many agents sleep is opened",
    "runnable": "one-step workflows, all queued at once",
    "in flight": "one-step workflows, by so many callers at once",
    "payload": "a step that gives so many bytes",
}


def curves(plan: Plan) -> list[Curve]:
    """All of them, round by round."""
    sizes = [10**power for power in range(len(str(plan.largest))) if 10**power <= plan.largest]
    questions: list[tuple[Callable[[Path, int], Taken], list[int]]] = [
        (_entries, sizes),
        (_agents, sizes),
        (_sleepers, sizes),
        (_runnable, [size for size in sizes if size <= _RUNNABLE_MOST]),
        (_in_flight, [size for size in sizes if size <= _RUNNABLE_MOST]),
        (_payload, [size for size in _PAYLOADS if size <= plan.largest * 10_000]),
    ]
    found: dict[str, Curve] = {}
    for _ in range(plan.rounds):
        for ask, asked in questions:
            for size in asked:
                with _scratch(plan) as directory:
                    for name, taken_s in ask(directory, size).items():
                        curve = found.setdefault(name, Curve(name, _WHAT[name], {}))
                        curve.taken_s.setdefault(size, []).append(taken_s)
    return [found[name] for name in _WHAT]


@contextmanager
def _scratch(plan: Plan) -> Iterator[Path]:
    with TemporaryDirectory(dir=plan.directory) as scratch:
        yield Path(scratch)


def _taken_s(work: Callable[[], object]) -> float:
    begin = originals.perf_counter()
    work()
    return originals.perf_counter() - begin
