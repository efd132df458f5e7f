"""Every benchmark still runs. How fast anything is, no test says."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from golem_sdk.intercept.interceptor import Treatment
from golem_sdk.intercept.table import TABLE

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
LIMITS = ["raw", "sync"]
FIGURES = {
    "W1": [*LIMITS, "W1"],
    "W1r": [*LIMITS, "W1r read", "W1r clock"],
    "W2": [
        *LIMITS,
        *("W2/1", "W2/1 p50", "W2/1 p99"),
        *("W2/64", "W2/64 p50", "W2/64 p99", "W2/64 CPU"),
    ],
    "W3": [*LIMITS, "W3"],
    "W4": ["W4 whole", "W4 replay"],
    "W5": ["W5 resident", "W5 unloaded", "W5 evicted", "W5 process", "W5 opening"],
    "W6": ["W6 import", "W6 needs", "W6 size"],
    "W7": ["W7 W1", "W7 W2"],
    "flushes": [
        *("flushes W1", "flushes W1r", "flushes W2"),
        *("flushes W4", "flushes call", "flushes agents"),
    ],
    "volume": ["volume workflow", "volume read", "volume growth", "volume process"],
    "guards": [
        *("guard atomically", "guard idempotence", "guard level", "guard retry", "guard commits"),
    ],
    "outside": ["outside time", "outside random"],
    "agents": ["agent call"],
}


@pytest.mark.parametrize("name", FIGURES)
def test_benchmark_runs_and_tells_its_figures(name: str, tmp_path: Path) -> None:
    report = tmp_path / "figures.json"
    options = ["--smoke", "--directory", str(tmp_path), "--json", str(report)]
    command = [sys.executable, "-m", "benchmarks", name, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(report.read_text())["figures"]
    assert [figure["name"] for figure in figures] == FIGURES[name]
    for figure in figures:
        assert figure["name"] in done.stdout
        assert figure["samples"]
        assert all(map(math.isfinite, figure["samples"]))


WITHOUT_A_DATABASE = {
    *("clock", "dates", "entropy", "numpy", "output", "surroundings"),
    *("files", "file-system", "temporary-files", "processes", "anyio", "threads"),
    *("http.client", "urllib3", "requests", "httpx", "httpx2", "aiohttp", "openai", "anthropic"),
    *("websockets", "connections", "mcp", "redis", "sqlite3", "sqlalchemy"),
    *("file-lookups", "timers", "uuid_utils", "pydantic_ai", "langgraph"),
}
"""Interceptors whose costs inside agents are measured wherever these tests run."""


def test_what_every_interceptor_records_is_measured() -> None:
    not_recorded = {Treatment.PASSED_ON, Treatment.REFUSED, Treatment.BY_LOOP}
    recording = {
        row.name for row in TABLE for each in row.replaces if {*each.treatments} - not_recorded
    }
    told = (
        "from benchmarks.interceptors.bodies import BODIES; print(*(b.interceptor for b in BODIES))"
    )
    measured = subprocess.run(
        [sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert recording - {*measured.stdout.split()} == set()
    assert recording - WITHOUT_A_DATABASE == {"psycopg"}


def test_every_interceptor_has_its_costs(tmp_path: Path) -> None:
    report = tmp_path / "figures.json"
    options = ["--smoke", "--directory", str(tmp_path), "--json", str(report)]
    command = [sys.executable, "-m", "benchmarks", "interceptors", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(report.read_text())
    figures = [figure["name"] for figure in told["figures"]]
    assert figures == [
        f"interceptors {each}" for each in ("outside", "opening", "first", "imported")
    ]
    (costs,) = told["interceptors"]
    measured = {row["interceptor"] for row in costs["outside"]}
    assert measured == {row.name for row in TABLE if row.adapters}
    assert [row["not_measured"] for row in costs["outside"] if row["not_measured"]] == []
    inside = {row["interceptor"] for row in costs["inside"]}
    assert inside >= WITHOUT_A_DATABASE
    for row in costs["inside"]:
        assert row["what"] in done.stdout
        for life in ("original_us", "live_us", "replay_us"):
            assert all(map(math.isfinite, row[life]))
    assert [each["imported"] for each in costs["opening"]] == [[]]


def test_curves_have_a_point_for_every_size(tmp_path: Path) -> None:
    report = tmp_path / "curves.json"
    options = ["--smoke", "--directory", str(tmp_path), "--json", str(report)]
    command = [sys.executable, "-m", "benchmarks", "curves", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    curves = {curve["name"]: curve for curve in json.loads(report.read_text())["curves"]}
    assert {*curves} == {
        *("entries appended", "entries replayed"),
        *("agents made", "agents opened", "agents one more"),
        *("sleepers opened", "runnable", "in flight", "payload"),
    }
    for name, curve in curves.items():
        sizes = [size for size, _ in curve["taken_s"]]
        assert sizes == ([100, 1_000, 10_000, 100_000] if name == "payload" else [1, 10])
        assert all(len(samples) == 1 and samples[0] > 0 for _, samples in curve["taken_s"])
        assert len(curve["slopes"]) == len(sizes) - 1
        assert name in done.stdout


@pytest.mark.parametrize(("power", "steep"), [(0.0, False), (1.0, False), (1.5, True)])
def test_what_grows_faster_than_linear_is_steep(power: float, steep: bool) -> None:
    points = {size: [size**power * 1e-3] for size in (10, 100, 1000)}
    code = (
        "from benchmarks.curves.curve import Curve, report;"
        f"curve = Curve('c', 'w', {points}); print(*curve.slopes); print(report([curve]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    told, _, table = done.stdout.partition("\n")
    assert [float(slope) for slope in told.split()] == pytest.approx([power, power])
    assert ("STEEP" in table) is steep
