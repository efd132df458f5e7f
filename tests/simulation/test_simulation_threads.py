"""Threads that agents start are strands of the simulation, too."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from golem_sdk import agent, durable
from golem_sdk.testing.driver import Step
from golem_sdk.testing.simulation import simulate, world


@durable
def write(name: str) -> str:
    return world().write(name)


def nap(name: str, number: int) -> int:
    time.sleep(0.5 * number)
    write(f"{name} naps {number}")
    return number


@agent
def sim_starts_threads(name: str) -> list[int]:
    woken: list[int] = []
    lock = threading.Lock()

    def work(number: int) -> None:
        with lock:
            woken.append(nap(name, number))

    threads = [threading.Thread(target=work, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ThreadPoolExecutor(2) as pool:
        return [*woken, *pool.map(nap, 2 * [name], range(2, 4))]


@pytest.mark.parametrize("seed", range(1, 6))
def test_they_keep_the_promises(seed: int) -> None:
    report = simulate(
        [Step(sim_starts_threads, ("a",)), Step(sim_starts_threads, ("b",))], seed=seed
    )
    assert not report.violations
