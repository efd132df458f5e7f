"""Durable functions that library authors make from parts: begin, do or read what was kept, keep, end."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from zlib import crc32

from attrs import frozen

from golem_sdk.codec.values import decode, encode
from golem_sdk.core.function_type import ANNOUNCED, BATCH, COMMIT_TABLE, FunctionType
from golem_sdk.errors import AgentFailedError, UsageError
from golem_sdk.runtime.context import SCOPE, SESSION
from golem_sdk.runtime.mailbox import Mail

if TYPE_CHECKING:
    from golem_sdk.core.entries import OplogIndex
    from golem_sdk.errors import AgentControlSignal
    from golem_sdk.runtime.session import Session

__all__ = ["CustomFunctions", "PersistedInvocation", "session_of_body"]

_NAME = "golem:durability/custom"
_NOTHING = encode(None)
_WRITES = (FunctionType.WRITE_REMOTE, FunctionType.WRITE_REMOTE_BATCHED)
_MARK = crc32(_NAME.encode())


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


class _Function:
    """A function that was begun.

    Attributes:
        owner: the invocation's.
        begin: what its end is to name: the entry that announced it, or a negative number.
        function_type: as it was given.
        upcoming: the number of the next call, when it was begun.
        is_part: it was begun in the live body of another one: nothing is kept of it.
        in_body: its live body runs.
        is_batch: it has several parts, each to be persisted.
        region: the atomic region that holds these parts together, 0: none.
    """

    def __init__(
        self,
        owner: CustomFunctions,
        begin: OplogIndex,
        function_type: FunctionType,
        upcoming: int,
        *,
        is_part: bool,
    ) -> None:
        self.owner = owner
        self.begin = begin
        self.function_type = function_type
        self.upcoming = upcoming
        self.is_part = is_part
        self.in_body = False
        self.is_batch = function_type is FunctionType.WRITE_REMOTE_BATCHED
        self.region: OplogIndex = 0

    @property
    def announced(self) -> OplogIndex:
        """The entry that announced the one write it is, 0: none did."""
        return 0 if self.is_batch else max(self.begin, 0)


_OPEN: ContextVar[tuple[_Function, ...]] = ContextVar("golem_custom_functions", default=())


def session_of_body() -> Session | None:
    """The session whose agent runs the live body of such a function here: nothing in it is journaled."""
    opened = _OPEN.get()
    if not opened or not (opened[-1].in_body or opened[-1].is_part):
        return None
    return opened[-1].owner.session


class CustomFunctions:
    """The durable functions of one invocation that are made from parts.

    From its begin to what persists it, a live function is one side effect: nothing inside it is journaled.
    """

    __slots__ = ("_bodies", "_numbers", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self._numbers = 0
        self._bodies: set[_Function] = set()

    def begin(self, function_type: FunctionType) -> OplogIndex:
        """See `golem_sdk.durability.begin_durable_function`."""
        session = self.session
        session.check()
        self._numbers -= 1
        is_part = session_of_body() is not None
        upcoming = session.machine.upcoming
        function = _Function(self, self._numbers, function_type, upcoming, is_part=is_part)
        if not function.is_part:
            if function_type in ANNOUNCED and not SCOPE.get().idempotent:
                name = BATCH if function.is_batch else _NAME
                function.begin = session.operations.writes.announce(
                    name, _NOTHING, _mark(_NOTHING), session.sites.here(), _task(session)
                )
            elif function.is_batch:
                task = _task(session)
                function.begin = function.region = session.operations.begin_region(
                    lambda made: made.task != task and made.function_type in _WRITES
                )
            if COMMIT_TABLE[function_type].before:
                session.commit()
            if session.machine.is_live and not function.is_batch:
                function.in_body = True
                self._bodies.add(function)
                SESSION.set(None)
        _OPEN.set((*_OPEN.get(), function))
        return function.begin

    def persist(
        self, name: str, request: object, response: object, function_type: FunctionType
    ) -> None:
        """See `golem_sdk.durability.persist_durable_function_invocation`."""
        session, function = self.session, self._innermost()
        session.check()
        if function is not None and function.is_part:
            return
        if not session.machine.is_live:
            raise UsageError(
                "persist_durable_function_invocation() is for live code; in replay call"
                " read_persisted_durable_function_invocation()"
            )
        packed, outcome = encode(request), encode(response)
        if function is not None and not function.is_batch:
            self._leave_body(function)
            if session.machine.upcoming != function.upcoming:
                raise self._misused(
                    function, "other durable calls were made before it was persisted"
                )
        session.keys.started()
        with session:
            call = session.machine.start(
                name,
                function_type,
                packed,
                _mark(packed),
                site=session.sites.here(),
                task=_task(session),
                begin=0 if function is None else function.announced,
            )
        session.record(call, Mail(call.number, outcome, isinstance(response, BaseException)))

    def read(self) -> PersistedInvocation:
        """See `golem_sdk.durability.read_persisted_durable_function_invocation`."""
        session, function = self.session, self._innermost()
        session.check()
        load = session.kernel.load_payload
        with session:
            entry = session.machine.replay_persisted(
                0 if function is None else function.announced,
                lambda found: found.fingerprint == _mark(load(found.request)),
            )
        if entry is None:
            raise UsageError(
                "nothing is left to be read: the agent is live. Ask is_live() first, then do it and call"
                " persist_durable_function_invocation()"
            )
        session.keys.started()
        return PersistedInvocation(
            entry.function_name,
            FunctionType(entry.function_type),
            decode(load(entry.request)),
            decode(load(entry.outcome)),
            entry.failed,
        )

    def end(self, function_type: FunctionType, begin: OplogIndex, *, forced_commit: bool) -> None:
        """See `golem_sdk.durability.end_durable_function`."""
        self.session.check()
        function = self._innermost()
        if function is None or (function.begin, function.function_type) != (begin, function_type):
            raise UsageError(
                f"durable function {begin!r} ({function_type.label}) cannot be ended: it is not the one that"
                " was begun last, or was ended already"
            )
        if function.in_body:
            self._leave_body(function)
            raise self._misused(function, "it was ended without being persisted")
        _OPEN.set(_OPEN.get()[:-1])
        if function.is_part:
            return
        if function.region:
            self.session.operations.end_region(function.region)
        elif function.is_batch:
            self.session.operations.writes.end_announced(function.begin)
        if forced_commit or function.is_batch:
            self.session.commit()

    def end_invocation(self) -> None:
        """The invocation's code is over.

        Raises:
            AgentControlSignal: a live body was left without being persisted.
        """
        for function in self._bodies:
            raise self._misused(function, "an exception left it, or it was forgotten")

    def _innermost(self) -> _Function | None:
        opened = _OPEN.get()
        return opened[-1] if opened and opened[-1].owner is self else None

    def _leave_body(self, function: _Function) -> None:
        function.in_body = False
        self._bodies.discard(function)
        SESSION.set(self.session)

    def _misused(self, function: _Function, how: str) -> AgentControlSignal:
        """Replay would ask for what was kept, and find something else: the agent must not go on."""
        session = self.session
        return session.park(
            AgentFailedError(
                str(session.agent_id),
                f"agent {session.agent_id} began a durable function ({function.function_type.label}) whose"
                f" outcome was not kept: {how}. Nothing of it was recorded, and the agent is parked. Between"
                " begin_durable_function() and persist_durable_function_invocation() await nothing, and"
                " persist exceptions, too; then mend the code and open the runtime again",
            )
        )


def _task(session: Session) -> int:
    task = session.pump.task()
    return 0 if task is None else task.number


def _mark(packed: bytes) -> int:
    """The fingerprint of such a function: other than that of a call with the same request."""
    return crc32(packed, _MARK)
