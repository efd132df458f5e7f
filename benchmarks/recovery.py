"""W4: a process that is killed after many steps, and the one that takes over.

Run as a script (``STORE STEPS LIFE``) it is that process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.figures import Figure
from benchmarks.latencies import between, percentiles_us
from golem_sdk import Runtime, agent, durable, originals
from golem_sdk.originals import perf_counter

if TYPE_CHECKING:
    from benchmarks.__main__ import Plan

__all__ = ["w4"]


def w4(plan: Plan) -> list[Figure]:
    """Process start to finish; and the part of it that grows with the number of steps."""
    wholes, replays, each_us = [], [], []
    for _ in range(plan.kills):
        whole_s, long_s, percentiles = _killed_and_resumed(plan, plan.recovered_steps)
        _, short_s, _ = _killed_and_resumed(plan, 1)
        wholes.append(whole_s)
        replays.append((plan.recovered_steps - 1) / max(long_s - short_s, 1e-9))
        each_us.append(percentiles)
    return [Figure("W4 whole", wholes), Figure("W4 replay", replays, each_us=each_us)]


def _killed_and_resumed(plan: Plan, steps: int) -> tuple[float, float, tuple[float, float]]:
    """Seconds of the second process: all of it, and from opening the runtime to its first live step.

    And p50 and p99 of its replayed steps, from another one that looks at each: measuring takes time, too.
    """
    with TemporaryDirectory(dir=plan.directory) as scratch:
        first = subprocess.Popen(
            _command(scratch, steps, "die"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert first.stdout is not None
        assert first.stdout.readline() == b"killed here\n"
        first.kill()
        first.communicate()
        each_us = _resumed(scratch, steps, "look closely")[1]
        lives = [_resumed(scratch, steps, "look") for _ in range(2)]
        lives.append(_resumed(scratch, steps, "finish"))
        half_us, most_us = each_us
        replay_s = median(life_s for _, (life_s,) in lives)
        return median(whole_s for whole_s, _ in lives), replay_s, (half_us, most_us)


def _resumed(store: str, steps: int, life: str) -> tuple[float, list[float]]:
    begin = perf_counter()
    done = subprocess.run(_command(store, steps, life), stdout=subprocess.PIPE, check=True)
    return perf_counter() - begin, [float(number) for number in done.stdout.split()]


def _command(store: str, steps: int, life: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.recovery", store, str(steps), life]


_life = ""
_performed: list[float] = []


@durable
def small_step(number: int) -> dict[str, object]:
    if _life != "die":
        sys.exit(f"step {number} was performed again")
    return {"id": f"order-{number}", "note": "x" * 160, "amount": number}


@durable
def last_step() -> None:
    _performed.append(perf_counter())
    if _life == "die":
        print("killed here", flush=True)
        sys.stdin.read()
    elif _life.startswith("look"):
        print(*(percentiles_us(between(_stamps)) if _stamps else [_performed[0] - _began]))
        sys.stdout.flush()
        os._exit(0)  # without a trace in the store, so that the same can be done again


@agent
def long(steps: int) -> int:
    if _life == "look closely":
        return _closely(steps)
    count = sum(small_step(number)["amount"] == number for number in range(steps))
    last_step()
    return count


def _closely(steps: int) -> int:
    _stamps.append(originals.perf_counter())
    for number in range(steps):
        small_step(number)
        _stamps.append(originals.perf_counter())
    last_step()
    return steps


_began = 0.0
_stamps: list[float] = []


def main() -> None:
    global _life, _began
    store, steps, _life = sys.argv[1:]
    _began = perf_counter()
    with Runtime(Path(store)) as runtime:
        if runtime.run(long, int(steps)) != int(steps):
            sys.exit("steps are missing")
    print(_performed[0] - _began)


if __name__ == "__main__":
    main()
