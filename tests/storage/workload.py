"""A reproducible run of commits: small and large records, overwritten, claimed and deleted ones."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from golem_sdk.storage.base import Batch, Space, be64

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage.agent_store import Rows


def batches_of(seed: int, commits: int) -> Iterator[list[Batch]]:
    """One list of batches for each commit."""
    rng = random.Random(seed)
    lengths = dict.fromkeys([b"agent-%d" % number for number in range(4)], 0)
    for _ in range(commits):
        batches = []
        for agent in rng.sample(sorted(lengths), rng.randrange(1, 4)):
            lengths[agent] += 1
            index = lengths[agent]
            claim = (
                Space.OPLOG,
                agent + b"\0" + be64(index),
                rng.randbytes(rng.choice([60, 900, 9_000])),
            )
            puts = (
                (Space.HEAD, agent, b"%d" % index),
                (Space.INBOX, agent + b"\0" + be64(index), rng.randbytes(100)),
            )
            dels = ((Space.INBOX, agent + b"\0" + be64(max(index - 2, 0))),)
            batches.append(Batch(claim, puts, dels))
        yield batches


def after(seed: int, commits: int) -> list[Rows]:
    """The rows after 0, 1, 2, … commits."""
    rows: Rows = {}
    found: list[Rows] = [{}]
    for batches in batches_of(seed, commits):
        for batch in batches:
            assert batch.claim is not None
            for space, key, value in (batch.claim, *batch.puts):
                rows[space, key] = value
            for place in batch.dels:
                rows.pop(place, None)
        found.append(dict(rows))
    return found
