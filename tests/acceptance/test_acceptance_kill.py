"""Real processes, really killed, with a witness outside that remembers (P2, P3, P4)."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from acceptance.victim import expected

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
ROUNDS = 8
KILLS = 25
"""In each round; together 200."""

INVOCATIONS = 24


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


@pytest.fixture
def url(ledger: Path) -> Iterator[str]:
    script = [sys.executable, str(HERE / "witness.py"), str(ledger)]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as witness:
        assert witness.stdout is not None
        yield f"http://127.0.0.1:{witness.stdout.readline().strip()}"
        witness.kill()


def rows(ledger: Path) -> list[list[str]]:
    """The whole rows: the last one may be half written."""
    written = ledger.read_text() if ledger.exists() else ""
    return [json.loads(row) for row in written.split("\n")[:-1]]


def live(store: Path, url: str, ledger: Path, more_rows: int | None) -> tuple[list[str], bool]:
    """One life, until the witness has seen ``more_rows`` more; what it said, and whether it ended."""
    script = [sys.executable, str(HERE / "victim.py"), str(store), url, str(INVOCATIONS)]
    seen = len(rows(ledger))
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        while (
            more_rows is not None and victim.poll() is None and len(rows(ledger)) < seen + more_rows
        ):
            pass
        if more_rows is not None:
            victim.send_signal(signal.SIGKILL)
        said = victim.stdout.read()
    lines = said.split("\n")[:-1]  # a line that was cut off was told to nobody
    return lines, victim.returncode == 0


@pytest.mark.parametrize(
    "number", [0, *(pytest.param(n, marks=pytest.mark.once) for n in range(1, ROUNDS))]
)
def test_killed_again_and_again(
    number: int, tmp_path: Path, url: str, ledger: Path, fuzz_seed: int
) -> None:
    draw = random.Random(f"{fuzz_seed} {number}")
    told: dict[int, object] = {}
    for _ in range(KILLS):
        lines, _ = live(tmp_path / "store", url, ledger, draw.randint(1, 3))
        check_told(told, lines)
    lines, ended = live(tmp_path / "store", url, ledger, None)
    check_told(told, lines)
    assert ended
    assert [told[number] for number in range(INVOCATIONS)] == expected(INVOCATIONS)
    check_ledger(rows(ledger))


def check_told(told: dict[int, object], lines: list[str]) -> None:
    for number, result in map(json.loads, lines):
        assert told.setdefault(number, result) == result, "a result that was told changed"


def check_ledger(ledger: list[list[str]]) -> None:
    keys: dict[tuple[str, str], set[str]] = {}
    for key, path, body in ledger:
        keys.setdefault((path, body), set()).add(key)
    assert all(len(used) == 1 for used in keys.values()), "one write, one idempotency key"
    assert all(key for used in keys.values() for key in used)
    assert max(Counter(key for key, _, _ in ledger).values()) <= KILLS + 1, "once more per crash"
    assert len({key for key, _, _ in ledger}) == len(keys), "no key for two writes"
    purchases = INVOCATIONS * 2
    assert len(keys) == purchases + INVOCATIONS // 2 * 3
