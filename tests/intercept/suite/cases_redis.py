"""Commands through redis-py, blocking and asynchronous."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis import Redis, WatchError
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostError

from intercept.keyvalue import KeyValueServer
from intercept.suite.case import Case

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CASES", "asynchronous", "client"]


def asynchronous(server: KeyValueServer, **options: Any) -> AsyncRedis:
    """An asynchronous client."""
    return AsyncRedis(port=server.port, protocol=2, retry=Retry(NoBackoff(), 0), **options)


async def commands_async(server: KeyValueServer) -> list[Any]:
    done: list[Any] = []
    async with asynchronous(server, decode_responses=True) as redis:
        while True:
            try:
                if not done:
                    done.append(await redis.set("name", "two"))
                pipeline: Any
                async with redis.pipeline() as pipeline:
                    pipeline.get("name").lrange("list", 0, -1)
                    return [*done, await pipeline.execute()]
            except LostError:  # in a crash
                continue


def client(server: KeyValueServer, **options: Any) -> Redis:
    """A blocking client."""
    return Redis(port=server.port, protocol=2, **options)


def commands(server: KeyValueServer) -> list[Any]:
    with client(server, decode_responses=True) as redis:
        first = redis.get("name")
        redis.set("name", "two")
        return [first, redis.get("none"), redis.lrange("list", 0, -1), redis.ping()]


def pipelines(server: KeyValueServer) -> list[Any]:
    with client(server) as redis:
        with redis.pipeline(transaction=False) as pipeline:
            mixed = pipeline.get("name").get("list").execute(raise_on_error=False)
        while True:
            try:
                with redis.pipeline() as pipeline:
                    pipeline.watch("name")
                    value: Any = pipeline.get("name")
                    pipeline.multi()
                    pipeline.set("copy", value)
                    return [mixed[0], type(mixed[1]).__name__, value, pipeline.execute()]
            except WatchError:  # lost in a crash
                continue


def wrong_type(server: KeyValueServer) -> Any:
    with client(server) as redis:
        return redis.get("list")


def failing_pipeline(server: KeyValueServer) -> Any:
    with client(server) as redis, redis.pipeline() as pipeline:
        return pipeline.get("name").get("list").execute()


async def wrong_type_async(server: KeyValueServer) -> Any:
    async with asynchronous(server) as redis:
        return await redis.get("list")


def _cases() -> Iterator[Case]:
    yield Case("redis-commands", "redis", commands, wrong_type, KeyValueServer)
    yield Case("redis-pipelines", "redis", pipelines, failing_pipeline, KeyValueServer)
    yield Case("redis-async", "redis", commands_async, wrong_type_async, KeyValueServer)


CASES = [*_cases()]
