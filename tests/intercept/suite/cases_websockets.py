"""Messages through websockets' clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect as connect_sync
from websockets.sync.client import reconnect

from intercept.suite.case import Case
from intercept.websocket_server import WebSocketServer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CASES"]

_VARYING = frozenset({"host", "sec-websocket-key"})


class Socket(WebSocketServer):
    """The server; what it was sent are its writes."""

    @property
    def writes(self) -> list[str | bytes]:
        return self.received

    @property
    def trace(self) -> list[object]:
        """All requests but for what names the port and the dice, messages and closings."""
        requests = [
            [path, [h for h in headers.items() if h[0].lower() not in _VARYING]]
            for path, headers in self.opened
        ]
        return [*requests, *self.received, *self.closed]


def questions() -> list[tuple[str | bytes, int]]:
    """What is asked, and how many answers there are."""
    return [("count 2", 2), (b"\x00\xff", 1), ("bye", 0)]


async def talks(server: Socket) -> list[Any]:
    asked, answers = questions(), []
    async for websocket in connect(server.url("/moved"), subprotocols=["one"]):  # type: ignore[list-item]  # a NewType
        try:
            while asked:
                question, count = asked[0]
                await websocket.send(question)
                heard = [await websocket.recv() for _ in range(count)]
                if not count:
                    heard = [message async for message in websocket]
                answers += heard
                del asked[0]
        except ConnectionClosedError:  # lost in a crash
            continue
        break
    closed = [websocket.close_code, websocket.close_reason, websocket.state.name]
    return [answers, closed, websocket.subprotocol]


def talks_sync(server: Socket) -> list[Any]:
    asked, answers = questions(), []
    for websocket in reconnect(server.url("/moved"), compression=None):
        try:
            while asked:
                question, count = asked[0]
                websocket.send(question)
                heard = [websocket.recv(timeout=60) for _ in range(count)]
                answers += heard or list(websocket)
                del asked[0]
        except ConnectionClosedError:  # lost in a crash
            continue
        break
    return [answers, websocket.close_code, websocket.close_reason, websocket.state.name]


async def is_cut_off(server: Socket) -> object:
    async with connect(server.url()) as websocket:
        await websocket.send("fail")
        return await websocket.recv()


def is_not_let_in(server: Socket) -> object:
    with connect_sync(server.url("/forbidden")) as websocket:
        return websocket.recv()


def _cases() -> Iterator[Case]:
    yield Case("websockets-async-plain", "websockets", talks, is_cut_off, Socket)
    yield Case("websockets-plain", "websockets", talks_sync, is_not_let_in, Socket)


CASES = [*_cases()]
