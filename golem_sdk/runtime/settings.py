"""What a runtime is told when it is opened."""

from __future__ import annotations

from collections.abc import Mapping  # attrs classes are resolved at run time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from attrs import frozen

from golem_sdk.errors import UsageError
from golem_sdk.oplog.writer import OplogWriter
from golem_sdk.runtime.limits import agent_count, patience_s, received_bytes
from golem_sdk.runtime.performing import Performer

__all__ = ["MAX_RECEIVED_BYTES", "Origin", "Settings", "chosen", "sdk_version"]

MAX_RECEIVED_BYTES = 1024 * 1024 * 1024
"""So much is received of one response, process or connection, unless the user says otherwise."""

_FOR_EVER_S = 1e9
_PATIENCE_PER_ENTRY_S = 0.0001
"""Replaying an entry is cheaper than this: a wait is only worth unloading for if it is longer."""


@frozen
class Settings:
    """How a runtime behaves.

    Attributes:
        suspend_after_s: a longer wait gives the agent's thread and memory back; 0: every wait does.
        max_loaded: how many idle agents stay in memory.
        write_behind_s: how long what nobody waits for may stay uncommitted; ``None``: until the next
            output, without a thread for it (simulations).
        writer_class: appends to oplogs (simulations crash in it).
        performer: performs durable calls in place of whoever made them; ``None``: they are simply performed.
        strict: whether what agent code does past every durable call is refused, where it is noticed.
        max_received_bytes: more in the body of a response, of a process or over a connection is an error,
            because all of it is recorded.
        workspaces: where the agents' own directories are; ``None``: in a temporary directory.
    """

    suspend_after_s: float = 1.0
    max_loaded: int = 1024
    write_behind_s: float | None = 0.002
    writer_class: type[OplogWriter] = OplogWriter
    performer: Performer | None = None
    strict: bool = False
    max_received_bytes: int = MAX_RECEIVED_BYTES
    workspaces: Path | None = None

    def patience_s(self, writer: OplogWriter) -> float:
        """How long the agent of this oplog may wait in memory before it is unloaded.

        One with something open (an atomic region) is not: coming back, it would have to begin that anew.
        """
        if writer.plan.open_begins:
            return _FOR_EVER_S
        patience_s = self.suspend_after_s
        return max(patience_s, writer.last * _PATIENCE_PER_ENTRY_S) if patience_s else 0.0


def chosen(
    suspend_after: object, max_loaded: object, strict: object, max_received_bytes: object
) -> Settings:
    """The settings that a user may choose.

    Raises:
        UsageError: one of them is not what it is to be.
    """
    if not isinstance(strict, bool):
        raise UsageError(f"strict is True or False, not {strict!r}")
    return Settings(
        patience_s(suspend_after),
        agent_count(max_loaded),
        strict=strict,
        max_received_bytes=received_bytes(max_received_bytes),
    )


@frozen
class Origin:
    """What writes: the SDK's version and its interceptors' versions, kept in each agent's first entry.

    Attributes:
        is_same_code: whether the agent's source file was what it is here.
        is_same_hash: whether text had the hashes that it has here.
    """

    sdk_version: str
    interceptors: Mapping[str, int]
    is_same_code: bool = True
    is_same_hash: bool = True


@cache
def sdk_version() -> str:
    """The version of golem_sdk that is installed; ``"0"``: none is."""
    try:
        return version("golem_sdk")
    except PackageNotFoundError:
        return "0"
