"""SQLAlchemy inside agents: what is its own, above the drivers that are intercepted.

Statements of engines, sessions and the ORM are recorded by the driver's interceptor (`sqlite3`, `psycopg`,
blocking and asynchronous). SQLAlchemy adds what a process has once, and whoever comes first would record:

* a pool. In an agent each checkout opens a connection of its own, which is closed when it is given back;
* what an engine learns of the server over its first connection. In an agent that is one recorded read in
  each invocation, made over a connection that nobody else gets, and only if the process does not know it yet;
* the one connection of a database in memory, which belongs to a thread. An agent has many, one at a time, and
  in each of its lives a database of its own, which replay fills again.

Does not cover: other drivers (aiosqlite, asyncpg, pymysql, ...), ``StaticPool`` shared by agents, native
hstore of a process that has only replayed, and what the drivers' interceptors do not cover.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.patching import Patch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["memory_patches", "pool_patches"]

_NAME = "sqlalchemy"
_CALL = "sqlalchemy.initialize"

_TWIN = "_golem_twin"
"""What an engine's pool has under this name: the one that agents have in its place."""
_known: WeakSet[Any] = WeakSet()
"""Pools whose engines this process knows the server of."""


class _Memory:
    """A database in memory: the pool of its one connection."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    def drop(self) -> None:
        """Its agent is unloaded, or has disposed of it."""
        self.pool.dispose()


def pool_patches(module: ModuleType) -> list[Patch]:
    """The patch of `sqlalchemy.pool.base`."""
    return [Patch(module.Pool, "connect", _connect)]


def memory_patches(module: ModuleType) -> list[Patch]:
    """The patches of `sqlalchemy.pool.impl`: its pool for databases in memory."""
    memory = module.SingletonThreadPool
    return [Patch(memory, "connect", _connect_memory), Patch(memory, "dispose", _dispose)]


def _connect(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def connect(self: Any) -> Any:
        session = durability.current_since(_NAME)
        if session is None or isinstance(self, (_pools().NullPool, _pools().StaticPool)):
            return original(self)
        _learn(session, self)
        return original(_twin(self))

    return connect


def _connect_memory(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def connect(self: Any) -> Any:
        session = durability.current_since(_NAME)
        if session is None:
            return original(self)
        memories = _memories(session)
        memory = memories.get(self)
        if memory is None:
            memory = memories[self] = _Memory(_made(self, _pools().StaticPool))
            durability.hold(session, memory)
        return memory.pool.connect()

    return connect


def _dispose(original: Callable[[Any], None]) -> Callable[[Any], None]:
    def dispose(self: Any) -> None:
        session = durability.current_since(_NAME)
        if session is None:
            original(self)
            return
        memory = _memories(session).pop(self, None)
        if memory is not None:
            memory.drop()

    return dispose


def _memories(session: durability.Session) -> WeakKeyDictionary[Any, _Memory]:
    """By the engine's pool, the databases in memory of an agent."""
    return durability.life_memory(session, _NAME, WeakKeyDictionary)


def _pools() -> Any:
    return sys.modules["sqlalchemy.pool"]


def _twin(pool: Any) -> Any:
    twin = vars(pool).get(_TWIN)
    if twin is None:
        twin = vars(pool)[_TWIN] = _made(pool, _pools().NullPool)
    return twin


def _made(pool: Any, kind: Any) -> Any:
    """A pool of another kind, with the same events."""
    return kind(
        pool._creator,
        recycle=pool._recycle,
        echo=pool.echo,
        logging_name=pool._orig_logging_name,
        reset_on_return=pool._reset_on_return,
        pre_ping=pool._pre_ping,
        _dispatch=pool.dispatch,
        dialect=pool._dialect,
    )


# --- what an engine learns of its server --------------------------------------------------------------


def _learn(session: durability.Session, pool: Any) -> None:
    told: WeakSet[Any] = durability.invocation_memory(session, _NAME, WeakSet)
    if pool in told:
        return
    dialect = pool._dialect

    def learn() -> dict[str, Any]:
        if pool not in _known:
            _made(pool, _pools().NullPool).connect().close()
            _known.add(pool)
        return {name: value for name, value in map(_plain, vars(dialect).items()) if name}

    request = f"{dialect.name}+{dialect.driver}"
    kind = FunctionType.READ_REMOTE
    if dialect.is_async:
        util = sys.modules["sqlalchemy.util"]

        async def learn_async() -> Any:
            return await util.greenlet_spawn(learn)

        learned = util.await_only(
            durability.durable_call_async(session, _CALL, kind, request, learn_async)
        )
    else:
        learned = durability.durable_call(session, _CALL, kind, request, learn)
    if pool not in _known:
        _take_over(dialect, learned)
        _known.add(pool)
    told.add(pool)


def _plain(item: tuple[str, Any]) -> tuple[str, Any]:
    """A plain attribute, or one without a name."""
    name, value = item
    if isinstance(value, tuple) and all(type(each) is int for each in value):
        return name, [*value]  # a version
    return (name, value) if value is None or type(value) in (bool, int, str) else ("", None)


def _take_over(dialect: Any, learned: dict[str, Any]) -> None:
    """Know what an earlier process has learned; the engine's first connection is not asked any more."""
    for name, value in learned.items():
        setattr(dialect, name, tuple(value) if isinstance(value, list) else value)
    dialect.initialize = lambda connection: None
