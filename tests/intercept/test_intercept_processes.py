"""Processes of agents: what is stored of them, what is refused, and what a crash does to a running one."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from golem_sdk import idempotence_mode, oplog_commit
from golem_sdk.codec.values import decode
from golem_sdk.core.entries import ImportedFunctionInvoked
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.commands import describe_command, describe_data
from intercept.replaying import Runs, crashed, crashed_async, run, run_async


def requests(runs: Runs) -> list[Any]:
    calls = [e for e in runs.entries if isinstance(e, ImportedFunctionInvoked)]
    return [decode(e.request) for e in calls if isinstance(e.request, bytes)]


def counted(path: Path, rest: str) -> str:
    """A command that counts how often it was started."""
    return f"echo >> {path}; {rest}"


def starts(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_a_run_is_one_call() -> None:
    def body() -> list[Any]:
        done = subprocess.run("echo one; echo two >&2", shell=True, capture_output=True, check=True)
        return [done.stdout, done.stderr, subprocess.getoutput("echo three")]

    runs = run(body)
    assert runs.live == runs.replayed == [b"one\n", b"two\n", "three"]
    assert runs.calls == ["subprocess.run"] * 2


def test_secrets_are_not_stored() -> None:
    def body() -> None:
        subprocess.run(["/bin/true", "--token", "canary", "--api-key=canary"], check=True)
        subprocess.run("true --password canary", shell=True, check=True, env={"TOKEN": "canary"})
        subprocess.run(["/bin/cat"], input=b"canary", stdout=subprocess.DEVNULL, check=True)

    runs = run(body)
    assert "canary" not in repr(requests(runs))
    assert requests(runs)[2]["input"] == describe_data(b"canary")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (["x", "--token", "a"], ["x", "--token", "b"], True),
        ("x --token=a  https://u:p@h", "x --token=b  https://v:p@h", True),
        ([sys.executable, "x"], [sys.executable, "y"], False),
        (["x", "a b"], ["x", "a", "b"], False),
        ("x a", ["x", "a"], False),
        (["x", b"a"], ["x", "a"], True),
    ],
)
def test_what_is_compared_of_a_command(first: Any, second: Any, same: bool) -> None:
    one, other = describe_command(first), describe_command(second)
    assert (one.identity == other.identity) is same


def test_temporary_files_have_other_names_in_each_life() -> None:
    def body() -> list[Any]:
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(["/bin/cp", __file__, f"{directory}/copy"], check=True)
            subprocess.run(f"cat {directory}/copy >/dev/null", shell=True, check=True)
            return [len(directory)]

    runs = run(body)
    assert runs.live == runs.replayed


@pytest.mark.parametrize("directory", [None, Path(sys.executable).parents[1]])
def test_this_python_may_move(directory: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None if directory is None else str(directory))
    before = describe_command([sys.executable, "-V"]).identity
    monkeypatch.setattr(sys, "executable", "/elsewhere/python")
    assert describe_command(["/elsewhere/python", "-V"]).identity == before


def test_a_program_that_is_not_there() -> None:
    def body() -> list[Any]:
        try:
            subprocess.Popen(["/no/such/program"])
        except FileNotFoundError as error:
            return [error.errno, error.filename]
        return []

    runs = run(body)
    assert runs.live == runs.replayed == [2, "/no/such/program"]


def test_a_pipeline() -> None:
    def body() -> bytes:
        with (
            subprocess.Popen(["/bin/echo", "one two"], stdout=subprocess.PIPE) as first,
            subprocess.Popen(["tr", "o", "0"], stdin=first.stdout, stdout=subprocess.PIPE) as last,
        ):
            return last.communicate()[0]

    runs = run(body)
    assert runs.live == runs.replayed == b"0ne tw0\n"


def test_in_replay_the_garbage_collector_starts_nothing(tmp_path: Path) -> None:
    count = tmp_path / "n"

    def body() -> int:
        process = subprocess.Popen(counted(count, "cat >&2"), shell=True, stdin=subprocess.PIPE)
        cycle: list[Any] = [process]
        cycle.append(cycle)
        del cycle, process
        return gc.collect()

    assert run(body).calls == ["subprocess.Popen"]
    assert starts(count) == 1


@pytest.mark.parametrize("options", [{"text": True}, {}, {"bufsize": 0}])
@pytest.mark.parametrize("errors", [None, subprocess.PIPE])
def test_communicate_gives_what_was_received_but_not_read(
    options: dict[str, Any], errors: int | None
) -> None:
    """The original gives it where there is one pipe, and loses it where there are several."""

    def body() -> list[Any]:
        command = ["/usr/bin/printf", "one\\ntwo \\303\\274\\nthree"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, encoding=None, **options
        ) as process:
            assert process.stdout is not None
            return [process.stdout.readline(), *process.communicate()]

    runs = run(body)
    assert runs.live == runs.replayed
    expected: list[Any] = [b"one\n", b"two \303\274\nthree", None if errors is None else b""]
    if options.get("text"):
        expected = [each if each is None else each.decode() for each in expected]
    assert runs.live == expected


def test_input_that_nobody_reads() -> None:
    def body() -> list[Any]:
        process = subprocess.Popen(["/bin/true"], stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(b"not flushed")
        process.wait()
        return [*process.communicate(), process.returncode, process.stdin.closed]

    expected = body()
    runs = run(body)
    assert runs.live == runs.replayed == expected


def test_a_pipe_has_no_descriptor() -> None:
    def body() -> str:
        with subprocess.Popen(["/bin/echo"], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            try:
                process.stdout.fileno()
            except OSError as error:
                return str(error)
        return ""

    assert "has no fileno() in an agent" in run(body).live


def test_processes_that_replace_this_one_are_refused() -> None:
    def body() -> list[str]:
        said = []
        try:
            os.posix_spawn("/bin/true", ["true"], {})
        except NotDurableError as error:
            said.append(str(error))
        try:
            os.execv("/bin/true", ["true"])
        except NotDurableError as error:
            said.append(str(error))
        return said

    spawn, replace = run(body).live
    assert "os.posix_spawn" in spawn
    assert "os.execv" in replace


def test_output_outlasts_those_who_gave_up_waiting() -> None:
    async def body() -> list[Any]:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", "echo said; read x; echo more; exec sleep 60", stdin=-1, stdout=-1
        )
        assert process.stdin is not None
        assert process.stdout is not None
        said = [await process.stdout.readline()]
        for waits in (process.wait, process.stdout.readline):
            try:
                await asyncio.wait_for(waits(), 0.05)
            except TimeoutError:
                said.append(b"late")
        process.stdin.write(b"\n")
        said.append(await process.stdout.readline())
        process.kill()
        return [*said, await process.stdout.read(), await process.wait()]

    runs = run_async(body)
    assert runs.live == runs.replayed == [b"said\n", b"late", b"late", b"more\n", b"", -9]


def test_an_asyncio_process_that_reads_no_more() -> None:
    async def body() -> list[Any]:
        process = await asyncio.create_subprocess_shell(
            "exec <&-; echo closed; read x", stdin=-1, stdout=-1
        )
        assert process.stdin is not None
        assert process.stdout is not None
        said = await process.stdout.readline()
        process.stdin.writelines([b"1", b"2"])
        try:
            await process.stdin.drain()
        except ConnectionError as error:
            return [said, type(error).__name__, await process.communicate()]
        return []

    runs = run_async(body)
    assert runs.live == runs.replayed == [b"closed\n", "BrokenPipeError", (b"", None)]


def test_signals_to_others_are_sent_once() -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: received.append(number))
    home = os.getpid()
    try:
        runs = run(lambda: os.kill(home, signal.SIGUSR1))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert received == [signal.SIGUSR1]
    assert runs.calls == ["os.kill"]


# --- a process that was running when the agent died -----------------------------------------------


class Interrupted:
    """A body that reads a line of a process, dies there, and reads on in its next life."""

    def __init__(self, command: str, *, idempotent: bool = True) -> None:
        self._command, self._idempotent = command, idempotent
        self.waits, self.go_on = threading.Event(), threading.Event()

    def body(self) -> list[str]:
        with idempotence_mode(self._idempotent):
            process = subprocess.Popen(
                self._command, shell=True, stdin=-1, stdout=subprocess.PIPE, text=True
            )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("given\n")
        process.stdin.flush()
        said = [process.stdout.readline()]
        oplog_commit(1)
        self.waits.set()
        self.go_on.wait(60)
        try:
            said += [process.stdout.read(), str(process.wait())]
        except ChildProcessError as error:
            said.append(str(error))
        return said

    def outcome(self) -> Any:
        return crashed(self.body, self.waits, self.go_on)


def test_a_process_is_started_again_and_read_on(tmp_path: Path) -> None:
    command = counted(tmp_path / "n", "read x; echo $x; echo rest")
    assert Interrupted(command).outcome() == ["given\n", "rest\n", "0"]
    assert starts(tmp_path / "n") == 2


def test_another_output_is_no_continuation(tmp_path: Path) -> None:
    count = tmp_path / "n"
    said = Interrupted(counted(count, f"read x; wc -l < {count}; sleep 0.1; echo rest")).outcome()
    assert "its stdout is another one" in said[1]
    assert starts(count) == 2


def test_under_idempotence_mode_false_it_is_not_started_again(tmp_path: Path) -> None:
    command = counted(tmp_path / "n", "read x; echo $x; echo rest")
    said = Interrupted(command, idempotent=False).outcome()
    assert said[0] == "given\n"
    assert "it was started under idempotence_mode(False)" in said[1]
    assert starts(tmp_path / "n") == 1


def test_what_has_become_another_process_is_started_again_once(tmp_path: Path) -> None:
    waits, go_on, count = threading.Event(), threading.Event(), tmp_path / "n"

    def body() -> list[str]:
        process = subprocess.Popen(counted(count, f"wc -l < {count}"), shell=True, stdout=-1)
        assert process.stdout is not None
        process.stdout.readline()
        oplog_commit(1)
        waits.set()
        go_on.wait(60)
        said = []
        for more in (process.stdout.read, process.wait):
            try:
                more()
            except ChildProcessError as error:
                said.append(str(error))
        return said

    said = crashed(body, waits, go_on)
    assert len(said) == 2
    assert said[0] == said[1]
    assert starts(count) == 2


BOTH = "read x; echo $x; echo $x >&2; read y; echo out; echo err >&2"


def test_both_outputs_are_read_on_from_one_process(tmp_path: Path) -> None:
    waits, go_on = threading.Event(), threading.Event()

    async def body() -> list[Any]:
        process = await asyncio.create_subprocess_shell(
            counted(tmp_path / "n", BOTH), stdin=-1, stdout=-1, stderr=-1
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"given\n")
        said = [await process.stdout.readline(), await process.stderr.readline()]
        oplog_commit(1)
        waits.set()
        go_on.wait(60)
        process.stdin.write(b"more\n")
        return [*said, *await asyncio.gather(process.stdout.read(), process.stderr.read())]

    outcome = crashed_async(body, waits, go_on)
    assert outcome == [b"given\n", b"given\n", b"out\n", b"err\n"]
    assert starts(tmp_path / "n") == 2


def test_threads_read_both_outputs_on_from_one_process(tmp_path: Path) -> None:
    waits, go_on = threading.Event(), threading.Event()

    def body() -> list[Any]:
        process = subprocess.Popen(
            counted(tmp_path / "n", BOTH), shell=True, stdin=-1, stdout=-1, stderr=-1
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"given\nmore\n")
        process.stdin.flush()
        outputs = (process.stdout, process.stderr)
        said = [output.readline() for output in outputs]
        oplog_commit(1)
        waits.set()
        go_on.wait(60)
        with ThreadPoolExecutor(2) as pool:
            return said + list(pool.map(lambda output: output.read(), outputs))

    assert crashed(body, waits, go_on) == [b"given\n", b"given\n", b"out\n", b"err\n"]
    assert starts(tmp_path / "n") == 2
