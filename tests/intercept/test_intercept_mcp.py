"""MCP in agents: the real server over HTTP and over stdio, and what the suite does not show of the latter."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client, ClientSession, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

import intercept.mcp_server
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept import mcp as mcp_stdio
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from intercept.mcp_server import ToolServer
from intercept.replaying import run_async
from intercept.suite.case import Case
from intercept.suite.cases_mcp import CASES, Tools
from intercept.suite.stage import crash, live_and_replayed

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "canary-3313"


@pytest.fixture
def tools() -> Iterator[Tools]:
    with Tools() as made:
        yield made


def text_of(result: Any) -> str:
    return str(result.content[0].text)


async def by_client(server: ToolServer) -> list[str]:
    async with Client(server.url) as client:
        known = await client.list_tools()
        total = text_of(await client.call_tool("add", {"one": 1, "other": 2}))
        return [*(tool.name for tool in known.tools), total]


async def by_session(server: ToolServer) -> list[str]:
    async with (
        streamable_http_client(server.url) as streams,
        ClientSession(streams[0], streams[1]) as session,
    ):
        await session.initialize()
        return [text_of(await session.call_tool("add", {"one": 1, "other": 2}))]


HTTP = [
    Case("mcp-http-client", "httpx2", by_client, by_client, ToolServer),
    Case("mcp-http-session", "httpx2", by_session, by_session, ToolServer),
]


@pytest.mark.parametrize("case", HTTP, ids=lambda case: case.name)
def test_over_http(case: Case) -> None:
    life = live_and_replayed(case, "body")
    assert life.live.outcome[1][-1] == "3"
    assert life.replayed == life.live.outcome
    assert life.performed == []
    assert life.live.writes == [(1, 2)]


@pytest.mark.once
@pytest.mark.parametrize("case", HTTP, ids=lambda case: case.name)
@pytest.mark.parametrize("back", [1, 2, 4])
def test_a_crash_over_http(case: Case, back: int) -> None:
    end, calm = crash(case, "body")
    point = CrashPoint(end.appends - back, CrashMoment.BEFORE)
    _, run = crash(case, "body", [point])
    assert run.outcome == calm.outcome
    assert len(run.writes) in (1, 2)


def test_a_real_server_over_stdio() -> None:
    async def body() -> list[Any]:
        parameters = StdioServerParameters(
            command=sys.executable,
            args=[intercept.mcp_server.__file__],
            env={"PYTHONPATH": ":".join(sys.path), "SOME_KEY": SECRET},
        )
        async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
            started = await session.initialize()
            total = await session.call_tool("add", {"one": 1, "other": 2})
            wrong = await session.call_tool("add", {"one": SECRET, "other": 2})
        return [started.server_info.name, text_of(total), wrong.is_error]

    runs = run_async(body)
    assert runs.live == ["adder", "3", True]
    assert runs.replayed == runs.live
    assert set(runs.calls) == {"mcp.start", "mcp.request", "mcp.notify"}
    requests = [e.request for e in runs.entries if getattr(e, "function_name", "") == "mcp.start"]
    assert SECRET not in repr(requests)


@pytest.mark.once
def test_a_server_is_started_anew_and_initialized_after_a_crash() -> None:
    end, _ = crash(CASES[0], "body")
    _, run = crash(CASES[0], "body", [CrashPoint(end.appends - 1, CrashMoment.DURABLE)])
    assert run.trace.count("initialized") in (1, 2)
    _, run = crash(CASES[0], "body", [CrashPoint(end.appends - 1, CrashMoment.BEFORE)])
    last = "added {'one': 1, 'other': 2}"
    assert run.trace[-3:] == [last, "initialized", last]


def test_a_server_that_dies(tools: Tools) -> None:
    async def body() -> list[str]:
        found: list[str] = []
        async with stdio_client(tools.parameters()) as streams, ClientSession(*streams) as session:
            await session.initialize()
            for name in ("die", "add"):
                try:
                    await session.call_tool(name, {})
                except MCPError as error:
                    found.append(str(error))
        return found

    runs = run_async(body)
    assert runs.live == ["Connection closed", "Connection closed"]
    assert runs.replayed == runs.live


def test_a_server_complains_where_it_would_outside_agents(tools: Tools) -> None:
    async def body() -> str:
        with contextlib.redirect_stderr(io.StringIO()):  # it was another one when mcp was imported
            async with (
                stdio_client(tools.parameters()) as streams,
                ClientSession(*streams) as session,
            ):
                return (await session.initialize()).server_info.name

    runs = run_async(body)
    assert runs.replayed == runs.live == "adder"


def test_a_session_that_is_over_starts_no_server(tools: Tools, monkeypatch: Any) -> None:
    made: list[Any] = []

    class Kept(mcp_stdio._Server):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    async def body() -> None:
        async with stdio_client(tools.parameters()):
            pass

    monkeypatch.setattr(mcp_stdio, "_Server", Kept)
    run_async(body)
    with pytest.raises(ConnectionError, match="over"):  # a call that was given up may come so late
        asyncio.run(made[0].running())


def test_several_calls_at_once(tools: Tools) -> None:
    async def body() -> list[str]:
        async with stdio_client(tools.parameters()) as streams, ClientSession(*streams) as session:
            await session.initialize()
            calls = [session.call_tool("add", {"one": n, "other": n}) for n in range(5)]
            return [text_of(each) for each in await asyncio.gather(*calls)]

    runs = run_async(body)
    assert runs.live == ["0", "2", "4", "6", "8"]
    assert runs.replayed == runs.live


def test_sessions_that_answer_their_server_are_refused(tools: Tools) -> None:
    async def sample(context: Any, params: Any) -> Any:
        raise AssertionError

    async def body() -> str:
        try:
            async with (
                stdio_client(tools.parameters()) as streams,
                ClientSession(*streams, sampling_callback=sample) as session,
            ):
                await session.initialize()
        except BaseExceptionGroup as group:
            matching = group.subgroup(NotDurableError)
            assert matching is not None
            return str(matching.exceptions)
        return ""

    runs = run_async(body)
    assert "offers sampling to its server" in runs.live
    assert runs.replayed == runs.live
