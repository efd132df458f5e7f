"""What users hold: proxies of agents, their methods, and handles of invocations.

A proxy works from the outside, where calls are answered when their results are on disk, and inside agents,
where each call is a durable call of the calling agent.
"""

from __future__ import annotations

import asyncio
import functools
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from golem_sdk.codec.values import encode
from golem_sdk.core.function_type import FunctionType
from golem_sdk.core.ids import AgentId, agent_id
from golem_sdk.errors import InvocationNotFoundError, UsageError
from golem_sdk.runtime.context import current
from golem_sdk.runtime.definitions import AgentDefinition, definition_of
from golem_sdk.runtime.effects import ResultEffect, asked
from golem_sdk.runtime.intake import Request
from golem_sdk.runtime.limits import due_ns, timeout_s
from golem_sdk.runtime.outcomes import reveal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator
    from datetime import datetime, timedelta

    from golem_sdk.runtime.completion import Completion
    from golem_sdk.runtime.kernel import Kernel
    from golem_sdk.runtime.session import Session
    from golem_sdk.stores.invocations import InvocationStatus

__all__ = [
    "AgentProxy",
    "InvocationHandle",
    "Method",
    "function_method",
    "identity",
    "invocation_of",
]

T = TypeVar("T")

_LONGEST_KEY = 4096
_NO_ARGUMENTS = encode([[], {}])


class InvocationHandle(Generic[T]):
    """An accepted invocation. ``await handle`` gives its result, too.

    Attributes:
        agent_id: the agent, as text.
        key: the invocation's idempotency key: with it the same handle can be had again.
    """

    def __init__(self, kernel: Kernel, agent: AgentId, key: str) -> None:
        self._kernel = kernel
        self._agent = agent
        self.agent_id = str(agent)
        self.key = key

    def result(self, timeout: float | None = None) -> T:
        """Wait for the invocation to end; its result.

        Args:
            timeout: seconds to wait at most; ``None``: as long as it takes. Not inside agents, which are
                suspended while they wait.

        Raises:
            TimeoutError: it has not ended in time; it goes on.
            StoreForkedError: this is a forked child of the process whose runtime it is.
            BaseException: what the agent's method raised.
            InvocationCancelledError: it was cancelled.
            AgentFailedError: the agent is parked.
        """
        session = current()
        if session is None:
            result: T = reveal(*self._completion().outcome(timeout_s(timeout)))
            return result
        if timeout is not None:
            raise UsageError("result(timeout=...) inside an agent would not be the same on replay")
        effect = ResultEffect(self._completion)
        given: T = session.wait(*self._request(), effect)
        return given

    def status(self) -> InvocationStatus:
        """What has become of the invocation.

        Inside an agent the answer is recorded.
        """
        session = current()
        if session is None:
            return self._completion().status
        name = "golem:rpc/invocation-status"
        status: InvocationStatus = session.call(
            name,
            FunctionType.READ_REMOTE,
            [self.agent_id, self.key],
            lambda: asked(session, lambda: self._completion().status),
        )
        return status

    def cancel(self) -> bool:
        """Cancel the invocation if it has not begun; whether that was still possible."""
        session = current()
        if session is None:
            return self._kernel.intake.cancel(self._agent, self.key)
        name = "golem:rpc/cancel-invocation"
        cancelled: bool = session.call(
            name,
            FunctionType.WRITE_REMOTE,
            [self.agent_id, self.key],
            lambda: asked(session, lambda: self._kernel.intake.cancel(self._agent, self.key)),
        )
        return cancelled

    def __await__(self) -> Generator[Any, None, T]:
        session = current()
        if session is not None:
            given: Generator[Any, None, T] = session.wait_async(
                *self._request(), ResultEffect(self._completion)
            ).__await__()
            return given
        return self._from_outside().__await__()

    async def _from_outside(self) -> T:
        result: T = await outside(self._completion())
        return result

    def _completion(self) -> Completion:
        completion = self._kernel.intake.find(self._agent, self.key)
        if completion is None:
            raise InvocationNotFoundError(
                f"{self.agent_id} knows no invocation with key {self.key!r}"
            )
        return completion

    def _request(self) -> tuple[str, FunctionType, object]:
        return "golem:rpc/get-result", FunctionType.READ_REMOTE, [self.agent_id, self.key]


class Method:
    """A method of one agent, bound to its proxy. Calling it invokes the agent.

    ``key`` is the idempotency key of a call that names none; ``None``: each call has a fresh one.
    """

    def __init__(
        self,
        kernel: Kernel,
        definition: AgentDefinition,
        agent: AgentId,
        constructor: bytes,
        method: str,
        key: str | None,
    ) -> None:
        self.kernel = kernel
        self.agent = agent
        self.method = method
        self.is_async = definition.methods[method]
        self._constructor = constructor
        self._key = key

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Invoke the agent: give the result, or for an asynchronous method an awaitable of it."""
        session = current()
        if session is not None:
            if not self.is_async:
                return session.wait(*self._ask(session, args, kwargs))
            if not session.pump.is_running:
                raise UsageError(
                    f"{self.method} of {self.agent} is asynchronous and the code that calls it is not:"
                    f" write trigger(agent.{self.method}, ...).result()"
                )
            return self._await(session, args, kwargs)
        completion = self.kernel.intake.enqueue(self._request(args, kwargs, None))
        if self.is_async:
            return outside(completion)
        return reveal(*completion.outcome())

    async def _await(self, session: Session, args: Any, kwargs: Any) -> Any:
        """The call begins, and gets its key, when it is awaited or its task runs: not when it is made."""
        return await session.wait_async(*self._ask(session, args, kwargs))

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Invoke and wait, also if the method is asynchronous."""
        session = current()
        if session is not None:
            return session.wait(*self._ask(session, args, kwargs))
        return reveal(*self.kernel.intake.enqueue(self._request(args, kwargs, None)).outcome())

    def trigger(self, key: str | None, args: Any, kwargs: Any) -> InvocationHandle[Any]:
        """Invoke without waiting for the result: returns when the invocation is accepted, on disk."""
        request = self._request(args, kwargs, key)
        session = current()
        if session is None:
            self.kernel.intake.trigger(request)
        else:
            session.send(
                "golem:rpc/invoke",
                [str(self.agent), self.method, request.arguments],
                lambda: self.kernel.intake.enqueue(request, session.writer),
            )
        return InvocationHandle(self.kernel, self.agent, request.key)

    def schedule(
        self, at: datetime | timedelta, key: str | None, args: Any, kwargs: Any
    ) -> InvocationHandle[Any]:
        """Invoke at a time; returns when that is on disk."""
        request = self._request(args, kwargs, key)
        session = current()
        now_ns = self.kernel.environment.now_ns() if session is None else session.machine.now
        due = due_ns(at, now_ns)
        if session is None:
            self.kernel.intake.schedule(request, due)
        else:
            session.send(
                "golem:rpc/schedule",
                [str(self.agent), self.method, request.arguments, due],
                lambda: self.kernel.intake.schedule(request, due, session.writer),
            )
        return InvocationHandle(self.kernel, self.agent, request.key)

    def _ask(
        self, session: Session, args: Any, kwargs: Any
    ) -> tuple[str, FunctionType, object, ResultEffect]:
        if session.agent_id == str(self.agent):
            raise UsageError(
                f"{self.agent} awaits a call to itself, which can never begin: call the method on self, or"
                " trigger() it without waiting"
            )
        request = self._request(args, kwargs, None)
        effect = ResultEffect(lambda: self.kernel.intake.enqueue(request, session.writer))
        asked = [str(self.agent), self.method, request.arguments]
        return "golem:rpc/invoke-and-await", FunctionType.WRITE_REMOTE, asked, effect

    def _request(self, args: Any, kwargs: Any, key: str | None) -> Request:
        arguments = encode([list(args), kwargs]) if args or kwargs else _NO_ARGUMENTS
        chosen = key if key is not None else self._key
        if chosen is None:
            session = current()
            fresh = UUID(bytes=self.kernel.environment.entropy(16), version=4)
            chosen = str(fresh if session is None else session.keys.upcoming())
        elif not chosen or "\0" in chosen or len(chosen) > _LONGEST_KEY:
            raise UsageError(
                f"an idempotency key has 1 to {_LONGEST_KEY} characters, and none of them is NUL:"
                f" {chosen[:80]!r} ({len(chosen)} characters)"
            )
        return Request(self.agent, self._constructor, self.method, arguments, chosen)


class AgentProxy:
    """Stands for one agent: has its methods, not its attributes."""

    def __init__(self, kernel: Kernel, definition: AgentDefinition, args: Any, kwargs: Any) -> None:
        self._golem_definition = definition
        self._golem_kernel = kernel
        self._golem_id, self._golem_constructor = identity(definition, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copying looks for such before there are any attributes
            raise AttributeError(name)
        self._golem_definition.check_method(name)
        return agent_method(self, name)

    def __repr__(self) -> str:
        return f"<agent {self._golem_id}>"


def agent_method(proxy: AgentProxy, name: str) -> Method:
    """The method of a class agent."""
    definition = proxy._golem_definition
    method = Method(
        proxy._golem_kernel, definition, proxy._golem_id, proxy._golem_constructor, name, None
    )
    functools.update_wrapper(method, getattr(definition.target, name))
    return method


def function_method(kernel: Kernel, target: object, args: Any, kwargs: Any) -> Method:
    """The one invocation of a function agent: its arguments are its identity, so its key follows.

    Raises:
        UsageError: the target is no function agent.
    """
    definition = definition_of(target)
    if definition.is_class:
        raise UsageError(
            f"{definition.name} is an agent class: get() an agent of it and invoke one of its methods"
        )
    agent, constructor = identity(definition, args, kwargs)
    method = definition.target.__name__
    return Method(kernel, definition, agent, constructor, method, f"run {agent}")


def invocation_of(
    kernel: Kernel, target: object, args: Any, kwargs: Any, key: str | None
) -> tuple[Method, Any, Any]:
    """What `trigger` and `schedule` were asked for: a method and its arguments.

    Raises:
        UsageError: the target is neither a method of an agent nor a function agent.
    """
    if isinstance(target, Method):
        return target, args, kwargs
    if key is not None:
        raise UsageError("a function agent runs once: its arguments are its key, leave key= out")
    return function_method(kernel, target, args, kwargs), (), {}


def identity(definition: AgentDefinition, args: Any, kwargs: Any) -> tuple[AgentId, bytes]:
    """The id of an agent and its encoded constructor arguments.

    Raises:
        UsageError: these are no arguments of its constructor.
        EncodingError: an argument cannot be stored.
    """
    values, positional, keyword = definition.bind(args, kwargs)
    return agent_id(definition.name, values, encode), encode([positional, keyword])


def outside(completion: Completion) -> Awaitable[Any]:
    """Await a completion on the caller's own event loop."""

    async def wait() -> Any:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has ended, and who waits on it
                loop.call_soon_threadsafe(done.set)

        completion.when_done(wake)
        try:
            await done.wait()
        finally:
            completion.withdraw(wake)
        return reveal(*completion.outcome())

    return wait()
