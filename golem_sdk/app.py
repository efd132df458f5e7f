"""`Runtime`: the composition root, the only room that knows all others."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, overload

from attrs import evolve

from golem_sdk import intercept
from golem_sdk.codec.values import encode
from golem_sdk.errors import GolemError, UsageError
from golem_sdk.host.agents import proxy
from golem_sdk.runtime.environment import Environment, RealEnvironment
from golem_sdk.runtime.handles import AgentProxy, InvocationHandle, function_method, invocation_of
from golem_sdk.runtime.kernel import Kernel
from golem_sdk.runtime.settings import MAX_RECEIVED_BYTES, Origin, Settings, chosen, sdk_version
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.storage.owner import OwnerLock
from golem_sdk.viewer import AgentMetadata, Viewer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from datetime import datetime, timedelta
    from types import TracebackType

    from golem_sdk.core.entries import Entry, OplogIndex
    from golem_sdk.storage.base import Engine
    from golem_sdk.storage.lmdb import LmdbEngine

__all__ = ["Runtime", "store_path"]

P = ParamSpec("P")
R = TypeVar("R")

_DEFAULT_STORE = ".golem"
_READER_CHECK_NS = 60_000_000_000


class Runtime:
    """Runs durable agents on one store. Use it as a context manager, ``with`` or ``async with``.

    Opening resumes what a crash interrupted; closing stops at once and waits for no agent: what is
    unfinished goes on when the store is opened again. One process at a time may own a store.

    Args:
        store: the store's directory; by default ``GOLEM_STORE``, or ``.golem`` in the working directory.
        suspend_after: seconds, from 0 to 30 years; an agent that waits longer gives its thread and memory
            back meanwhile.
        max_loaded: how many idle agents are kept in memory.
        max_received_bytes: all that agents receive is recorded. More than this in the body of one response
            (`ResponseTooLargeError`), of one process (`OutputTooLargeError`) or over one connection of
            asyncio (`ConnectionAbortedError`) raises an error where agent code reads it.
        strict: what agents do past every durable call (a file written, a connection of a library that is not
            intercepted) raises a `NotDurableError` at that call, instead of a warning, once per line.

    Raises:
        UsageError: one of the numbers is none, or out of range; or ``strict`` is no bool.
        StoreLockedError: another runtime owns the store.
        StoreCorruptError, StoreVersionError: the store cannot be read by this version.

    Example:
        >>> from golem_sdk import Runtime, agent
        >>> @agent
        ... class Tally:
        ...     def __init__(self, name: str) -> None:
        ...         self.value = 0
        ...
        ...     def add(self, by: int = 1) -> int:
        ...         self.value += by
        ...         return self.value
        >>> with Runtime.memory() as runtime:
        ...     tally = runtime.get(Tally, "a")
        ...     tally.add(5)
        ...     runtime.trigger(tally.add, 2, key="order-17").result()
        5
        7
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | None = None,
        *,
        suspend_after: float = 1.0,
        max_loaded: int = 1024,
        max_received_bytes: int = MAX_RECEIVED_BYTES,
        strict: bool = False,
    ) -> None:
        settings = chosen(suspend_after, max_loaded, strict, max_received_bytes)
        path = store_path(store)
        owner = OwnerLock(path)
        try:
            from golem_sdk.storage.lmdb import LmdbEngine

            engine = LmdbEngine(path)
        except BaseException:
            owner.release()
            raise
        environment = RealEnvironment()
        settings = evolve(settings, workspaces=path.resolve() / "workspaces")
        self._open(engine, environment, owner, settings)
        _watch_readers(engine, environment)

    @classmethod
    def memory(
        cls,
        *,
        suspend_after: float = 1.0,
        max_loaded: int = 1024,
        max_received_bytes: int = MAX_RECEIVED_BYTES,
        strict: bool = False,
    ) -> Self:
        """A runtime without a file, for tests: everything is forgotten when it is closed."""
        settings = chosen(suspend_after, max_loaded, strict, max_received_bytes)
        return cls.over(MemoryEngine(), RealEnvironment(), settings)

    @classmethod
    def over(cls, engine: Engine, environment: Environment, settings: Settings) -> Self:
        """A runtime over a given engine and environment, both of which it closes (simulations)."""
        runtime = cls.__new__(cls)
        runtime._open(engine, environment, None, settings)
        return runtime

    def _open(
        self,
        engine: Engine,
        environment: Environment,
        owner: OwnerLock | None,
        settings: Settings,
    ) -> None:
        intercept.install()
        self._owner = owner
        self._viewer = Viewer(engine)
        origin = Origin(sdk_version(), intercept.versions())
        self._kernel = Kernel(engine, environment, settings, origin, intercept.heal)
        try:
            self._kernel.recover()
        except BaseException:
            self.close()
            raise

    # --- agents -----------------------------------------------------------------------------------

    def get(self, agent: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """A typed handle of the agent with these constructor arguments, which is created on first use.

        Its methods invoke the agent: synchronous ones wait for the result, asynchronous ones are awaited.

        Raises:
            UsageError: not an agent class, or these are no arguments of its constructor.
            EncodingError: an argument cannot be stored.
        """
        found: R = proxy(self._kernel, agent, args, kwargs)
        return found

    @overload
    def run(
        self, agent: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs
    ) -> R: ...
    @overload
    def run(self, agent: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R: ...

    def run(self, agent: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Start a function agent, or rejoin it, and wait for its result.

        Waits for asynchronous functions, too; code on an event loop writes
        ``await runtime.trigger(agent, ...)`` instead.

        Raises:
            BaseException: what the function raised.
            AgentFailedError: the agent is parked.
        """
        return function_method(self._kernel, agent, args, kwargs).run()

    @overload
    def trigger(
        self, method: Callable[..., Coroutine[Any, Any, R]], /, *args: Any, key: str, **kwargs: Any
    ) -> InvocationHandle[R]: ...
    @overload
    def trigger(
        self, method: Callable[..., R], /, *args: Any, key: str, **kwargs: Any
    ) -> InvocationHandle[R]: ...
    @overload
    def trigger(
        self, method: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> InvocationHandle[R]: ...
    @overload
    def trigger(
        self, method: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> InvocationHandle[R]: ...

    def trigger(
        self, method: Callable[..., Any], /, *args: Any, key: Any = None, **kwargs: Any
    ) -> InvocationHandle[Any]:
        """Invoke without waiting: returns when the invocation is on disk and will be done.

        Args:
            method: a method of a handle from `get`, or a function agent.
            *args: its arguments.
            **kwargs: its arguments by name.
            key: the idempotency key: the same key never runs twice, its recorded result is given again.

        Raises:
            StoreError: it was not accepted.
        """
        found, positional, keyword = invocation_of(self._kernel, method, args, kwargs, key)
        return found.trigger(key, positional, keyword)

    @overload
    def schedule(
        self,
        at: datetime | timedelta,
        method: Callable[..., Coroutine[Any, Any, R]],
        /,
        *args: Any,
        key: str,
        **kwargs: Any,
    ) -> InvocationHandle[R]: ...
    @overload
    def schedule(
        self,
        at: datetime | timedelta,
        method: Callable[..., R],
        /,
        *args: Any,
        key: str,
        **kwargs: Any,
    ) -> InvocationHandle[R]: ...
    @overload
    def schedule(
        self,
        at: datetime | timedelta,
        method: Callable[P, Coroutine[Any, Any, R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> InvocationHandle[R]: ...
    @overload
    def schedule(
        self,
        at: datetime | timedelta,
        method: Callable[P, R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> InvocationHandle[R]: ...

    def schedule(
        self,
        at: datetime | timedelta,
        method: Callable[..., Any],
        /,
        *args: Any,
        key: Any = None,
        **kwargs: Any,
    ) -> InvocationHandle[Any]:
        """Invoke at a time (an aware datetime) or after a while (a timedelta); survives restarts.

        A time in the past means at once.

        Raises:
            UsageError: it is not a time before the year 2500.
        """
        found, positional, keyword = invocation_of(self._kernel, method, args, kwargs, key)
        return found.schedule(at, key, positional, keyword)

    # --- looking ----------------------------------------------------------------------------------

    def agents(
        self,
        filter: Callable[[AgentMetadata], bool] | None = None,  # noqa: A002  # the published name
    ) -> Iterator[AgentMetadata]:
        """Metadata of the store's agents, in the order of their ids; only those that pass ``filter``."""
        return self._viewer.agents(filter)

    def metadata(self, agent: object) -> AgentMetadata:
        """Metadata of one agent, given by its handle or its id as text.

        Raises:
            AgentNotFoundError: the store has no such agent.
        """
        return self._viewer.metadata(_id_text(agent))

    def oplog(self, agent: object, *, start: OplogIndex = 1) -> Iterator[tuple[OplogIndex, Entry]]:
        """The committed entries of one agent from index ``start`` on.

        Raises:
            AgentNotFoundError: the store has no such agent.
            StoreCorruptError: its oplog is damaged.
        """
        return self._viewer.oplog(_id_text(agent), start=start)

    # --- mending ----------------------------------------------------------------------------------

    def resume(self, agent: object, *, happened: bool, result: object = None) -> None:
        """Let an agent go on that is parked with `UnknownOutcomeError`: say what became of its write.

        Args:
            agent: its handle, or its id as text.
            happened: ``True``: the write happened, and ``result`` is what the agent gets for it. ``False``:
                it did not, and is made again.
            result: any value that can be stored.

        Raises:
            AgentNotFoundError: the store has no such agent.
            UsageError: it has no write with an unknown outcome; or the write is part of an atomic region
                that was interrupted, which would send it again.
            EncodingError: the result cannot be stored.
        """
        if not isinstance(happened, bool):
            raise UsageError(f"happened is True or False, not {happened!r}")
        if not happened and result is not None:
            raise UsageError("a write that did not happen has no result")
        metadata = self.metadata(agent)
        outcome = encode(result) if happened else None
        self._kernel.resolve(metadata.agent_type, metadata.agent_id, outcome)

    def revert(
        self,
        agent: object,
        *,
        to_index: OplogIndex | None = None,
        invocations: int | None = None,
    ) -> OplogIndex:
        """Drop the end of an agent's history: state, results and failure are as they were before it.

        The main use is a failed agent, after its code was mended. An agent that runs is interrupted. An
        invocation in whose middle the history ends now goes on from there; those that had begun later are
        forgotten, so that the same idempotency key runs again; those that wait stay queued. Effects that
        were dropped have happened all the same: run again, they have the same idempotency keys.

        Args:
            agent: its handle, or its id as text.
            to_index: the oplog entry that becomes the last one that counts, from 1.
            invocations: instead: how many of the newest invocations are dropped, the one under way included.

        Returns:
            The entry that is the last one that counts.

        Raises:
            AgentNotFoundError: the store has no such agent.
            UsageError: there is no such entry, an earlier jump has dropped it, or it lies inside an atomic
                region or an announced write; or the agent has begun fewer invocations.
        """
        metadata = self.metadata(agent)
        return self._kernel.revert(
            metadata.agent_type, metadata.agent_id, to_index=to_index, invocations=invocations
        )

    # --- closing ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop at once; agents go on at the next opening. Idempotent; a forked child does nothing."""
        self._kernel.close()
        if self._owner is not None:
            self._owner.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.to_thread(self.close)


def store_path(store: str | os.PathLike[str] | None) -> Path:
    """The store's directory: as given, else ``GOLEM_STORE``, else ``.golem`` here."""
    return Path(store if store is not None else os.environ.get("GOLEM_STORE") or _DEFAULT_STORE)


def _id_text(agent: object) -> str:
    match agent:
        case str():
            return agent
        case AgentProxy():
            return str(agent._golem_id)
        case InvocationHandle() | AgentMetadata():
            return agent.agent_id
    raise UsageError(f"name an agent by its handle or its id as text, not by {agent!r}")


def _watch_readers(engine: LmdbEngine, environment: Environment) -> None:
    """Clear the marks of readers that died, now and once a minute: they would bloat the file."""
    with suppress(GolemError):  # the store was closed meanwhile, or is past reading
        engine.check_readers()
        again = environment.now_ns() + _READER_CHECK_NS
        environment.call_at(again, lambda: _watch_readers(engine, environment))
