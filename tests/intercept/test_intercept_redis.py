"""redis-py in agents, beyond what the suite shows: clients of others, crashes, subscriptions, refusals."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from redis import WatchError
from redis.asyncio import BlockingConnectionPool, ConnectionPool
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import ResponseError

from golem_sdk import Runtime, agent
from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import NotDurableError
from golem_sdk.testing.states import unload_agents
from intercept.keyvalue import KeyValueServer
from intercept.replaying import crashed, crashed_async, run, run_async
from intercept.suite.cases_redis import asynchronous, client

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "canary-8841"
CLIENTS: list[Any] = []


@pytest.fixture
def server() -> Iterator[KeyValueServer]:
    with KeyValueServer() as made:
        yield made


def test_a_client_that_was_made_outside(server: KeyValueServer) -> None:
    with client(server) as redis:

        def body() -> Any:
            redis.incrby("count", 2)
            return redis.get("count")

        runs = run(body)
        assert runs.live == runs.replayed == b"2"
        assert redis.get("count") == b"2"
    types = [e.function_type for e in runs.entries if isinstance(e, ImportedFunctionInvoked)]
    assert types == [FunctionType.WRITE_REMOTE, FunctionType.READ_REMOTE]


def test_a_watch_is_lost_in_a_crash(server: KeyValueServer) -> None:
    waits, go_on = threading.Event(), threading.Event()

    def body() -> list[Any]:
        found: list[Any] = []
        with client(server) as redis:
            while True:
                try:
                    with redis.pipeline() as pipeline:
                        pipeline.watch("name")
                        value: Any = pipeline.get("name")
                        pipeline.multi()
                        pipeline.set("copy", value)
                        redis.set("noted", "one")
                        if not waits.is_set():
                            server.asked, server.answers = waits, go_on
                            redis.rpush("slow", "c")  # on disk is before: it watches
                        return [*found, pipeline.execute()]
                except WatchError as error:
                    found.append(str(error))

    found, done = crashed(body, waits, go_on)
    assert "lost in a crash" in found
    assert done == [True]
    assert server.data[b"copy"] == b"one"


def test_a_connection_of_an_asynchronous_client_is_lost_in_a_crash(server: KeyValueServer) -> None:
    waits, go_on = threading.Event(), threading.Event()

    async def body() -> list[Any]:
        found: list[Any] = []
        async with asynchronous(server) as redis:
            await redis.set("name", "two")
            while True:
                try:
                    if not waits.is_set():
                        server.asked, server.answers = waits, go_on
                    return [*found, await redis.get("slow")]
                except LostError as error:
                    found.append(type(error).__name__)

    assert crashed_async(body, waits, go_on) == ["ConnectionError", None]


@agent
class WordList:
    """Uses the client that all agents of the process use."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def put(self, word: str) -> Any:
        client = CLIENTS[-1]
        await asyncio.gather(client.rpush(self.name, word), client.rpush(self.name, word))
        return await client.lrange(self.name, 0, -1)


@pytest.mark.parametrize("kind", [ConnectionPool, BlockingConnectionPool])
def test_each_agent_has_connections_of_its_own(kind: Any, server: KeyValueServer) -> None:
    pool = kind(port=server.port, protocol=2, retry=Retry(NoBackoff(), 1))  # as clients have it
    CLIENTS[:] = [AsyncRedis(connection_pool=pool)]
    with Runtime.memory() as runtime:
        for words in (b"aa", b"aabb"):
            for name in ("one", "other"):
                put = runtime.get(WordList, name).put
                found = runtime.trigger(put, words[-1:].decode()).result(60)
                assert b"".join(found) == words
            unload_agents(runtime._kernel)
    assert not pool._available_connections


def test_asynchronous_subscriptions(server: KeyValueServer) -> None:
    async def body() -> list[Any]:
        heard: list[Any] = []
        async with asynchronous(server) as redis:
            subscription: Any = redis.pubsub()
            await subscription.subscribe("news")
            await redis.publish("news", "one")
            await redis.publish("news", "two")
            async for message in subscription.listen():
                heard.append([message["type"], message["data"]])
                if len(heard) == 3:
                    await subscription.aclose()
                    return heard
        return heard

    runs = run_async(body)
    assert runs.live == [["subscribe", 1], ["message", b"one"], ["message", b"two"]]
    assert runs.replayed == runs.live


def test_passwords_are_not_stored(server: KeyValueServer) -> None:
    def body() -> None:
        with client(server, password=SECRET) as redis:
            redis.get("name")
            redis.auth(SECRET)
            for words in (
                ("CONFIG SET", "requirepass", SECRET),
                (b"config", "set", "maxmemory", 1, b"masterauth", SECRET),
                ("MIGRATE", "other", 1, "name", 0, 9, "AUTH", SECRET),
            ):
                with suppress(ResponseError):  # the fake does not know them
                    redis.execute_command(*words)

    runs = run(body)
    assert SECRET not in repr(runs.entries)
    assert [b"AUTH", SECRET.encode()] in server.seen
    assert len([words for words in server.seen if SECRET.encode() in words]) == 5


def test_what_is_not_recorded_is_refused(server: KeyValueServer) -> None:
    def body() -> None:
        with client(server) as redis:
            with pytest.raises(NotDurableError, match="XREAD"):
                redis.pubsub().subscribe("news")
            with pytest.raises(NotDurableError, match="monitor"):
                redis.monitor()

    run(body)
    assert server.writes == []
