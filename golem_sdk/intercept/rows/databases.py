"""Databases and brokers."""

from __future__ import annotations

from golem_sdk.intercept.interceptor import Interceptor, Replaced, Treatment

__all__ = ["DATABASES"]

_STATEMENTS = (Treatment.READ_REMOTE, Treatment.WRITE_REMOTE)
_TRANSACTIONS = (
    "every statement is one call; a transaction that was open in a crash is made again, and a COMMIT that was"
    " under way may be made twice (if it can be: else it was made), with other row ids than were told: use"
    " `golem_sdk.transactions` for what must happen exactly once. Parameters"
    " and rows are in the oplog (long parameters as a hash)"
)

DATABASES = (
    Interceptor(
        name="sqlite3",
        adapters={"sqlite3": "golem_sdk.intercept.sqlite:sqlite_patches"},
        replaces=(
            Replaced("sqlite3", "connect", _STATEMENTS),
            Replaced("sqlite3.dbapi2", "connect", _STATEMENTS),
        ),
        limits=f"{_TRANSACTIONS}. Databases in memory or in `golem_sdk.workspace()` are not recorded but "
        "made again by replay, where `CURRENT_TIMESTAMP` and `random()` of SQL are others. Not aiosqlite, "
        "whose thread waits so that its agent stands still (the log says where), connections opened outside "
        "agents or by `sqlite3.Connection(...)`, temporary tables after a crash; refused are "
        "`backup`, `blobopen`, `serialize`, and a connection of an agent to threads of a `@durable` function",
    ),
    Interceptor(
        name="psycopg",
        library="psycopg",
        tested=("3.2", "3.3"),
        adapters={"psycopg": "golem_sdk.intercept.psycopg:psycopg_patches"},
        replaces=(
            Replaced("psycopg", "connect", _STATEMENTS),
            Replaced("psycopg.Connection", "connect", _STATEMENTS),
            Replaced("psycopg.AsyncConnection", "connect", _STATEMENTS),
        ),
        limits="every statement is one call with all its rows; a transaction that was open in a crash is "
        "made again (if a sequence has given an id in it, it cannot be: an error says so), and whether a "
        "COMMIT was made is asked of the server (not of one that is executed as a statement, nor after a "
        "second crash in the same: use `golem_sdk.transactions`). Parameters are in the oplog. Not "
        "connections and pools opened outside agents; refused are `copy`, `stream`, `pipeline`, `notifies`, "
        "`tpc_*`, server-side cursors, and a connection of an agent to threads of a `@durable` function",
    ),
    Interceptor(
        name="asyncpg",
        library="asyncpg",
        tested=("0.32", "0.32"),
        adapters={
            "asyncpg.connection": "golem_sdk.intercept.asyncpg:connection_patches",
            "asyncpg.pool": "golem_sdk.intercept.asyncpg:pool_patches",
        },
        replaces=(
            Replaced(
                "asyncpg.connection.Connection", "_get_unique_id __del__", Treatment.PASSED_ON
            ),
            Replaced("asyncpg.pool.Pool", "_acquire", (Treatment.PASSED_ON, Treatment.REFUSED)),
        ),
        limits="goes over `connections`, as bytes: what is written and what comes back is recorded in pieces."
        " After a crash its connections are lost, and with them a transaction that was open: connect again"
        " (a pool does), and begin it again. Statements are named per connection, so that replay names them "
        "alike. Not connections opened outside agents; pools of others are refused",
    ),
    Interceptor(
        name="redis",
        library="redis",
        tested=("8", "8"),
        adapters={
            "redis.client": "golem_sdk.intercept.redis:client_patches",
            "redis.asyncio.connection": "golem_sdk.intercept.redis:async_patches",
        },
        replaces=(
            Replaced("redis.client.Redis", "execute_command", _STATEMENTS),
            Replaced("redis.client.Pipeline", "execute immediate_execute_command", _STATEMENTS),
            Replaced("redis.client.Redis", "monitor", Treatment.REFUSED),
            Replaced("redis.client.PubSub", "execute_command", Treatment.REFUSED),
            Replaced("redis.asyncio.connection.AbstractConnection", "__del__", Treatment.PASSED_ON),
            Replaced(
                "redis.asyncio.connection.ConnectionPool",
                "get_connection release disconnect reset",
                Treatment.PASSED_ON,
            ),
            Replaced(
                "redis.asyncio.connection.BlockingConnectionPool",
                "get_connection release",
                Treatment.PASSED_ON,
            ),
        ),
        limits="a command, or an executed pipeline, is one call; one that writes and was under way in a crash"
        " is sent again. After a crash a `WATCH` is lost (`WatchError`). Values are in the oplog (long ones"
        " by hash). Not `RedisCluster`, nor `single_connection_client=True`; subscriptions are refused. "
        "`redis.asyncio` goes over `connections`, as bytes, subscriptions too, and each agent has its own, "
        "even of a client that all agents use; after a crash they raise `redis.ConnectionError` (with "
        "`retry=...` it connects again by itself)",
    ),
    Interceptor(
        name="sqlalchemy",
        version=2,
        library="sqlalchemy",
        tested=("2.0", "2.1"),
        adapters={
            "sqlalchemy.pool.base": "golem_sdk.intercept.sqlalchemy:pool_patches",
            "sqlalchemy.engine.base": "golem_sdk.intercept.sqlalchemy:connection_patches",
            "sqlalchemy.pool.impl": "golem_sdk.intercept.sqlalchemy:memory_patches",
        },
        replaces=(
            Replaced("sqlalchemy.pool.base.Pool", "connect", Treatment.READ_REMOTE),
            Replaced("sqlalchemy.pool.base._ConnectionFairy", "cursor", Treatment.PASSED_ON),
            Replaced(
                "sqlalchemy.pool.impl.SingletonThreadPool", "connect dispose", Treatment.PASSED_ON
            ),
            Replaced("sqlalchemy.pool.impl.StaticPool", "dispose", Treatment.PASSED_ON),
            Replaced(
                "sqlalchemy.engine.base.Connection", "begin invalidate close", Treatment.PASSED_ON
            ),
            Replaced(
                "sqlalchemy.engine.base.Transaction", "close rollback commit", Treatment.PASSED_ON
            ),
        ),
        limits="core, ORM and asynchronous engines over sqlite3 and psycopg, whose rows hold for their "
        "statements; other drivers are not recorded. Every checkout opens a connection; what an engine "
        "learns of its server is read once in an invocation. A transaction that was open in a crash, where "
        "a sequence of PostgreSQL has given an id, cannot be made again: an error says so. A connection, or "
        "a session that has one, is refused to all but the agent whose code has checked it out: to "
        "`@durable` functions, too, as theirs is to agents, and databases in memory to them. Not "
        "`stream_results`, nor a `creator` that gives a connection twice",
    ),
)
