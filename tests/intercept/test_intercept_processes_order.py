"""What is given to a process, and sent to it, and when: whoever gives up to give it, and after a crash."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import TYPE_CHECKING, Any

from intercept.replaying import Crash, run_async, same

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


async def shell(command: str = "cat") -> Any:
    return await asyncio.create_subprocess_shell(command, stdin=-1, stdout=-1)


async def given(process: Any, data: bytes) -> None:
    process.stdin.write(data)
    await process.stdin.drain()


async def given_up(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# --- live: as outside -----------------------------------------------------------------------------


def test_what_came_when_the_time_was_up_already_is_read_next(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async def body() -> Any:
        process = await shell(f"cat {pipe}; read x")
        reading = asyncio.create_task(process.stdout.readline())
        timer = asyncio.create_task(asyncio.sleep(0.01))
        await asyncio.sleep(0.001)
        # Both come before the agent looks: first that the time is up, and then the line.
        subprocess.run(f"sleep 0.05; echo line > {pipe}; sleep 0.05", shell=True, check=True)
        await asyncio.wait([reading, timer], return_when=asyncio.FIRST_COMPLETED)
        line = [await reading] if reading.done() else []
        await given_up(reading)
        await given(process, b"\n")
        line.append(await process.stdout.read())
        return [b"".join(line), await process.wait()]

    assert same(run_async(body)) == [b"line\n", 0]


# --- after a crash --------------------------------------------------------------------------------


def refused(call: Callable[[], Any]) -> str:
    try:
        call()
    except OSError as error:
        return str(error)
    return ""


def test_a_process_that_cannot_be_started_again_is_lost() -> None:
    crash = Crash()

    def body() -> Any:
        first = subprocess.Popen(["/bin/echo", "said"], stdout=-1)
        last = subprocess.Popen(["/bin/cat"], stdin=first.stdout, stdout=-1)
        assert first.stdout is not None
        assert last.stdout is not None
        first.stdout.close()
        crash.here()
        return [refused(last.stdout.read), refused(last.wait)]

    [first, second] = crash.outcome(body)
    assert "lost in a crash" in first
    assert "it cannot be started again: I/O operation on closed file" in first
    assert second == first
