"""Processes of asynchronous agents: ``asyncio.create_subprocess_exec`` and ``create_subprocess_shell``.

As with ``Popen``: the start, each piece of output, each write of input, each signal and each wait is a
durable call, and `golem_sdk.intercept.processes` says what becomes of a process that was running when the
agent died.
What blocks is done in a thread of its own on the host loop, because there may be any number of them. Output
is read when agent code reads it; where it does not, pipes hold on Linux what asyncio would have read ahead.

Does not cover: ``returncode`` before the process was waited for (it is None), ``loop.subprocess_exec`` with a
protocol, transports.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import subprocess
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.asyncio_pipes import Input, Output
from golem_sdk.intercept.commands import describe_command, describe_data
from golem_sdk.intercept.exchanges import STREAMS, RealProcess
from golem_sdk.intercept.patching import Patch, as_coroutine_function, replacement_of
from golem_sdk.intercept.process_numbers import know
from golem_sdk.intercept.processes import Process
from golem_sdk.intercept.resuming import daemon_thread, with_descriptors
from golem_sdk.intercept.written_files import lend

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import MethodType, ModuleType

__all__ = ["AgentProcess", "asyncio_patches"]

_WRITE = FunctionType.WRITE_REMOTE
_READ = FunctionType.READ_REMOTE
_LIMIT_BYTES = 64 * 1024
_HELD_BYTES = 256 * 1024
"""So much output may wait to be read: what asyncio holds in a pipe and in a stream of the usual limit."""

_FIXED = {
    "universal_newlines": False,
    "bufsize": 0,
    "text": False,
    "encoding": None,
    "errors": None,
}


def asyncio_patches(module: ModuleType) -> list[Patch]:
    """The patches of `asyncio.subprocess`."""
    return [
        Patch(module, "create_subprocess_exec", _create_exec, spread=True),
        Patch(module, "create_subprocess_shell", _create_shell, spread=True),
    ]


def _create_exec(original: Callable[..., Awaitable[Any]]) -> MethodType:
    nearby = durability.nearby

    def create_subprocess_exec(_home: object, program: Any, *args: Any, **options: Any) -> Any:
        if nearby() is None:  # outside agents a second coroutine would only cost time
            return original(program, *args, **options)
        return in_agent(program, *args, **options)

    async def in_agent(program: Any, *args: Any, **options: Any) -> Any:
        session = durability.current_since("processes")
        if session is None:
            return await original(program, *args, **options)
        return await _created(session, [program, *args], False, **options)

    return replacement_of(original, as_coroutine_function(create_subprocess_exec), "asyncio")


def _create_shell(original: Callable[..., Awaitable[Any]]) -> MethodType:
    nearby = durability.nearby

    def create_subprocess_shell(_home: object, cmd: Any, **options: Any) -> Any:
        if nearby() is None:
            return original(cmd, **options)
        return in_agent(cmd, **options)

    async def in_agent(cmd: Any, **options: Any) -> Any:
        session = durability.current_since("processes")
        if session is None:
            return await original(cmd, **options)
        if not isinstance(cmd, str | bytes):
            raise ValueError("cmd must be a string")
        return await _created(session, cmd, True, **options)

    return replacement_of(original, as_coroutine_function(create_subprocess_shell), "asyncio")


async def _created(
    session: durability.Session,
    command: Any,
    by_shell: bool,
    /,
    *,
    limit: int = _LIMIT_BYTES,
    **options: Any,
) -> AgentProcess:
    for name, fixed in {**_FIXED, "shell": by_shell}.items():
        if options.pop(name, fixed) not in (fixed, None):
            raise ValueError(f"{name} must be {fixed}")
    described = describe_command(command, by_shell, None, options.get("cwd"))
    start = functools.partial(_started, command, shell=by_shell, bufsize=0, **options)
    process = Process(session, with_descriptors(start, options), described.request["args"])
    durability.hold(session, process)
    lend(map(options.get, STREAMS), process.changes)
    pid = await durability.durable_call_async(
        session,
        "asyncio.create_subprocess",
        _WRITE,
        described.request,
        lambda: _in_thread(process.start),
        identity=described.identity,
    )
    know(session, pid, process)
    return AgentProcess(process, pid, options, limit)


def _started(command: Any, **options: Any) -> RealProcess:
    real = RealProcess(command, **options)
    for pipe in filter(None, (real.stdout, real.stderr)):
        with contextlib.suppress(AttributeError, OSError):  # not on this system, or it has no more
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _HELD_BYTES)
    return real


_ENDING = frozenset({"communicate", "wait"})


class AgentProcess(asyncio.subprocess.Process):
    """What agent code has. It has neither a transport nor a protocol."""

    def __init__(self, process: Process, pid: int, options: dict[str, Any], limit: int) -> None:
        def piped(name: str) -> bool:
            return options.get(name) == subprocess.PIPE

        self.process = process
        """What is below."""
        self._code: int | None = None
        self._under_way: dict[str, asyncio.Future[Any]] = {}
        self.pid = pid
        self._input = Input(self) if piped("stdin") else None
        self.stdin: Any = self._input
        self.stdout: Any = Output(self, "stdout", limit) if piped("stdout") else None
        self.stderr: Any = Output(self, "stderr", limit) if piped("stderr") else None

    @property
    def returncode(self) -> int | None:
        """The return code, as far as the agent knows."""
        return self._code

    async def wait(self) -> int:
        """See `asyncio.subprocess.Process.wait`."""
        if self._code is None:
            await self.flushed()
            wait = functools.partial(self.process.wait, None)
            self._ended(await self.call("wait", _READ, None, wait))
        assert self._code is not None
        return self._code

    def send_signal(self, signal: int) -> None:
        """See `asyncio.subprocess.Process.send_signal`."""
        if self._code is not None:
            raise ProcessLookupError
        perform = functools.partial(self.process.send_signal, signal)
        session = durability.current()
        if session is None:
            code = perform()
        else:
            name = "asyncio.Process.send_signal"
            code = durability.working_call(
                session,
                name,
                _WRITE,
                int(signal),
                perform,
                repeatable=False,
                changes=self.process.changes,
            )
        if code is None:  # else it had ended before, and was sent nothing
            self.process.note_signal(signal)
        self._ended(code)

    def terminate(self) -> None:
        """See `asyncio.subprocess.Process.terminate`."""
        self.send_signal(15)

    def kill(self) -> None:
        """See `asyncio.subprocess.Process.kill`."""
        self.send_signal(9)

    async def communicate(self, input: Any = None) -> tuple[Any, Any]:  # noqa: A002  # its name there
        """See `asyncio.subprocess.Process.communicate`."""
        await self.flushed()
        process = self.process
        if self._input is not None:
            process.input = input
        function_type, request = (_READ, None) if input is None else (_WRITE, describe_data(input))
        if process.by_pieces:
            code, output, errors = await self._exchanged(function_type, request)
        else:
            perform = functools.partial(process.communicate, None)
            code, output, errors = await self.call("communicate", function_type, request, perform)
        self._ended(code)
        if self.stdout is not None:
            output = self.stdout.taken() + output
        if self.stderr is not None:
            errors = self.stderr.taken() + errors
        return output, errors

    def close_output(self, name: str) -> None:
        """Nobody reads it any more: a process that goes on writing there gets an error."""
        self.process.note_closed(name)

    async def _exchanged(self, function_type: FunctionType, request: object) -> list[Any]:
        process, more = self.process, True
        process.note_exchange()
        for name in ("stdout", "stderr"):  # what a read has that was given up is part of this
            self._under_way.pop(f"{name}.read", None)
        while more:
            code, output, errors, taken, more = await self.call(
                "communicate", function_type, request, functools.partial(process.exchange, None)
            )
            process.note_said(output, errors, taken)
            function_type, request = _READ, None
        return [code, *process.all_said(output, errors, has_ended=True)]

    async def call(
        self,
        operation: str,
        function_type: FunctionType,
        request: object,
        perform: Callable[[], Any],
    ) -> Any:
        """One durable call. If its task is cancelled, the next one like it waits for the same."""
        joined = functools.partial(self._joined, operation, perform)
        try:
            result = await self._call(operation, function_type, request, joined)
        except Exception:
            self._under_way.pop(operation, None)
            raise
        self._under_way.pop(operation, None)  # not before: an answer that nobody has got is kept
        return result

    async def give(
        self, operation: str, request: object, perform: Callable[[], Any], *, waits: bool
    ) -> None:
        """One durable call that gives input. If its task is cancelled, that is given nevertheless.

        Args:
            operation: its name.
            request: what is stored.
            perform: gives it; when it is called again, that changes nothing.
            waits: whether until the process, or its pipe, has taken it.
        """

        async def performing() -> None:
            future = _in_thread(perform)
            if waits:
                await future

        try:
            await self._call(operation, _WRITE, request, performing)
        except asyncio.CancelledError:  # perhaps it has not begun
            self.give_beside(perform)
            raise

    def give_beside(self, perform: Callable[[], Any]) -> None:
        """Have input given, live only; it is neither recorded nor waited for."""

        async def performing() -> None:
            _in_thread(perform)

        session = durability.current()
        if session is not None and session.ended is None:
            session.commit()
            durability.host_call(session, performing)

    async def _call(
        self,
        operation: str,
        function_type: FunctionType,
        request: object,
        joined: Callable[[], Awaitable[Any]],
    ) -> Any:
        session = durability.current()
        if session is None:
            return await joined()
        name = f"asyncio.Process.{operation}"
        if operation in _ENDING:
            return await durability.working_call_async(
                session,
                name,
                function_type,
                request,
                joined,
                repeatable=False,
                changes=self.process.changes,
            )
        return await durability.durable_call_async(
            session, name, function_type, request, joined, repeatable=False
        )

    async def _joined(self, operation: str, perform: Callable[[], Any]) -> Any:
        future = self._under_way.get(operation)
        if future is None:
            future = self._under_way[operation] = _in_thread(perform)
        return await asyncio.shield(future)

    def _ended(self, code: int | None) -> None:
        if code is not None:
            self._code, self.process.ended = code, True

    async def flushed(self) -> None:
        """Send what agent code has written."""
        if self._input is not None:
            await self._input.flushed()


def _in_thread(perform: Callable[[], Any]) -> asyncio.Future[Any]:
    """What ``perform`` gives, from a thread of its own. To be called on the host loop."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def tell(result: Any, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
            future.exception()  # who asked may have been cancelled: it is no news then

    def body() -> None:
        result, failed = None, None
        try:
            result = perform()
        except BaseException as error:  # raised by the one who waits
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
            loop.call_soon_threadsafe(tell, result, failed)

    daemon_thread(body).start()
    return future
