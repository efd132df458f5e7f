"""Tools of MCP servers that agents start."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

import intercept.mcp_process
from intercept.suite.case import Case

if TYPE_CHECKING:
    from typing import Self

__all__ = ["CASES", "Tools"]

PROGRAM = intercept.mcp_process.__file__


class Tools:
    """A server's program, which is gone in replay, and the file in which it notes what it does."""

    def __init__(self) -> None:
        self._place = Path(tempfile.mkdtemp())
        self.log: list[str] = []

    def __enter__(self) -> Self:
        shutil.copy(PROGRAM, self._place / "server.py")
        return self

    def __exit__(self, *_: object) -> None:
        log = self._place / "log"
        self.log = log.read_text().splitlines() if log.exists() else []
        shutil.rmtree(self._place)

    @property
    def writes(self) -> list[str]:
        return [line for line in self.log if line.startswith("added")]

    @property
    def trace(self) -> list[str]:
        return self.log

    def parameters(self) -> StdioServerParameters:
        """How it is started: with as little of Python as possible."""
        args = ["-I", "-S", str(self._place / "server.py"), str(self._place / "log")]
        return StdioServerParameters(command=sys.executable, args=args)


async def adds(tools: Tools) -> list[Any]:
    told: list[Any] = []

    async def note(params: Any) -> None:
        told.append(params.data)

    async with (
        stdio_client(tools.parameters()) as (output, given),
        ClientSession(output, given, logging_callback=note) as session,
    ):
        await session.initialize()
        known = await session.list_tools()
        sums = [await session.call_tool("add", {"one": number, "other": 2}) for number in range(2)]
    texts = [each.content[0].text for each in sums]  # type: ignore[union-attr]  # it is text
    return [[tool.name for tool in known.tools], texts, told]


async def starts_nothing(tools: Tools) -> object:
    async with stdio_client(StdioServerParameters(command="/nowhere/at/all")) as streams:
        return streams


CASES = [Case("mcp-stdio", "mcp", adds, starts_nothing, Tools)]
