"""redis-py inside agents, command by command.

A command is one durable call, and so is a pipeline when it is executed. The server is reached live only. A
``WATCH`` ends with the connection that it was made on: after a crash the pipeline raises ``WatchError``, as
it does when a key was changed, and its caller begins again. Values are in the oplog, long ones as a hash.

``redis.asyncio`` speaks over connections of asyncio: see `golem_sdk.intercept.asyncio_connections`. These are
of one agent and one of its lives, so of each pool every agent has a copy, whoever else uses the client.

Does not cover: ``RedisCluster``, clients with ``single_connection_client=True``. Subscriptions and monitors
are refused.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import sys
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.asyncio_transports import unless_unloaded
from golem_sdk.intercept.patching import Patch, in_agents
from golem_sdk.intercept.statements import told

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["async_patches", "client_patches"]

_NAME = "redis"
_READS = frozenset(
    """
    BITCOUNT BITFIELD_RO BITPOS DBSIZE DUMP ECHO EXISTS EXPIRETIME GEODIST GEOHASH GEOPOS GEORADIUS_RO
    GEORADIUSBYMEMBER_RO GEOSEARCH GET GETBIT GETRANGE HEXISTS HGET HGETALL HKEYS HLEN HMGET HRANDFIELD
    HSCAN HSTRLEN HTTL HPTTL HVALS INFO KEYS LASTSAVE LCS LINDEX LLEN LPOS LRANGE MGET OBJECT
    PEXPIRETIME PFCOUNT PING PTTL RANDOMKEY ROLE SCAN SCARD SDIFF SINTER SINTERCARD SISMEMBER SMEMBERS
    SMISMEMBER SORT_RO SRANDMEMBER SSCAN STRLEN SUBSTR SUNION TIME TOUCH TTL TYPE UNWATCH WATCH XINFO
    XLEN XPENDING XRANGE XREAD XREVRANGE ZCARD ZCOUNT ZDIFF ZINTER ZINTERCARD ZLEXCOUNT ZMSCORE
    ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE
    ZREVRANK ZSCAN ZSCORE ZUNION EVAL_RO EVALSHA_RO FCALL_RO
    """.split()  # noqa: SIM905  # a list of them would be 110 lines
)
_SECRET = frozenset({"AUTH", "HELLO", "ACL"})
_SECRET_WORDS = frozenset({"MASTERAUTH", "REQUIREPASS", "TLS-KEY-FILE-PASS"})
"""What ``CONFIG SET`` sets to a password."""
_USES = ("get_connection", "release", "disconnect", "reset")
"""What uses the connections of a pool."""
_COPY = "_golem_copy"
_UNWATCHING = frozenset({"UNWATCH", "EXEC", "DISCARD"})


def client_patches(module: ModuleType) -> list[Patch]:
    """The patches of `redis.client`."""
    return [
        Patch(module.Redis, "execute_command", _command),
        Patch(module.Redis, "monitor", _refused("Redis.monitor()")),
        Patch(module.Pipeline, "execute", _pipeline),
        Patch(module.Pipeline, "immediate_execute_command", _watching),
        Patch(module.PubSub, "execute_command", _refused("PubSub")),
    ]


def async_patches(module: ModuleType) -> list[Patch]:
    """The patches of `redis.asyncio.connection`."""
    kind = module.AbstractConnection
    return [
        Patch(kind, "__del__", lambda done: unless_unloaded(done, _transport_of)),
        *(Patch(module.ConnectionPool, name, _of_agent) for name in _USES),
        *(Patch(module.BlockingConnectionPool, name, _of_agent) for name in _USES[:2]),
    ]


def _of_agent(original: Callable[..., Any]) -> Callable[..., Any]:
    def use(pool: Any, *args: Any, **options: Any) -> Any:
        session = durability.current_since(_NAME)
        if session is None or hasattr(pool, _COPY):
            return original(pool, *args, **options) if options else original(pool, *args)
        return getattr(_copy_of(session, pool), original.__name__)(*args, **options)

    return in_agents(original, use)


def _copy_of(session: durability.Session, pool: Any) -> Any:
    copies = durability.life_memory(session, _NAME, WeakKeyDictionary[Any, Any])
    if pool not in copies:
        made = copies[pool] = copy.copy(pool)
        setattr(made, _COPY, True)
        made._available_connections, made._in_use_connections = [], set()
        made._lock = asyncio.Lock()
        if hasattr(made, "_condition"):
            made._condition = asyncio.Condition()
    return copies[pool]


def _transport_of(connection: Any) -> Any:
    writer = getattr(connection, "_writer", None)
    return None if writer is None else writer.transport


# --- commands -----------------------------------------------------------------------------------------


def _command(original: Callable[..., Any]) -> Callable[..., Any]:
    def execute_command(client: Any, *args: Any, **options: Any) -> Any:
        session = durability.current_since(_NAME)
        if session is None:
            return original(client, *args, **options)
        return durability.durable_call(
            session,
            "redis.execute_command",
            _type_of(args),
            _shown(args),
            lambda: original(client, *args, **options),
        )

    return in_agents(original, execute_command)


# --- pipelines ----------------------------------------------------------------------------------------


def _pipeline(original: Callable[..., Any]) -> Callable[..., Any]:
    def execute(pipeline: Any, raise_on_error: bool = True) -> Any:
        session = durability.current_since(_NAME)
        if session is None or not (pipeline.command_stack or pipeline.watching):
            return original(pipeline, raise_on_error)
        commands = [command for command, _ in pipeline.command_stack]
        lost = pipeline.watching and pipeline.connection is None
        try:
            return durability.durable_call(
                session,
                "redis.pipeline",
                _type_of_all(commands),
                [_shown(command) for command in commands],
                lambda: _lost() if lost else original(pipeline, raise_on_error),
                repeatable=False,  # the pipeline is empty then
            )
        finally:
            with durability.suppressed(session):
                pipeline.reset()

    return in_agents(original, execute)


def _watching(original: Callable[..., Any]) -> Callable[..., Any]:
    def immediate_execute_command(pipeline: Any, *args: Any, **options: Any) -> Any:
        session = durability.current_since(_NAME)
        if session is None:
            return original(pipeline, *args, **options)
        lost = pipeline.watching and pipeline.connection is None
        result = durability.durable_call(
            session,
            "redis.execute_command",
            _type_of(args),
            _shown(args),
            lambda: _lost() if lost else original(pipeline, *args, **options),
        )
        _note(pipeline, args)
        return result

    return in_agents(original, immediate_execute_command)


def _note(pipeline: Any, args: tuple[Any, ...]) -> None:
    """What the driver notes when it reads the answer; in replay nobody reads one."""
    if args[0] in _UNWATCHING:
        pipeline.watching = False
    elif args[0] == "WATCH":
        pipeline.watching = True


def _lost() -> Any:
    raise sys.modules["redis"].WatchError(
        "the connection that watched the keys is lost in a crash: watch them again"
    )


# --- common -------------------------------------------------------------------------------------------


def _refused(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def refuse(*args: Any, **options: Any) -> Any:
            if durability.current_since(_NAME) is not None:
                raise NotDurableError(
                    f"An agent tried to use redis' {what}, which is not recorded. Nothing was sent. Put the"
                    " code that needs it into a function decorated with @durable, or read a stream (XREAD)"
                )
            return original(*args, **options)

        return refuse

    return make


def _type_of(command: tuple[Any, ...]) -> FunctionType:
    name = _name(command[0])
    return FunctionType.READ_REMOTE if name in _READS else FunctionType.WRITE_REMOTE


def _type_of_all(commands: list[tuple[Any, ...]]) -> FunctionType:
    reads = all(_type_of(command) is FunctionType.READ_REMOTE for command in commands)
    return FunctionType.READ_REMOTE if reads else FunctionType.WRITE_REMOTE


def _shown(command: tuple[Any, ...]) -> Any:
    name = _name(command[0])
    if name in _SECRET or (name == "CONFIG" and _SECRET_WORDS & {*map(_name, command)}):
        return [command[0], "<secret>"]
    shown: list[Any] = told(list(command))
    if name == "MIGRATE":
        for at, word in enumerate(command):
            if _name(word) in ("AUTH", "AUTH2"):
                return [*shown[: at + 1], "<secret>"]
    return shown


def _name(word: Any) -> str:
    text = word.decode(errors="replace") if isinstance(word, bytes) else str(word)
    return text.upper().partition(" ")[0]
