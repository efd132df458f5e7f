"""Whether something that failed is tried again, and when: asks the policy, notes the answer in the oplog."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from golem_sdk.codec.values import decode, encode
from golem_sdk.core.delays import Decision, Failure
from golem_sdk.core.entries import Error
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.http_status import HttpStatusError, answer_in, wait_s
from golem_sdk.core.retry import STATUS, choose, step, until_decided
from golem_sdk.errors import DecodingError, UndecidedError
from golem_sdk.runtime.context import SCOPE

if TYPE_CHECKING:
    from golem_sdk.core.entries import OplogIndex
    from golem_sdk.core.machine import StartedCall
    from golem_sdk.core.plan import Retry
    from golem_sdk.core.predicates import Properties
    from golem_sdk.core.scopes import Scope
    from golem_sdk.runtime.session import Session

__all__ = ["Retries"]


class Retries:
    """The retries of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def again(self, call: StartedCall, error: BaseException, scope: Scope) -> bool:
        """Whether a call that raised ``error`` is made again, which is then noted with the time for it.

        Not inside atomic regions and batches, which run again as a whole, and not what was announced as
        never to be sent twice; but wherever it is, if its outcome is still undecided.
        """
        session = self._session
        if not (isinstance(error, Exception) and call.repeatable) or call.number < 0:
            return False
        if not (isinstance(error, UndecidedError) or self._stands_alone(call, scope)):
            return False
        retry = session.writer.plan.call_retries.get(call.number)
        note = self._note(retry, error, scope, _properties(call, error))
        if note is None:
            return False
        now, delay_ns, attempt, state = note
        with session.agent_code():
            session.append(
                Error(
                    now,
                    _name(error),
                    _text(error),
                    session.definition.code,
                    call=call.number,
                    attempt=attempt,
                    due=now + delay_ns,
                    state=state,
                )
            )
            session.writer.soon()
        return True

    def _stands_alone(self, call: StartedCall, scope: Scope) -> bool:
        if call.begin or call.function_type is FunctionType.WRITE_REMOTE_BATCHED:
            return False
        return not (scope.region or self._session.operations.in_manual_region())

    def of_region(self, begin: OplogIndex, error: Exception) -> Error | None:
        """The note with which an atomic region runs again; ``None``: the policy has had enough."""
        session = self._session
        retry = session.writer.plan.region_retries.get(begin)
        properties: Properties = {"error-type": _name(error), "trap-type": "atomic-region"}
        note = self._note(retry, error, SCOPE.get(), properties, in_region=True)
        if note is None:
            return None
        now, delay_ns, attempt, state = note
        return Error(
            now,
            _name(error),
            _text(error),
            session.definition.code,
            begin=begin,
            attempt=attempt,
            due=now + delay_ns,
            state=state,
        )

    def _note(
        self,
        retry: Retry | None,
        error: Exception,
        scope: Scope,
        properties: Properties,
        *,
        in_region: bool = False,
    ) -> tuple[int, int, int, bytes] | None:
        environment = self._session.kernel.environment
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
        attempt = 1 if retry is None else retry.attempt + 1
        decision = step(scope.policy if named is None else named.policy, state, failure)
        if decision.delay_s is None and isinstance(error, UndecidedError):
            decision = Decision(until_decided(attempt), decision.state)
        if decision.delay_s is None:
            return None
        return now, round(decision.delay_s * 1e9), attempt, encode(decision.state)


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
    return f"{type(error).__name__}: {error}"[:1000]
