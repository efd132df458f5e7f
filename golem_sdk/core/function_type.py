"""What kind of side effect a durable call is, and what is committed around it (the commit table)."""

from __future__ import annotations

from enum import IntEnum

from attrs import frozen

__all__ = ["ANNOUNCED", "BATCH", "COMMIT_TABLE", "CommitRule", "FunctionType"]


class FunctionType(IntEnum):
    """The kind of a durable call, as Golem names them.

    *Local* is inside this process and machine and harms nobody when it is done again; *remote* is seen
    by others. The numbers are stored and never change.
    """

    READ_LOCAL = 1
    WRITE_LOCAL = 2
    READ_REMOTE = 3
    WRITE_REMOTE = 4
    WRITE_REMOTE_BATCHED = 5
    """A write in several parts: if it was not ended, all of it is made again."""
    WRITE_REMOTE_TRANSACTION = 6
    """A write whose fate can be asked for: it is made with a key under which the other side keeps it."""

    @property
    def label(self) -> str:
        """Golem's spelling, e.g. ``"write-remote"``."""
        return self.name.lower().replace("_", "-")


@frozen
class CommitRule:
    """What must be on disk around one durable call (DESIGN.md, "What is committed when").

    Attributes:
        before: everything recorded earlier is on disk before the call is performed (P4: a remote write
            shows the outside what the agent has decided so far).
        soon: a commit is started once the outcome is recorded. It is waited for at the next output.
        parks: in a thread of an async agent, other tasks go on while this call is performed.
    """

    before: bool
    soon: bool
    parks: bool


ANNOUNCED = frozenset({FunctionType.WRITE_REMOTE, FunctionType.WRITE_REMOTE_BATCHED})
"""What is announced on disk under `idempotence_mode(False)`, and then never made twice."""

COMMIT_TABLE: dict[FunctionType, CommitRule] = {
    FunctionType.READ_LOCAL: CommitRule(before=False, soon=False, parks=False),
    FunctionType.WRITE_LOCAL: CommitRule(before=False, soon=False, parks=False),
    FunctionType.READ_REMOTE: CommitRule(before=False, soon=False, parks=True),
    FunctionType.WRITE_REMOTE: CommitRule(before=True, soon=True, parks=True),
    FunctionType.WRITE_REMOTE_BATCHED: CommitRule(before=True, soon=True, parks=True),
    FunctionType.WRITE_REMOTE_TRANSACTION: CommitRule(before=True, soon=True, parks=True),
}

BATCH = "golem:durability/batch"
"""The name under which a write in several parts is announced."""
