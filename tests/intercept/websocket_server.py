"""A small WebSocket server in a thread of the test process, and what it saw."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.sync.server import ServerConnection, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from websockets.http11 import Request
    from websockets.sync.server import Server

__all__ = ["WebSocketServer"]

_REJECTED = {"/forbidden": 403, "/moved": 302, "/busy": 503}


class _Living(set[threading.Thread]):
    """Those that still run. `shutdown` waits for ever for one that could not say that it was through."""

    def __iter__(self) -> Iterator[threading.Thread]:
        return (thread for thread in super().__iter__() if thread.is_alive())


class WebSocketServer:
    """Serves until the ``with`` block ends.

    It echoes what it is sent, and knows some words: ``count 3`` is answered with three messages, ``bye``
    closes with 1000, ``fail`` with 1011, and ``drop`` breaks the connection off. ``/greeting`` speaks first;
    ``/moved`` leads to ``/``, ``/forbidden`` and ``/busy`` let nobody in, the latter twice.

    Attributes:
        opened: the requests that were let in or rejected: path and headers.
        received: the messages, in order.
        closed: how connections were closed: code and reason.
        hold: the answer to ``wait`` comes when this is set.
        held: set when ``wait`` came.
    """

    def __init__(self) -> None:
        self.opened: list[tuple[str, dict[str, str]]] = []
        self.received: list[str | bytes] = []
        self.closed: list[tuple[int | None, str | None]] = []
        self.hold = threading.Event()
        self.held = threading.Event()
        self._server: Server = serve(
            self._handle,
            "127.0.0.1",
            0,
            process_request=self._admit,
            select_subprotocol=lambda _, offered: next(iter(offered), None),
            close_timeout=1,
        )
        self._server.handler_threads = _Living()
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.port: int = self._server.socket.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hold.set()
        self._server.shutdown()
        self._thread.join()

    def url(self, path: str = "/") -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        self.opened.append((request.path, dict(request.headers.raw_items())))
        tries = [at for at, _ in self.opened].count(path)
        if path not in _REJECTED or (path == "/busy" and tries > 2):
            return None
        headers = Headers({"Location": "/", "Content-Length": "0", "Connection": "close"})
        return Response(_REJECTED[path], "No", headers, b"")

    def _handle(self, connection: ServerConnection) -> None:
        if connection.request is not None and connection.request.path == "/greeting":
            connection.send("welcome")
        with suppress(ConnectionClosed):
            for message in connection:
                self.received.append(message)
                self._answer(connection, message)
        self.closed.append((connection.close_code, connection.close_reason))

    def _answer(self, connection: ServerConnection, message: Any) -> None:
        word, _, rest = message.partition(" ") if isinstance(message, str) else ("", "", "")
        match word:
            case "count":
                for number in range(int(rest)):
                    connection.send(f"{number}")
            case "bye":
                connection.close(1000, "so long")
            case "fail":
                connection.close(1011, "broken")
            case "drop":
                connection.close_socket()
            case "wait":
                self.held.set()
                self.hold.wait()
                connection.send("waited")
            case _:
                connection.send(message)
