"""Concurrent completions reach agent code in replay in the order they did live (P1, P5)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from acceptance.orders import PERFORMED, Race
from golem_sdk import Runtime
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine

SEEDS = 200


def play(seed: int) -> tuple[list[str], MemoryEngine]:
    engine = MemoryEngine()
    with Runtime.over(engine, RealEnvironment(), Settings()) as runtime:
        trace = runtime.trigger(runtime.get(Race, seed).play).result()
        return trace, engine.snapshot()


@pytest.mark.parametrize("block", range(4))
def test_replay_sees_the_order_of_the_first_run(block: int, fuzz_scale: int) -> None:
    seeds = range(block, SEEDS * fuzz_scale, 4)
    orders = set()
    for seed in seeds:
        trace, engine = play(seed)
        orders.add(tuple(trace))
        PERFORMED.clear()
        with Runtime.over(engine, RealEnvironment(), Settings()) as runtime:
            assert runtime.get(Race, seed).look() == trace, f"P5, seed {seed}"
        assert PERFORMED == [], f"P1, seed {seed}"
    assert len(orders) > len(seeds) * 0.9, "the seeds do not make different orders"


def test_another_hash_seed_changes_nothing(tmp_path: Path) -> None:
    recorded = run_script("record", tmp_path, "1")
    for hash_seed in ("0", "2", "77", "random"):
        assert run_script("replay", tmp_path, hash_seed) == [*recorded, "0"]


def run_script(what: str, store: Path, hash_seed: str) -> list[str]:
    script = Path(__file__).parent / "orders.py"
    ran = subprocess.run(
        [sys.executable, str(script), what, str(store / "store"), "5"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split("\n")[:-1] if what == "replay" else ran.stdout.split("\n")[:-2]
