"""P5: what was recorded live happens again in replay, step for step."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from golem_sdk.runtime.tasks import AgentTask
from runtime.programs import program
from runtime.pumping import Broken, World, in_thread, result_of

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings("error")

SEEDS = 200


def live(seed: int) -> tuple[World, str]:
    world = World(seed)
    result = result_of(world.run(program(world, seed)))
    world.crash()
    return world, result


def replayed(world: World, seed: int, *, at_once: int = 1) -> tuple[World, str]:
    twin = World(-1, world.journal)
    result = result_of(twin.run(program(twin, seed), at_once=at_once))
    twin.crash()
    return twin, result


def test_p5_replay_repeats_every_step(
    fuzz_scale: int, fuzz_seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # abandoned failures are part of the programs
    longest = 0
    for seed in range(fuzz_seed, fuzz_seed + SEEDS * fuzz_scale):
        world, result = live(seed)
        twin, again = replayed(world, seed)
        assert (twin.trace, again) == (world.trace, result), seed
        assert twin.performed == []
        assert not twin.recorded
        longest = max(longest, len(world.journal))
    assert longest > 100


def test_p2_a_crash_anywhere_is_a_prefix_and_goes_on(
    fuzz_scale: int, fuzz_seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    for seed in range(fuzz_seed, fuzz_seed + 40 * fuzz_scale):
        whole, _ = live(seed)
        cut = World(seed).random.randrange(len(whole.journal))
        crashed = World(seed)
        crashed.run(program(crashed, seed), most=cut)
        seen = list(crashed.trace)
        crashed.crash()
        recovered = World(seed + 1, crashed.journal)
        result = result_of(recovered.run(program(recovered, seed)))
        assert recovered.trace[: len(seen)] == seen
        twin, again = replayed(recovered, seed)
        assert (twin.trace, again) == (recovered.trace, result), seed
        recovered.crash()


def broken_seeds(check: Callable[[World, int], tuple[World, str]]) -> int:
    broken = 0
    for seed in range(30):
        world, result = live(seed)
        try:
            twin, again = check(world, seed)
        except Broken:
            broken += 1
        else:
            broken += (twin.trace, again) != (world.trace, result)
    return broken


def test_control_without_quiescence_between_deliveries_replay_breaks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    assert broken_seeds(lambda world, seed: replayed(world, seed, at_once=2)) > 0


def test_control_with_hashes_by_address_replay_breaks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr(AgentTask, "__hash__", object.__hash__)
    assert broken_seeds(replayed) > 0


CHILD = """
import json, logging, sys
from test_runtime_replay import fingerprints
logging.disable(logging.CRITICAL)
print(json.dumps(fingerprints()))
"""


def fingerprints() -> list[str]:
    found = []
    for seed in range(10):
        world, result = live(seed)
        text = json.dumps([world.trace, result, [str(each) for each in world.journal]])
        found.append(hashlib.sha256(text.encode()).hexdigest())
    return found


def test_every_process_does_the_same_whatever_its_hash_seed() -> None:
    here = os.path.dirname(__file__)
    path = os.pathsep.join([here, os.path.dirname(here), os.path.dirname(os.path.dirname(here))])
    found = set()
    for hash_seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
        command = [sys.executable, "-W", "error", "-c", CHILD]
        child = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert child.stderr == ""
        found.add(child.stdout)
    assert len(found) == 1


def test_any_thread_may_drive(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    expected, _ = live(3)
    world = World(3)
    main = world.loop.start_main(program(world, 3))

    def step() -> None:
        world.run_ready()
        if not main.done():
            with world.loop.driven():
                world.deliver()

    while not main.done():
        assert in_thread(step) is None
    world.loop.cancel_leftovers()
    world.pump(world.loop.is_quiet)
    world.loop.close_generators()
    world.pump(world.loop.is_quiet)
    assert world.trace == expected.trace
