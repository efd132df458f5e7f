"""Peers are compared without any of them and without a network. How fast anything is, no test says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
FAKE = Path(__file__).with_name("fake_peer.py")
ROUNDS, KILLS, WORKS = 3, 2, 4
RATES = {"W1": 8.0, "W2/1": 4.0, "W2/64": 16.0, "W3": 32.0}
TIMES = {"W2/1 p50": 250.0, "W2/1 p99": 500.0, "W2/64 p50": 125.0, "W2/64 p99": 1000.0}
VERDICTS = {"W1": "holds", "W2/1": "MISSED", "W2/64 p50": "holds", "W4 whole": "MISSED"}


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def compared(directory: Path, **environment: str) -> tuple[dict[str, Any], str]:
    """Rounds with the fake peer: what is told to programs, and to people."""
    done = run([str(FAKE), "compare", str(directory)], **environment)
    told, _, table = done.stdout.partition("\n")
    return json.loads(told), table


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    return compared(tmp_path_factory.mktemp("peers"))


@pytest.fixture
def figures(rounds: tuple[dict[str, Any], str]) -> dict[str, Any]:
    return {figure["name"]: figure for figure in rounds[0]["figures"]}


def test_every_round_pairs_us_with_the_peer(
    rounds: tuple[dict[str, Any], str], figures: dict[str, Any]
) -> None:
    told, table = rounds
    assert told["not_run"] == []
    assert told["versions"]["fake"] == "1.5"
    assert "golem_sdk" in told["versions"]
    assert len(told["raw_us"]) == ROUNDS * (1 + WORKS) + KILLS
    assert {*figures} == {*RATES, *TIMES, "W4 whole", "W4 replay"}
    for name, figure in figures.items():
        assert len(figure["ours"]) == len(figure["peer"]) == (KILLS if "W4" in name else ROUNDS)
        assert name in table
        assert f"{figure['ratio']:.2f}" in table


def test_a_ratio_says_how_many_times_better_we_are(figures: dict[str, Any]) -> None:
    for name, peer in RATES.items():
        assert figures[name]["peer"] == [peer] * ROUNDS
        assert figures[name]["ratio"] == pytest.approx(median(figures[name]["ours"]) / peer)
    for name, peer in TIMES.items():
        assert figures[name]["peer"] == [peer] * ROUNDS
        ratios = [peer / ours for ours in figures[name]["ours"]]
        assert figures[name]["ratio"] == pytest.approx(median(ratios))


def test_a_floor_is_judged_by_the_ratio(
    rounds: tuple[dict[str, Any], str], figures: dict[str, Any]
) -> None:
    assert {name: figure["verdict"] for name, figure in figures.items()} == {
        name: VERDICTS.get(name, "") for name in figures
    }
    assert rounds[1].count("MISSED") == 2


def test_a_peer_that_fails_is_told_with_what_it_did_before(tmp_path: Path) -> None:
    told, table = compared(tmp_path, ENDS_IN="W3", ENDS_AFTER="2")
    figures = {figure["name"]: figure for figure in told["figures"]}
    assert len(figures["W1"]["peer"]) == 2
    assert len(figures["W3"]["peer"]) == 1
    assert "W4 whole" not in figures
    (reason,) = told["not_run"]
    assert reason in table
    assert "W3 was too much" in reason


def test_what_cannot_be_installed_is_told(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = ["-m", "benchmarks", "peers", "--smoke", "--peer", "dbos-sqlite"]
    places = ["--cache", str(tmp_path), "--directory", str(tmp_path), "--json", str(report)]
    nothing = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    done = run([*command, *places], **nothing)
    (told,) = json.loads(report.read_text())["peers"]
    assert told["figures"] == []
    assert "pip install" in told["not_run"][0]
    assert "could not be run: " in done.stdout
