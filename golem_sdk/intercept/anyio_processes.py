"""Processes that agents start by anyio: ``anyio.open_process``; ``run_process`` and ``to_process`` end in it.

They are those of `golem_sdk.intercept.asyncio_processes` with anyio's methods: the durable calls are the
same, and so is what becomes of a process that was running when the agent died. Errors are of anyio 4.16,
also where an older one is installed.

Does not cover: ``returncode`` before the process was waited for (it is None).
"""

from __future__ import annotations

import asyncio
import functools
import os
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.abc import Process as AnyioProcess

from golem_sdk import durability
from golem_sdk.intercept.patching import Patch, in_agents

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["anyio_patches"]

_PIECE_BYTES = 64 * 1024


def anyio_patches(module: ModuleType) -> list[Patch]:
    """The patches of `anyio._backends._asyncio`."""
    backend = module.AsyncIOBackend
    return [
        Patch(backend, "open_process", _open_process),
        Patch(
            backend, "setup_process_pool_exit_at_shutdown", functools.partial(_setup_exit, module)
        ),
    ]


def _open_process(original: Any) -> Any:
    async def open_process(backend: Any, command: Any, **options: Any) -> Any:
        if durability.current_since("anyio") is None:
            return await original.__func__(backend, command, **options)
        await anyio.lowlevel.checkpoint()
        options.pop("shell", None)  # anyio 4.0 says so, where the command is a text
        if isinstance(command, os.PathLike):
            command = os.fspath(command)
        if isinstance(command, str | bytes):
            return _Process(await asyncio.create_subprocess_shell(command, **options))
        return _Process(await asyncio.create_subprocess_exec(*command, **options))

    return classmethod(in_agents(original.__func__, open_process))


def _setup_exit(module: ModuleType, original: Any) -> Any:
    library: Any = module

    def setup_process_pool_exit_at_shutdown(backend: Any, workers: set[Any]) -> None:
        if durability.current_since("anyio") is None:
            original.__func__(backend, workers)
        else:  # this ends them with the invocation; what the original also does knows its own streams only
            library.create_task(library._shutdown_process_pool_on_exit(workers))

    return classmethod(in_agents(original.__func__, setup_process_pool_exit_at_shutdown))


class _Process(AnyioProcess):
    """What agent code has: see `anyio.abc.Process`."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self._input = None if process.stdin is None else _Input(process)
        self._outputs = {
            name: _Output(process, name)
            for name in ("stdout", "stderr")
            if getattr(process, name) is not None
        }

    @property
    def pid(self) -> int:
        number: int = self._process.pid
        return number

    @property
    def returncode(self) -> int | None:
        code: int | None = self._process.returncode
        return code

    @property
    def stdin(self) -> ByteSendStream | None:
        return self._input

    @property
    def stdout(self) -> ByteReceiveStream | None:
        return self._outputs.get("stdout")

    @property
    def stderr(self) -> ByteReceiveStream | None:
        return self._outputs.get("stderr")

    async def wait(self) -> int:
        code: int = await self._process.wait()
        return code

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def send_signal(self, signal: int) -> None:
        self._process.send_signal(signal)

    async def aclose(self) -> None:
        """Close its pipes and wait for its end; if that is cancelled, kill it."""
        with anyio.CancelScope(shield=True) as scope:
            for stream in filter(None, (self._input, *self._outputs.values())):
                await stream.aclose()
            scope.shield = False
            try:
                await self.wait()
            except BaseException:
                scope.shield = True
                if self.returncode is None:
                    self.kill()
                await self.wait()
                raise


class _Input(ByteSendStream):
    def __init__(self, process: Any) -> None:
        self._process = process

    async def send(self, item: bytes) -> None:
        writer = self._process.stdin
        if writer.is_closing():
            raise anyio.ClosedResourceError
        await anyio.lowlevel.checkpoint_if_cancelled()
        writer.write(item)
        try:
            await writer.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise anyio.BrokenResourceError from error

    async def aclose(self) -> None:
        self._process.stdin.close()
        await self._process.stdin.flushed()


class _Output(ByteReceiveStream):
    def __init__(self, process: Any, name: str) -> None:
        self._process, self._name = process, name
        self._closed = False
        self._waiting: set[anyio.CancelScope] = set()

    async def receive(self, max_bytes: int = _PIECE_BYTES) -> bytes:
        if max_bytes < 1:
            raise ValueError("max_bytes must be a positive integer")
        if self._closed:
            raise anyio.ClosedResourceError
        data = None
        with anyio.CancelScope() as scope:
            self._waiting.add(scope)
            try:
                data = await getattr(self._process, self._name).read(max_bytes)
            finally:
                self._waiting.discard(scope)
        if data is None:  # another task has closed it
            raise anyio.ClosedResourceError
        if not data:
            raise anyio.EndOfStream
        received: bytes = data
        return received

    async def aclose(self) -> None:
        self._closed = True
        for scope in self._waiting:
            scope.cancel()
        self._process.close_output(self._name)
        await anyio.lowlevel.checkpoint()
