"""The in-memory twin of a store: same rules, same errors, no disk. For tests and simulation.

It ships with the package, so that crash tests can ask what no disk can answer:
`MemoryEngine.snapshot` is what a crash right now would leave, `MemoryEngine.kill` is the crash.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from threading import Lock
from typing import TYPE_CHECKING

from golem_sdk.errors import RuntimeClosedError
from golem_sdk.storage.base import Space, check_key, check_range
from golem_sdk.storage.format import FORMAT_KEY, format_record
from golem_sdk.storage.records import open_record, seal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from golem_sdk.storage.base import Batch, Row

__all__ = ["MemoryEngine"]


class _Rows:
    """One space: sealed records and their keys in order."""

    __slots__ = ("keys", "sealed")

    def __init__(self, sealed: dict[bytes, bytes], keys: list[bytes]) -> None:
        self.sealed = sealed
        self.keys = keys

    def copy(self) -> _Rows:
        return _Rows(self.sealed.copy(), self.keys.copy())

    def put(self, key: bytes, sealed: bytes) -> None:
        if key not in self.sealed:
            insort(self.keys, key)
        self.sealed[key] = sealed

    def delete(self, key: bytes) -> None:
        if self.sealed.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]


class MemoryEngine:
    """An `Engine` whose content lives and dies with the object."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._refusal: BaseException | None = None
        self._spaces = {space: _Rows({}, []) for space in Space}
        self._spaces[Space.META].put(FORMAT_KEY, format_record())

    def snapshot(self) -> MemoryEngine:
        """An independent engine with everything committed so far; works on a killed engine too."""
        copy = MemoryEngine()
        with self._lock:
            copy._spaces = {space: rows.copy() for space, rows in self._spaces.items()}
        return copy

    def kill(self, error: Exception) -> None:
        """From now on every operation but `close` and `snapshot` raises ``error``."""
        with self._lock:
            self._refusal = error

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        """See `Engine.commit`."""
        with self._lock:
            self._check()
            changes: dict[tuple[Space, bytes], bytes | None] = {}
            claimed: dict[Space, list[bytes]] = {}
            lost_chains: set[int] = set()
            won = [self._stage(batch, changes, claimed, lost_chains) for batch in batches]
            # Nothing below can fail: whatever was wrong with a batch came up while staging.
            for (space, key), sealed in changes.items():
                if sealed is None:
                    self._spaces[space].delete(key)
                else:
                    self._spaces[space].put(key, sealed)
            return won

    def _stage(
        self,
        batch: Batch,
        changes: dict[tuple[Space, bytes], bytes | None],
        claimed: dict[Space, list[bytes]],
        lost_chains: set[int],
    ) -> bool:
        if batch.chain and batch.chain in lost_chains:
            return False
        if batch.claim is not None:
            space, key, value = batch.claim
            rows, mine = self._spaces[space], claimed.setdefault(space, [])
            if changes.get((space, key), rows.sealed.get(key)) is not None or (
                batch.log and any(_goes_on(keys, key, batch.log) for keys in (rows.keys, mine))
            ):
                lost_chains.add(batch.chain)
                return False
            changes[space, key] = seal(space, key, value)
            insort(mine, key)
        for space, key, value in batch.puts:
            changes[space, key] = seal(space, key, value)
        for space, key in batch.dels:
            changes[space, key] = None
        return True

    def get(self, space: Space, key: bytes) -> bytes | None:
        """See `Engine.get`."""
        check_key(space, key)
        with self._lock:
            self._check()
            sealed = self._spaces[space].sealed.get(key)
        return None if sealed is None else open_record(space, key, sealed)

    def scan(
        self, space: Space, lo: bytes, hi: bytes | None, *, limit: int, reverse: bool = False
    ) -> list[Row]:
        """See `Engine.scan`."""
        check_range(space, lo, hi)
        with self._lock:
            self._check()
            rows = self._spaces[space]
            start = bisect_left(rows.keys, lo)
            stop = len(rows.keys) if hi is None else bisect_left(rows.keys, hi)
            keys = rows.keys[start:stop]
            if reverse:
                keys.reverse()
            page = [(key, rows.sealed[key]) for key in keys[: max(limit, 0)]]
        return [(key, open_record(space, key, sealed)) for key, sealed in page]

    def size_bytes(self) -> int:
        """See `Engine.size_bytes`."""
        with self._lock:
            self._check()
            return sum(
                len(key) + len(sealed)
                for rows in self._spaces.values()
                for key, sealed in rows.sealed.items()
            )

    def close(self) -> None:
        """See `Engine.close`. The content stays reachable through `snapshot`."""
        with self._lock:
            if self._refusal is None:
                self._refusal = RuntimeClosedError("the store is closed; open it again to go on")

    def _check(self) -> None:
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)


def _goes_on(keys: list[bytes], key: bytes, log: bytes) -> bool:
    """Whether a log has a later key among these, which are in order."""
    after = bisect_right(keys, key)
    return after < len(keys) and keys[after].startswith(log)
