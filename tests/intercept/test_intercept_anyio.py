"""Processes by anyio in agents: what the suite's cases leave out."""

from __future__ import annotations

import math
import signal
import subprocess
from pathlib import Path
from typing import Any

import anyio
import anyio.to_process
import pytest

from golem_sdk import intercept
from golem_sdk.runtime import blocking
from intercept.replaying import run_async


async def leaves_an_endless_one() -> Any:
    async with await anyio.open_process(["/usr/bin/yes"]) as process:
        assert process.stdout is not None
        first = await process.stdout.receive(4)
    return [first, process.returncode]


async def reads_and_writes_what_is_closed() -> Any:
    said: list[Any] = []
    async with await anyio.open_process("exec <&-; echo closed; read x", stderr=None) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None
        said.append([await stdout.receive(), process.stderr])
        for attempt in (
            lambda: stdin.send(b"1"),
            stdin.aclose,
            lambda: stdin.send(b"2"),
            lambda: stdout.receive(0),
            lambda: stdout.receive(1),
            stdout.aclose,
            lambda: stdout.receive(1),
        ):
            try:
                said.append(await attempt())
            except Exception as error:  # which one is compared
                said.append([type(error).__name__, str(error)])
    return said


async def is_terminated() -> Any:
    async with await anyio.open_process(["/bin/sh", "-c", "exec sleep 60"], stdin=None) as process:
        process.terminate()
        codes = [await process.wait()]
    async with await anyio.open_process(["/bin/sh", "-c", "exec sleep 60"]) as process:
        process.kill()
    async with await anyio.open_process("exec sleep 60", stdout=subprocess.DEVNULL) as other:
        other.send_signal(signal.SIGINT)
        return [*codes, await process.wait(), await other.wait(), process.pid != other.pid]


async def is_a_path() -> Any:
    done = await anyio.run_process(Path("/bin/pwd"), cwd="/", env={})
    return [done.returncode, done.stdout]


async def is_cancelled() -> Any:
    process = await anyio.open_process("exec sleep 60")
    with anyio.move_on_after(0.01):
        async with process:
            await anyio.sleep_forever()
    return process.returncode


BODIES = [
    leaves_an_endless_one,
    reads_and_writes_what_is_closed,
    is_terminated,
    is_a_path,
    is_cancelled,
]


@pytest.mark.parametrize("body", BODIES)
def test_in_an_agent_it_is_what_it_is_outside(body: Any) -> None:
    intercept.install()
    expected = anyio.run(body)
    runs = run_async(body)
    assert runs.live == runs.replayed == expected


async def works_in_other_processes() -> Any:
    return [await anyio.to_process.run_sync(math.factorial, number) for number in (5, 6)]


def test_other_processes_work_and_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(blocking, "_LONG_S", 30.0)  # the machine may stand still for a moment
    runs = run_async(works_in_other_processes)
    assert runs.live == runs.replayed == [120, 720]
    for call in ("asyncio.create_subprocess", "asyncio.Process.send_signal"):
        assert runs.calls.count(call) == 1
    assert runs.calls[-1] == "asyncio.Process.wait"
    assert not caplog.records
