"""The outside world of the acceptance tests: it remembers every effect and checks the order of commits."""

from __future__ import annotations

import asyncio
from collections import Counter
from threading import Lock

from golem_sdk import FunctionType, durable
from golem_sdk.core.ids import storage_key
from golem_sdk.oplog.reader import survey
from golem_sdk.runtime.context import current_or_performing

__all__ = ["LEDGER", "Ledger", "awrite", "read", "write"]


class Ledger:
    """What the outside has seen: effects by the idempotency key of their call, and broken promises."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self.effects: Counter[tuple[str, str]] = Counter()
        self.broken: list[str] = []

    def clear(self) -> None:
        self.effects.clear()
        self.broken.clear()

    def note(self, key: str, what: str) -> None:
        with self._mutex:
            self.effects[key, what] += 1


LEDGER = Ledger()


@durable
def write(what: str) -> dict[str, str]:
    """A remote write. What was recorded before it must be on disk when it is performed (P4)."""
    session = current_or_performing()
    if session is None:  # on a lane, outside the agent's context
        LEDGER.note("lane", what)
        return {"done": what}
    on_disk = survey(session.kernel.engine, storage_key(session.agent_id)).last
    if on_disk != session.writer.last:
        LEDGER.broken.append(f"P4: {what} was sent with {on_disk} of {session.writer.last} on disk")
    LEDGER.note(str(session.keys.upcoming()), what)
    return {"done": what}


@durable(function_type=FunctionType.READ_REMOTE)
def read(number: int) -> int:
    return number * 2


@durable
async def awrite(what: str, fail: bool = False) -> str:
    await asyncio.sleep(0)
    LEDGER.note("async", what)
    if fail:
        raise KeyError(what)
    return what.upper()
