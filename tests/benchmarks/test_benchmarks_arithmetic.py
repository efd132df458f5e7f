"""What is made of what was measured: percentiles, and how steeply memory grows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]


def numbers(code: str) -> list[float]:
    """What a program prints that has this package."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [float(number) for number in done.stdout.split()]


def test_percentiles_are_of_the_single_ones() -> None:
    taken_s = [number / 1e6 for number in range(200, 0, -1)]
    code = f"from benchmarks.latencies import percentiles_us; print(*percentiles_us({taken_s}))"
    assert numbers(code) == pytest.approx([101, 199])
    code = "from benchmarks.latencies import between; print(*between([1.0, 1.5, 4.0]))"
    assert numbers(code) == [0.5, 2.5]


def test_a_figure_tells_the_median_of_its_rounds_percentiles() -> None:
    figure = "Figure('W1', [1.0], each_us=[(1.0, 9.0), (3.0, 5.0), (2.0, 7.0)])"
    code = f"from benchmarks.figures import Figure; it = {figure}; print(it.p50_us, it.p99_us)"
    assert numbers(code) == [2, 7]


def test_growth_is_that_of_the_second_half() -> None:
    points = [(1, 1000), (2, 5000), (3, 5010), (4, 5030), (5, 5050), (6, 5070)]
    assert numbers(f"from benchmarks.volume import growth; print(growth({points}))") == [20]
