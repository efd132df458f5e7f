"""What holds for the code inside a guard: one value, handed down to the tasks that the code starts."""

from __future__ import annotations

from enum import IntEnum

from attrs import frozen

from golem_sdk.core.entries import OplogIndex
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.retry import DEFAULT_POLICY, NamedPolicy, RetryPolicy

__all__ = ["DEFAULT_SCOPE", "PersistenceLevel", "Scope"]


class PersistenceLevel(IntEnum):
    """How much of what agent code does is recorded, as Golem names it. The numbers are stored."""

    SMART = 0
    """Everything that cannot be made again: the default."""
    PERSIST_REMOTE_SIDE_EFFECTS = 1
    """Synchronous local reads and writes are not recorded: they run again in replay."""
    PERSIST_NOTHING = 2
    """Nothing: replay skips what was done, and the code must ask `is_live`."""


@frozen
class Scope:
    """The guards around some agent code.

    Attributes:
        idempotent: whether a write with an unknown outcome may be sent again (under the same key).
        level: what is recorded.
        zone: the change to PERSIST_NOTHING that this code is under, 0: none.
        zone_number: the number of that change among those of the invocation.
        zone_skipped: whether replay skips what was done in the zone.
        region: the outermost atomic region that this code is in, 0: none.
        runs: of the sagas around this code that run until they succeed, outermost first: which saga of
            the invocation it is, and how often it was undone. Each run has its own idempotency keys.
        policy: what is tried again.
        named: policies for calls with certain properties, which come first.
    """

    idempotent: bool = True
    level: PersistenceLevel = PersistenceLevel.SMART
    zone: OplogIndex = 0
    zone_number: int = 0
    zone_skipped: bool = False
    region: OplogIndex = 0
    runs: tuple[tuple[int, int], ...] = ()
    policy: RetryPolicy = DEFAULT_POLICY
    named: tuple[NamedPolicy, ...] = ()

    def skips(self, function_type: FunctionType) -> bool:
        """Whether a call of this type, made in place, is not recorded but made again in replay."""
        return (
            self.level is PersistenceLevel.PERSIST_REMOTE_SIDE_EFFECTS
            and function_type <= FunctionType.WRITE_LOCAL
        )


DEFAULT_SCOPE = Scope()
