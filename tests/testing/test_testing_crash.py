"""A simulated crash is one moment: what was acknowledged before it is kept, what comes after refused."""

from __future__ import annotations

from golem_sdk.storage.base import Batch, Space
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.crash import SimulatedCrashError, Trap

BATCH = Batch(puts=((Space.HEAD, b"agent", b"acknowledged"),))


class Busy(MemoryEngine):
    """Another thread commits just when what the crash leaves is copied, if it still may."""

    acknowledged = False

    def snapshot(self) -> MemoryEngine:
        left = super().snapshot()
        try:
            self.commit([BATCH])
        except SimulatedCrashError:
            return left
        self.acknowledged = True
        return left


def test_nothing_is_acknowledged_and_lost_while_a_process_dies() -> None:
    engine = Busy()
    trap = Trap(engine, None)
    trap.kill()
    assert trap.survivor is not None
    kept = trap.survivor.get(Space.HEAD, b"agent") is not None
    assert kept == engine.acknowledged
