"""A real MCP server with one tool: over HTTP in a thread of the test process, or as a process of its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import uvicorn
from mcp.server import MCPServer

if TYPE_CHECKING:
    from typing import Self

__all__ = ["ToolServer"]


class ToolServer:
    """Serves over HTTP until the ``with`` block ends.

    Attributes:
        url: where.
        writes: the numbers that its tool was given, in order.
    """

    def __init__(self) -> None:
        self.url = ""
        self.writes: list[tuple[int, int]] = []
        server = MCPServer("adder", log_level="ERROR")
        server.tool()(self.add)
        config = uvicorn.Config(server.streamable_http_app(), port=0, log_level="error")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)

    def add(self, one: int, other: int) -> int:
        """The sum."""
        self.writes.append((one, other))
        return one + other

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.002)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/mcp"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()

    @property
    def trace(self) -> list[tuple[int, int]]:
        return self.writes


def add(one: int, other: int) -> int:
    """The sum."""
    return one + other


if __name__ == "__main__":
    process = MCPServer("adder", log_level="ERROR")
    process.tool()(add)
    process.run()
