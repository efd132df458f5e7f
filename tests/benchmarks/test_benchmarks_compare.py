"""Two result files are compared by ranks: what differs is told from what is only noise."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = [1.00, 1.02, 0.98, 1.01, 0.99, 1.03, 0.97]


def figure(name: str, samples: list[float], raw_us: list[float] | None = None) -> dict[str, Any]:
    return {"name": name, "samples": samples, "raw_us": raw_us or []}


def verdicts(directory: Path, pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, str]:
    """What the command says, by the figures' names."""
    for at, name in enumerate(("before", "after")):
        told = {"figures": [pair[at] for pair in pairs]}
        (directory / name).write_text(json.dumps(told))
    command = ["-m", "benchmarks", "--compare", str(directory / "before"), str(directory / "after")]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return {
        name: next(line.rpartition("  ")[2] for line in lines if line.startswith(f"{name} "))
        for name in {pair[0]["name"] for pair in pairs}
    }


def times(factor: float, samples: list[float] = ROUNDS) -> list[float]:
    return [value * factor for value in samples]


def test_changes_are_told_from_noise(tmp_path: Path) -> None:
    found = verdicts(
        tmp_path,
        [
            (figure("W4 replay", times(1000)), figure("W4 replay", times(1200))),  # more is better
            (figure("W1r read", times(10)), figure("W1r read", times(12))),  # less is better
            (figure("W1r clock", times(10)), figure("W1r clock", times(10.3, ROUNDS[::-1]))),
            (figure("W6 import", times(10)), figure("W6 import", [*times(12)[:3], *times(10)[3:]])),
            (figure("guard retry", times(10)[:5]), figure("guard retry", times(20)[:5])),
        ],
    )
    assert found == {
        "W4 replay": "better",
        "W1r read": "worse",
        "W1r clock": "no difference",
        "W6 import": "no difference",
        "guard retry": "too few rounds",
    }


def test_a_difference_that_is_sure_but_small_is_none(tmp_path: Path) -> None:
    before, after = [100 + i / 1000 for i in range(7)], [101 + i / 1000 for i in range(7)]
    pair = figure("W1r read", before), figure("W1r read", after)
    assert verdicts(tmp_path, [pair]) == {"W1r read": "no difference"}


def test_a_slower_disk_is_not_a_slower_program(tmp_path: Path) -> None:
    rates, raw_us = times(4000), [200.0] * 7
    slow = figure("W1", times(2000), [400.0] * 7)
    worse = figure("W2/1", times(2000), raw_us)
    found = verdicts(
        tmp_path, [(figure("W1", rates, raw_us), slow), (figure("W2/1", rates, raw_us), worse)]
    )
    assert found == {"W1": "no difference", "W2/1": "worse"}


def test_the_chance_is_that_of_the_rank_test(tmp_path: Path) -> None:
    code = "from benchmarks.comparing import chance; print(chance({0}, {1}), chance({0}, {0}))"
    # All of one side below the other: 2 of the 20 ways to deal six values to two sides of three.
    program = code.format([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert [float(value) for value in done.stdout.split()] == pytest.approx([0.1, 1.0])


def test_figures_of_one_file_only_are_named(tmp_path: Path) -> None:
    for name, kept in (("before", "W1"), ("after", "W3")):
        (tmp_path / name).write_text(json.dumps({"figures": [figure(kept, [1.0])]}))
    command = ["-m", "benchmarks", "--compare", str(tmp_path / "before"), str(tmp_path / "after")]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert "in one of the files only: W1, W3" in done.stdout
