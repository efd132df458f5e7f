"""The tables of guards, row by row: killed before, inside and after, with a witness in another process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
WITNESS = HERE.parent / "acceptance" / "witness.py"

ONE = {"a after", "a a after", "a after after"}
TOGETHER = {"a b after", "a a b after", "a b a b after", "a b after after"}

ALLOWED = {
    "region": TOGETHER,
    "operation": TOGETHER,
    "batch": TOGETHER,
    "plain": ONE,
    "read": ONE,
    "zone": ONE,
    "custom": ONE,
    "jump": {"a a after", "a a a after", "a a after after"},
    "once": {"a after", "a after after", "a", ""},
    "custom_once": {"a after", "a after after", "a", ""},
    "batch_once": {"a b after", "a b after after", "a b", "a", ""},
    "transactional": {"after", "after after"},
}
"""What the witness may see of one life that is killed and one that is not."""

NEVER_TWICE = {"once", "custom_once", "batch_once"}


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


@pytest.fixture
def url(ledger: Path) -> Iterator[str]:
    script = [sys.executable, str(WITNESS), str(ledger)]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as witness:
        assert witness.stdout is not None
        yield f"http://127.0.0.1:{witness.stdout.readline().strip()}"
        witness.kill()


def live(store: Path, url: str, program: str, moment: int) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, str(HERE / "victim.py"), str(store), url, program, str(moment)]
    return subprocess.run(script, stdout=subprocess.PIPE, text=True, check=False)


@pytest.mark.once
@pytest.mark.parametrize("program", ALLOWED)
def test_p3_killed_at_every_moment(program: str, url: str, ledger: Path, tmp_path: Path) -> None:
    seen, moment = set(), 0
    while True:
        moment += 1
        ledger.write_text("")
        store = tmp_path / f"store{moment}"
        killed = live(store, url, program, moment)
        if killed.returncode == 0:  # it has no further moments
            break
        assert killed.returncode == -9
        whole = live(store, url, program, 0)
        assert whole.returncode == 0
        rows = [json.loads(row) for row in ledger.read_text().splitlines()]
        effects = " ".join(path.strip("/") for _, path, _ in rows)
        assert effects in ALLOWED[program]
        seen.add(effects)
        for path in {path for _, path, _ in rows}:
            keys = {key for key, at, _ in rows if at == path}
            assert len(keys) == 1 or program == "jump", "P3: one key per effect"
        result, cents = whole.stdout.split()
        unknown = result == "unknown"
        assert unknown == (program in NEVER_TWICE and "after" not in effects)
        assert unknown or result == "after"
        assert int(cents) == (program == "transactional"), "P3: exactly once"
    assert moment > 4, "before, after, between"
    assert len(seen) > 1 or program == "jump"


BESIDE = {
    "beside": {"once", "a", "b", "after"},
    "batch_beside": {"a", "b", "c", "foreign", "after"},
    "unclosable": {"once", "a", "after"},
}
"""Programs of several tasks, and their effects."""


@pytest.mark.once
@pytest.mark.parametrize("program", BESIDE)
def test_p3_killed_beside_other_tasks(program: str, url: str, ledger: Path, tmp_path: Path) -> None:
    results, moment = set(), 0
    while True:
        moment += 1
        ledger.write_text("")
        store = tmp_path / f"store{moment}"
        if live(store, url, program, moment).returncode == 0:  # it has no further moments
            break
        whole = live(store, url, program, 0)
        assert whole.returncode == 0
        rows = [json.loads(row) for row in ledger.read_text().splitlines()]
        seen = Counter(path.strip("/") for _, path, _ in rows)
        assert seen["once"] <= 1, "P3: at most once"
        assert max(seen.values(), default=0) <= 2, "P3: once more at most per crash"
        for path in seen:
            keys = {key for key, at, _ in rows if at.strip("/") == path}
            assert len(keys) == 1, "P3: one key per effect"
        result = whole.stdout.split()[0]
        results.add(result)
        assert set(seen) == BESIDE[program] if result == "after" else result == "unknown"
    assert results == {"after", "unknown"}
