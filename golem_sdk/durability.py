"""The one door: every durable call, whoever makes it, goes through these functions.

Interceptors, decorators and host functions know nothing of the runtime but this module. All functions
take the running agent's session as given by `current`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from golem_sdk import originals
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.http_status import FinalError as FinalError
from golem_sdk.core.http_status import HttpStatusError as HttpStatusError
from golem_sdk.core.http_status import RetryableResult as RetryableResult
from golem_sdk.core.scopes import PersistenceLevel
from golem_sdk.errors import DivergenceError, UsageError
from golem_sdk.runtime.context import SCOPE as SCOPE
from golem_sdk.runtime.context import SESSION as SESSION
from golem_sdk.runtime.context import Body as Body
from golem_sdk.runtime.context import current as current
from golem_sdk.runtime.context import is_stranger as is_stranger
from golem_sdk.runtime.context import nearby as nearby
from golem_sdk.runtime.context import nearby_body as nearby_body
from golem_sdk.runtime.context import running_body as running_body
from golem_sdk.runtime.custom import session_of_body
from golem_sdk.runtime.lanes import current_lane as current_lane
from golem_sdk.runtime.locks import AgentLock as AgentLock
from golem_sdk.runtime.locks import AgentRLock as AgentRLock
from golem_sdk.runtime.locks import is_agents_own as is_agents_own
from golem_sdk.runtime.loop import all_tasks as all_tasks
from golem_sdk.runtime.loop import as_completed as as_completed
from golem_sdk.runtime.own_changes import OwnChanges as OwnChanges
from golem_sdk.runtime.own_changes import working_call as working_call
from golem_sdk.runtime.own_changes import working_call_async as working_call_async
from golem_sdk.runtime.session import SAME
from golem_sdk.runtime.session import Session as Session
from golem_sdk.runtime.threads import end_pool as end_pool
from golem_sdk.runtime.threads import join_thread as join_thread
from golem_sdk.runtime.threads import lane_of as lane_of
from golem_sdk.runtime.threads import name_thread as name_thread
from golem_sdk.runtime.threads import start_thread as start_thread
from golem_sdk.runtime.threads import submit as submit
from golem_sdk.runtime.workspaces import own_directory as own_directory
from golem_sdk.runtime.workspaces import temporary_directory as temporary_directory

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager
    from uuid import UUID

    from golem_sdk.core.entries import OplogIndex
    from golem_sdk.runtime.custom import PersistedInvocation
    from golem_sdk.runtime.environment import Source as Source
    from golem_sdk.runtime.pump import Droppable

__all__ = [
    "begin_durable_function",
    "current_durable_execution_state",
    "durable_call",
    "end_durable_function",
    "is_live",
    "observe_function_call",
    "persist_durable_function_invocation",
    "read_persisted_durable_function_invocation",
]
"""What is published; the rest of this module is for the SDK's own interceptors and decorators."""

T = TypeVar("T")


def is_live() -> bool:
    """Whether the code that asks performs its side effects now: ``False`` only in an agent's replay."""
    session = current()
    if session is None:
        return True
    scope = SCOPE.get()
    return not scope.zone_skipped if scope.zone else session.machine.is_live


@frozen
class DurableExecutionState:
    """How the code that asks is executed.

    Attributes:
        is_live: whether its side effects are performed now.
        persistence_level: what is recorded.
    """

    is_live: bool
    persistence_level: PersistenceLevel


def current_durable_execution_state() -> DurableExecutionState:
    """How the code that asks is executed. Outside agents: live, and nothing is persisted."""
    if current() is None:
        return DurableExecutionState(True, PersistenceLevel.PERSIST_NOTHING)
    return DurableExecutionState(is_live(), SCOPE.get().level)


def begin_durable_function(function_type: FunctionType) -> OplogIndex:
    """Begin a durable function that is made from parts, for libraries that need more than `durable_call`.

    Live, do it and call `persist_durable_function_invocation`; in replay call
    `read_persisted_durable_function_invocation`; then `end_durable_function`. What is done live until then
    is one side effect: nothing inside it is journaled, and nothing may be awaited. An exception is to be
    persisted, too: one that escapes parks the agent. If the agent dies before it is persisted, the same
    code runs live again. Before a remote write everything recorded so far is put on
    disk; under `idempotence_mode(False)` the write is announced there, too, and never made twice.

    With `FunctionType.WRITE_REMOTE_BATCHED` several calls of `persist_durable_function_invocation` (or
    durable functions of their own) follow: if the agent dies before the end, all of them are made again.

    Returns:
        What `end_durable_function` wants back.

    Raises:
        UsageError: not in an agent, or no `FunctionType`.

    Example:
        >>> from golem_sdk import FunctionType, Runtime, agent
        >>> from golem_sdk.durability import (
        ...     begin_durable_function,
        ...     end_durable_function,
        ...     is_live,
        ...     persist_durable_function_invocation,
        ...     read_persisted_durable_function_invocation,
        ... )
        >>> def measure(sensor: str) -> int:
        ...     begin = begin_durable_function(FunctionType.READ_REMOTE)
        ...     if is_live():
        ...         value = len(sensor)
        ...         persist_durable_function_invocation(
        ...             "measure", sensor, value, FunctionType.READ_REMOTE
        ...         )
        ...     else:
        ...         value = read_persisted_durable_function_invocation().response
        ...     end_durable_function(FunctionType.READ_REMOTE, begin)
        ...     return value
        >>> @agent
        ... def gauge(sensor: str) -> int:
        ...     return measure(sensor)
        >>> with Runtime.memory() as runtime:
        ...     runtime.run(gauge, "north")
        5
    """
    return _session("begin_durable_function").custom.begin(_checked(function_type))


def persist_durable_function_invocation(
    function_name: str, request: object, response: object, function_type: FunctionType
) -> None:
    """Record a function that was done, with what it was given and what it gave (or raised). Live only.

    Raises:
        UsageError: in replay, or not in an agent.
        EncodingError: the request or the response cannot be stored; nothing was recorded.
    """
    custom = _session("persist_durable_function_invocation").custom
    custom.persist(function_name, request, response, _checked(function_type))


def read_persisted_durable_function_invocation() -> PersistedInvocation:
    """What was recorded here. In replay only.

    Raises:
        UsageError: live, or not in an agent.
    """
    return _session("read_persisted_durable_function_invocation").custom.read()


def end_durable_function(
    function_type: FunctionType, begin: OplogIndex, *, forced_commit: bool = False
) -> None:
    """End the durable function that was begun last; ``forced_commit``: it is on disk when this returns.

    Raises:
        UsageError: it was ended already, another one must be ended first, or not in an agent.
    """
    custom = _session("end_durable_function").custom
    custom.end(_checked(function_type), begin, forced_commit=forced_commit)


def observe_function_call(interface: str, function: str) -> None:
    """Note in the oplog that a function was called, for whoever reads it. Replay does not meet it."""
    session = current() or session_of_body()
    if session is not None:
        session.log("debug", interface, function)


def _session(function: str) -> Session:
    session = current() or session_of_body()
    if session is None:
        raise UsageError(f"golem_sdk.durability.{function}() works inside agents only")
    return session


def _checked(function_type: object) -> FunctionType:
    if not isinstance(function_type, FunctionType):
        raise UsageError(f"function_type must be a FunctionType, not {function_type!r}")
    return function_type


def durable_call(
    session: Session,
    name: str,
    function_type: FunctionType,
    request: object,
    perform: Callable[[], T],
    *,
    identity: object = SAME,
    repeatable: bool = True,
) -> T:
    """Make one durable call: ``perform`` runs live, its recorded outcome is given in replay.

    Args:
        session: the running agent's.
        name: what is called, e.g. ``"golem:clock/time"``; must be equal on replay.
        function_type: decides what is committed before and after.
        request: what is stored of the arguments: any encodable value, free of secrets.
        perform: the side effect. Nothing inside it is journaled by itself.
        identity: what must be equal on replay, if that is not the whole request.
        repeatable: whether ``perform`` may be called again when it has failed (see `retry_policy`).

    Returns:
        The result, passed through the codec (live, too: it looks the same on replay).

    Raises:
        BaseException: what ``perform`` raised, or was recorded to raise.
        EncodingError: the request (before anything is done) or the result cannot be stored.
    """
    result: T = session.call(name, function_type, request, perform, identity, repeatable=repeatable)
    return result


async def durable_call_async(
    session: Session,
    name: str,
    function_type: FunctionType,
    request: object,
    perform: Callable[[], Awaitable[T]],
    *,
    identity: object = SAME,
    repeatable: bool = True,
) -> T:
    """The same for a coroutine function, which runs on the host loop, outside the agent."""
    result: T = await session.call_async(
        name, function_type, request, perform, identity, repeatable=repeatable
    )
    return result


def interceptor_version(session: Session, name: str) -> int:
    """The version of an interceptor with which the running agent was made, and records to its end.

    0: golem_sdk did not have the interceptor then, so nothing of it is in the oplog.

    Args:
        session: the running agent's.
        name: of the interceptor's row in `golem_sdk.intercept.table`.
    """
    return session.origin.interceptors.get(name, 0)


def current_since(name: str) -> Session | None:
    """As `current`, but ``None`` also in agents that are older than this interceptor.

    What is intercepted since then goes unrecorded there, as it did when their oplogs were begun.
    """
    session = current()
    return session if session is not None and interceptor_version(session, name) else None


def works_beside(session: Session) -> bool:
    """Whether, beside its agent's code, something is done for real: a durable call or a garbage collection.

    ``False`` in replay, where the garbage collector comes by, too, and must change nothing outside.
    """
    return session.depth > 0 and session.ended is None and session.machine.is_live


def has_changed(session: Session, message: str) -> BaseException:
    """What replay depends on is not what it was: parks the agent; gives what is to be raised."""
    return session.park(DivergenceError(session.agent_id, message))


def host_call(session: Session, perform: Callable[[], Awaitable[Any]]) -> None:
    """Run a coroutine function on the host loop without journaling it (to close a connection).

    It is started in live code only, and not waited for.
    """
    session.on_host(perform)


def hold(session: Session | None, thing: Droppable) -> None:
    """Have ``thing.drop()`` called when this life of the agent is over, if it is still there then.

    Raises:
        AgentControlSignal: it is over, so that nothing may be opened any more.
    """
    if session is not None:
        session.pump.hold(thing)


def sleep(session: Session, seconds: float) -> None:
    """Wait in synchronous agent code; after a crash only the remainder, and a long wait holds no thread."""
    session.sleep(seconds)


def upcoming_idempotency_key(session: Session) -> UUID:
    """The idempotency key of the next durable call that starts: the same on replay."""
    return session.keys.upcoming()


def may_have_been_made(session: Session) -> bool:
    """Whether the next call that starts may have been performed before, under the same idempotency key.

    By a life of the agent that has crashed before it could record the outcome, or by an earlier run of the
    atomic region around it. If so, a failure to find out is no outcome: raise `UndecidedError`.
    """
    return session.operations.may_have_been_made(SCOPE.get().region)


def reading(
    session: Session, real: Callable[[], T], virtual: Callable[[Source], T]
) -> Callable[[], T]:
    """What reads a clock, or draws: ``real``, or in a simulation ``virtual`` of its time and entropy."""
    return session.kernel.environment.reading(real, virtual)


def agent_random(session: Session) -> random.Random:
    """The invocation's own random generator, seeded from one recorded seed."""
    make = originals.Random
    return agent_seeded(
        session, "golem:random/seed", lambda seed: make(int.from_bytes(seed, "big"))
    )


def agent_seeded(session: Session, name: str, make: Callable[[bytes], T]) -> T:
    """The invocation's own generator of some kind, made from 32 recorded bytes when it is first used.

    Args:
        session: the running agent's.
        name: under what the seed is recorded, e.g. ``"numpy.random.seed"``.
        make: makes it.
    """
    scope = SCOPE.get()
    recorded = not scope.zone and not scope.skips(FunctionType.READ_LOCAL)
    if recorded and name in session.seeded:
        kept: T = session.seeded[name]
        return kept
    entropy = session.kernel.environment.entropy
    seed = durable_call(session, name, FunctionType.READ_LOCAL, None, lambda: entropy(32))
    with session.not_agent_code():  # numpy draws entropy also where it is given a seed
        made = make(seed)
    if recorded:  # else replay does not come by this seed
        session.seeded[name] = made
    return made


def invocation_memory(session: Session, name: str, make: Callable[[], T]) -> T:
    """What an interceptor remembers until the invocation ends; made when it is first asked for.

    Where calls are not recorded, nothing is remembered: replay does not come by them.
    """
    scope = SCOPE.get()
    if scope.zone or scope.skips(FunctionType.READ_REMOTE):
        return make()
    memory: T = session.seeded.setdefault(name, None) or make()
    session.seeded[name] = memory
    return memory


def life_memory(session: Session, name: str, make: Callable[[], T]) -> T:
    """What an interceptor remembers until the agent is unloaded; made when it is first asked for."""
    memory = session.pump.memory
    if name not in memory:
        memory[name] = make()
    found: T = memory[name]
    return found


def virtual_time_ns(session: Session) -> int:
    """Logical time: the timestamp of the last delivered entry, nanoseconds since the epoch. No entry."""
    return session.machine.now


def record_log(session: Session, level: str, context: str, message: str) -> bool:
    """Record a log line; ``False`` if it was emitted before the crash and must not be again."""
    return session.log(level, context, message)


def suppressed(session: Session) -> AbstractContextManager[None]:
    """What runs inside this block is not the agent's own doing and is not journaled."""
    return session.not_agent_code()
