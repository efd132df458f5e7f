"""The tables of guards, row by row: killed before, inside and after, with a witness in another process."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from acceptance.nursery import Nursery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proof.counting import Proved

pytestmark = pytest.mark.once

Live = Callable[..., tuple[str, int]]
"""Runs a program on a store, killed at a moment (0: never): what it said, and its exit status."""

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


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery("guards.victim") as lives:
        yield lives


@pytest.fixture
def live(nursery: Nursery, url: str) -> Live:
    return lambda store, *rest: nursery.begin(store, url, *rest).end()


def seen_by(ledger: Path) -> list[tuple[str, str]]:
    """Which writes the witness has seen, and under which keys."""
    rows = map(json.loads, ledger.read_text().splitlines())
    return [(path.strip("/"), key) for key, path, _ in rows]


def killed_at_every_moment(
    program: str, live: Live, ledger: Path, tmp_path: Path
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """For each moment what the life after the kill has said, and what the witness saw of both."""
    for moment in itertools.count(1):
        ledger.write_text("")
        store = tmp_path / f"store{moment}"
        _, status = live(store, program, moment)
        if status == 0:  # it has no further moments
            return
        assert status == -9
        said, status = live(store, program, 0)
        assert status == 0
        yield said, seen_by(ledger)


@pytest.mark.parametrize("program", ALLOWED)
def test_p3_killed_at_every_moment(
    program: str, live: Live, ledger: Path, tmp_path: Path, proved: Proved
) -> None:
    orders, killed = set(), 0
    for said, seen in killed_at_every_moment(program, live, ledger, tmp_path):
        killed += 1
        effects = " ".join(path for path, _ in seen)
        assert effects in ALLOWED[program]
        orders.add(effects)
        keys = Counter(path for path, _ in set(seen))
        assert max(keys.values(), default=1) == 1 or program == "jump", "P3: one key per effect"
        result, cents = said.split()
        unknown = result == "unknown"
        assert unknown == (program in NEVER_TWICE and "after" not in effects)
        assert unknown or result == "after"
        assert int(cents) == (program == "transactional"), "P3: exactly once"
        proved("real kills", writes=len(seen), again=len(seen) - len(set(seen)))
    assert killed > 3, "before, after, between"
    assert len(orders) > 1 or program == "jump"


BESIDE = {
    "beside": {"once", "a", "b", "after"},
    "batch_beside": {"a", "b", "c", "foreign", "after"},
    "unclosable": {"once", "a", "after"},
}
"""Programs of several tasks, and their effects."""


@pytest.mark.parametrize("program", BESIDE)
def test_p3_killed_beside_other_tasks(
    program: str, live: Live, ledger: Path, tmp_path: Path, proved: Proved
) -> None:
    results = set()
    for said, seen in killed_at_every_moment(program, live, ledger, tmp_path):
        effects = Counter(path for path, _ in seen)
        assert effects["once"] <= 1, "P3: at most once"
        assert max(effects.values(), default=0) <= 2, "P3: once more at most per crash"
        keys = Counter(path for path, _ in set(seen))
        assert max(keys.values(), default=1) == 1, "P3: one key per effect"
        result = said.split()[0]
        results.add(result)
        assert set(keys) == BESIDE[program] if result == "after" else result == "unknown"
        proved("real kills", writes=len(seen), again=len(seen) - len(set(seen)))
    assert results == {"after", "unknown"}
