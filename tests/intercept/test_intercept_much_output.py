"""Processes that put out much: in pieces, up to the limit, and not kept twice."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from golem_sdk import agent, oplog_commit
from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.errors import OutputTooLargeError
from golem_sdk.intercept import processes
from golem_sdk.runtime.settings import Settings
from golem_sdk.testing.crash import CrashMoment, CrashPoint
from golem_sdk.testing.driver import Step, drive
from intercept.reading import outcome
from intercept.replaying import Runs, run, run_async, same

if TYPE_CHECKING:
    from collections.abc import Callable

PIECE_BYTES = 1000
TEXT = "one\r\n" * 40_000
INPUT = TEXT.encode()
TALKS = ["sh", "-c", "cat; echo done >&2"]
ENDLESS = ["yes"]
MANY_LINES = ["seq", "1000000"]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PIECE_BYTES", PIECE_BYTES)


def talked(timeout: float | None = None, **options: Any) -> list[Any]:
    given: Any = TEXT if options else INPUT
    with subprocess.Popen(TALKS, stdin=-1, stdout=-1, stderr=-1, **options) as process:
        return [*process.communicate(given, timeout), process.returncode]


def one_pipe() -> list[Any]:
    with subprocess.Popen(["head", "-c", "300000", "/dev/zero"], stdout=-1) as process:
        return [*process.communicate(), process.returncode]


def lines(*, buffered: bool) -> list[Any]:
    with subprocess.Popen(MANY_LINES, stdout=-1, bufsize=-1 if buffered else 0) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        return [first, process.stdout.read()]


def is_late() -> list[Any]:
    """It has said all that it says before it waits."""
    command = ["sh", "-c", "seq 5000; echo bad >&2; exec sleep 600"]
    found: tuple[Any, Any] = (None, None)
    with subprocess.Popen(command, stdout=-1, stderr=-1) as process:
        while not found[1]:
            with pytest.raises(subprocess.TimeoutExpired) as caught:
                process.communicate(timeout=0.05)
            found = caught.value.output, caught.value.stderr
        process.kill()
        return [found, process.communicate(), process.returncode]


def fails() -> list[Any]:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        subprocess.run(
            ["sh", "-c", "seq 5000; exit 3"], stdout=subprocess.PIPE, text=True, check=True
        )
    return [caught.value.output, caught.value.stderr, caught.value.returncode]


def takes_too_long() -> bool:
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        subprocess.run(ENDLESS, timeout=0.05, stdout=-1)
    return {*(caught.value.output or b"y").split()} == {b"y"}


def ran(**options: Any) -> list[Any]:
    done = subprocess.run(TALKS, **options)
    return [done.args, done.returncode, done.stdout, done.stderr]


READ: dict[str, Callable[[], Any]] = {
    "run": lambda: ran(capture_output=True, input=INPUT),
    "run: text": lambda: ran(capture_output=True, input=TEXT, text=True),
    "run: one of both": lambda: ran(stdout=-1, stderr=subprocess.DEVNULL, input=INPUT),
    "run: both in one": lambda: ran(stdout=-1, stderr=subprocess.STDOUT, input=INPUT),
    "run: fails": fails,
    "run: is late": takes_too_long,
    "run: no input": lambda: subprocess.run(MANY_LINES, stdout=-1).stdout,
    "run: input that nobody reads": lambda: (
        subprocess.run(["true"], input=b"x" * 10**6, stdout=-1).returncode
    ),
    "getoutput": lambda: subprocess.getoutput("seq 5000"),
    "communicate": talked,
    "communicate: text": lambda: talked(text=True),
    "communicate: in time": lambda: talked(60),
    "communicate: is late": is_late,
    "communicate: one pipe": one_pipe,
    "lines": lambda: lines(buffered=True),
    "unbuffered": lambda: lines(buffered=False),
}


def sizes(runs: Runs) -> list[int]:
    """Of what was recorded, in bytes."""
    outcomes = [e.outcome for e in runs.entries if isinstance(e, ImportedFunctionInvoked)]
    return [len(each) if isinstance(each, bytes) else each.size_bytes for each in outcomes]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("name", READ)
def test_much_output_is_what_it_is(name: str) -> None:
    runs = run(READ[name])
    assert runs.live == READ[name]()
    assert runs.replayed == runs.live
    assert max(sizes(runs)) < PIECE_BYTES + 2 * 64 * 1024 + 1000


@pytest.mark.usefixtures("small_pieces")
def test_much_output_of_asyncio_is_what_it_is() -> None:
    async def body() -> list[Any]:
        process = await asyncio.create_subprocess_exec(*TALKS, stdin=-1, stdout=-1, stderr=-1)
        return [*await process.communicate(INPUT), await process.wait()]

    runs = run_async(body)
    assert runs.calls.count("asyncio.Process.communicate") > 1
    assert same(runs) == [INPUT, b"done\n", 0]


# --- the limit ----------------------------------------------------------------------------------------


def endlessly(read: Callable[[Any], Any]) -> Any:
    with subprocess.Popen(ENDLESS, stdout=-1, text=True) as process:
        try:
            return read(process)
        finally:
            process.kill()


def of_a_pipe() -> str:
    with os.popen("yes") as pipe:
        return pipe.read()


ENDLESSLY: dict[str, Callable[[], Any]] = {
    "run": lambda: subprocess.run(ENDLESS, capture_output=True),
    "check_output": lambda: subprocess.check_output(ENDLESS),
    "run: errors": lambda: subprocess.run("yes >&2", shell=True, stderr=-1),
    "communicate": lambda: endlessly(lambda process: process.communicate()),
    "read": lambda: endlessly(lambda process: process.stdout.read()),
    "lines": lambda: endlessly(lambda process: [*process.stdout]),
    "os.popen": of_a_pipe,
}
LIMITED = Settings(max_received_bytes=200_000)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("name", ENDLESSLY)
def test_no_more_is_read_than_the_limit(name: str) -> None:
    runs = run(lambda: outcome(ENDLESSLY[name]), settings=LIMITED)
    kind, text = same(runs)
    assert kind == "OutputTooLargeError"
    assert "more than 200_000 bytes" in text
    assert "Runtime(max_received_bytes=...)" in text
    assert sum(sizes(runs)) < 300_000


def test_no_more_is_read_than_the_limit_by_asyncio() -> None:
    async def body() -> list[str]:
        told: list[str] = []
        for reads in (True, False):
            process = await asyncio.create_subprocess_exec(*ENDLESS, stdout=-1)
            assert process.stdout is not None
            with pytest.raises(OutputTooLargeError) as caught:
                await (process.stdout.read() if reads else process.communicate())
            process.kill()
            await process.wait()
            told.append(str(caught.value))
        return told

    told = same(run_async(body, settings=LIMITED))
    assert told == [str(OutputTooLargeError(200_000))] * 2


def test_what_is_as_long_as_the_limit_is_read() -> None:
    def body() -> int:
        return len(subprocess.run(["head", "-c", "200000", "/dev/zero"], stdout=-1).stdout)

    assert same(run(body, settings=LIMITED)) == 200_000


# --- crashes ------------------------------------------------------------------------------------------


@agent
class Copier:
    """Has much copied by a process."""

    def runs(self) -> bool:
        done = subprocess.run(["cat"], input=INPUT, capture_output=True)
        return [done.stdout, done.stderr, done.returncode] == [INPUT, b"", 0]

    def communicates(self) -> bool:
        with subprocess.Popen(TALKS, stdin=-1, stdout=-1, stderr=-1) as process:
            return process.communicate(INPUT) == (INPUT, b"done\n")

    async def waits(self) -> bool:
        process = await asyncio.create_subprocess_exec(*TALKS, stdin=-1, stdout=-1, stderr=-1)
        return await process.communicate(INPUT) == (INPUT, b"done\n")


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("how", ["runs", "communicates", "waits"])
def test_a_crash_between_two_pieces_is_not_noticed(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = processes.Process.note_said

    def note_said(self: Any, *said: Any) -> None:
        original(self, *said)
        oplog_commit(1)  # a crash leaves it

    monkeypatch.setattr(processes.Process, "note_said", note_said)
    step = Step(Copier, (), how)
    calm = drive([step])
    assert calm.results[0] == ("result", True)
    for append in range(1, calm.appends + 1):
        for moment in CrashMoment:
            assert drive([step], [CrashPoint(append, moment)]).results == calm.results
