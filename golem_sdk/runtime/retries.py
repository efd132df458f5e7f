"""Whether something that failed is tried again, and when: asks the policy, notes the answer in the oplog."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from golem_sdk.codec.values import decode, encode
from golem_sdk.core.delays import Decision, Failure
from golem_sdk.core.entries import LATEST_NS, Error
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.http_status import HttpStatusError, answer_in, wait_s
from golem_sdk.core.redaction import without_url_secrets
from golem_sdk.core.retry import STATUS, choose, step, until_decided
from golem_sdk.errors import DecodingError, UndecidedError
from golem_sdk.runtime.context import SCOPE
from golem_sdk.runtime.mailbox import Mail
from golem_sdk.runtime.outcomes import failure as failure_outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from golem_sdk.core.entries import OplogIndex
    from golem_sdk.core.machine import StartedCall
    from golem_sdk.core.plan import Retry
    from golem_sdk.core.predicates import Properties
    from golem_sdk.core.scopes import Scope
    from golem_sdk.runtime.session import Session

__all__ = ["of_region", "settled"]

_logger = logging.getLogger("golem_sdk")


def settled(session: Session, call: StartedCall, mail: Mail, scope: Scope) -> Mail | None:
    """What to record of a call that was performed; ``None``: it failed and is made again.

    The failure, and the time for the next attempt, are then noted. Not made again are calls inside
    atomic regions and batches, which run again as a whole, and what was announced as never to be sent
    twice; but whatever is undecided is.
    """
    error = mail.error
    if not isinstance(error, Exception) or not _may_repeat(session, call, error, scope):
        return mail
    retry = session.writer.plan.call_retries.get(call.number)
    now, decision = _decided(session, retry, error, scope, _properties(call, error))
    if decision.delay_s is None:
        return _with_note(session, mail, error, decision.note) if decision.note else mail
    with session:
        session.append(_entry(session, now, retry, decision, error, call=call.number))
        session.writer.soon()
    return None


def of_region(session: Session, begin: OplogIndex, error: Exception) -> Error | None:
    """The note with which an atomic region runs again; ``None``: the policy has had enough."""
    retry = session.writer.plan.region_retries.get(begin)
    properties: Properties = {"error-type": _name(error), "trap-type": "atomic-region"}
    now, decision = _decided(session, retry, error, SCOPE.get(), properties, in_region=True)
    if decision.delay_s is not None:
        return _entry(session, now, retry, decision, error, begin=begin)
    if decision.note:
        # Replay asks no policy, so agent code would find no note at the exception then.
        _log(session, error, decision.note)
    return None


def _may_repeat(session: Session, call: StartedCall, error: Exception, scope: Scope) -> bool:
    if not call.repeatable or call.number < 0:
        return False
    if isinstance(error, UndecidedError):
        return True
    if call.begin or call.function_type is FunctionType.WRITE_REMOTE_BATCHED:
        return False
    operations = session.operations
    return not (operations.is_open(scope.region) or operations.in_manual_region())


def _decided(
    session: Session,
    retry: Retry | None,
    error: Exception,
    scope: Scope,
    properties: Properties,
    *,
    in_region: bool = False,
) -> tuple[int, Decision]:
    environment = session.kernel.environment
    now = environment.now_ns()
    answer, is_answer = answer_in(error), isinstance(error, HttpStatusError)
    if answer is not None:
        properties = {**properties, STATUS: answer.status}
    named = choose(scope.named, properties, is_answer=is_answer)
    failure = Failure(
        error,
        properties,
        0.0 if retry is None else (now - retry.first_at) / 1e9,
        in_region,
        lambda: int.from_bytes(environment.entropy(7), "big") / 2**56,
        status=None if answer is None else answer.status,
        is_answer=is_answer,
        least_delay_s=0.0 if answer is None else wait_s(answer.retry_after, now / 1e9),
    )
    state = None if retry is None else _state(retry.state)
    # Functions in the policy are not asked on replay: what they do cannot be journaled.
    with _outside(session):
        decision = step(scope.policy if named is None else named.policy, state, failure)
    if decision.delay_s is None and isinstance(error, UndecidedError):
        attempt = 1 if retry is None else retry.attempt + 1
        decision = Decision(until_decided(attempt), decision.state)
    return now, decision


def _entry(
    session: Session,
    now: int,
    retry: Retry | None,
    decision: Decision,
    error: Exception,
    *,
    begin: OplogIndex = 0,
    call: int = 0,
) -> Error:
    assert decision.delay_s is not None, "what is given up has no next attempt"
    return Error(
        now,
        _name(error),
        _text(error),
        session.definition.code,
        begin=begin,
        call=call,
        attempt=1 if retry is None else retry.attempt + 1,
        due=min(now + round(decision.delay_s * 1e9), LATEST_NS),
        state=encode(decision.state),
    )


def _with_note(session: Session, mail: Mail, error: Exception, note: str) -> Mail:
    """The outcome with a note at its exception; the log gets it if the outcome is another one."""
    if mail.outcome == failure_outcome(error)[0]:
        with suppress(Exception):  # an exception class may forbid changes
            error.add_note(note)
            return Mail(mail.call, *failure_outcome(error))
    _log(session, error, note)
    return mail


def _log(session: Session, error: Exception, note: str) -> None:
    with _outside(session):
        _logger.warning("%s. %s", _text(error), note)


@contextmanager
def _outside(session: Session) -> Iterator[None]:
    """What runs inside is a user's, but not the agent's, whose event loop it must not find, either."""
    with session.not_agent_code():
        loop = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            yield
        finally:
            asyncio._set_running_loop(loop)


def _properties(call: StartedCall, error: Exception) -> Properties:
    return {
        "function": call.function_name,
        "function-type": FunctionType(call.function_type).label,
        "error-type": _name(error),
        **_http_properties(decode(call.request)),
    }


def _http_properties(request: object) -> Properties:
    """Of a request as HTTP interceptors store it: a dict with method and URL."""
    match request:
        case {"method": str(method), "url": str(url)}:
            parts = urlsplit(url)
        case _:
            return {}
    properties: dict[str, str | int] = {
        "verb": method,
        "uri-scheme": parts.scheme,
        "uri-host": parts.hostname or "",
        "uri-path": parts.path,
    }
    with suppress(ValueError):  # no number
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        if port is not None:
            properties["uri-port"] = port
    return properties


def _state(data: bytes) -> object:
    try:
        return decode(data)
    except DecodingError:
        return None


def _name(error: Exception) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _text(error: Exception) -> str:
    return without_url_secrets(f"{type(error).__name__}: {error}"[:1000])
