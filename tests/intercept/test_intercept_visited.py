"""Whoever calls a client that bodies of durable functions use finds it as agent code knows it.

And while none does, nobody outside agents is kept from the original.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from contextvars import Context, copy_context
from threading import Barrier, Event, Thread
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import urllib3

from golem_sdk import Runtime, agent, durable
from golem_sdk.intercept.visited import Known
from golem_sdk.runtime.context import BODY, Body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from intercept.web import WebServer

CLIENTS: list[Any] = []
CLOSED, DONE = Event(), Event()


class Client:
    """Says which way it was called."""

    is_closed = False

    def close(self, *way: str, last: str = "original") -> str:
        self.is_closed = True
        return " ".join((*way, last))


def inside(client: Client, *way: str, **options: str) -> str:
    return Client.close(client, "inside", *way, **options)


@pytest.fixture
def close() -> Callable[..., str]:
    return Known("is_closed").watched(Client.close, inside)


def outside(close: Callable[..., str], client: Any) -> str:
    return Context().run(close, client)


def test_outside_agents_the_original_is_called_while_no_body_uses_a_client(
    close: Callable[..., str],
) -> None:
    client = Client()
    assert close(client, "the", last="end") == "the end"
    with Body():
        assert outside(close, Client()) == "original", "it has used none yet"
        for _ in range(2):
            assert close(Client(), "the", last="end") == "inside the end"
        assert outside(close, Client()) == "inside original"
    assert outside(close, Client()) == close(client) == "original"


def test_bodies_at_once_leave_nothing_behind(close: Callable[..., str]) -> None:
    client = Client()
    with Body():
        close(client)
        with Body():
            close(client)
            close(Client())
        for each in (Client(), client):
            assert outside(close, each) == "inside original", "one of two is not over"
        close(client)  # begins again with what the program around has made of it
    assert outside(close, client) == "original"


def test_what_the_program_around_closes_beside_a_body_stays_closed(
    close: Callable[..., str],
) -> None:
    client = Client()
    with Body():
        close(client)
        outside(close, client)
    assert client.is_closed


def test_a_body_visits_a_client_once(close: Callable[..., str]) -> None:
    client = Client()
    with Body():
        close(client)
        close(client)
        body = BODY.get()
        assert body is not None
        assert len(body.visited) == 1


def test_threads_of_a_body_lose_no_client(close: Callable[..., str]) -> None:
    def close_many(mine: list[Client]) -> None:
        begin.wait()
        for each in mine:
            close(each)

    clients, begin, interval = [Client() for _ in range(4000)], Barrier(4), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # a thread is interrupted as often as can be
    try:
        with Body():
            threads = [
                Thread(target=copy_context().run, args=(close_many, clients[number::4]))
                for number in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert all(each.is_closed for each in clients)
    finally:
        sys.setswitchinterval(interval)
    assert not any(each.is_closed for each in clients)
    assert outside(close, Client()) == "original"


def test_threads_of_a_body_may_begin_at_once(close: Callable[..., str]) -> None:
    class Overtaken(Client):
        """Another thread of the body closes it while the first one looks how it is."""

        is_looked_at = False
        is_really_closed = False

        @property
        def is_closed(self) -> bool:
            if not self.is_looked_at:
                self.is_looked_at = True
                close(self)
            return self.is_really_closed

        @is_closed.setter
        def is_closed(self, value: bool) -> None:
            self.is_really_closed = value

    client = Overtaken()
    with Body():
        close(client)
        assert client.is_really_closed
    assert not client.is_really_closed
    assert outside(close, client) == "original"


async def use_and_wait(close: Callable[..., str], client: Client) -> None:
    with Body():
        close(client)
        await asyncio.Event().wait()


def fails(close: Callable[..., str], client: Client) -> None:
    with suppress(ZeroDivisionError), Body():
        close(client)
        raise ZeroDivisionError


def is_cancelled(close: Callable[..., str], client: Client) -> None:
    async def cancel() -> None:
        task = asyncio.create_task(use_and_wait(close, client))
        await asyncio.sleep(0)
        assert client.is_closed
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(cancel())


def is_dropped(close: Callable[..., str], client: Client) -> None:
    def steps() -> Iterator[None]:
        with Body():
            close(client)
            yield

    for _ in steps():
        assert client.is_closed
        break


def finds_no_client(close: Callable[..., str], client: Client) -> None:
    with Body():
        with pytest.raises(AttributeError):
            close(object.__new__(type("Other", (), {})))
        close(client)


@pytest.mark.parametrize("end", [fails, is_cancelled, is_dropped, finds_no_client])
def test_however_a_body_ends_it_leaves_nothing_behind(
    close: Callable[..., str], end: Callable[..., None]
) -> None:
    client = Client()
    Context().run(end, close, client)
    assert not client.is_closed
    assert outside(close, client) == "original"


@durable
def closes_and_waits() -> None:
    CLIENTS[-1].close()
    CLOSED.set()
    assert DONE.wait(60)


@agent
def shares() -> int:
    closes_and_waits()
    response = CLIENTS[-1].request("GET", CLIENTS[0])
    return int(getattr(response, "status_code", None) or response.status)


@pytest.mark.parametrize(
    "make",
    [
        lambda web: httpx.Client(trust_env=False),
        lambda web: urllib3.HTTPConnectionPool("127.0.0.1", web.server_port),
    ],
    ids=["httpx", "urllib3"],
)
def test_what_a_durable_function_closes_is_open_to_the_program_around(
    web: WebServer, make: Callable[[WebServer], Any]
) -> None:
    CLIENTS[:] = [web.url("/json"), client := make(web)]
    CLOSED.clear()
    DONE.clear()
    with Runtime.memory() as runtime:
        try:
            running = runtime.trigger(shares)
            assert CLOSED.wait(60)
            response = client.request("GET", web.url("/json"))
        finally:
            DONE.set()
        assert running.result(60) == 200
        assert (getattr(response, "status_code", None) or response.status) == 200
        client.close()
