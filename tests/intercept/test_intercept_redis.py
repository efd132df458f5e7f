"""redis-py in agents, beyond what the suite shows: clients of others, crashes, subscriptions, refusals."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from redis import WatchError
from redis.exceptions import ConnectionError as LostError

from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import NotDurableError
from intercept.keyvalue import KeyValueServer
from intercept.replaying import crashed, crashed_async, run, run_async
from intercept.suite.cases_redis import asynchronous, client

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "canary-8841"


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

    runs = run(body)
    assert SECRET not in repr(runs.entries)
    assert [b"AUTH", SECRET.encode()] in server.seen


def test_what_is_not_recorded_is_refused(server: KeyValueServer) -> None:
    def body() -> None:
        with client(server) as redis:
            with pytest.raises(NotDurableError, match="XREAD"):
                redis.pubsub().subscribe("news")
            with pytest.raises(NotDurableError, match="monitor"):
                redis.monitor()

    run(body)
    assert server.writes == []
