"""Processes that several tasks or threads of an agent use at once, or that take their input late."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from intercept.replaying import Crash, run_async, same

if TYPE_CHECKING:
    from pathlib import Path

MUCH = b"x" * 1_000_000
"""More than the pipes on both sides of a process hold."""


async def shell(command: str = "cat") -> Any:
    return await asyncio.create_subprocess_shell(command, stdin=-1, stdout=-1)


async def given(process: Any, data: bytes) -> None:
    process.stdin.write(data)
    await process.stdin.drain()


# --- live: as outside -----------------------------------------------------------------------------


async def tasks_write_at_once() -> Any:
    process = await shell()
    reading = asyncio.create_task(process.stdout.read())
    await asyncio.gather(given(process, MUCH), given(process, b"y" * 300_000), given(process, b"z"))
    process.stdin.close()
    output = await reading
    return [len(output), output[-300_002:-299_999], output[-2:], await process.wait()]


async def a_task_gives_up_writing() -> Any:
    process = await shell("read x; cat")
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(given(process, MUCH[:500_000]), 0.02)
    process.stdin.write(b"\nend")
    process.stdin.close()
    return [await process.stdout.read(), await process.wait()]


async def is_read_while_it_is_given() -> Any:
    process = await shell()
    process.stdin.write(MUCH)
    process.stdin.close()
    return [len(await process.stdout.read()), await process.wait()]


async def communicates_after_a_write() -> Any:
    process = await shell()
    process.stdin.write(MUCH)
    output, _ = await process.communicate(b"end")
    return [len(output), output[-4:], process.returncode]


async def communicates_after_a_read() -> Any:
    process = await shell("echo 1; read x; echo 2; cat >/dev/null; echo 3")
    said = [await process.stdout.readline()]
    reading = asyncio.create_task(process.stdout.readline())
    await asyncio.sleep(0.001)  # it waits for what is said while the process is given this
    reading.cancel()
    return [*said, await process.communicate(b"\n" + MUCH), process.returncode]


async def is_not_read_yet() -> Any:
    command = "head -c 100000 /dev/zero; head -c 100000 /dev/zero >&2"
    process = await asyncio.create_subprocess_shell(command, stdout=-1, stderr=-1)
    code = await process.wait()
    assert process.stdout is not None
    assert process.stderr is not None
    return [code, len(await process.stderr.read()), len(await process.stdout.read())]


async def tasks_read_at_once() -> Any:
    process = await shell()
    reading = asyncio.create_task(process.stdout.read(10))
    await asyncio.sleep(0)
    try:
        await process.stdout.read(10)
    except RuntimeError as error:
        said: Any = str(error)
    await given(process, b"once")
    said = [said, await reading]
    process.stdin.close()
    return [*said, await process.stdout.read(), await process.wait()]


async def is_closed_while_it_is_read() -> Any:
    said: list[Any] = []

    async def reads(stream: Any) -> None:
        try:
            while chunk := await stream.receive(4):
                said[:] = [chunk]
        except anyio.ClosedResourceError as error:
            said.append(type(error).__name__)

    endless, silent = [await anyio.open_process([name]) for name in ("/usr/bin/yes", "/bin/cat")]
    async with anyio.create_task_group() as tasks, endless:
        tasks.start_soon(reads, endless.stdout)
        while not said:
            await anyio.sleep(0.001)
    async with anyio.create_task_group() as tasks, silent:
        tasks.start_soon(reads, silent.stdout)
        await anyio.sleep(0.01)
    return [said, endless.returncode, silent.returncode]


async def is_given_too_much_to_end() -> Any:
    async def gives(stream: Any) -> None:
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await stream.send(MUCH)

    process = await anyio.open_process("sleep 0.1", stdout=None)
    async with anyio.create_task_group() as tasks, process:
        tasks.start_soon(gives, process.stdin)
        await anyio.sleep(0.01)
    return process.returncode


@pytest.mark.parametrize(
    "body",
    [
        tasks_write_at_once,
        a_task_gives_up_writing,
        is_read_while_it_is_given,
        communicates_after_a_read,
        communicates_after_a_write,
        tasks_read_at_once,
        is_closed_while_it_is_read,
        is_not_read_yet,
        is_given_too_much_to_end,
    ],
)
def test_in_an_agent_it_is_what_it_is_outside(body: Any) -> None:
    assert same(run_async(body)) == asyncio.run(body())


# --- after a crash --------------------------------------------------------------------------------


@pytest.mark.parametrize("kills", [False, True])
def test_a_task_was_giving_it_what_another_had_read(kills: bool) -> None:
    crash = Crash()

    async def body() -> Any:
        process = await shell()
        giving = asyncio.create_task(given(process, MUCH))
        size = len(await process.stdout.readexactly(200_000))
        crash.here()
        if kills:
            process.kill()
            giving.cancel()
        else:
            while size < len(MUCH):
                size += len(await process.stdout.read(100_000))
            await giving
        await process.communicate()
        return [size, process.returncode]

    assert crash.outcome_async(body) == ([200_000, -9] if kills else [len(MUCH), 0])


def test_a_thread_was_giving_it_what_another_had_read() -> None:
    crash = Crash()

    def body() -> Any:
        process = subprocess.Popen(["/bin/cat"], stdin=-1, stdout=-1)
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def gives() -> None:
            stdin.write(MUCH)
            stdin.close()

        with ThreadPoolExecutor(1) as pool:
            giving = pool.submit(gives)
            size = len(stdout.read(200_000))
            crash.here()
            size += len(stdout.read())
            giving.result()
        return [size, process.wait()]

    assert crash.outcome(body) == [len(MUCH), 0]


def test_a_signal_comes_before_what_it_caused() -> None:
    crash = Crash()

    def body() -> Any:
        process = subprocess.Popen(
            "trap 'echo told' USR1; echo ready; while :; do sleep 0.01; done",
            shell=True,
            stdout=-1,
        )
        assert process.stdout is not None
        said = [process.stdout.readline()]
        for _ in range(2):
            process.send_signal(signal.SIGUSR1)
            said.append(process.stdout.readline())
        crash.here()
        process.send_signal(signal.SIGUSR1)
        said.append(process.stdout.readline())
        process.kill()
        return [*said, process.wait(), process.pid]

    *said, first = crash.outcome(body)
    os.kill(first, signal.SIGKILL)
    assert said == [b"ready\n", *[b"told\n"] * 3, -9]


def test_it_is_given_again_what_it_had_read_but_a_part_of() -> None:
    crash = Crash()

    def body() -> Any:
        process = subprocess.Popen("head -c 3; exec <&-; echo .", shell=True, stdin=-1, stdout=-1)
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(MUCH)
        said = [process.stdout.readline()]
        crash.here()
        return [*said, process.stdout.read(), process.wait()]

    assert crash.outcome(body) == [b"xxx.\n", b"", 0]


def test_it_is_given_again_what_a_task_gave_up_to_give() -> None:
    crash = Crash()

    async def body() -> Any:
        process = await shell("head -c 3; read x; cat")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(given(process, b"abc" + MUCH[:500_000] + b"\n"), 0.02)
        said = [await process.stdout.readexactly(3)]
        crash.here()
        process.stdin.write(b"end")
        process.stdin.close()
        return [*said, await process.stdout.read(), await process.wait()]

    assert crash.outcome_async(body) == [b"abc", b"end", 0]


def test_what_says_less_than_before_is_waited_for_no_longer_than_told(tmp_path: Path) -> None:
    crash, flag = Crash(), tmp_path / "flag"

    def body() -> Any:
        process = subprocess.Popen(
            f"test -e {flag} || echo said; touch {flag}; exec sleep 60", shell=True, stdout=-1
        )
        assert process.stdout is not None
        process.stdout.readline()
        crash.here()
        said: list[Any] = [process.poll()]
        for ask in (process.wait, process.communicate):
            try:
                ask(timeout=0.01)
            except subprocess.TimeoutExpired as late:
                said.append(late.output)
        process.kill()
        return [*said, process.wait(), process.pid]

    *said, first = crash.outcome(body)
    os.kill(first, signal.SIGKILL)
    assert said == [None, None, None, -9]
