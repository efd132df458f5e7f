"""The one door: every durable call, whoever makes it, goes through these functions.

Interceptors, decorators and host functions know nothing of the runtime but this module. All functions
take the running agent's session as given by `current`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from golem_sdk.runtime.context import SCOPE as SCOPE
from golem_sdk.runtime.context import current as current
from golem_sdk.runtime.loop import all_tasks as all_tasks
from golem_sdk.runtime.loop import as_completed as as_completed
from golem_sdk.runtime.session import SAME
from golem_sdk.runtime.session import Session as Session

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager
    from uuid import UUID

    from golem_sdk.core.function_type import FunctionType

__all__ = ["durable_call", "is_live"]
"""What is published; the rest of this module is for the SDK's own interceptors and decorators."""

T = TypeVar("T")


def is_live() -> bool:
    """Whether the code that asks performs its side effects now: ``False`` only in an agent's replay."""
    session = current()
    if session is None:
        return True
    scope = SCOPE.get()
    return not scope.zone_skipped if scope.zone else session.machine.is_live


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


def host_call(session: Session, perform: Callable[[], Awaitable[Any]]) -> None:
    """Run a coroutine function on the host loop without journaling it (to close a connection).

    It is started in live code only, and not waited for.
    """
    session.on_host(perform)


def sleep(session: Session, seconds: float) -> None:
    """Wait in synchronous agent code; after a crash only the remainder, and a long wait holds no thread."""
    session.sleep(seconds)


def upcoming_idempotency_key(session: Session) -> UUID:
    """The idempotency key of the next durable call that starts: the same on replay."""
    return session.keys.upcoming()


def agent_random(session: Session) -> random.Random:
    """The invocation's own random generator, seeded from one recorded seed."""
    return session.random()


def virtual_time_ns(session: Session) -> int:
    """Logical time: the timestamp of the last delivered entry, nanoseconds since the epoch. No entry."""
    return session.machine.now


def record_log(session: Session, level: str, context: str, message: str) -> bool:
    """Record a log line; ``False`` if it was emitted before the crash and must not be again."""
    return session.log(level, context, message)


def suppressed(session: Session) -> AbstractContextManager[None]:
    """What runs inside this block is not the agent's own doing and is not journaled."""
    return session.not_agent_code()
