"""How much passes over connections of agents, and when: back pressure, pauses, limits, own protocols."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import agent, atomically
from golem_sdk.runtime.settings import Settings
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive
from intercept.line_server import LineServer
from intercept.replaying import run_async

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[LineServer]:
    with LineServer() as made:
        yield made


async def opened(server: LineServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.port)


def ask(writer: asyncio.StreamWriter, line: str) -> None:
    writer.write(line.encode() + b"\n")


def test_much_is_written_as_fast_as_it_is_taken(server: LineServer) -> None:
    async def body() -> int:
        reader, writer = await opened(server)
        ask(writer, "sink")
        for _ in range(20):
            writer.write(bytes(50_000))
            await writer.drain()
        size = writer.transport.get_write_buffer_size()
        writer.write_eof()
        await reader.read()
        writer.close()
        return size

    runs = run_async(body)
    assert runs.live == runs.replayed
    assert server.sizes == [1_000_000]
    assert runs.calls.count("asyncio.transport.write") == 22
    assert runs.calls.count("asyncio.transport.drain") >= 9


def test_who_writes_waits_for_who_does_not_read(server: LineServer) -> None:
    async def body() -> bool:
        _, writer = await opened(server)
        ask(writer, "wait")
        writer.write(bytes(20_000_000))  # more than the system buffers
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.drain(), 0.3)
        writer.transport.abort()
        return True

    runs = run_async(body)
    assert runs.replayed == runs.live


def test_much_is_read_in_pieces(server: LineServer) -> None:
    async def body() -> list[int]:
        reader, writer = await opened(server)
        ask(writer, "big 3000000")
        sizes = [len(await reader.readexactly(1_000_000)) for _ in range(3)]
        writer.close()
        return sizes

    runs = run_async(body)
    assert runs.live == runs.replayed == [1_000_000] * 3
    assert 3_000_000 / 262_144 < runs.calls.count("asyncio.transport.read") < 300


def test_too_much_ends_the_connection(server: LineServer) -> None:
    async def body() -> str:
        reader, writer = await opened(server)
        ask(writer, "big 5000")
        with pytest.raises(ConnectionAbortedError, match="more than 1_000 bytes") as raised:
            await reader.readexactly(5000)
        with suppress(ConnectionAbortedError):
            writer.close()
            await writer.wait_closed()
        return str(raised.value)

    runs = run_async(body, settings=Settings(max_received_bytes=1000))
    assert runs.replayed == runs.live


class Buffer(asyncio.BufferedProtocol):
    """Reads into a buffer of three bytes."""

    def __init__(self) -> None:
        self.buffer = bytearray(3)
        self.heard = b""
        self.done = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self.lost: list[BaseException | None] = []

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.heard += self.buffer[:nbytes]
        if self.heard == b"fail":
            raise ValueError("not that")
        if self.heard.endswith(b"\n") and not self.done.done():
            self.done.set_result(self.heard)

    def eof_received(self) -> bool:
        self.heard += b"<eof>"
        self.ended.set()
        return True

    def connection_lost(self, error: BaseException | None) -> None:
        self.lost.append(error)
        if not self.done.done():
            self.done.set_result(error)


def test_reading_is_paused(server: LineServer) -> None:
    async def body() -> list[Any]:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Buffer, "127.0.0.1", server.port)
        transport.pause_reading()
        transport.write(b"some words\n")
        await asyncio.sleep(0.05)
        before = [protocol.heard, transport.is_reading()]
        transport.resume_reading()
        await protocol.done
        transport.write_eof()
        await protocol.ended.wait()
        after = [protocol.heard, transport.is_closing(), [*protocol.lost]]
        transport.abort()
        await asyncio.sleep(0)
        return [before, after, protocol.lost]

    runs = run_async(body)
    assert runs.live == [[b"", False], [b"some words\nend\n<eof>", False, []], [None]]
    assert runs.replayed == runs.live


def test_a_protocol_that_fails_loses_its_connection(server: LineServer) -> None:
    async def body() -> list[Any]:
        loop, told = asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda _, context: told.append(context["message"]))
        transport, protocol = await loop.create_connection(Buffer, "127.0.0.1", server.port)
        protocol.buffer = bytearray(4)
        transport.write(b"fail\n")
        error = await protocol.done
        return [str(error), told, transport.is_closing()]

    runs = run_async(body)
    message = "Fatal error: protocol.data_received() call failed."
    assert runs.live == [str(ValueError("not that")), [message], True]
    assert runs.replayed == runs.live


@agent
class Talker:
    """Asks four questions over one connection, the middle ones as one."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: Any = None

    async def ask(self, line: str) -> str:
        while True:
            try:
                if self.streams is None:
                    self.streams = await asyncio.open_connection("127.0.0.1", self.port)
                reader, writer = self.streams
                writer.write(f"{line}\n".encode())
                return str((await reader.readuntil(b"\n")).decode())
            except ConnectionResetError:
                self.streams[1].close()
                self.streams = None

    async def go(self) -> list[str]:
        answers = [await self.ask("one")]
        with atomically():
            await asyncio.sleep(60)
            answers += [await self.ask("two"), await self.ask("three")]
        answers.append(await self.ask("four"))
        self.streams[1].close()
        return answers


def test_time_passes_over_an_idle_connection_also_where_a_region_runs_again(
    server: LineServer,
) -> None:
    step = Step(Talker, (server.port,), "go")
    calm = drive([step], suspend_after_s=1.0)
    assert calm.results[0] == ("result", ["one\n", "two\n", "three\n", "four\n"])
    for append in range(1, calm.appends + 1):
        end = drive([step], [CrashPoint(append, CrashMoment.BEFORE)], suspend_after_s=1.0)
        assert end.results == calm.results
