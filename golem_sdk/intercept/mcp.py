"""MCP servers that agents start as processes and talk to over their input and output (``stdio_client``).

One request with its answer is one durable call, so ``ClientSession`` and ``Client`` run as agent code on
messages that come from the oplog; calls of tools are remote writes, what only asks is a read. Notifications
of the server that come before an answer are delivered with it. After a crash the server is started anew when
the next request is made live, and told what opens a session (``initialize``), as the agent had told it; a
tool whose call was under way is called again.

MCP over HTTP needs nothing of this: it goes through httpx2.

Does not cover: what else a server remembers of a session, notifications when no request is under way, lines
that are no messages. Requests of the server (sampling, elicitation, roots): sessions that offer them are
refused.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

from golem_sdk import durability, originals
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.commands import describe_command
from golem_sdk.intercept.patching import Patch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import ModuleType

__all__ = ["stdio_patches"]

_NAME = "mcp"
_READS = frozenset(
    {
        "completion/complete",
        "initialize",
        "ping",
        "prompts/get",
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/templates/list",
        "server/discover",
        "tools/list",
    }
)
_OPENING = frozenset({"initialize", "notifications/initialized"})
_OFFERS = frozenset({"elicitation", "roots", "sampling"})
_NO_SUCH_METHOD = -32601
_PATIENCE_S = 2.0
"""How long a server may take to end after its input has."""


def stdio_patches(module: ModuleType) -> list[Patch]:
    """The patch of ``mcp.client.stdio``."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        default = inspect.signature(original).parameters["errlog"].default

        @functools.wraps(original)
        def stdio_client(server: Any, errlog: Any = default) -> Any:
            session = durability.current_since(_NAME)
            if session is None:
                return original(server, errlog)
            return _served(module, session, server, _Server(module, server, errlog))

        return stdio_client

    return [Patch(module, "stdio_client", make, spread=True)]


@asynccontextmanager
async def _served(
    module: Any, session: durability.Session, server: Any, real: _Server
) -> AsyncIterator[Any]:
    """What agent code has for the server's output and input."""
    anyio = module.anyio
    described = describe_command([server.command, *server.args], False, None, server.cwd)
    try:
        await durability.durable_call_async(
            session,
            "mcp.start",
            FunctionType.WRITE_REMOTE,
            described.request,
            real.running,
            identity=described.identity,
        )
        feed, output = anyio.create_memory_object_stream(sys.maxsize)
        given, taken = anyio.create_memory_object_stream(0)
        async with output, given, feed, taken, anyio.create_task_group() as tasks:
            tasks.start_soon(_Conversation(module, real, feed).serve, taken)
            try:
                yield output, given
            finally:
                tasks.cancel_scope.cancel()
    finally:
        real.close()


class _Conversation:
    """The agent's side: every message that it sends is a durable call."""

    def __init__(self, module: Any, real: _Server, feed: Any) -> None:
        self._module = module
        self._real = real
        self._feed = feed

    async def serve(self, taken: Any) -> None:
        """Until no more is sent."""
        async with self._module.anyio.create_task_group() as requests:
            async for each in taken:
                if hasattr(each.message, "id"):
                    requests.start_soon(self._ask, each.message)
                else:
                    await self._tell(each.message)

    async def _ask(self, message: Any) -> None:
        method = getattr(message, "method", "")
        if offered := _OFFERS.intersection((message.params or {}).get("capabilities", ())):
            raise NotDurableError(
                f"An agent's MCP session offers {', '.join(sorted(offered))} to its server, whose requests "
                "are not recorded. Leave these callbacks out, or use the session inside a function "
                "decorated with @durable"
            )
        kind = FunctionType.READ_REMOTE if method in _READS else FunctionType.WRITE_REMOTE
        answers = await self._call("mcp.request", kind, message, self._real.ask)
        if method in _OPENING:
            self._real.opening.append(message)
        for text in answers or ():
            await self._feed.send(self._module.SessionMessage(_parsed(self._module, text)))
        if answers is None:  # the server has ended
            await self._feed.aclose()

    async def _tell(self, message: Any) -> None:
        await self._call("mcp.notify", FunctionType.WRITE_REMOTE, message, self._real.tell)
        if message.method in _OPENING:
            self._real.opening.append(message)

    async def _call(
        self, name: str, kind: FunctionType, message: Any, act: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        params = {k: v for k, v in (message.params or {}).items() if k != "_meta"}
        digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).digest()
        request = {"method": message.method, "params": digest.hex()[:16]}
        if isinstance(params.get("name"), str):
            request["name"] = params["name"]
        session = durability.current()
        if session is None:
            return await act(message)
        return await durability.durable_call_async(
            session, name, kind, request, lambda: act(message), identity=[message.method, digest]
        )


class _Server:
    """The real server. All but ``end`` is for the host loop."""

    def __init__(self, module: Any, parameters: Any, errlog: Any) -> None:
        self._module = module
        self._parameters = parameters
        self._errlog = errlog
        self._lock = asyncio.Lock()
        self._lock_of_input = asyncio.Lock()
        self._process: Any = None
        self._waiting: dict[Any, asyncio.Future[str | None]] = {}
        self._notices: list[str] = []
        self._has_ended = self._is_over = False
        self.opening: list[Any] = []

    async def running(self) -> None:
        """Start it, if this life of the agent has not yet."""
        async with self._lock:
            if self._process is not None:
                return
            if self._is_over:  # the call was given up, and is about to hear of it
                raise ConnectionError("the session with the MCP server is over")
            process = await asyncio.to_thread(self._started)
            read = functools.partial(self._read, process.stdout, asyncio.get_running_loop())
            originals.start_thread(Thread(target=read, name="golem-mcp", daemon=True))
            self._process = process
            try:
                for message in self.opening:
                    await self._exchanged(message)
            except BaseException:
                self.end()
                raise

    async def ask(self, message: Any) -> list[str] | None:
        """The notifications until then, and the answer; ``None``: it has ended."""
        await self.running()
        answer = await self._exchanged(message)
        if answer is None:
            return None
        notices, self._notices = self._notices, []
        return [*notices, answer]

    async def tell(self, message: Any) -> None:
        """Send it a notification."""
        await self.running()
        await self._exchanged(message)

    def close(self) -> None:
        """End it, and start none any more. From any thread."""
        self._is_over = True
        self.end()

    def end(self) -> None:
        """End it; nobody waits for that. From any thread."""
        process, self._process = self._process, None
        if process is not None:
            originals.start_thread(Thread(target=_end, args=(process,), daemon=True))

    def _started(self) -> subprocess.Popen[bytes]:
        wanted = self._parameters
        return subprocess.Popen(
            [wanted.command, *wanted.args],
            env=self._module.get_default_environment() | (wanted.env or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errlog,
            cwd=wanted.cwd,
            start_new_session=True,
        )

    async def _exchanged(self, message: Any) -> str | None:
        number = getattr(message, "id", None)
        if number is not None:
            self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._write(message.model_dump_json(by_alias=True, exclude_unset=True))
            return None if number is None or self._has_ended else await self._waiting[number]
        except (OSError, ValueError):  # its input is closed
            return None
        finally:
            self._waiting.pop(number, None)

    async def _write(self, text: str) -> None:
        wanted = self._parameters
        data = f"{text}\n".encode(wanted.encoding, wanted.encoding_error_handler)

        stdin = self._process.stdin

        def write() -> None:
            stdin.write(data)
            stdin.flush()

        async with self._lock_of_input:
            await asyncio.to_thread(write)

    def _read(self, output: Any, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread: pass every line on."""
        wanted = self._parameters
        with suppress(RuntimeError), output:  # the loop is closed
            for line in output:
                text = line.decode(wanted.encoding, wanted.encoding_error_handler)
                loop.call_soon_threadsafe(self._received, text)
            loop.call_soon_threadsafe(self._ended)

    def _received(self, text: str) -> None:
        try:
            message = _parsed(self._module, text)
        except ValueError:  # no message
            return
        number = getattr(message, "id", None)
        if number is None:
            self._notices.append(text)
        elif hasattr(message, "method"):  # nothing of the kind was offered
            error = {"code": _NO_SUCH_METHOD, "message": "not offered by this client"}
            refusal = json.dumps({"jsonrpc": "2.0", "id": number, "error": error})
            self._refusing = asyncio.create_task(self._write(refusal))
        elif number in self._waiting and not self._waiting[number].done():
            self._waiting[number].set_result(text)

    def _ended(self) -> None:
        self._has_ended = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)


def _end(process: Any) -> None:
    with suppress(OSError):
        process.stdin.close()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _parsed(module: Any, text: str) -> Any:
    return module.types.jsonrpc_message_adapter.validate_json(text, by_name=False)
