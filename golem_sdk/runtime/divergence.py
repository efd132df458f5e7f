"""Turns a mismatch into an error that teaches: both source lines, what agreed last, cause and remedy (D1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from golem_sdk.codec.values import decode
from golem_sdk.core.difference import first_difference
from golem_sdk.core.entries import (
    Entry,
    ExportedFunctionCompleted,
    ExportedFunctionInvoked,
    ImportedFunctionInvoked,
    Payload,
)
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import DecodingError, DivergenceError
from golem_sdk.runtime.sites import describe_site

if TYPE_CHECKING:
    from golem_sdk.core.machine import Mismatch, StartedCall
    from golem_sdk.runtime.session import Session

__all__ = ["divergence_error", "hash_canary"]

_REMEDY = (
    "what to do: the agent is parked and its oplog is untouched. Put the code back to what recorded these"
    " entries and open the runtime again: it goes on where it stopped. A change of order, name or arguments"
    " of durable calls is only safe for agents that have not passed that line yet."
)


def hash_canary() -> int:
    """This interpreter's hash of a fixed string: tells whether PYTHONHASHSEED is the same."""
    return hash("golem-hash-canary")


def divergence_error(session: Session, mismatch: Mismatch) -> DivergenceError:
    """The error for a mismatch, with everything that is known about it in its text."""
    recorded = _recorded(session, mismatch.recorded)
    attempted = _attempted(session, mismatch.attempted)
    lines = [
        f"agent {session.agent_id} diverged at oplog entry {mismatch.index}",
        f"  recorded : {recorded}",
        f"  attempted: {attempted}",
        *_difference(session, mismatch),
        "  last entries on which code and oplog agreed:",
        *(f"    {index}: {_recorded(session, entry)}" for index, entry in session.machine.agreed),
        f"  likely cause: {_cause(session)}",
        f"  {_REMEDY}",
    ]
    return DivergenceError(session.agent_id, "\n".join(lines), mismatch.index, recorded, attempted)


def _recorded(session: Session, entry: Entry | None) -> str:
    match entry:
        case ImportedFunctionInvoked():
            kind = FunctionType(entry.function_type).label
            request = _text(_value(session, entry.request))
            place = describe_site(session.sites.sites.get(entry.site))
            return f"call {entry.call} {entry.function_name} ({kind}) {request} at {place}"
        case ExportedFunctionInvoked():
            return f"invocation of {entry.method} with key {entry.idempotency_key}"
        case ExportedFunctionCompleted():
            return f"end of the invocation: {_text(_value(session, entry.outcome))}"
        case None:
            return "nothing: the oplog had ended"
    return type(entry).__name__


def _attempted(session: Session, attempted: StartedCall | str) -> str:
    if isinstance(attempted, str):
        return attempted
    site = attempted.site or session.sites.here()
    return (
        f"call {attempted.number} {attempted.function_name} ({attempted.function_type.label})"
        f" {_text(_value(session, attempted.request))} at {describe_site(session.sites.sites.get(site))}"
    )


def _difference(session: Session, mismatch: Mismatch) -> list[str]:
    recorded, attempted = mismatch.recorded, mismatch.attempted
    if (
        not isinstance(recorded, ImportedFunctionInvoked)
        or isinstance(attempted, str)
        or recorded.function_name != attempted.function_name
    ):
        return []
    found = first_difference(_value(session, recorded.request), _value(session, attempted.request))
    return [f"  first difference: {found}"] if found else []


def _cause(session: Session) -> str:
    create = session.created
    if create.code != session.definition.code:
        return (
            "the source file of this agent changed since it was created: a durable call was added, removed,"
            " reordered or given other arguments"
        )
    if create.hash_canary != hash_canary():
        return (
            "this process has another PYTHONHASHSEED than the one that recorded, and the order of a set (or"
            " hash()) decides the order or arguments of calls: sort before iterating, or fix PYTHONHASHSEED"
        )
    return (
        "the code took another path although its file is the same: something that is not journaled differs"
        " (a module-level cache, an environment variable, a global changed by another agent, an edited"
        " helper module, id(), or the order of a set)"
    )


def _value(session: Session, payload: Payload) -> object:
    try:
        return decode(session.kernel.load_payload(payload))
    except DecodingError as error:
        return f"<{error}>"


def _text(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
