"""Processes: whole runs, and those that agent code goes on talking to."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from intercept.suite.case import Case

if TYPE_CHECKING:
    from typing import Self

__all__ = ["CASES"]


class Machine:
    """A directory in which processes leave a line; the programs are gone with it."""

    def __init__(self) -> None:
        self.writes: list[str] = []

    def __enter__(self) -> Self:
        # The same in every run of this process, because commands are compared.
        self._directory = Path(tempfile.gettempdir()) / f"golem-machine-{os.getpid()}"
        self._directory.mkdir()
        self.log = self._directory / "log"
        self.sh = str(self._directory / "sh")
        Path(self.sh).symlink_to("/bin/sh")
        return self

    def __exit__(self, *_: object) -> None:
        self.writes = self.log.read_text().splitlines() if self.log.exists() else []
        shutil.rmtree(self._directory)

    @property
    def trace(self) -> list[object]:
        return [*self.writes]

    def script(self, name: str, rest: str) -> list[str]:
        """A command that leaves its name, then does the rest."""
        return [self.sh, "-c", f"echo {name} >> {self.log}; {rest}"]

    def shell(self, name: str, rest: str) -> str:
        return f"echo {name} >> {self.log}; {rest}"


def runs(machine: Machine) -> list[Any]:
    done = subprocess.run(
        machine.script("run", "cat; echo bad >&2; exit 3"),
        input=b"hello \xff",
        capture_output=True,
        check=False,
    )
    text = subprocess.check_output(machine.script("check", "printf 'a\\r\\nb'"), text=True)
    return [done.returncode, done.stdout, done.stderr, text]


def fails(machine: Machine) -> None:
    subprocess.run(machine.script("fails", "echo out; exit 7"), check=True, stdout=subprocess.PIPE)


def is_late(machine: Machine) -> None:
    subprocess.run(
        ["/bin/sh", "-c", "echo early; exec sleep 60"], timeout=0.2, stdout=subprocess.PIPE
    )


def is_not_there(machine: Machine) -> None:
    subprocess.run([f"{machine.sh}-is-not-there"], check=True)


def is_no_text(machine: Machine) -> str:
    return subprocess.check_output(
        machine.script("no-text", "printf '\\377'"), text=True, encoding="utf-8"
    )


def shells(machine: Machine) -> list[Any]:
    with os.popen(machine.shell("popen", "echo from popen")) as file:
        said = file.read()
    return [
        os.system(machine.shell("system", "exit 5")),
        said,
    ]


def talks(machine: Machine) -> list[Any]:
    with subprocess.Popen(
        machine.script("talks", 'while read x; do echo "<$x>"; done; exit 6'),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("one\n")
        first = process.stdout.readline()
        process.stdin.write("two\n")
        process.stdin.close()
        rest = process.stdout.read()
    return [first, rest, process.returncode, process.poll()]


def communicates(machine: Machine) -> list[Any]:
    process = subprocess.Popen(
        machine.script("communicates", "cat; echo err >&2"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output = process.communicate(b"\xfe in", timeout=60)
    return [*output, process.wait(), process.returncode]


def is_ended(machine: Machine) -> list[Any]:
    process = subprocess.Popen(["/bin/sh", "-c", "exec sleep 60"])
    before = process.poll()
    process.terminate()
    code = process.wait()
    process.kill()
    return [before, code]


def waits_too_long(machine: Machine) -> None:
    process = subprocess.Popen(["/bin/sh", "-c", "exec sleep 60"])
    try:
        process.wait(timeout=0.01)
    finally:
        process.kill()
        process.wait()


async def talks_async(machine: Machine) -> list[Any]:
    process = await asyncio.create_subprocess_exec(
        *machine.script("talks", 'while read x; do echo "<$x>"; done; exit 6'),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"one\n")
    await process.stdin.drain()
    first = await process.stdout.readline()
    process.stdin.write(b"two\n")
    process.stdin.close()
    rest = await process.stdout.read()
    return [first, rest, await process.wait(), process.returncode]


async def communicates_async(machine: Machine) -> list[Any]:
    process = await asyncio.create_subprocess_shell(
        machine.shell("communicates", "cat; echo err >&2"), stdin=-1, stdout=-1, stderr=-1
    )
    slow = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exec sleep 60")
    slow.terminate()
    return [*await process.communicate(b"\xfe in"), process.returncode, await slow.wait()]


async def is_not_there_async(machine: Machine) -> None:
    await asyncio.create_subprocess_exec(f"{machine.sh}-is-not-there")


async def has_a_text_mode(machine: Machine) -> None:
    await asyncio.create_subprocess_exec("/bin/true", text=True)  # type: ignore[arg-type]  # the point


async def runs_by_anyio(machine: Machine) -> list[Any]:
    done = await anyio.run_process(
        machine.script("run", "cat; echo bad >&2; exit 3"), input=b"hello \xff", check=False
    )
    shell = await anyio.run_process(machine.shell("shell", "printf 'a\\nb'"), stderr=None)
    return [done.returncode, done.stdout, done.stderr, shell.returncode, shell.stdout, shell.stderr]


async def fails_by_anyio(machine: Machine) -> None:
    await anyio.run_process(["/bin/sh", "-c", "echo out; exit 4"])


async def talks_by_anyio(machine: Machine) -> list[Any]:
    async with await anyio.open_process(
        machine.script("talks", 'while read x; do echo "<$x>"; done; exit 6')
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        await process.stdin.send(b"one\n")
        first = await process.stdout.receive()
        await process.stdin.send(b"two\n")
        await process.stdin.aclose()
        rest = [chunk async for chunk in process.stdout]
        return [first, rest, await process.wait(), process.returncode]


async def is_too_late_by_anyio(machine: Machine) -> None:
    process = await anyio.open_process(["/bin/sh", "-c", "exec sleep 60"])
    with anyio.fail_after(0.01):
        async with process:
            await process.wait()


CASES = [
    Case("run", "processes", runs, fails, Machine),
    Case("shells", "processes", shells, is_not_there, Machine),
    Case("popen-talks", "processes", talks, is_no_text, Machine),
    Case("popen-communicates", "processes", communicates, is_late, Machine),
    Case("popen-signals", "processes", is_ended, waits_too_long, Machine),
    Case("asyncio-talks", "processes", talks_async, is_not_there_async, Machine),
    Case("asyncio-communicates", "processes", communicates_async, has_a_text_mode, Machine),
    Case("anyio-run", "anyio", runs_by_anyio, fails_by_anyio, Machine),
    Case("anyio-talks", "anyio", talks_by_anyio, is_too_late_by_anyio, Machine),
]
