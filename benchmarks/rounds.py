"""W1, W1r, W2, W3 and W7: rounds on one store, each workload between two samples of the raw limit."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, Thread
from typing import TYPE_CHECKING

from benchmarks import workloads
from benchmarks.figures import TARGETS, Figure
from benchmarks.latencies import Sample, percentiles_us
from benchmarks.limits import RawStore, syncs
from golem_sdk import Runtime
from golem_sdk.originals import perf_counter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.__main__ import Plan

__all__ = ["WORKLOADS", "flows", "run_rounds"]

Values = dict[str, Sample]


def w1(runtime: Runtime, run: int, size: int) -> Values:
    begin = perf_counter()
    runtime.run(workloads.many_timed, run, size)
    return {"W1": Sample(size / (perf_counter() - begin), workloads.TAKEN_S.pop())}


def w1r(runtime: Runtime, run: int, size: int) -> Values:
    values = {}
    for name, target, each in (
        ("W1r read", workloads.reads, workloads.each_read),
        ("W1r clock", workloads.clocks, workloads.each_clock),
    ):
        runtime.run(target, run, size)
        runtime.run(each, run, size)
        values[name] = Sample(workloads.CALL_S.pop() * 1e6, workloads.TAKEN_S.pop())
    return values


def w2(runtime: Runtime, run: int, size: int) -> Values:
    first = 2 * run * size
    one = flows(runtime, iter(range(first, first + size)), 1)
    many = flows(runtime, iter(range(first + size, first + 2 * size)), 64)
    return {f"W2/1{k}": v for k, v in one.items() if k != " CPU"} | {
        f"W2/64{k}": v for k, v in many.items()
    }


def w3(runtime: Runtime, run: int, size: int) -> Values:
    begin = perf_counter()
    runtime.run(workloads.together, run, size)
    rate = size / (perf_counter() - begin)
    runtime.run(workloads.each_together, run, size)
    return {"W3": Sample(rate, workloads.TAKEN_S.pop())}


WORKLOADS: dict[str, Callable[[Runtime, int, int], Values]] = {
    "W1": w1,
    "W1r": w1r,
    "W2": w2,
    "W3": w3,
}


def run_rounds(plan: Plan, names: Iterable[str]) -> list[Figure]:
    """Every named workload once per round; the limit is measured before and after each."""
    samples: dict[str, list[Sample]] = defaultdict(list)
    paired: dict[str, list[float]] = defaultdict(list)
    chosen = [name for name in WORKLOADS if name in names]
    with TemporaryDirectory(dir=plan.directory) as scratch:
        raw = RawStore(Path(scratch, "raw"))
        with Runtime(Path(scratch, "store")) as runtime:
            for number in range(plan.rounds):
                samples["sync"].append(syncs(Path(scratch, "page"), plan.raw_commits))
                before = raw.commit_us(plan.raw_commits)
                for name in chosen:
                    values = WORKLOADS[name](runtime, number, plan.size)
                    limit = raw.commits(plan.raw_commits)
                    samples["raw"].append(limit)
                    for key, value in values.items():
                        samples[key].append(value)
                        paired[key].append((before + limit.value) / 2)
                    before = limit.value
        raw.close()
    return [
        Figure(
            key,
            [sample.value for sample in samples[key]],
            paired[key] if TARGETS[key].disk else [],
            [percentiles_us(sample.taken_s) for sample in samples[key] if sample.taken_s],
        )
        for key in TARGETS
        if key in samples
    ]


def w7(plan: Plan) -> list[Figure]:
    """Growth of a new store's file; the pages that every new store has are not counted."""
    w1_bytes = _growth(plan, lambda runtime: runtime.run(workloads.many, 0, plan.size))
    runs = range(plan.size)
    w2_bytes = _growth(plan, lambda runtime: flows(runtime, iter(runs), 1))
    return [Figure("W7 W1", [w1_bytes / plan.size]), Figure("W7 W2", [w2_bytes / plan.size])]


def _growth(plan: Plan, work: Callable[[Runtime], object]) -> int:
    with TemporaryDirectory(dir=plan.directory) as scratch:
        with Runtime(scratch) as runtime:
            runtime.run(workloads.flow, -1)
            before = Path(scratch, "data.mdb").stat().st_size
            work(runtime)
        return Path(scratch, "data.mdb").stat().st_size - before


def flows(runtime: Runtime, runs: Iterable[int], in_flight: int) -> Values:
    """One-step workflows: rate, and how long each took its caller in milliseconds."""
    runs, mutex, taken_s = iter(runs), Lock(), list[float]()

    def caller() -> None:
        while True:
            with mutex:
                run = next(runs, None)
            if run is None:
                return
            begin = perf_counter()
            runtime.run(workloads.flow, run)
            taken_s.append(perf_counter() - begin)

    begin, cpu = perf_counter(), time.process_time()
    if in_flight == 1:
        caller()
    else:
        threads = [Thread(target=caller) for _ in range(in_flight)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    whole_s, cpu_s = perf_counter() - begin, time.process_time() - cpu
    count = len(taken_s)
    half_us, most_us = percentiles_us(taken_s)
    return {
        "": Sample(count / whole_s, taken_s),
        " p50": Sample(half_us / 1e3),
        " p99": Sample(most_us / 1e3),
        " CPU": Sample(cpu_s / count * 1e6),
    }
