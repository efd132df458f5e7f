"""Signals that come too late, and those by number, which is another one when a process was started again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk.durability import is_live
from intercept.reading import outcome
from intercept.replaying import Crash, run, same
from intercept.test_intercept_processes_at_once import given
from intercept.test_intercept_processes_order import ECHO

if TYPE_CHECKING:
    from collections.abc import Callable


def by_number(number: int, sent: int) -> None:
    os.kill(number, sent)


def by_group(number: int, sent: int) -> None:
    os.killpg(os.getpgid(number), sent)


ways = pytest.mark.parametrize("send", [by_number, by_group])


def waiting() -> Any:
    """A process that leads its group, and ends with its input."""
    return subprocess.Popen(["/bin/cat"], stdin=-1, stdout=-1, start_new_session=True)


@ways
def test_what_was_sent_is_not_sent_again_in_replay(send: Callable[[int, int], None]) -> None:
    def body() -> int:
        process = waiting()
        send(process.pid, signal.SIGTERM)
        code: int = process.wait()
        return code

    assert same(run(body)) == -signal.SIGTERM


@ways
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_started_again_is_sent_it(send: Callable[[int, int], None], sent: int) -> None:
    crash = Crash()

    def body() -> list[Any]:
        process = waiting()
        crash.here()
        alive = outcome(lambda: os.kill(process.pid, 0))
        send(process.pid, sent)
        return [alive, process.wait()]

    assert crash.outcome(body) == [None, -sent]


@ways
def test_what_was_started_again_is_sent_it_where_it_was_before(
    send: Callable[[int, int], None],
) -> None:
    crash = Crash()

    def body() -> Any:
        command = [sys.executable, "-c", ECHO]
        process = subprocess.Popen(command, stdin=-1, stdout=-1, bufsize=0, start_new_session=True)
        assert process.stdin is not None
        assert process.stdout is not None
        said = [process.stdout.read(6)]
        for number in range(3):
            send(process.pid, signal.SIGUSR1)
            said.append(process.stdout.read(5))
            process.stdin.write(b"%d\n" % number)
            said.append(process.stdout.read(2))
            if number == 1:
                crash.here()
        process.stdin.close()
        return [b"".join(said), process.stdout.read(), process.wait()]

    assert crash.outcome(body) == [b"ready\ntold\n0\ntold\n1\ntold\n2\n", b"", 0]


def test_so_is_a_process_of_asyncio() -> None:
    crash = Crash()

    async def body() -> int:
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=-1)
        crash.here()
        os.kill(process.pid, signal.SIGTERM)
        return await process.wait()

    assert crash.outcome_async(body) == -signal.SIGTERM


def terminated(process: Any) -> None:
    process.terminate()


def terminated_by_number(process: Any) -> None:
    os.kill(process.pid, signal.SIGTERM)


@pytest.mark.parametrize("end", [terminated, terminated_by_number])
def test_a_signal_that_came_too_late_is_not_sent_to_what_is_started_again(
    end: Callable[[Any], None],
) -> None:
    def popen() -> Any:
        process = subprocess.Popen(command, stdin=-1, stdout=-1, bufsize=0)
        assert process.stdin is not None
        assert process.stdout is not None
        said = process.stdout.read(2)
        process.stdin.write(b"\n")
        let_end(process.pid)
        end(process)
        crash.here()
        return [said, len(process.stdout.read()), process.wait()]

    async def with_asyncio() -> Any:
        process = await asyncio.create_subprocess_exec(*command, stdin=-1, stdout=-1)
        assert process.stdout is not None
        said = await process.stdout.readexactly(2)
        await given(process, b"\n")
        let_end(process.pid)
        end(process)
        crash.here()
        return [said, len(await process.stdout.read()), await process.wait()]

    command = ["/bin/sh", "-c", "echo 1; read x; exec head -c 60000 /dev/zero"]
    crash = Crash()
    assert crash.outcome(popen) == [b"1\n", 60_000, 0]
    crash = Crash()
    assert crash.outcome_async(with_asyncio) == [b"1\n", 60_000, 0]


def let_end(number: int) -> None:
    """Wait for the end of a process, live, and leave it to be waited for."""
    if is_live():
        os.waitid(os.P_PID, number, os.WEXITED | os.WNOWAIT)


def test_other_numbers_are_what_they_are() -> None:
    def body() -> list[Any]:
        process = waiting()
        process.communicate()
        gone = [outcome(lambda: os.getpgid(process.pid)), outcome(lambda: os.kill(process.pid, 0))]
        return [*(error for error, _ in gone), os.getpgid(0) == os.getpgrp()]

    assert same(run(body)) == ["ProcessLookupError", "ProcessLookupError", True]
