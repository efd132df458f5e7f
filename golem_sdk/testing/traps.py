"""Crashes at an index of an agent's oplog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from golem_sdk.testing.crash import CrashMoment, MortalEngine, SimulatedCrashError, Trap
from golem_sdk.testing.schedules import CrashAt, Moment

if TYPE_CHECKING:
    from golem_sdk.core.entries import OplogIndex
    from golem_sdk.oplog.writer import OplogWriter

__all__ = ["IndexTrap"]

_AT_APPEND = {
    Moment.BEFORE: CrashMoment.BEFORE,
    Moment.LOST: CrashMoment.LOST,
    Moment.DURABLE: CrashMoment.DURABLE,
}


class IndexTrap(Trap):
    """Kills a run when an agent's oplog reaches an index.

    Args:
        engine: the run's store.
        point: where; ``None``: never.
        agent: whose oplog.
        call: the number of the durable call of which the entry tells (0: of none).
        after: before that effect only: the agent's oplog has come at least so far.
    """

    def __init__(
        self,
        engine: MortalEngine,
        point: CrashAt | None,
        agent: str,
        call: int,
        after: OplogIndex,
    ) -> None:
        super().__init__(engine, None)
        self._at = point
        self._agent = agent
        self._call = call
        self._after = after

    def at_effect(self, agent: str, call: int, last: OplogIndex) -> Exception | None:
        """Asked before an effect: the process is dead, or dies now."""
        at = self._at
        if (
            self.survivor is None
            and at is not None
            and at.moment is Moment.EFFECT
            and (agent, call) == (self._agent, self._call)
            and last >= self._after
        ):
            try:
                self._spring()
            except SimulatedCrashError as error:
                return error
        return SimulatedCrashError("the process is dead") if self.survivor is not None else None

    def _reached(self, writer: OplogWriter) -> CrashMoment | None:
        super()._reached(writer)
        at = self._at
        if at is None or writer._agent_id != self._agent or writer.last + 1 != at.index:
            return None
        return _AT_APPEND.get(at.moment)
