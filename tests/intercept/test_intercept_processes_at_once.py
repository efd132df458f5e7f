"""Processes that several tasks or threads of an agent use at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import oplog_commit
from intercept.replaying import crashed, crashed_async

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MUCH = b"x" * 1_000_000
"""More than the pipes on both sides of a process hold."""


async def cat(command: str = "cat") -> Any:
    return await asyncio.create_subprocess_shell(command, stdin=-1, stdout=-1)


async def given(process: Any, data: bytes) -> None:
    process.stdin.write(data)
    await process.stdin.drain()


# --- after a crash --------------------------------------------------------------------------------


class Crash:
    """What a body is interrupted by."""

    def __init__(self) -> None:
        self.waits, self.go_on = threading.Event(), threading.Event()

    def here(self) -> None:
        oplog_commit(1)
        self.waits.set()
        self.go_on.wait(60)

    def outcome(self, body: Callable[[], Any]) -> Any:
        return crashed(body, self.waits, self.go_on)

    def outcome_async(self, body: Callable[[], Any]) -> Any:
        return crashed_async(body, self.waits, self.go_on)


@pytest.mark.parametrize("kills", [False, True])
def test_a_task_was_giving_it_what_another_had_read(kills: bool) -> None:
    crash = Crash()

    async def body() -> Any:
        process = await cat()
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
