"""What the hot paths take, counted, is within the recorded budget; and the guard notices what is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from storage.powerloss import RecorderMissingError, strace_here

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
BUDGET = ROOT / "benchmarks" / "budget" / "budget.toml"
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
KINDS = {"bytecodes", "calls", "blocks", "garbage", "flushes", "writes"}


def guard(*options: object) -> subprocess.CompletedProcess[str]:
    """The command, as a person calls it."""
    command = [sys.executable, "-m", "benchmarks.budget", *map(str, options)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def counts() -> dict[str, Any]:
    """Of an imagined program."""
    kinds = {"bytecodes": 1000.0, "calls": 100.0, "garbage": 0.0, "flushes": 2.0}
    return {"python": HERE, "paths": {"step": kinds}, "modules": {"import": ["golem_sdk"]}}


@pytest.fixture
def budget(tmp_path: Path, counts: dict[str, Any]) -> Path:
    """Just that."""
    path = tmp_path / "budget.toml"
    assert (
        guard("--record", "--counts", written(tmp_path, counts), "--budget", path).returncode == 0
    )
    return path


def written(directory: Path, counts: dict[str, Any]) -> Path:
    path = directory / "counts.json"
    path.write_text(json.dumps(counts))
    return path


def judged(budget: Path, counts: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return guard("--counts", written(budget.parent, counts), "--budget", budget)


def test_the_hot_paths_are_within_their_budget(tmp_path: Path) -> None:
    if f'python = "{HERE}"' not in BUDGET.read_text():
        pytest.skip(f"the budget was recorded with another Python than {HERE}: bytecodes differ")
    try:
        strace_here()
    except RecorderMissingError as error:
        pytest.skip(f"flushes cannot be counted: {error}")
    report = tmp_path / "counts.json"
    done = guard("--json", report)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(report.read_text())
    assert counts["skipped"] == []
    assert all({*kinds} == KINDS for kinds in counts["paths"].values())
    # What the design promises, whatever was recorded.
    assert counts["paths"]["write step"]["flushes"] == 2
    assert counts["paths"]["flow"]["flushes"] == 4
    assert counts["paths"]["read step"]["flushes"] == 0
    assert counts["paths"]["replay"]["flushes"] == 0
    assert "golem_sdk" in counts["modules"]["import"]
    assert "lmdb" in counts["modules"]["open"]


def test_what_was_recorded_is_within_its_budget(budget: Path, counts: dict[str, Any]) -> None:
    done = judged(budget, counts)
    assert done.returncode == 0
    assert "step: bytecodes   1,000    1,000" in done.stdout


@pytest.mark.parametrize(
    ("kind", "value"), [("bytecodes", 1030.0), ("calls", 103.0), ("garbage", 1.0), ("flushes", 3.0)]
)
def test_more_than_the_budget_fails(
    budget: Path, counts: dict[str, Any], kind: str, value: float
) -> None:
    counts["paths"]["step"][kind] = value
    done = judged(budget, counts)
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.endswith("MORE")]
    assert line.startswith(f"step: {kind}")


def test_a_little_more_is_within_the_tolerance(budget: Path, counts: dict[str, Any]) -> None:
    counts["paths"]["step"] |= {"bytecodes": 1015.0, "calls": 102.0}
    assert judged(budget, counts).returncode == 0


def test_less_is_told_and_does_not_fail(budget: Path, counts: dict[str, Any]) -> None:
    counts["paths"]["step"]["bytecodes"] = 500.0
    done = judged(budget, counts)
    assert done.returncode == 0
    assert "--record` keeps that" in done.stdout


def test_a_new_module_and_a_new_path_fail(budget: Path, counts: dict[str, Any]) -> None:
    counts["modules"]["import"].append("csv")
    counts["paths"]["other step"] = {"calls": 1.0}
    done = judged(budget, counts)
    assert done.returncode == 1
    new = [line.split("  ")[0] for line in done.stdout.splitlines() if line.endswith("NEW")]
    assert new == ["other step: calls", "import: csv"]


def test_another_python_is_not_judged(budget: Path, counts: dict[str, Any]) -> None:
    counts["python"] = "3.7"
    counts["paths"]["step"]["bytecodes"] = 9e9
    done = judged(budget, counts)
    assert done.returncode == 0
    assert f"not judged: the budget is for Python {HERE}, and this is 3.7" in done.stdout


def test_what_could_not_be_counted_is_told_and_not_recorded(
    budget: Path, counts: dict[str, Any]
) -> None:
    del counts["paths"]["step"]["flushes"]
    counts["skipped"] = ["flushes: nobody can"]
    done = judged(budget, counts)
    assert done.returncode == 0
    assert "not counted: flushes: nobody can" in done.stdout
    before = budget.read_text()
    recorded = guard("--record", "--counts", written(budget.parent, counts), "--budget", budget)
    assert recorded.returncode == 1
    assert budget.read_text() == before
