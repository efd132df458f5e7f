"""SQLAlchemy inside agents: what is its own, above the drivers that are intercepted.

Statements of engines, sessions and the ORM are recorded by the driver's interceptor (`sqlite3`, `psycopg`,
blocking and asynchronous). SQLAlchemy adds what a process has once, and whoever comes first would record:

* a pool. In an agent each checkout opens a connection of its own, which is closed when it is given back;
* what an engine learns of the server over its first connection. In an agent that is one recorded read in
  each invocation, made over a connection that nobody else gets, and only if the process does not know it yet;
* the one connection of a database in memory (which belongs to a thread) or of a ``StaticPool``. An agent has
  one of its own in each of its lives; what is in memory is filled again by replay.

All this belongs to the engine, not to its pool, which ``Engine.dispose`` replaces: so the body of a durable
function, which replay does not run, may dispose of an engine. Such a body gets its connections from the
process's pool. A connection, and so a session that has one, is for those who have checked it out: an agent
and the bodies of its durable functions are refused each other's.

Does not cover: other drivers (aiosqlite, asyncpg, pymysql, ...), a ``creator`` that gives the same connection
again, native hstore of a process that has only replayed, and what the drivers' interceptors do not cover.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.links import strange
from golem_sdk.intercept.patching import Patch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["connection_patches", "memory_patches", "pool_patches"]

_NAME = "sqlalchemy"
_CALL = "sqlalchemy.initialize"
_OWNER = "sqlalchemy.owner"

_BY_ENGINE = 2
"""The version from which on what is known belongs to the engine, and its kind of pool makes no difference."""
_TWIN = "_golem_twin"
"""What an engine's pool has under this name: the one that agents have in its place."""
_HOLDER = "_golem_holder"
"""What a connection that is checked out has under this name: which life of which agent has done so."""
_MEMORIES = "_golem_memories"
"""What a dialect has under this name: by lives of agents, their pools of one connection."""
_known: WeakSet[Any] = WeakSet()
"""Dialects of the engines whose server this process knows."""
_private: WeakSet[Any] = WeakSet()
"""Dialects of the engines with which agents have databases that only they see, and replay makes again."""


class _Memory:
    """A database in memory, or another with one connection: the pool of it."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    def drop(self) -> None:
        """Its agent is unloaded, or has disposed of it."""
        self.pool.dispose()


def pool_patches(module: ModuleType) -> list[Patch]:
    """The patches of `sqlalchemy.pool.base`."""
    checked_out = module._ConnectionFairy
    held = _held_kind(checked_out)
    return [
        Patch(module.Pool, "connect", lambda original: _connect(original, held)),
        Patch(checked_out, "cursor", _cursor),
    ]


def connection_patches(module: ModuleType) -> list[Patch]:
    """The patches of `sqlalchemy.engine.base`: what would note something before it is refused."""
    names = [(module.Connection, True, name) for name in ("begin", "invalidate", "close")]
    names += [(module.Transaction, False, name) for name in ("close", "rollback", "commit")]
    return [
        Patch(owner, name, functools.partial(_guarded, is_own)) for owner, is_own, name in names
    ]


def memory_patches(module: ModuleType) -> list[Patch]:
    """The patches of `sqlalchemy.pool.impl`: its pools of one connection."""
    memory = module.SingletonThreadPool
    return [
        Patch(memory, "connect", _connect_memory),
        Patch(memory, "dispose", _dispose),
        Patch(module.StaticPool, "dispose", _dispose),
    ]


# --- pools --------------------------------------------------------------------------------------------


def _connect(original: Callable[[Any], Any], held: type) -> Callable[[Any], Any]:
    nearby, nearby_body = durability.nearby, durability.nearby_body

    def connect(self: Any) -> Any:
        if nearby() is None and nearby_body() is None:
            return original(self)
        session = durability.current_since(_NAME)
        if session is None:
            if isinstance(self, _pools().StaticPool):
                _refuse_to_bodies(self)
            return original(self)
        is_static = isinstance(self, _pools().StaticPool)
        if not _by_engine(session):
            if is_static or isinstance(self, _pools().NullPool):
                return original(self)
            _learn(session, self)
            return original(_twin(self))
        pool = self
        if vars(self).get(_TWIN) is not self:
            if _learns(self):
                _learn(session, self)
            pool = _memory(session, self).pool if is_static else _twin(self)
        made = original(pool)
        if is_static and not hasattr(made.driver_connection, "_link"):  # no driver records it
            _private.add(_key(self))
        vars(made)[_HOLDER] = _life(session)
        made.__class__ = held
        return made

    return connect


def _connect_memory(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    nearby, nearby_body = durability.nearby, durability.nearby_body

    def connect(self: Any) -> Any:
        if nearby() is None and nearby_body() is None:
            return original(self)
        session = durability.current_since(_NAME)
        if session is None:
            _refuse_to_bodies(self)
            return original(self)
        return _memory(session, self).pool.connect()

    return connect


def _dispose(original: Callable[[Any], None]) -> Callable[[Any], None]:
    def dispose(self: Any) -> None:
        session = durability.current_since(_NAME)
        if session is None or vars(self).get(_TWIN) is self:
            original(self)
            return
        memory = _memories(self).pop(_life(session), None)
        if memory is not None:
            memory.drop()
        elif isinstance(self, _pools().StaticPool) and not _by_engine(session):
            original(self)

    return dispose


def _refuse_to_bodies(pool: Any) -> None:
    if _key(pool) in _private and durability.running_body() is not None:
        raise NotDurableError(
            "A function decorated with @durable connects to a database in memory that an agent has: what it"
            " changed there, replay, which does not run it, would not make again. Nothing was done. Use the"
            " database in the agent's code, and give the function what it needs of it as arguments"
        )


def _by_engine(session: durability.Session) -> bool:
    return durability.interceptor_version(session, _NAME) >= _BY_ENGINE


def _life(session: durability.Session) -> object:
    """Stands for this life of the agent."""
    return durability.life_memory(session, _OWNER, _Life)


class _Life:
    """A life of an agent."""


def _key(pool: Any) -> Any:
    """What lasts as long as the engine: its dialect; of a pool that has no engine, itself."""
    return vars(pool).get("_dialect", pool)


def _memory(session: durability.Session, pool: Any) -> _Memory:
    """The database in memory of an agent."""
    memories, life = _memories(pool), _life(session)
    memory: _Memory | None = memories.get(life)
    if memory is None:
        memory = memories[life] = _Memory(_made(pool, _pools().StaticPool))
        durability.hold(session, memory)
    return memory


def _memories(pool: Any) -> Any:
    return vars(_key(pool)).setdefault(_MEMORIES, WeakKeyDictionary())


def _pools() -> Any:
    return sys.modules["sqlalchemy.pool"]


def _twin(pool: Any) -> Any:
    twin = vars(pool).get(_TWIN)
    if twin is None:
        twin = vars(pool)[_TWIN] = _made(pool, _pools().NullPool)
    return twin


def _made(pool: Any, kind: Any) -> Any:
    """A pool of another kind, with the same events, which is its own twin."""
    made = kind(
        pool._creator,
        recycle=pool._recycle,
        echo=pool.echo,
        logging_name=pool._orig_logging_name,
        reset_on_return=pool._reset_on_return,
        pre_ping=pool._pre_ping,
        _dispatch=pool.dispatch,
        dialect=vars(pool).get("_dialect"),
    )
    vars(made)[_TWIN] = made
    return made


# --- who has checked out a connection -----------------------------------------------------------------


def _held_kind(checked_out: Any) -> type:
    """The class of connections that agents have checked out, which others are refused."""
    driver = checked_out.dbapi_connection

    def get(self: Any) -> Any:
        _refuse_to_others(vars(self)[_HOLDER])
        return driver.__get__(self)

    made = property(get, lambda self, value: driver.__set__(self, value))
    return type("HeldConnection", (checked_out,), {"__slots__": (), "dbapi_connection": made})


def _refuse_to_others(holder: object) -> None:
    session = durability.current_since(_NAME)
    if session is not None:
        if session.ended is None and _life(session) is not holder:
            raise NotDurableError(
                "An agent uses a connection of SQLAlchemy, or a session that has one, of another agent: it"
                " would be recorded there. Nothing was done. Give each agent its own (engine.connect())"
            )
    elif durability.running_body() is not None:
        raise NotDurableError(
            "A function decorated with @durable uses a connection of SQLAlchemy, or a session that has one,"
            " that the agent's code has checked out: replay, which does not run it, would not know. Nothing"
            " was done. Commit or close it before, or let the function take its own (engine.connect())"
        )
    elif durability.is_stranger():
        raise strange("A connection of SQLAlchemy")


def _guarded(is_own: bool, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        checked_out = getattr(self if is_own else self.connection, "_dbapi_connection", None)
        if checked_out is not None:
            holder = getattr(checked_out, "__dict__", {}).get(_HOLDER)
            if holder is not None:
                _refuse_to_others(holder)
        return original(self, *args, **kwargs) if args or kwargs else original(self)

    return method


def _cursor(original: Callable[..., Any]) -> Callable[..., Any]:
    nearby = durability.nearby

    @functools.wraps(original)
    def cursor(self: Any, *args: Any, **kwargs: Any) -> Any:
        if nearby() is None:
            return original(self, *args, **kwargs) if args or kwargs else original(self)
        session = durability.current_since(_NAME)
        if session is not None and _HOLDER not in vars(self) and _by_engine(session):
            raise NotDurableError(
                "An agent uses a connection of SQLAlchemy, or a session that has one, that was checked out"
                " outside agents or by a function decorated with @durable: what it does there would not be"
                " recorded. Nothing was done. Take one in the agent's code (engine.connect()), and close"
                " sessions in the function that has used them"
            )
        return original(self, *args, **kwargs)

    return cursor


# --- what an engine learns of its server --------------------------------------------------------------


def _learns(pool: Any) -> bool:
    """Whether it is known of which engine it is, and a second connection can be made."""
    is_users = not pool._creator.__module__.startswith("sqlalchemy.")
    return _key(pool) is not pool and not (is_users and isinstance(pool, _pools().StaticPool))


def _learn(session: durability.Session, pool: Any) -> None:
    told: WeakSet[Any] = durability.invocation_memory(session, _NAME, WeakSet)
    dialect = pool._dialect
    what = dialect if _by_engine(session) else pool
    if what in told:
        return

    def learn() -> dict[str, Any]:
        if dialect not in _known:
            _made(pool, _pools().NullPool).connect().close()
            _known.add(dialect)
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
    if dialect not in _known:
        _take_over(dialect, learned)
        _known.add(dialect)
    told.add(what)


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
