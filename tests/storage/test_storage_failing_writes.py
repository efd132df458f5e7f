"""The disk fails, is full, or the map is, at the k-th write for every k: nothing is lost, and it goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

import pytest

from golem_sdk.errors import StoreFullError
from golem_sdk.storage.lmdb import LmdbEngine
from storage import children
from storage.agent_store import Rows, read_rows
from storage.powerloss import ENVIRONMENT, RecorderMissingError, strace_here
from storage.workload import after, batches_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

COMMITS, MOST_COMMITS = 4, 66
WRITES = ["pwrite64", "writev", "fdatasync"]  # all that LMDB uses

WORKLOAD = """
from storage.workload import batches_of

def told(*words):
    print(*words, flush=True)

def persistently(do):
    for attempt in range(3):
        try:
            return do()
        except StoreFullError as error:
            assert "room" in str(error)
            told("full")

class LyingEngine(LmdbEngine):
    def commit(self, batches):
        try:
            return super().commit(batches)
        except StoreError:
            told("full")
            return [True]

try:
    if sys.argv[3:]:
        LmdbEngine = LyingEngine
    engine = persistently(lambda: LmdbEngine(Path(sys.argv[1])))
    for number, batches in enumerate(batches_of(1, int(sys.argv[2])), start=1):
        assert all(persistently(lambda: engine.commit(batches)))  # a lost claim: it happened before
        told("acknowledged", number)
    engine.close()
    told("done")
except StoreBrokenError as error:
    assert "restart the process" in str(error)
    told("broken")
    assert refusal(engine.commit, batches) == "StoreBrokenError"
except StoreError as error:
    told("refused")
"""


def run(path: Path, call: str, k: int, error: str, commits: int, *lying: str) -> list[str]:
    """What a store told whose ``k``-th ``call`` failed."""
    try:
        strace = strace_here()
    except RecorderMissingError as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no write can be made to fail: {missing}")
    inject = f"inject={call}:error={error}:when={k}"
    command = [strace, "-o", str(path.with_suffix(".trace")), "-e", f"trace={call}", "-e", inject]
    code = children.PRELUDE + WORKLOAD
    done = subprocess.run(
        [*command, sys.executable, "-c", code, str(path), str(commits), *lying],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def injected(path: Path) -> bool:
    return "(INJECTED)" in path.with_suffix(".trace").read_text()


def survived(path: Path, expected: list[Rows]) -> int:
    """How many commits are there after a restart, on a disk that was mended; the others can be made."""
    engine = LmdbEngine(path)
    kept = expected.index(read_rows(engine))
    for batches in list(batches_of(1, len(expected) - 1))[kept:]:
        assert all(engine.commit(batches))
    assert read_rows(engine) == expected[-1]
    assert engine.verify() == []
    engine.close()
    return kept


def test_the_checker_finds_a_commit_that_was_acknowledged_in_vain(tmp_path: Path) -> None:
    lines = run(tmp_path / "store", "writev", COMMITS, "ENOSPC", COMMITS, "lying")
    assert sum(line.startswith("acknowledged") for line in lines) == COMMITS
    with pytest.raises(ValueError, match="not in list"):
        survived(tmp_path / "store", after(1, COMMITS))


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_a_failure_at_any_write_loses_nothing(
    tmp_path: Path, call: str, error: str, fuzz_scale: int
) -> None:
    commits = min(COMMITS * fuzz_scale, MOST_COMMITS)
    expected, told = after(1, commits), set[str]()
    for k in count(1):
        path = tmp_path / str(k)
        lines = run(path, call, k, error, commits)
        if not injected(path):
            break
        kept = survived(path, expected)
        acknowledged = sum(line.startswith("acknowledged") for line in lines)
        in_doubt = {acknowledged, acknowledged + 1} if "broken" in lines else {acknowledged}
        assert kept in in_doubt, f"{error} at {call} {k}"
        assert {"broken", "refused", "full"} & set(lines)
        told |= set(lines)
    assert k > commits
    # Where LMDB cannot write its meta page, nobody knows what is on disk: a restart tells.
    assert told >= ({"broken"} if error == "EIO" or call == "pwrite64" else {"full", "done"})


def test_the_map_is_full_at_any_size(tmp_path: Path) -> None:
    expected, refused = after(1, 20), set[int]()
    for pages in range(20, 160, 6):
        path = tmp_path / str(pages)
        engine = LmdbEngine(path, map_size=pages * 4096, max_map_size=pages * 4096)
        made = 0
        with suppress(StoreFullError):
            for batches in batches_of(1, 20):
                assert all(engine.commit(batches))
                made += 1
        refused.add(made)
        assert read_rows(engine) == expected[made]
        engine.close()
        roomier = LmdbEngine(path)
        assert read_rows(roomier) == expected[made]
        for batches in list(batches_of(1, 20))[made:]:
            assert all(roomier.commit(batches))
        assert read_rows(roomier) == expected[-1]
        assert roomier.verify() == []
        roomier.close()
    assert len(refused) > 5
