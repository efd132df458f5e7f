"""LMDB as the store of a process that can be killed: what is on disk is what the next process opens."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, TypeVar

from golem_sdk.errors import RuntimeClosedError
from golem_sdk.storage.lmdb import LmdbEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from golem_sdk.storage.base import Batch, Row, Space

__all__ = ["MortalLmdb"]

T = TypeVar("T")


class MortalLmdb:
    """An `LmdbEngine` in directory ``path`` that opens when it is first used. A `MortalEngine`.

    Only one of those with the same path may be open: killing or closing it makes room for the next.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mutex = RLock()
        self._engine: LmdbEngine | None = None
        self._refusal: Exception | None = None

    def snapshot(self) -> MortalLmdb:
        """See `MortalEngine.snapshot`. It is the same directory: kill or close this one first."""
        return MortalLmdb(self.path)

    def kill(self, error: Exception) -> None:
        """See `MortalEngine.kill`."""
        with self._mutex:
            self._refusal = error
            self._shut()

    def commit(self, batches: Sequence[Batch]) -> list[bool]:
        """See `Engine.commit`."""
        return self._with(lambda engine: engine.commit(batches))

    def get(self, space: Space, key: bytes) -> bytes | None:
        """See `Engine.get`."""
        return self._with(lambda engine: engine.get(space, key))

    def scan(
        self, space: Space, lo: bytes, hi: bytes | None, *, limit: int, reverse: bool = False
    ) -> list[Row]:
        """See `Engine.scan`."""
        return self._with(lambda engine: engine.scan(space, lo, hi, limit=limit, reverse=reverse))

    def size_bytes(self) -> int:
        """See `Engine.size_bytes`."""
        return self._with(lambda engine: engine.size_bytes())

    def close(self) -> None:
        """See `Engine.close`."""
        with self._mutex:
            if self._refusal is None:
                self._refusal = RuntimeClosedError("the store is closed; open it again to go on")
            self._shut()

    def _with(self, operation: Callable[[LmdbEngine], T]) -> T:
        with self._mutex:
            if self._refusal is not None:
                raise self._refusal.with_traceback(None)
            if self._engine is None:
                self._engine = LmdbEngine(self.path)
            return operation(self._engine)

    def _shut(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None
