"""Power loss: whatever the disk holds then, acknowledged commits are whole and the store opens (A, O).

``GOLEM_FUZZ=15 pytest tests/storage/test_storage_powerloss.py`` looks at more than 20,000 states.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from golem_sdk.errors import StoreCorruptError
from golem_sdk.storage.lmdb import LmdbEngine
from storage.agent_store import Rows, read_rows
from storage.powerloss import RecorderMissingError, State, Step, record, states
from storage.workload import after

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proof.counting import Proved

COMMITS = 25
STATES = 1_500
TOGETHER = 50  # states that one process looks at, unless one of them ends it
VERDICTS = ["sound", "acknowledged commits lost", "commits mixed", "called damaged"]

UNSAFE = ["sync", "metasync"]  # flags that the store never switches off: the negative controls

WORKLOAD = """
import lmdb
from storage.workload import batches_of

def unsafe_open(path, **options):
    if not path.endswith("/new"):  # what is lost is to be lost of a store that was there
        options |= dict.fromkeys(sys.argv[4:], False)
    return really_open(path, **options)

really_open, lmdb.open = lmdb.open, unsafe_open
engine = LmdbEngine(Path(sys.argv[1]), map_size=1 << 18)
acknowledged(0)
for number, batches in enumerate(batches_of(int(sys.argv[2]), int(sys.argv[3])), start=1):
    assert all(engine.commit(batches))
    acknowledged(number)
engine.close()
"""


def recording(directory: Path, seed: int, *flags: str) -> list[Step]:
    """What the store does to its file; where it cannot be recorded, the test says so."""
    try:
        return record(directory, WORKLOAD, seed, COMMITS, *flags)
    except RecorderMissingError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"writes and flushes cannot be recorded: {error}")


def verdict(state: State, path: Path, expected: list[Rows]) -> str:
    """What a store makes of its file after a power cut."""
    (path / "data.mdb").unlink(missing_ok=True)
    if state.disk is not None:
        (path / "data.mdb").write_bytes(state.disk)
    try:
        engine = LmdbEngine(path, map_size=1 << 18)
        rows = read_rows(engine)
        engine.close()
    except StoreCorruptError:
        return "called damaged"
    if rows in expected[state.acknowledged : state.acknowledged + 2]:
        return "sound"
    return "acknowledged commits lost" if rows in expected else "commits mixed"


def look(chunk: Sequence[State], path: Path, expected: list[Rows]) -> list[str]:
    """The verdicts, from a process that may die of them."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        for state in chunk:
            os.write(write, bytes([VERDICTS.index(verdict(state, path, expected))]))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answers:
        given = [VERDICTS[code] for code in answers.read()]
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if len(given) < len(chunk):
        rest = chunk[len(given) + 1 :]
        given += [f"process ended by {status}", *(look(rest, path, expected) if rest else [])]
    return given


def examine(directory: Path, seed: int, most: int, *flags: str) -> tuple[Counter[str], list[str]]:
    """How often each verdict was given to the states of one recording, and what the bad ones were."""
    steps = recording(directory, seed, *flags)
    expected = after(seed, COMMITS)
    everything = list(dict.fromkeys(states(steps, random.Random(seed))))  # each only once
    chosen = random.Random(seed).sample(everything, min(most, len(everything)))
    path = directory / "state"
    path.mkdir(0o700)
    counts: Counter[str] = Counter()
    bad = []
    for at in range(0, len(chosen), TOGETHER):
        chunk = chosen[at : at + TOGETHER]
        for state, given in zip(chunk, look(chunk, path, expected), strict=True):
            counts[given] += 1
            if given != "sound":
                bad.append(f"{given}: seed {seed}, {state.what}")
    shutil.rmtree(directory)
    return counts, bad


@pytest.fixture
def memory() -> object:
    """Thousands of files, none of which needs a disk."""
    shared = Path("/dev/shm")
    with TemporaryDirectory(dir=shared if shared.is_dir() else None) as directory:
        yield Path(directory)


@pytest.mark.once
def test_no_power_cut_loses_or_mixes_anything(
    memory: Path, fuzz_scale: int, fuzz_seed: int, proved: Proved
) -> None:
    left, seed = STATES * fuzz_scale, fuzz_seed
    while left > 0:
        counts, bad = examine(memory / str(seed), seed, left)
        assert not bad, "\n".join(bad[:20])
        proved("power-loss states", counts.total(), sound=counts["sound"])
        left, seed = left - counts.total(), seed + 1


@pytest.mark.parametrize("flag", UNSAFE)
def test_the_checker_finds_what_unsafe_flags_lose(memory: Path, fuzz_seed: int, flag: str) -> None:
    counts, _ = examine(memory / "unsafe", fuzz_seed, 300, flag)
    assert counts["acknowledged commits lost"] > 10
