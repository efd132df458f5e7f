"""psycopg 3 inside agents, statement by statement, blocking and asynchronous.

``connect`` gives a connection whose every statement is one durable call with its rows, types and counts. By
type it is a ``psycopg.Connection`` (or ``AsyncConnection``); the server is reached when something is
performed, and not in replay. What is set on the connection is set again on one that is opened after a crash,
and an open transaction is made again: see `golem_sdk.intercept.links`. Whether a COMMIT that was under way
in the crash was made is asked of the server, which knows it by the transaction's number, recorded before.

Does not cover: connections that were opened outside agents, and pools that were; a COMMIT that is executed
as a statement, and a second crash in the same one. COPY, pipelines, notifications, server-side cursors and
two-phase commits are refused.
"""

from __future__ import annotations

import asyncio
import functools
from functools import cache
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.intercept.patching import Patch, in_agents
from golem_sdk.intercept.psycopg_connections import NAME, SETTINGS, Recorded
from golem_sdk.intercept.psycopg_cursors import Cursors
from golem_sdk.intercept.psycopg_transactions import Block
from golem_sdk.steps import run, run_async

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["psycopg_patches"]


def psycopg_patches(module: ModuleType) -> list[Patch]:
    """The patches of psycopg."""

    def bound(_: object) -> Any:
        return module.Connection.connect

    return [
        Patch(module.Connection, "connect", functools.partial(_connect, module)),
        Patch(module.AsyncConnection, "connect", functools.partial(_connect_async, module)),
        Patch(module, "connect", bound, spread=True),
    ]


def _connect(module: Any, original: Any) -> Any:
    real: Any = original.__func__

    def connect(cls: Any, conninfo: str = "", **options: Any) -> Any:
        if durability.current_since(NAME) is None:
            return real(cls, conninfo, **options)
        made = _class_of(cls, module.Connection, _Blocking)(cls, real, conninfo, options)
        run(made._reach())
        return made

    return classmethod(in_agents(real, connect))


def _connect_async(module: Any, original: Any) -> Any:
    real: Any = original.__func__

    async def connect(cls: Any, conninfo: str = "", **options: Any) -> Any:
        if durability.current_since(NAME) is None:
            return await real(cls, conninfo, **options)
        made = _class_of(cls, module.AsyncConnection, _Async)(cls, real, conninfo, options)
        await run_async(made._reach())
        return made

    return classmethod(in_agents(real, connect))


@cache
def _class_of(cls: Any, base: Any, recorded: Any) -> Any:
    return type(cls.__name__, (recorded, cls), {"__module__": cls.__module__})


class _Blocking(Recorded):
    cursors = Cursors.BLOCKING
    _cursor_base = "Cursor"

    def _made(self, session: Any, name: str, kind: Any, request: Any, steps: Any) -> Any:
        def perform() -> Any:
            return self._link.used(lambda: run(steps()))

        if session is None:
            return perform()
        return durability.durable_call(session, name, kind, request, perform)

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        binary = options.pop("binary", False)
        return self.cursor(binary=binary).execute(query, params, **options)

    def commit(self) -> None:
        run(self._by_hand("commit"))

    def rollback(self) -> None:
        run(self._by_hand("rollback"))

    def close(self) -> None:
        self._shut()

    def transaction(self, savepoint_name: str | None = None, force_rollback: bool = False) -> Any:
        return Block(self, savepoint_name, force_rollback)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        run(self._left(error))


class _Async(Recorded):
    cursors = Cursors.ASYNC
    _cursor_base = "AsyncCursor"
    _lock = staticmethod(asyncio.Lock)

    def _made(self, session: Any, name: str, kind: Any, request: Any, steps: Any) -> Any:
        if session is None:
            return run_async(steps())
        return durability.durable_call_async(
            session, name, kind, request, lambda: run_async(steps())
        )

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        binary = options.pop("binary", False)
        return await self.cursor(binary=binary).execute(query, params, **options)

    async def commit(self) -> None:
        await run_async(self._by_hand("commit"))

    async def rollback(self) -> None:
        await run_async(self._by_hand("rollback"))

    async def close(self) -> None:
        self._shut()

    def transaction(self, savepoint_name: str | None = None, force_rollback: bool = False) -> Any:
        return Block(self, savepoint_name, force_rollback)

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        await run_async(self._left(error))


def _telling(name: str) -> Any:
    return lambda self, value: self._tell(name, value)


def _telling_async(name: str) -> Any:
    async def tell(self: Recorded, value: Any) -> None:
        self._tell(name, value)

    return tell


for _name in SETTINGS:
    setattr(_Blocking, f"set_{_name}", _telling(_name))
    setattr(_Async, f"set_{_name}", _telling_async(_name))
