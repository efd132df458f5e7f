"""WebSockets in agents, beyond what the suite shows: crashes, cancelling, secrets, refusals, bad input."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection as SyncClientConnection
from websockets.sync.client import connect as connect_sync

from golem_sdk import RetryPolicy, retry_policy
from golem_sdk.errors import NotDurableError
from intercept.replaying import crashed, crashed_async, run, run_async
from intercept.websocket_server import WebSocketServer

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "canary-8841"


@pytest.fixture
def server() -> Iterator[WebSocketServer]:
    with WebSocketServer() as made:
        yield made


def test_one_task_sends_while_another_receives(server: WebSocketServer) -> None:
    async def body() -> list[Any]:
        async with connect(server.url()) as websocket:
            heard: list[Any] = []

            async def listen() -> None:
                heard.extend([message async for message in websocket])

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(listen())
                for word in ("one", b"two", "count 3", "bye"):
                    await websocket.send(word)
        return [heard, websocket.close_code, isinstance(websocket, ClientConnection)]

    runs = run_async(body)
    assert runs.live == [["one", b"two", "0", "1", "2"], 1000, True]
    assert runs.replayed == runs.live
    assert server.received == ["one", b"two", "count 3", "bye"]
    assert len(server.opened) == 1


def test_after_a_crash_a_used_connection_is_lost_and_a_fresh_one_is_opened_again(
    server: WebSocketServer,
) -> None:
    async def body() -> list[Any]:
        async with connect(server.url("/fresh")) as fresh, connect(server.url("/used")) as used:
            await used.send("one")
            first = await used.recv()
            try:
                await used.send("wait")
                await used.recv()
            except ConnectionClosedError as error:
                lost = [str(error), str(error.__cause__)]
            with pytest.raises(ConnectionClosedError):
                await used.send("more")
            _, second = await asyncio.gather(fresh.send("two"), fresh.recv())
            return [first, lost, used.close_code, second, fresh.state.name]

    first, (text, cause), code, second, state = crashed_async(body, server.held, server.hold)
    assert [first, code, second, state] == ["one", 1006, "two", "OPEN"]
    assert text == "no close frame received or sent"
    assert "was lost with the process that had opened it" in cause
    assert server.received == ["one", "wait", "two"]
    assert [path for path, _ in server.opened] == ["/fresh", "/used", "/fresh"]


def test_the_same_in_synchronous_code(server: WebSocketServer) -> None:
    def body() -> list[Any]:
        idle = connect_sync(server.url("/idle"), legacy=True)
        with connect_sync(server.url("/fresh")) as fresh, connect_sync(server.url()) as used:
            used.send("one")
            first = used.recv()
            try:
                used.send("wait")
                used.recv()
            except ConnectionClosedError:
                idle.close()
                fresh.send("two")
                return [
                    first,
                    fresh.recv(),
                    isinstance(fresh, SyncClientConnection),
                    idle.close_code,
                ]
        return []

    assert crashed(body, server.held, server.hold) == ["one", "two", True, 1006]
    assert server.received == ["one", "wait", "two"]
    assert [path for path, _ in server.opened] == ["/idle", "/fresh", "/", "/fresh"]


def test_a_fresh_connection_that_cannot_be_opened_again_is_lost(server: WebSocketServer) -> None:
    with WebSocketServer() as other:

        async def body() -> list[Any]:
            async with connect(other.url()) as fresh, connect(server.url()) as used:
                await used.send("one")
                await used.recv()
                with suppress(ConnectionClosedError):
                    await used.send("wait")
                    await used.recv()
                try:
                    await fresh.send("two")
                except ConnectionClosedError as error:
                    return [type(error.__cause__).__name__, fresh.close_code]
            return []

        go_on = server.hold.set

        def fall() -> None:
            other.__exit__()
            go_on()

        server.hold.set = fall  # type: ignore[method-assign]  # between the lives
        assert crashed_async(body, server.held, server.hold) == ["ConnectionRefusedError", 1006]


def test_no_message_is_lost_when_waiting_for_it_is_given_up(server: WebSocketServer) -> None:
    async def body() -> list[Any]:
        async with connect(server.url()) as websocket:
            await websocket.send("wait")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(websocket.recv(), 0.01)
            server.hold.set()
            return [await websocket.recv()]

    runs = run_async(body)
    assert runs.live == ["waited"]
    assert runs.replayed == runs.live


def test_a_message_that_came_too_late_is_for_the_next_call() -> None:
    # The agent gives up at the moment when the message is there: here it always does.
    from golem_sdk.intercept.websockets_connections import _received
    from golem_sdk.steps import run as run_steps

    class Real:
        messages = iter(["one", "two"])

        def recv(self) -> str:
            return next(self.messages)

    left: list[Any] = []
    assert [run_steps(_received(Real(), left, ())) for _ in range(2)] == ["one", "one"]
    left.clear()
    assert run_steps(_received(Real(), left, ())) == "two"


def test_a_timeout_of_recv_is_an_outcome(server: WebSocketServer) -> None:
    def body() -> list[Any]:
        with connect_sync(server.url("/greeting")) as websocket:
            first = websocket.recv(timeout=60)
            with pytest.raises(TimeoutError):
                websocket.recv(timeout=0.01)
            websocket.send("late")
            return [first, websocket.recv(timeout=60, decode=False)]

    runs = run(body)
    assert runs.live == ["welcome", b"late"]
    assert runs.replayed == runs.live


def test_secrets_and_messages_are_not_stored(server: WebSocketServer) -> None:
    async def body() -> Any:
        headers = {"Authorization": SECRET, "X-Api-Key": SECRET, "Prefer": "speed"}
        async with connect(f"{server.url()}?token={SECRET}", additional_headers=headers) as one:
            await one.send(SECRET)
        return None

    runs = run_async(body)
    stored = repr(runs.entries)
    assert SECRET not in stored
    assert "token=<redacted:" in stored
    assert "speed" in stored
    path, sent = server.opened[0]
    assert SECRET in path
    assert sent["X-Api-Key"] == SECRET


def test_how_it_is_closed(server: WebSocketServer) -> None:
    async def body() -> list[Any]:
        closed: list[Any] = []
        async with connect(server.url()) as first:
            await first.close(4000, "done")
            closed.append([first.close_code, first.close_reason, first.state.name])
            with pytest.raises(ConnectionClosedError) as caught:
                await first.recv()
            closed.append(str(caught.value))
        async with connect(server.url()) as second:
            await second.send("drop")
            await second.wait_closed()
            closed.append([second.close_code, second.close_reason])
        async with connect(server.url()) as third:
            assert third.close_code is None
        return [*closed, third.close_code]

    runs = run_async(body)
    reason = "sent 4000 (private use) done; then received 4000 (private use) done"
    assert runs.live == [[4000, "done", "CLOSED"], reason, [1006, ""], 1000]
    assert runs.replayed == runs.live
    assert server.closed[0] == (4000, "done")
    assert runs.calls.count("websockets.close") == 2


def test_closing_in_synchronous_code(server: WebSocketServer) -> None:
    def body() -> list[Any]:
        with connect_sync(server.url()) as first:
            open_yet = first.wait_closed(timeout=0)
            first.send("bye")
            closed = first.wait_closed(timeout=60)
        with connect_sync(server.url()) as second:
            second.send("fail")
            with pytest.raises(ConnectionClosed):
                second.recv()
        return [open_yet, closed, first.close_reason, second.close_code, second.close_reason]

    runs = run(body)
    assert runs.live == [False, True, "so long", 1011, "broken"]
    assert runs.replayed == runs.live


def test_what_is_known_of_a_connection(server: WebSocketServer) -> None:
    async def body() -> list[Any]:
        async with connect(server.url("/moved"), subprotocols=["one"]) as one:  # type: ignore[list-item]  # a NewType
            response = one.response
            assert response is not None
            known = [response.status_code, response.headers["Upgrade"], one.subprotocol]
            return [known, one.remote_address, one.local_address, str(one.id)]

    runs = run_async(body)
    assert runs.live[0] == [101, "websocket", "one"]
    assert runs.live[1] == ("127.0.0.1", server.port)
    assert runs.replayed == runs.live


def test_being_let_in_is_tried_again_by_the_policy(server: WebSocketServer) -> None:
    async def body() -> list[Any]:
        with retry_policy(RetryPolicy(min_delay=0.001, retry_on_status={503})):
            async with connect(server.url("/busy")) as websocket:
                await websocket.send("in")
                answer = await websocket.recv()
        try:
            async with connect(server.url("/forbidden")):
                return []
        except InvalidStatus as error:
            return [answer, error.response.status_code, error.response.headers["Location"]]

    runs = run_async(body)
    assert runs.live == ["in", 403, "/"]
    assert runs.replayed == runs.live
    assert len(server.opened) == 4


def test_no_message(server: WebSocketServer) -> None:
    async def body() -> list[str]:
        found: list[str] = []
        async with connect(server.url()) as websocket:
            for message in (5, {"one": 1}):
                try:
                    await websocket.send(message)  # type: ignore[arg-type]  # the point
                except TypeError as error:
                    found.append(str(error))
            await websocket.send(bytearray(b"text"), text=True)
            found.append(str(await websocket.recv()))
        return found

    runs = run_async(body)
    assert runs.live == [
        "data must be str, bytes, iterable, or async iterable",
        "data is a dict-like object",
        "text",
    ]
    assert runs.replayed == runs.live


class Own(ClientConnection):
    """A class of a user."""


def test_what_is_not_recorded_is_refused(server: WebSocketServer) -> None:
    async def body() -> list[str]:
        found: list[str] = []

        async def refused(act: Any) -> None:
            with pytest.raises(NotDurableError) as caught:
                await act
            found.append(str(caught.value).partition(" of websockets")[0])

        async with connect(server.url()) as one:
            await refused(one.send(iter(["in", "parts"])))
            for name in ("ping", "pong", "recv_streaming"):
                with pytest.raises(NotDurableError, match="@durable"):
                    getattr(one, name)()
            for name in ("request", "latency", "transport"):
                with pytest.raises(NotDurableError, match=name):
                    getattr(one, name)
        with closing(socket.socket()) as raw:
            await refused(connect(server.url(), sock=raw).__aenter__())
        await refused(connect(server.url(), create_connection=Own).__aenter__())
        return found

    runs = run_async(body)
    assert runs.live == [
        "send() of a message in parts",
        "connect(sock=...)",
        "connect(create_connection=...)",
    ]
    assert runs.replayed == runs.live
    assert server.received == []


def test_a_connection_that_nobody_closes_ends_with_the_invocation() -> None:
    with WebSocketServer() as server:

        async def body() -> str:
            websocket = await websockets.connect(server.url())
            await websocket.send("one")
            return str(await websocket.recv())

        runs = run_async(body)
    assert runs.replayed == runs.live == "one"
    assert server.closed == [(1006, "")]
