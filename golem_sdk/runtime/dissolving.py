"""Takes a session that is over apart, so that its memory is free at once.

Its parts refer back to it. Left to the cyclic garbage collector, the sessions of many short agents have it
run all the time, which took a twentieth of the time of a workflow of one step.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from golem_sdk.errors import AgentFencedSignal, UsageError

if TYPE_CHECKING:
    from golem_sdk.runtime.session import Session

__all__ = ["dissolve"]

_OWN: Final = 5
"""References to a session that nobody else keeps, beside those of its parts: of its pump, of the context of
its `Execution`, of who calls `dissolve`, of `dissolve` and of `getrefcount`."""

_COUNTS: Final = sys.version_info < (3, 14)
"""Later versions do not count every reference of a frame: there it is left to the collector."""


class _Over:
    """Stands where a session was."""

    def __init__(self, signal: AgentFencedSignal) -> None:
        self._signal = signal

    def __getattr__(self, name: str) -> Any:
        raise self._signal


def dissolve(session: Session) -> None:
    """Take a session apart whose agent's code has run to its end, unless somebody may still use it.

    Its code may have left something that does: an open file, a task, a thread. A copy of its context is not
    seen; who makes a durable call in one is told that the agent is over.
    """
    own = _OWN + len(session.made())
    if session.pump.loop is not None or not _COUNTS or sys.getrefcount(session) > own:
        return
    signal = AgentFencedSignal(
        UsageError(f"agent {session.agent_id} has run to its end: no more calls of it are made")
    )
    session.end(signal)
    over: Any = _Over(signal)
    session.pump.session = over
    session.detach(over)
