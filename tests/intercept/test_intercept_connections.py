"""Connections of asyncio in agents, beyond what the suite shows: crashes, flow, invocations, refusals."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import Runtime, agent, idempotence_mode
from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.errors import DivergenceError, NotDurableError
from golem_sdk.runtime.environment import RealEnvironment
from golem_sdk.runtime.settings import Settings
from golem_sdk.storage.memory import MemoryEngine
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive
from intercept.line_server import LineServer, client_context
from intercept.replaying import crashed_async, engine_of, let_connections_close, run_async

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

SECRET = "canary-8841"


@pytest.fixture
def server() -> Iterator[LineServer]:
    with LineServer() as made:
        yield made


async def opened(server: LineServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.port)


def ask(writer: asyncio.StreamWriter, line: str) -> None:
    writer.write(line.encode() + b"\n")


def test_one_task_writes_while_another_reads(server: LineServer) -> None:
    async def body() -> list[Any]:
        reader, writer = await opened(server)
        heard: list[bytes] = []

        async def listen() -> None:
            heard.extend([line async for line in reader])

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listen())
            known = len(asyncio.all_tasks())
            for word in ("one", "count 3", "bye"):
                ask(writer, word)
                await asyncio.sleep(0.001)
        writer.close()
        await writer.wait_closed()
        return [heard, known]

    runs = run_async(body)
    assert runs.live == [[b"one\n", b"0\n", b"1\n", b"2\n"], 2]
    assert runs.replayed == runs.live
    assert server.opened == 1


def test_after_a_crash_a_used_connection_is_lost_and_a_fresh_one_is_opened_again(
    server: LineServer,
) -> None:
    async def body() -> list[Any]:
        fresh, used = await opened(server), await opened(server)
        ask(used[1], "one")
        first = await used[0].readline()
        try:
            ask(used[1], "wait")
            await used[0].readline()
        except ConnectionResetError as error:
            lost = str(error)
        with pytest.raises(ConnectionResetError):
            await used[1].drain()
        ask(fresh[1], "two")
        second = await fresh[0].readline()
        used[1].close()
        fresh[1].close()
        return [first, lost, second]

    first, lost, second = crashed_async(body, server.held, server.hold)
    assert [first, second] == [b"one\n", b"two\n"]
    assert f"127.0.0.1:{server.port} was lost with the process that had opened it" in lost
    assert server.received == ["one", "wait", "two"]
    assert server.opened == 3


def test_a_fresh_connection_that_cannot_be_opened_again_is_lost(server: LineServer) -> None:
    with LineServer() as other:

        async def body() -> list[Any]:
            fresh, used = await opened(other), await opened(server)
            ask(used[1], "one")
            await used[0].readline()
            ask(used[1], "wait")
            with pytest.raises(ConnectionResetError):
                await used[0].readline()
            used[1].close()
            try:
                ask(fresh[1], "two")
                await fresh[0].readline()
            except ConnectionResetError as error:
                return [type(error.__cause__).__name__, fresh[1].is_closing()]
            return []

        server.hold.set = downfall(other, server.hold)  # type: ignore[method-assign]  # between the lives
        assert crashed_async(body, server.held, server.hold) == ["ConnectionRefusedError", True]


def downfall(server: LineServer, goes_on: Event) -> Callable[[], None]:
    """Ends a server, and then lets the agent go on: else it might still be reached."""
    go_on = goes_on.set

    def fall() -> None:
        server.__exit__()
        go_on()

    return fall


def test_what_is_written_after_a_crash_is_sent_also_while_nobody_reads(server: LineServer) -> None:
    with LineServer() as other:

        async def body() -> None:
            fresh, used = await opened(other), await opened(server)
            fresh[1].transport.pause_reading()  # type: ignore[attr-defined]  # it is a whole transport
            ask(used[1], "one")
            await used[0].readline()
            ask(used[1], "wait")
            with pytest.raises(ConnectionResetError):
                await used[0].readline()
            ask(fresh[1], "wait")

        crashed_async(body, server.held, server.hold)
        assert other.held.wait(60)


@agent
class Sender:
    """Sends one line that must not be sent twice."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def go(self) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with idempotence_mode(False):
            writer.write(b"once\n")
        answer = (await reader.readline()).decode()
        writer.close()
        return answer


def test_a_write_that_must_not_be_made_twice_stops_the_agent() -> None:
    def run(*points: CrashPoint) -> Any:
        with LineServer() as server:
            end = drive([Step(Sender, (server.port,), "go")], points, suspend_after_s=1.0)
        assert server.received.count("once") <= 1
        return end

    calm = run()
    assert calm.results[0][1] == "once\n"
    crashes = [CrashPoint(append, CrashMoment.BEFORE) for append in range(1, calm.appends + 1)]
    assert "UnknownOutcomeError" in [run(point).results[0][1] for point in crashes]


def test_what_is_written_otherwise_in_replay_is_named(server: LineServer) -> None:
    words = iter(["one", "two"])

    async def body() -> bytes:
        reader, writer = await opened(server)
        ask(writer, next(words))
        try:
            return await reader.readline()
        finally:
            writer.close()

    with pytest.raises(DivergenceError, match=r"asyncio\.transport\.write") as raised:
        run_async(body)
    assert "test_intercept_connections.py" in str(raised.value)
    assert server.received == ["one"]


def test_no_piece_is_lost_when_waiting_for_it_is_given_up(server: LineServer) -> None:
    async def body() -> list[Any]:
        reader, writer = await opened(server)
        ask(writer, "wait")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), 0.01)
        server.hold.set()
        answer = await reader.readline()
        writer.close()
        return [answer]

    runs = run_async(body)
    assert runs.live == [b"waited\n"]
    assert runs.replayed == runs.live


@agent
class Listener:
    """Keeps a connection from one invocation to the next, and reads on in the next."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: Any = None

    async def begin(self) -> None:
        self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        self.streams[1].write(b"wait\n")

    async def go_on(self) -> str:
        try:
            return str((await self.streams[0].readline()).decode())
        except ConnectionResetError:
            self.streams[1].close()
            return "lost"

    async def end(self) -> None:
        self.streams[1].close()


def test_a_connection_outlives_its_invocation_but_not_its_process(server: LineServer) -> None:
    engine = MemoryEngine()
    with Runtime.over(engine, RealEnvironment(), Settings()) as runtime:
        listener = runtime.get(Listener, server.port)
        runtime.trigger(listener.begin).result(60)
        assert server.held.wait(60)
        left = engine_of(runtime).snapshot()
        server.hold.set()
        assert runtime.trigger(listener.go_on).result(60) == "waited\n"
        runtime.trigger(listener.end).result(60)
        let_connections_close(runtime)
    with Runtime.over(left, RealEnvironment(), Settings()) as runtime:
        listener = runtime.get(Listener, server.port)
        assert runtime.trigger(listener.go_on).result(60) == "lost"
    assert server.opened == 1


def test_a_connection_that_nobody_closes_ends_with_its_agent(server: LineServer) -> None:
    with Runtime.over(MemoryEngine(), RealEnvironment(), Settings()) as runtime:
        runtime.trigger(runtime.get(Listener, server.port).begin).result(60)
        assert server.held.wait(60)
        server.hold.set()
    assert server.finished.wait(60)


def test_secrets_that_are_written_are_not_stored(server: LineServer) -> None:
    async def body() -> None:
        _, writer = await opened(server)
        writer.write(f"sink\n{SECRET}\n".encode())
        writer.close()

    assert SECRET not in repr(run_async(body).entries)


def test_where_a_connection_was_opened_is_told(server: LineServer) -> None:
    async def body() -> None:
        reader, writer = await opened(server)
        ask(writer, "one")
        await reader.readline()
        writer.close()

    runs = run_async(body)
    calls = [entry for entry in runs.entries if isinstance(entry, ImportedFunctionInvoked)]
    assert [call.function_name.rpartition(".")[2] for call in calls] == [
        "create_connection",
        "write",
        "read",
    ]
    assert all(call.site for call in calls)
    assert calls[0].site == calls[2].site != calls[1].site


def test_names_are_looked_up(server: LineServer) -> None:
    async def body() -> list[Any]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("127.0.0.1", server.port, type=socket.SOCK_STREAM)
        name = await loop.getnameinfo(
            ("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        )
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("no such name", 80, flags=socket.AI_NUMERICHOST)
        return [found, found[0][0].name, name]

    runs = run_async(body)
    assert runs.live[0][0][4] == ("127.0.0.1", server.port)
    assert runs.live[1:] == ["AF_INET", ("127.0.0.1", "80")]
    assert runs.replayed == runs.live


def test_streams_are_upgraded_to_tls(server: LineServer) -> None:
    async def body() -> list[Any]:
        reader, writer = await opened(server)
        ask(writer, "starttls")
        await reader.readline()
        await writer.start_tls(client_context(), server_hostname="localhost")
        ask(writer, "one")
        answer = await reader.readline()
        tls = writer.get_extra_info("ssl_object")
        known = [tls.cipher(), tls.compression(), tls.selected_alpn_protocol(), tls.version()]
        writer.close()
        return [answer, known, len(tls.getpeercert(True)) > 100, tls.getpeercert()["subject"]]

    runs = run_async(body)
    assert runs.live[0] == b"one\n"
    assert runs.replayed == runs.live


def test_what_is_known_of_a_connection(server: LineServer) -> None:
    async def body() -> list[Any]:
        _, writer = await opened(server)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        known = [sock.family, sock.type, sock.getpeername(), sock.getsockname()]
        with pytest.raises(NotDurableError, match="recv of the socket"):
            sock.recv(1)
        limits = writer.transport.get_write_buffer_limits()
        with pytest.raises(ValueError, match="must be >="):
            writer.transport.set_write_buffer_limits(high=1, low=2)
        with pytest.raises(TypeError, match="bytes-like object, not 'str'"):
            writer.write("text")  # type: ignore[arg-type]  # the point
        writer.write_eof()
        with pytest.raises(RuntimeError, match="after write_eof"):
            writer.write(b"more")
        text = repr(writer.transport)
        writer.close()
        return [known, limits, text, writer.get_extra_info("other", "none")]

    runs = run_async(body)
    known, limits, text, other = runs.live
    assert known[:3] == [socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", server.port)]
    assert limits == (16384, 65536)
    assert text == f"<open connection of an agent, to {('127.0.0.1', server.port)!r}>"
    assert other == "none"
    assert runs.replayed == runs.live


def test_what_is_not_recorded_is_refused(server: LineServer) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        with closing(socket.socket()) as raw, pytest.raises(NotDurableError, match="of its own"):
            await loop.create_connection(asyncio.Protocol, sock=raw)
        with pytest.raises(NotDurableError, match="create_server"):
            await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        with pytest.raises(TypeError, match="is not supported by start_tls"):
            await loop.start_tls(
                asyncio.Transport(), asyncio.Protocol(), ssl.create_default_context()
            )

    run_async(body)
    assert server.opened == 0
