"""Durable functions that library authors make from parts: begin, do or read what was kept, keep, end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

from attrs import frozen

from golem_sdk.codec.values import decode, encode
from golem_sdk.core.function_type import COMMIT_TABLE, FunctionType
from golem_sdk.errors import UsageError
from golem_sdk.runtime.context import SCOPE
from golem_sdk.runtime.mailbox import Mail
from golem_sdk.runtime.outcomes import failure, success

if TYPE_CHECKING:
    from golem_sdk.core.entries import OplogIndex
    from golem_sdk.runtime.session import Session

__all__ = ["CustomFunctions", "PersistedInvocation"]

_NAME = "golem:durability/custom"


@frozen
class PersistedInvocation:
    """What was kept of a durable function.

    Attributes:
        function_name: as it was given.
        function_type: as it was given.
        request: decoded.
        response: decoded; an exception if ``failed``.
        failed: whether the response is an exception that was kept.
    """

    function_name: str
    function_type: FunctionType
    request: Any
    response: Any
    failed: bool


class CustomFunctions:
    """The durable functions of one invocation that are made from parts."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._open: list[tuple[OplogIndex, FunctionType]] = []
        self._numbers = 0

    def begin(self, function_type: FunctionType) -> OplogIndex:
        """See `golem_sdk.durability.begin_durable_function`."""
        session = self._session
        session.check()
        begin = 0
        if function_type is FunctionType.WRITE_REMOTE and not SCOPE.get().idempotent:
            begin = session.operations.announce(
                _NAME, encode(None), 0, session.sites.here(), _task(session)
            )
        if COMMIT_TABLE[function_type].before:
            session.commit()
        self._numbers -= 1
        self._open.append((begin or self._numbers, function_type))
        return begin or self._numbers

    def persist(
        self, name: str, request: object, response: object, function_type: FunctionType
    ) -> None:
        """See `golem_sdk.durability.persist_durable_function_invocation`."""
        session = self._session
        session.check()
        if not session.machine.is_live:
            raise UsageError(
                "persist_durable_function_invocation() is for live code; in replay call"
                " read_persisted_durable_function_invocation()"
            )
        packed = encode(request)
        with session.agent_code():
            call = session.machine.start(
                name,
                function_type,
                packed,
                crc32(packed),
                site=session.sites.here(),
                task=_task(session),
                begin=self._announced(),
            )
        failed = isinstance(response, BaseException)
        outcome = failure(response) if isinstance(response, BaseException) else success(response)
        session.record(call, Mail(call.number, outcome[0], failed))

    def read(self) -> PersistedInvocation:
        """See `golem_sdk.durability.read_persisted_durable_function_invocation`."""
        session = self._session
        session.check()
        with session.agent_code():
            entry = session.machine.replay_persisted(self._announced())
        if entry is None:
            raise UsageError(
                "nothing is left to be read: the agent is live. Ask is_live() first, then do it and call"
                " persist_durable_function_invocation()"
            )
        load = session.kernel.load_payload
        return PersistedInvocation(
            entry.function_name,
            FunctionType(entry.function_type),
            decode(load(entry.request)),
            decode(load(entry.outcome)),
            entry.failed,
        )

    def end(self, function_type: FunctionType, begin: OplogIndex, *, forced_commit: bool) -> None:
        """See `golem_sdk.durability.end_durable_function`."""
        self._session.check()
        if not self._open or self._open[-1] != (begin, function_type):
            raise UsageError(
                f"durable function {begin!r} ({function_type.label}) cannot be ended: it is not the one that"
                " was begun last, or was ended already"
            )
        self._open.pop()
        if forced_commit:
            self._session.commit()

    def _announced(self) -> OplogIndex:
        """The entry that announced the innermost function's write, 0: none did."""
        return max(self._open[-1][0], 0) if self._open else 0


def _task(session: Session) -> int:
    task = session.pump.task()
    return 0 if task is None else task.number
