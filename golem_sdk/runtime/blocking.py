"""Tells once per line of a task that blocks its agent's loop: the agent's other tasks wait meanwhile.

Such a call is durable and replays as any other, and no other agent waits for it: it is a matter of speed.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from golem_sdk import originals
from golem_sdk.errors import BlockingCallWarning
from golem_sdk.runtime.lanes import current_lane
from golem_sdk.runtime.loop import all_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from golem_sdk.core.machine import StartedCall
    from golem_sdk.runtime.session import Session

__all__ = ["blocking"]

_LONG_S = 0.05
"""What takes no longer is nobody's business: a query of a local database, say."""

_told: set[tuple[str, int]] = set()


@contextmanager
def blocking(session: Session, call: StartedCall, least_s: float = 0.0) -> Iterator[None]:
    """In this block a call is performed, or waited for, on the thread of the agent's code.

    Args:
        session: the agent's.
        call: the call.
        least_s: how long it is known to take.
    """
    if session.pump.loop is None or current_lane() is not None or not session.pump.is_running:
        yield
        return
    began_s = originals.monotonic()
    try:
        yield
    finally:
        if max(least_s, originals.monotonic() - began_s) > _LONG_S:
            _tell(session, call)


def _tell(session: Session, call: StartedCall) -> None:
    loop, site = session.pump.open_loop(), session.sites.site(call.site)
    waiting = len(all_tasks(loop)) - 1 + len(loop.lanes)
    if site is None or waiting < 1 or (site.file, site.line) in _told:
        return
    _told.add((site.file, site.line))
    message = (
        f"A task of an agent blocks its event loop: {call.function_name}, in {site.function}()"
        f" ({site.file}:{site.line}). It is recorded, but {waiting} other tasks of the agent waited for it."
        " Use an asynchronous client or await asyncio.sleep(...), or put it into asyncio.to_thread(...)"
    )
    with session.not_agent_code():  # sources are read for it, and logging is intercepted
        try:
            warnings.warn_explicit(message, BlockingCallWarning, site.file, site.line)
        except BlockingCallWarning:  # replay would go another way if it were raised
            logging.getLogger("golem_sdk").warning(message)
