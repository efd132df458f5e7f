"""What is given to a process, and sent to it, and when: whoever gives up to give it, and after a crash."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk.intercept.exchanges import RealProcess
from golem_sdk.intercept.resuming import Given, Piece
from intercept.replaying import Crash, run_async, same
from intercept.test_intercept_processes_at_once import MUCH, given, shell

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ECHO = """
import os, signal, sys, threading
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])

def tell():  # a handler would not run when the signal comes just before the next read
    while signal.sigwait([signal.SIGUSR1]):
        os.write(1, b"told\\n")

threading.Thread(target=tell, daemon=True).start()
os.write(1, b"ready\\n")
for line in sys.stdin.buffer:
    os.write(1, line)
"""


async def given_up(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# --- live: as outside -----------------------------------------------------------------------------


async def gives_up_a_write_at_once() -> Any:
    process = await shell()
    giving = asyncio.create_task(given(process, b"1"))
    await asyncio.sleep(0)
    await given_up(giving)
    await given(process, b"2")
    process.stdin.close()
    return [await process.stdout.read(), await process.wait()]


async def gives_up_the_end_at_once() -> Any:
    process = await shell("cat; echo end")
    process.stdin.write_eof()
    ending = asyncio.create_task(process.stdin.drain())
    await asyncio.sleep(0)
    await given_up(ending)
    return [await process.stdout.read(), await process.wait()]


async def nobody_waits_for_the_end_to_be_sent() -> Any:
    process = await shell("cat; echo end")
    reading = asyncio.create_task(process.stdout.read())
    for data in (b"1", b"2"):
        process.stdin.write(data)
        await asyncio.sleep(0.01)
    process.stdin.close()
    return [await reading, await process.wait()]


async def nobody_waits_for_what_is_refused() -> Any:
    process = await shell("exec <&-; echo closed; read x")
    said = [await process.stdout.readline()]
    for _ in range(2):
        process.stdin.write(b"1")
        await asyncio.sleep(0.01)
    try:
        await process.stdin.drain()
    except ConnectionError:
        said.append("refused")
    return [*said, await process.wait()]


async def gives_up_to_wait_for_the_end() -> Any:
    process = await shell("cat; echo end")
    process.stdin.close()
    ending = asyncio.create_task(process.communicate())
    await asyncio.sleep(0)
    await given_up(ending)
    return await process.communicate()


@pytest.mark.parametrize(
    "body",
    [
        gives_up_a_write_at_once,
        gives_up_the_end_at_once,
        gives_up_to_wait_for_the_end,
        nobody_waits_for_the_end_to_be_sent,
        nobody_waits_for_what_is_refused,
    ],
)
def test_in_an_agent_it_is_what_it_is_outside(body: Any) -> None:
    assert same(run_async(body)) == asyncio.run(body())


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


def test_what_was_given_up_is_given_again_after_what_was_given_before() -> None:
    crash = Crash()

    async def body() -> Any:
        process = await shell("read x; cat")
        first = asyncio.create_task(given(process, MUCH + b"\n"))
        second = asyncio.create_task(given(process, b"second "))
        await asyncio.sleep(0)
        await given_up(second)
        await first
        crash.here()
        process.stdin.write(b"third")
        process.stdin.close()
        return [await process.stdout.read(), await process.wait()]

    assert crash.outcome_async(body) == [b"second third", 0]


def test_what_is_given_up_while_it_is_started_again_is_given_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crash, begun, gave_up = Crash(), threading.Event(), threading.Event()
    start = RealProcess.__init__

    def begin(self: Any, *args: Any, **options: Any) -> None:
        if crash.go_on.is_set():
            begun.set()
            gave_up.wait(60)
        start(self, *args, **options)

    async def body() -> Any:
        process = await shell()
        crash.here()
        giving = asyncio.create_task(given(process, b"1"))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        await given_up(giving)
        gave_up.set()
        await given(process, b"2")
        process.stdin.close()
        return [await process.stdout.read(), await process.wait()]

    monkeypatch.setattr(RealProcess, "__init__", begin)
    assert crash.outcome_async(body) == [b"12", 0]


def test_input_comes_after_the_output_that_the_agent_had_read_before_it() -> None:
    crash = Crash()

    def body() -> Any:
        with subprocess.Popen("head -n 1; cat", shell=True, stdin=-1, stdout=-1, bufsize=0) as head:
            assert head.stdin is not None
            assert head.stdout is not None
            said = []
            for line in (b"1\n", b"2\n"):  # it would drop the second one, if it came with the first
                head.stdin.write(line)
                said.append(head.stdout.read(2))
            crash.here()
            head.stdin.close()
            return [*said, head.stdout.read()]

    assert crash.outcome(body) == [b"1\n", b"2\n", b""]


def test_input_and_its_end_come_after_the_signals_before_them() -> None:
    crash = Crash()

    async def body() -> Any:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ECHO, stdin=-1, stdout=-1
        )
        assert process.stdin is not None
        assert process.stdout is not None
        said = [await process.stdout.readline()]
        for number in range(3):
            process.send_signal(signal.SIGUSR1)
            said.append(await process.stdout.readline())
            await given(process, b"%d\n" % number)
            said.append(await process.stdout.readline())
        process.send_signal(signal.SIGUSR1)
        said.append(await process.stdout.readline())
        process.stdin.close()
        await process.stdin.wait_closed()
        crash.here()
        return [*said, await process.stdout.read(), await process.wait()]

    told = b"told\n"
    said = [b"ready\n", told, b"0\n", told, b"1\n", told, b"2\n", told, b"", 0]
    assert crash.outcome_async(body) == said


def test_a_signal_is_sent_that_comes_after_new_input() -> None:
    crash = Crash()

    def body() -> Any:
        process = subprocess.Popen([sys.executable, "-c", ECHO], stdin=-1, stdout=-1, bufsize=0)
        assert process.stdin is not None
        assert process.stdout is not None
        said = process.stdout.read(6)
        crash.here()
        process.stdin.write(b"line\n")
        process.send_signal(signal.SIGUSR1)
        while len(said) < 16:
            said += process.stdout.read(16)
        process.stdin.close()
        return [sorted(said.split()), process.wait()]

    assert crash.outcome(body) == [[b"line", b"ready", b"told"], 0]


def test_a_signal_does_not_wait_for_input_that_nobody_had_waited_for() -> None:
    crash = Crash()

    async def body() -> Any:
        process = await shell("trap go=1 USR1; echo ready; until [ $go ]; do sleep 0.01; done; cat")
        process.stdin.write(MUCH)
        said = [await process.stdout.readline()]
        process.send_signal(signal.SIGUSR1)
        said.append(await process.stdout.readexactly(10))
        crash.here()
        process.stdin.close()
        return [*said, len(await process.stdout.read()), await process.wait()]

    assert crash.outcome_async(body) == [b"ready\n", MUCH[:10], len(MUCH) - 10, 0]


def test_new_input_waits_for_the_signals_before_it() -> None:
    given, done = Given(), list[Any]()

    class Pipe:
        def write(self, data: memoryview) -> int:
            done.append(bytes(data))
            return len(data)

    for number, data in enumerate((b"1", b"2")):
        end = given.add(Piece(memoryview(data), {"signals": number}), keeps=True)
    given.give(Pipe(), end, done.append)
    assert done == [{"signals": 0}, b"1", {"signals": 1}, b"2"]


def test_what_has_ended_is_not_started_again_to_be_given_something(tmp_path: Path) -> None:
    def popen() -> Any:
        process: Any = subprocess.Popen(command, shell=True, stdin=-1, bufsize=0)
        process.wait()
        crash.here()
        return refused(lambda: process.stdin.write(b"x"))

    async def with_asyncio() -> Any:
        process = await shell(command)
        await process.wait()
        crash.here()
        try:
            await given(process, b"x")
        except BrokenPipeError as error:
            return str(error)

    command, crash = f"echo >> {tmp_path}/popen", Crash()
    assert crash.outcome(popen) == "[Errno 32] Broken pipe"
    command, crash = f"echo >> {tmp_path}/asyncio", Crash()
    assert crash.outcome_async(with_asyncio) == "[Errno 32] Broken pipe"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["\n", "\n"]


def refused(call: Callable[[], Any]) -> str:
    try:
        call()
    except OSError as error:
        return str(error)
    return ""


def test_who_was_giving_it_input_learns_that_it_reads_no_more() -> None:
    crash = Crash()

    async def body() -> Any:
        process = await shell("exec 3<&0 <&-; echo; read x <&3; exec 3<&-; echo; exec sleep 60")
        giving = asyncio.create_task(given(process, b"\n" + MUCH))
        said = [await process.stdout.readline()]
        crash.here()
        said.append(await process.stdout.readline())
        [error] = await asyncio.gather(giving, return_exceptions=True)
        process.kill()
        return [*said, type(error).__name__, await process.wait()]

    assert crash.outcome_async(body) == [b"\n", b"\n", "BrokenPipeError", -9]


@pytest.mark.parametrize("option", ["stdout", "pass_fds"])
def test_what_is_started_again_is_given_no_other_file_by_number(
    option: str, tmp_path: Path
) -> None:
    crash, target = Crash(), 1 if option == "stdout" else 123
    with (tmp_path / "other").open("wb") as other:

        def body() -> str:
            reading, writing = os.pipe()
            os.dup2(writing, 123)
            options: Any = {option: (123,) if option == "pass_fds" else 123}
            process = subprocess.Popen(f"echo said >/dev/fd/{target}", shell=True, **options)
            os.dup2(other.fileno(), 123)  # as when it is closed, and another file opened
            crash.here()
            said = refused(process.wait)
            for each in (reading, writing, 123):
                os.close(each)
            return said

        assert "is not what it was" in crash.outcome(body)
    assert (tmp_path / "other").read_bytes() == b""


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
