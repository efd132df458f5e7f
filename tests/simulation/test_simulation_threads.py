"""Threads that agents start are strands of the simulation, too."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from golem_sdk import agent, durable
from golem_sdk.testing.driver import Step
from golem_sdk.testing.simulation import CALM, Tally, simulate, world
from golem_sdk.testing.simulation.baton import Baton
from golem_sdk.testing.simulation.machine import Machine
from golem_sdk.testing.simulation.primitives import substituted


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


def test_who_looks_again_and_again_does_not_keep_a_dead_process_from_its_end() -> None:
    baton, done, looks = Baton(1, 0.1), list[str](), count()
    machine = Machine(baton, 1, CALM, Tally())

    def slow() -> None:
        baton.sleep(100.0)  # a commit of a slow disk
        done.append("slow")

    def looking() -> None:
        while not done and next(looks) < 10_000:
            baton.point(always=True)
            baton.sleep(0.1)

    with substituted(baton):
        for job in (slow, looking):
            baton.spawn(machine, job, job.__name__)
        baton.rest(timeout_s=1.0)
        machine.alive = False
        baton.drain(machine)
        baton.close()
    assert next(looks) < 5_000
