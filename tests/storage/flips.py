"""Flips bits in a data file, one at a time, and looks at what a store makes of each (child process).

    python flips.py <directory> <seed> <flips anywhere> <flips in meta pages>

Prints as JSON how often each happened: "harmless", "noticed", "WRONG", "DIED". No bit is flipped twice.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from golem_sdk.errors import StoreCorruptError, StoreError
from golem_sdk.storage.base import Batch, Space, be64
from golem_sdk.storage.lmdb import LmdbEngine
from storage.judging import OUTCOMES, judged

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = 4096
META_BYTES = 152
TRANSACTION_BYTE = 144
"""Place in a meta page of the transaction's number, lowest byte first.

With its bit 1 flipped, transactions n - 1 and n pass for n - 1 and n - 2, or for n and n + 1: that is
what a crash before the last commit leaves, and nothing in the file tells them apart. Left out.
"""

Model = dict[tuple[Space, bytes], bytes]


def content(rng: random.Random) -> Model:
    """Small and large records, empty values, keys of several agents."""
    model: Model = {}
    for number in range(400):
        key = b"agent-%02d\0" % (number % 9) + be64(number)
        model[Space.OPLOG, key] = rng.randbytes(rng.choice([20, 300, 1_500, 5_000]))
        if number < 60:
            model[Space.INBOX, key] = rng.randbytes(40)
        if number < 300:
            key = b"agent-%02d\0key-%04d" % (number % 9, number)
            model[Space.RESULT, key] = rng.randbytes(rng.choice([0, 5, 60]))
    return model


def build(path: Path, model: Model, rng: random.Random) -> None:
    """Write every record twice, so that free pages hold plausible old content."""
    engine = LmdbEngine(path, map_size=1 << 24)
    records = list(model.items())
    rng.shuffle(records)
    for old in (b"old", None):
        for start in range(0, len(records), 40):
            puts = tuple(
                (space, key, value if old is None else old)
                for (space, key), value in records[start : start + 40]
            )
            engine.commit([Batch(puts=puts)])
    engine.close()


def look(path: Path, model: Model) -> str:
    """Read everything in every way, then write."""
    try:
        engine = LmdbEngine(path, map_size=1 << 24)
    except StoreCorruptError:
        return "noticed"
    outcomes = {"harmless"}
    for (space, key), value in model.items():
        outcomes.add(compare(partial(engine.get, space, key), value))
        outcomes.add(compare(partial(engine.get, space, key + b"x"), None))
    for space in (Space.OPLOG, Space.INBOX, Space.RESULT):
        rows = sorted((key, value) for (of, key), value in model.items() if of is space)
        for start in range(0, len(rows), 37):
            page = rows[start : start + 37]
            lo, hi = page[0][0], page[-1][0] + b"\0"
            for reverse in (False, True):
                scan = partial(engine.scan, space, lo, hi, limit=37, reverse=reverse)
                outcomes.add(compare(scan, page[::-1] if reverse else page))
    batches = []
    for number, (space, key) in enumerate(list(model)[::100]):
        claim = (Space.OPLOG, b"agent-%02d\0" % number + be64(1_000_000), b"x" * 3_000)
        batches.append(Batch(claim=claim, puts=((space, key, b"new"),)))
    try:
        engine.commit(batches)
    except StoreError:
        outcomes.add("noticed")
    engine.close()
    return max(outcomes, key=OUTCOMES.index)


def compare(read: Callable[[], object], expected: object) -> str:
    try:
        return "harmless" if read() == expected else "WRONG"
    except StoreCorruptError:
        return "noticed"


def outcome(path: Path, data: bytes, position: int, bit: int, model: Model) -> str:
    damaged = bytearray(data)
    damaged[position] ^= 1 << bit
    (path / "data.mdb").write_bytes(damaged)
    return judged(lambda: look(path, model))


def positions(size: int, rng: random.Random, anywhere: int, meta: int) -> list[int]:
    """Half of them near the beginning of a page, where its structure is."""
    pages = [rng.randrange(size // PAGE) * PAGE for _ in range(anywhere)]
    spots = [page + rng.randrange(PAGE if rng.random() < 0.5 else 80) for page in pages]
    return spots + [rng.choice([0, PAGE]) + rng.randrange(META_BYTES) for _ in range(meta)]


def main(directory: Path, seed: int, anywhere: int, meta: int) -> None:
    rng = random.Random(seed)
    model = content(rng)
    build(directory / "sound", model, rng)
    data = (directory / "sound" / "data.mdb").read_bytes()
    work = directory / "damaged"
    shutil.copytree(directory / "sound", work)
    assert look(directory / "sound", model) == "harmless"
    counts: Counter[str] = Counter()
    flipped = {(TRANSACTION_BYTE, 1), (PAGE + TRANSACTION_BYTE, 1)}
    for position in positions(len(data), rng, anywhere, meta):
        bit = rng.randrange(8)
        if (position, bit) in flipped:
            continue
        flipped.add((position, bit))
        result = outcome(work, data, position, bit, model)
        counts[result] += 1
        if result in ("WRONG", "DIED"):
            page, offset = divmod(position, PAGE)
            print(f"{result}: seed {seed}, page {page}, byte {offset}, bit {bit}")
    print(json.dumps(counts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
