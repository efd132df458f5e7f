"""The README's figures are those of the recorded run, and say what was missed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "benchmarks" / "last_run.json"


def renewed(readme: str, told: dict[str, Any]) -> str:
    """What the command makes of this README and these results."""
    code = (
        "import json, sys; from benchmarks.readme import renewed;"
        "readme, told = json.load(sys.stdin); sys.stdout.write(renewed(readme, told))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        input=json.dumps([readme, told]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def readme() -> str:
    return (ROOT / "README.md").read_text()


@pytest.fixture
def told() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORD.read_text())
    return found


def test_the_readme_shows_the_recorded_run(readme: str, told: dict[str, Any]) -> None:
    assert renewed(readme, told) == readme, (
        "run: python -m benchmarks --readme benchmarks/last_run.json"
    )
    assert f"Measured {told['date']}" in readme


def test_what_was_missed_or_is_slower_is_said(readme: str, told: dict[str, Any]) -> None:
    for row in told["figures"]:
        good = 1e9 if row["unit"].endswith("/s") else 0.0
        row["samples"], row["raw_us"] = [good], row["raw_us"][:1]
        if row["name"] == "W4 replay":
            row["samples"] = [1.0, 2.0, 3.0]
            row["p50_us"], row["p99_us"] = 12.5, 2500.0
    for peer in told["peers"]:
        for row in peer["figures"]:
            row["ratio"], row["verdict"] = 2.0, ""
    slow = told["peers"][0]["figures"][0]
    slow["ratio"], slow["verdict"] = 0.5, "MISSED"
    shown = " ".join(renewed(readme, told).split())
    label = told["peers"][0]["peer"]
    assert f"Slower in this run: {slow['name']} than {label}." in shown
    assert f"Floors missed: W4 replay, {slow['name']} beside {label}." in shown
    assert "| the same, replayed | 2.00 steps/s | 12.5 us, 2.50 ms |" in shown


def test_a_readme_without_the_marks_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="lacks its marks"):
        renewed("# a README", told)
