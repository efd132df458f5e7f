"""The whole runtime under one seed: every promise is kept, and the same seed gives the same run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import pytest

from golem_sdk import agent
from golem_sdk.core.function_type import COMMIT_TABLE, CommitRule, FunctionType
from golem_sdk.runtime import definitions
from golem_sdk.testing import Step
from golem_sdk.testing.simulation import (
    BRANCHES,
    CALM,
    Report,
    SimulationFault,
    Tally,
    simulate,
    world,
)
from golem_sdk.testing.simulation.disk import Disk
from golem_sdk.testing.simulation.primitives import TWINS, rooms
from promises.faults import shown_by_a_task_before_it_is_safe
from simulation.agents import NEVER_TWICE, ORDERED, STEPS

if TYPE_CHECKING:
    from proof.counting import Proved

RUNS = 30
HELD = Lock()
HARMLESS = {"Empty", "LockType", "current_thread", "get_ident", "local"}
YEAR_S = 365.25 * 86_400
TESTS = Path(__file__).parents[1]


def one(seed: int, trace: list[str] | None = None) -> Report:
    return simulate(
        STEPS,
        seed=seed,
        never_twice=NEVER_TWICE,
        ordered=ORDERED,
        repeat=f"GOLEM_SEED={seed} pytest tests/simulation -k first_seed",
        trace=trace,
    )


def test_the_first_seed(fuzz_seed: int) -> None:
    first: list[str] = []
    again: list[str] = []
    report = one(fuzz_seed, first)
    assert one(fuzz_seed, again).digest == report.digest, next(
        f"event {number}: {a!r}, then {b!r}"
        for number, (a, b) in enumerate(zip(first, again, strict=False))
        if a != b
    )


@pytest.mark.once
def test_many_seeds_hit_every_branch(
    fuzz_scale: int, fuzz_seed: int, capsys: pytest.CaptureFixture[str], proved: Proved
) -> None:
    tally, simulated_s, processes, points = Tally(), 0.0, 0, 0
    for seed in range(fuzz_seed, fuzz_seed + RUNS * fuzz_scale):
        report = one(seed)
        tally.update(report.branches)
        simulated_s += report.simulated_s
        processes += report.processes
        points += report.points
    years, runs, faults = simulated_s / YEAR_S, RUNS * fuzz_scale, sum(tally.values())
    with capsys.disabled():
        print(
            f"\n{runs} simulated runs: {years:.1f} years, {processes} processes,"
            f" {points} scheduling decisions, {faults} faults, 0 violations"
        )
        for branch, meaning in BRANCHES.items():
            print(f"{tally[branch]:8} {branch}: {meaning}")
    assert tally.missing() == []
    assert simulated_s >= YEAR_S
    proved("simulated years", years, runs=runs, processes=processes, faults=faults)


def test_another_process_with_another_hash_seed_makes_the_same_run(fuzz_seed: int) -> None:
    program = (
        "from simulation.test_simulation_runs import one;"
        f"print(*(one(seed).digest for seed in range({fuzz_seed}, {fuzz_seed + 3})))"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={
                **os.environ,
                "PYTHONHASHSEED": hash_seed,
                "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "4711")
    }
    assert len(digests) == 1


@pytest.mark.once
def test_other_seeds_make_other_runs(fuzz_seed: int) -> None:
    assert one(fuzz_seed).digest != one(fuzz_seed + 1).digest


@pytest.mark.once
def test_without_faults_nothing_goes_wrong(fuzz_seed: int) -> None:
    report = simulate(STEPS, seed=fuzz_seed, faults=CALM, never_twice=NEVER_TWICE)
    assert report.branches.keys() <= {"shared commit", "kill"}  # it is killed when all is told
    assert report.processes == 1
    assert len(report.effects) == len(set(report.effects))


@agent
class SimTill:
    def __init__(self, name: str) -> None:
        self.cents = 0

    def put(self, cents: int) -> int:
        self.cents += cents
        return self.cents


@pytest.mark.once
def test_one_caller_makes_its_calls_in_their_order(fuzz_seed: int) -> None:
    caller = [Step(SimTill, ("front",), "put", (cents,)) for cents in (1, 2, 4)]
    for seed in range(fuzz_seed, fuzz_seed + 20):
        report = simulate([caller, Step(SimTill, ("back",), "put", (5,))], seed=seed)
        assert [report.results[f"step-{n}"][1] for n in range(4)] == [1, 3, 7, 5]


@agent
def sim_waits_for_something_real(name: str) -> None:
    HELD.acquire()


def test_an_agent_that_waits_for_something_real_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("golem_sdk.testing.simulation.baton._LONGEST_S", 0.05)
    listening = list(definitions._on_register)
    with HELD, pytest.raises(SimulationFault, match="real seconds and come to no point"):
        simulate([Step(sim_waits_for_something_real, ("x",))], seed=1)
    assert definitions._on_register == listening, "its runtime was never closed"


def test_the_simulation_has_a_twin_of_every_primitive_of_the_rooms() -> None:
    used = {
        f"{module.__name__}.{name}"
        for module in rooms()
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") in {"threading", "_thread", "queue", "_queue"}
        and name not in HARMLESS
        and value not in TWINS
    }
    assert used == {"golem_sdk.runtime.timers.Condition"}  # that is the real environment's


# --- planted faults -----------------------------------------------------------------------------------


MOST_SEEDS = 100


def is_noticed(promise: str, first_seed: int) -> bool:
    """Whether a run breaks it: of that many one does, be the fault seen by one in seven only."""
    return any(promise in broken(seed) for seed in range(first_seed, first_seed + MOST_SEEDS))


def broken(seed: int) -> set[str]:
    try:
        one(seed)
    except SimulationFault as fault:
        return {violation.split(":")[0] for violation in fault.report.violations}
    return set()


@pytest.mark.once
def test_a_store_that_lets_former_owners_write_is_noticed(
    fuzz_seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Disk, "fences", False)
    assert is_noticed("X1", fuzz_seed)


@pytest.mark.once
def test_a_write_that_is_shown_before_it_is_safe_is_noticed(
    fuzz_seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless = CommitRule(before=False, soon=True, parks=True)
    monkeypatch.setitem(COMMIT_TABLE, FunctionType.WRITE_REMOTE, careless)
    assert is_noticed("P4", fuzz_seed)


def test_so_is_one_of_asynchronous_code(fuzz_seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shown_by_a_task_before_it_is_safe(monkeypatch)
    assert is_noticed("P4", fuzz_seed)


@pytest.mark.once
def test_a_runtime_that_forgets_what_it_accepted_is_noticed(
    fuzz_seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("golem_sdk.runtime.intake.load_scheduled", lambda engine, damage: iter(()))
    assert is_noticed("P2", fuzz_seed)


def test_the_message_says_how_to_repeat_the_run(
    fuzz_seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("golem_sdk.testing.simulation.run.violations", lambda *a, **k: ["P2: no"])
    with pytest.raises(SimulationFault, match=f"seed {fuzz_seed} broke 1 promises") as caught:
        one(fuzz_seed)
    assert f"GOLEM_SEED={fuzz_seed} pytest tests/simulation -k first_seed" in str(caught.value)


def test_a_branch_that_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(KeyError):
        Tally().hit("earthquake")
    assert Tally().missing() == list(BRANCHES)


def test_the_world_exists_only_inside_a_simulation() -> None:
    with pytest.raises(TypeError, match="inside simulate"):
        world()
