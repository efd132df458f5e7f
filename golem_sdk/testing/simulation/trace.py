"""What happened in a simulation, in order: its digest tells whether two runs were the same."""

from __future__ import annotations

from collections import deque
from hashlib import blake2b

__all__ = ["Trace"]

_KEPT = 200


class Trace:
    """The events of a run. Only the newest are kept; all of them are in the digest.

    Attributes:
        newest: the newest events but those of the scheduler, as text.
        copy: every event, if it was set to a list (to compare two runs that should have been equal).
    """

    def __init__(self) -> None:
        self.newest: deque[str] = deque(maxlen=_KEPT)
        self.copy: list[str] | None = None
        self._hash = blake2b(digest_size=16)

    def note(self, kind: str, *values: object) -> None:
        """Add an event. Values must look the same in every process."""
        line = f"{kind} {' '.join(map(str, values))}"
        self._hash.update(line.encode("utf-8", "surrogatepass") + b"\n")
        if self.copy is not None:
            self.copy.append(line)
        if kind != "run":
            self.newest.append(line)

    @property
    def digest(self) -> str:
        """Equal for equal runs."""
        return self._hash.hexdigest()
