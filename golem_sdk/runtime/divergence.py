"""Turns a mismatch into an error that teaches: both source lines, what agreed last, cause and remedy (D1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from golem_sdk.codec.values import decode
from golem_sdk.core.difference import first_difference, is_recorded, left_out
from golem_sdk.core.entries import (
    Entry,
    ExportedFunctionCompleted,
    ExportedFunctionInvoked,
    ImportedFunctionInvoked,
    Payload,
)
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.machine import FINISHED, OTHER_RESULT
from golem_sdk.errors import DecodingError, DivergenceError, GolemError
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

_CACHES = "a global, functools.cache, a token or a list that a client keeps"
_CACHED = "Keep such results for each agent, in its state (self...) or with @durable_cached"
_ASKS = frozenset({FunctionType.READ_LOCAL, FunctionType.READ_REMOTE, FunctionType.WRITE_REMOTE})
"""What gives something that can be kept: a token is asked for with a POST."""
_AHEAD = 64
_MOST_CACHED = 8


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
        f"  likely cause: {_cause(session, mismatch)}",
        f"  {_REMEDY}",
    ]
    return DivergenceError(session.agent_id, "\n".join(lines), mismatch.index, recorded, attempted)


def _recorded(session: Session, entry: Entry | None) -> str:
    match entry:
        case ImportedFunctionInvoked():
            kind = FunctionType(entry.function_type).label
            request = _text(_value(session, entry.request))
            place = describe_site(session.sites.site(entry.site))
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
    return (
        f"call {attempted.number} {attempted.function_name} ({attempted.function_type.label})"
        f" {_text(_value(session, attempted.request))} at {_place(session, attempted.site)}"
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


def _cause(session: Session, mismatch: Mismatch) -> str:
    if not session.origin.is_same_code:
        return (
            "the source file of this agent changed since it was created: a durable call was added, removed,"
            " reordered or given other arguments"
        )
    seed = (
        "this process has another PYTHONHASHSEED than the one that recorded, and the order of a set (or"
        " hash()) decides the order or arguments of calls: sort before iterating, or fix PYTHONHASHSEED"
    )
    has_seed = session.origin.is_same_hash
    if mismatch.attempted == OTHER_RESULT:
        made = (
            "a value that is not journaled: a global, a class attribute or a default argument, made when its"
            " module was imported and another one in each process (a uuid, a time, id()), or the environment."
            " Make it in the agent's code, where it is recorded"
        )
        return made if has_seed else f"{made}. Or else {seed}"
    cache = _cache(session, mismatch, may_reorder=not has_seed)
    if cache:
        return cache if has_seed else f"{cache}. Or else {seed}"
    other = (
        "the code took another path although its file is the same: something that is not journaled differs"
        " (a module-level cache, an environment variable, a global changed by another agent, an edited"
        " helper module, id(), or the order of a set)"
    )
    return other if has_seed else f"{seed}. Or else {other}"


def _cache(session: Session, mismatch: Mismatch, *, may_reorder: bool) -> str:
    """What shows that one process has cached what the other had not; ``""``: nothing does.

    Args:
        session: the agent's.
        mismatch: what does not fit.
        may_reorder: whether calls to the same function may have another order.
    """
    made = None if isinstance(mismatch.attempted, str) else mismatch.attempted
    if made is None and mismatch.attempted != FINISHED:
        return ""
    try:
        ahead = session.machine.ahead(_AHEAD)
    except GolemError:  # the store is damaged further on
        return ""
    skipped = left_out(ahead, made)
    if may_reorder and made and made.function_name in {each.function_name for each in skipped}:
        return ""
    if 0 < len(skipped) <= _MOST_CACHED:
        return _found_cached(session, skipped, made)
    if made is not None and made.function_type in _ASKS:
        place = _place(session, made.site)
        here = [each for each in ahead if place == _place_of(session, each)]
        if not is_recorded(here, made):
            return _found_uncached(session, mismatch.recorded, made)
    return ""


def _found_cached(
    session: Session, skipped: list[ImportedFunctionInvoked], made: StartedCall | None
) -> str:
    calls = ", ".join(_named(session, entry) for entry in skipped)
    then = "its end" if made is None else f"{made.function_name} at {_place(session, made.site)}"
    return (
        f"a cache of this process ({_CACHES}). The code left out {calls}, as if it had the results, and"
        f" went on as recorded with {then}. In a new process, whose caches are empty, the agent may go on."
        f" {_CACHED}"
    )


def _found_uncached(session: Session, recorded: Entry | None, made: StartedCall) -> str:
    before = ""
    if isinstance(recorded, ImportedFunctionInvoked):
        before = f" before {_named(session, recorded)}"
    return (
        f"a cache of the process that recorded ({_CACHES}). The code calls {made.function_name} at"
        f" {_place(session, made.site)}{before}, which the recorded run did not, as if it had the"
        f" result. {_CACHED}"
    )


def _named(session: Session, entry: ImportedFunctionInvoked) -> str:
    return f"{entry.function_name} at {_place_of(session, entry)}"


def _place_of(session: Session, entry: Entry) -> str:
    """Where a recorded call was made."""
    return describe_site(session.sites.site(getattr(entry, "site", 0)))


def _place(session: Session, site: int) -> str:
    """Where code that runs now makes a call."""
    return describe_site(session.sites.site(site or session.sites.here()))


def _value(session: Session, payload: Payload) -> object:
    try:
        return decode(session.kernel.load_payload(payload))
    except DecodingError as error:
        return f"<{error}>"


def _text(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
