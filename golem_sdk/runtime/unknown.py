"""The errors for writes of which nobody knows whether they happened."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from golem_sdk.codec.values import decode
from golem_sdk.errors import UnknownOutcomeError
from golem_sdk.runtime.sites import describe_site

if TYPE_CHECKING:
    from golem_sdk.core.entries import OplogIndex
    from golem_sdk.runtime.session import Session

__all__ = ["mixed_batch", "noted_unknown", "unknown_region", "unknown_write"]

_NOTED = re.compile(
    r"oplog entry (?P<index>\d+).*?^  (the call: )?(?P<call>.*?)\n  what to do: ",
    re.DOTALL | re.MULTILINE,
)

_REMEDY = (
    'what to do: the agent is parked. Find out whether it happened; then resume the agent as "it happened"'
    ' with its result, or as "it did not happen", or revert the agent'
)


def unknown_write(
    session: Session, index: OplogIndex, name: str, request: bytes, site: int
) -> UnknownOutcomeError:
    """For a write announced at ``index`` and not known to have ended."""
    place = describe_site(session.sites.site(site or session.sites.here()))
    call = f"{name} {decode(request)!r:.500} at {place}"
    return UnknownOutcomeError(
        session.agent_id,
        f"agent {session.agent_id}: nobody knows whether a write happened that must not be sent twice"
        f" (idempotence_mode(False), oplog entry {index})\n  the call: {call}\n  {_REMEDY}",
        index,
        call,
    )


def unknown_region(session: Session, begin: OplogIndex) -> UnknownOutcomeError:
    """For a region that was interrupted after a write in it that must not be sent twice."""
    place = describe_site(session.sites.site(session.sites.here()))
    call = f"the region opened at {place}"
    return UnknownOutcomeError(
        session.agent_id,
        f"agent {session.agent_id}: a region (oplog entry {begin}) was interrupted after a write in"
        " it that must not be sent twice (idempotence_mode(False)), so it cannot run again\n"
        f"  {call}\n  what to do: the agent is parked; revert it to before the region",
        begin,
        call,
    )


def mixed_batch(session: Session, begin: OplogIndex) -> UnknownOutcomeError:
    """For a batch that was interrupted after a remote write that is none of its own."""
    place = describe_site(session.sites.site(session.sites.here()))
    call = f"the batch begun at {place}"
    return UnknownOutcomeError(
        session.agent_id,
        f"agent {session.agent_id}: a batched write (oplog entry {begin}) was interrupted after a remote"
        " write in it that is none of its own and would be made again with it\n"
        f"  {call}\n  what to do: the agent is parked; revert it to before the batch, and make other writes"
        " before or behind batches",
        begin,
        call,
    )


def noted_unknown(agent_id: str, note: str, message: str) -> UnknownOutcomeError:
    """The same error in a later life, with another ``message``: ``note`` is the text of the one noted."""
    noted = _NOTED.search(note)
    if noted is None:  # of another version
        return UnknownOutcomeError(agent_id, message)
    return UnknownOutcomeError(agent_id, message, int(noted["index"]), noted["call"])
