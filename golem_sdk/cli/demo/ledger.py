"""The witness: an append-only file of every effect that the demo's service was asked for.

One JSON object per line, written and synced before the service answers. It is the outside's own record:
the agents cannot write to it but through requests.
"""

from __future__ import annotations

import json
import os
from threading import Lock
from typing import TYPE_CHECKING, Any

from attrs import asdict, frozen

from golem_sdk import originals

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Ledger", "Row", "read_ledger"]


@frozen
class Row:
    """One request for an effect.

    Attributes:
        sequence: number of the line, from 1.
        time: seconds since the epoch.
        endpoint: which effect.
        subject: on what: an order, an item of an order, a topic.
        key: the request's Idempotency-Key, ``None`` if it had none.
        body: what was sent.
        repeated: the key had been seen before: nothing happened, the first answer was given again.
        conflict: the key had been seen before with another body: refused.
    """

    sequence: int
    time: float
    endpoint: str
    subject: str
    key: str | None
    body: dict[str, Any]
    repeated: bool
    conflict: bool


class Ledger:
    """Appends rows and remembers the first body under each key. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        self._mutex = Lock()
        self._bodies: dict[str, dict[str, Any]] = {}
        self._sequence = 0

    def witness(self, endpoint: str, subject: str, key: str | None, body: dict[str, Any]) -> Row:
        """Append the row of one request; when this returns it is on disk."""
        with self._mutex:
            first = None if key is None else self._bodies.setdefault(key, body)
            repeated = first is not None and first is not body
            self._sequence += 1
            row = Row(
                sequence=self._sequence,
                time=originals.time_ns() / 1e9,
                endpoint=endpoint,
                subject=subject,
                key=key,
                body=body,
                repeated=repeated,
                conflict=repeated and first != body,
            )
            os.write(self._descriptor, (json.dumps(asdict(row)) + "\n").encode())
            os.fsync(self._descriptor)
        return row


def read_ledger(path: Path) -> list[Row]:
    """All rows of a ledger file."""
    return list(_rows(path.read_text().splitlines()))


def _rows(lines: Iterable[str]) -> Iterable[Row]:
    for line in lines:
        yield Row(**json.loads(line))
