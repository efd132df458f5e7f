"""Connections of asyncio itself: streams, and protocols of one's own."""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intercept.line_server import LineServer, client_context
from intercept.suite.case import Case

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

__all__ = ["CASES"]


class Tcp(LineServer):
    """The server; the lines that it was sent are its writes, but for those that begin a connection."""

    @property
    def writes(self) -> list[str]:
        return [line for line in self.received if line != "starttls"]

    @property
    def trace(self) -> list[object]:
        return [self.opened, *self.received]


class Tls(Tcp):
    """The same with TLS."""

    def __init__(self) -> None:
        super().__init__(tls=True)


class Unix(Tcp):
    """The same at a path."""

    def __init__(self) -> None:
        # The same in every run of this process, because paths are compared.
        self.path = Path(tempfile.gettempdir()) / f"golem-lines-{os.getpid()}"
        self.path.unlink(missing_ok=True)  # of a process with this number that was killed
        super().__init__(str(self.path))

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        self.path.unlink()

    def __enter__(self) -> Self:
        return super().__enter__()


async def lines(reader: asyncio.StreamReader, count: int) -> list[bytes]:
    return [await reader.readuntil(b"\n") for _ in range(count)]


async def streams(server: Tcp) -> list[Any]:
    asked, answers = [("one", 1), ("count 2", 2), ("big 60000", 1)], []
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            while asked:
                question, count = asked[0]
                writer.write(f"{question}\n".encode())
                await writer.drain()
                answers += await lines(reader, count)
                del asked[0]
            writer.write_eof()
            return [answers, await reader.read(), writer.get_extra_info("peername")[0]]
        except ConnectionResetError:  # lost in a crash
            continue
        finally:
            writer.close()
            with suppress(ConnectionResetError):
                await writer.wait_closed()


async def encrypted(server: Tls) -> list[Any]:
    asked, answers = ["one", "two"], []
    while True:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=client_context(), server_hostname="localhost"
        )
        try:
            while asked:
                writer.write(f"{asked[0]}\n".encode())
                answers += await lines(reader, 1)
                del asked[0]
            writer.write(b"bye\n")
            rest = await reader.read()
        except ConnectionResetError:  # lost in a crash
            continue
        finally:
            writer.close()
            with suppress(ConnectionResetError):
                await writer.wait_closed()
        known = writer.get_extra_info("ssl_object")
        name = writer.get_extra_info("peercert")["subject"]
        return [answers, rest, known.version(), name, writer.can_write_eof()]


class Talk(asyncio.Protocol):
    """Collects what it hears."""

    def __init__(self) -> None:
        self.heard = b""
        self.events: list[str] = []
        self.lines: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        *whole, self.heard = (self.heard + data).split(b"\n")
        for line in whole:
            self.lines.put_nowait(line)

    def connection_lost(self, error: BaseException | None) -> None:
        self.events.append("lost")
        self.lines.put_nowait(error)

    async def line(self) -> bytes:
        """The next one."""
        line = await self.lines.get()
        if isinstance(line, BaseException):
            raise line
        assert line is not None
        return line


async def protocols(server: Unix) -> list[Any]:
    asked, answers = ["one", "two"], []
    loop = asyncio.get_running_loop()
    while True:
        plain, talk = await loop.create_unix_connection(Talk, str(server.path))
        try:
            plain.writelines([b"start", b"tls\n"])
            assert await talk.line() == b"go on"
            transport = await loop.start_tls(
                plain, talk, client_context(), server_hostname="localhost"
            )
            assert transport is not None
            while asked:
                transport.write(f"{asked[0]}\n".encode())
                answers.append(await talk.line())
                del asked[0]
        except ConnectionResetError:  # lost in a crash
            continue
        transport.close()
        assert await talk.lines.get() is None
        return [answers, talk.events, transport.is_closing()]


async def is_refused(server: Tcp) -> object:
    return await asyncio.open_connection("127.0.0.1", 9)


async def is_cut_off(server: Tcp) -> object:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(b"drop\n")
        return await reader.readline()
    finally:
        writer.close()


async def is_not_trusted(server: Tls) -> object:
    return await asyncio.open_connection(
        "127.0.0.1", server.port, ssl=client_context(), server_hostname="other"
    )


async def is_not_there(server: Unix) -> object:
    return await asyncio.open_unix_connection("/nowhere/at/all")


def _cases() -> Iterator[Case]:
    yield Case("connections-streams", "connections", streams, is_cut_off, Tcp)
    yield Case("connections-refused", "connections", streams, is_refused, Tcp)
    yield Case("connections-tls", "connections", encrypted, is_not_trusted, Tls)
    yield Case("connections-protocols", "connections", protocols, is_not_there, Unix)


CASES = [*_cases()]
