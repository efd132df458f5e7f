"""Processes that are not there, never end or speak gibberish, and those started from odd places.

What agent code meets live and in replay is what the same code meets outside agents.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from intercept.reading import outcome, outcome_async
from intercept.replaying import run, run_async

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

MISSING = "/no/such/program"
GIBBERISH = ["printf", "ok \\377\\376\\n"]
ENDLESS = ["sleep", "1000"]
FLOOD = ["yes", "golem"]


def started(command: Any, **options: Any) -> list[Any]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, **options) as process:
        assert process.stdout is not None
        return [process.stdout.read(), process.wait()]


def lines_of(command: Any, **options: Any) -> list[Any]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, **options) as process:
        assert process.stdout is not None
        return [*process.stdout]


def communicated(command: Any, **options: Any) -> list[Any]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, **options) as process:
        return [process.communicate()[0], process.returncode]


def twice(command: Any) -> list[Any]:
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        first = outcome(lambda: process.communicate()[0])
        return [first, outcome(lambda: process.communicate()[0])]


def all_again(**options: Any) -> list[Any]:
    command = "echo golem; echo bad >&2"
    with subprocess.Popen(command, shell=True, stdout=-1, **options) as process:
        first = process.communicate(timeout=60)
        return [first, process.communicate(), outcome(lambda: process.communicate("more"))]


def refused(start: Callable[..., Any], **options: Any) -> list[Any]:
    with tempfile.NamedTemporaryFile() as file:
        error = outcome(lambda: start(f"echo >{file.name}; cat", shell=True, **options))
        started = subprocess.run(["wc", "-c", file.name], stdout=-1, check=True).stdout
        return [error, started.split()[0]]


def never_waited_for(*, by_wait: bool) -> list[Any]:
    with subprocess.Popen(ENDLESS, stdout=subprocess.PIPE) as process:
        ask = process.wait if by_wait else process.communicate
        late = outcome(lambda: ask(timeout=0.01))
        process.kill()
        return [late, process.wait()]


def left_half_way() -> list[Any]:
    with subprocess.Popen(FLOOD, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.stdout.close()
        return [line, process.wait()]


def piped(command: str) -> list[Any]:
    with os.popen(command) as pipe:
        return [pipe.read()]


BODIES: dict[str, Callable[[], Any]] = {
    "missing: run": lambda: subprocess.run([MISSING]).returncode,
    "missing: call": lambda: subprocess.call([MISSING]),
    "missing: check_output": lambda: subprocess.check_output([MISSING]),
    "missing: Popen": lambda: started([MISSING]),
    "missing: by a shell": lambda: started(MISSING, shell=True, stderr=subprocess.DEVNULL),
    "missing: os.system": lambda: os.system(f"{MISSING} 2>/dev/null"),
    "missing: directory": lambda: subprocess.run(["true"], cwd="/no/such").returncode,
    "no program": lambda: subprocess.run(["/etc/passwd"]).returncode,
    "gibberish: run": lambda: subprocess.run(GIBBERISH, stdout=subprocess.PIPE, text=True).stdout,
    "gibberish: bytes": lambda: subprocess.run(GIBBERISH, stdout=subprocess.PIPE).stdout,
    "gibberish: replaced": lambda: subprocess.check_output(
        GIBBERISH, encoding="utf-8", errors="replace"
    ),
    "gibberish: surrogates": lambda: ascii(
        subprocess.check_output(GIBBERISH, encoding="utf-8", errors="surrogateescape")
    ),
    "gibberish: Popen": lambda: started(GIBBERISH, text=True),
    "gibberish: lines": lambda: lines_of(GIBBERISH, text=True),
    "gibberish: communicate": lambda: communicated(GIBBERISH, text=True),
    "gibberish: os.popen": lambda: piped("printf 'ok \\377\\n'"),
    "endless: run": lambda: subprocess.run(ENDLESS, timeout=0.01).returncode,
    "endless: call": lambda: subprocess.call(ENDLESS, timeout=0.01),
    "endless: wait": lambda: never_waited_for(by_wait=True),
    "endless: communicate": lambda: never_waited_for(by_wait=False),
    "left half-way": left_half_way,
    "no encoding: run": lambda: refused(subprocess.run, stdout=-1, encoding="nope"),
    "no encoding: Popen": lambda: refused(subprocess.Popen, stdin=-1, encoding="nope"),
    "text and no text": lambda: refused(
        subprocess.check_output, text=True, universal_newlines=False
    ),
    "read twice": lambda: twice(["echo", "golem"]),
    "read twice: in time": lambda: all_again(stderr=subprocess.DEVNULL),
    "read twice: both outputs": lambda: all_again(stderr=-1, text=True),
    "read twice: and given more": lambda: all_again(stdin=-1, stderr=-1),
}


SAID_OTHERWISE = {"endless: run", "read twice"}
"""Where the text of an error tells a time that was left, or who has noticed."""


@pytest.mark.parametrize("name", BODIES)
def test_agent_code_meets_what_all_code_meets(name: str) -> None:
    expected = outcome(BODIES[name])
    runs = run(lambda: outcome(BODIES[name]))
    assert runs.replayed == runs.live
    if name in SAID_OTHERWISE:
        assert kinds(runs.live) == kinds(expected)
    else:
        assert runs.live == expected


def kinds(found: Any) -> Any:
    """The same without the texts of errors."""
    if isinstance(found, list) and len(found) == 2 and str(found[0]).isidentifier():
        return found[0]
    return list(map(kinds, found)) if isinstance(found, list) else found


async def executed(command: list[str], **options: Any) -> list[Any]:
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, **options)
    output, _ = await process.communicate()
    return [output, process.returncode]


async def by_shell(command: str) -> list[Any]:
    process = await asyncio.create_subprocess_shell(command, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    return [output, process.returncode]


async def given_up() -> list[Any]:
    process = await asyncio.create_subprocess_exec(*ENDLESS)
    try:
        async with asyncio.timeout(0.01):
            await process.wait()
    except TimeoutError:
        process.kill()
    return [await process.wait()]


async def left_half_way_async() -> list[Any]:
    process = await asyncio.create_subprocess_exec(*FLOOD, stdout=subprocess.PIPE)
    assert process.stdout is not None
    line = await process.stdout.readline()
    process.kill()
    await process.stdout.read()  # before all is read, Python 3.12 does not tell that it has ended
    return [line, await process.wait()]


BODIES_ASYNC: dict[str, Callable[[], Awaitable[Any]]] = {
    "missing": lambda: executed([MISSING]),
    "missing: by a shell": lambda: by_shell(f"{MISSING} 2>/dev/null"),
    "gibberish": lambda: executed(GIBBERISH),
    "endless": given_up,
    "by a shell, and not": lambda: executed(["true"], shell=True),
    "left half-way": left_half_way_async,
}


@pytest.mark.parametrize("name", BODIES_ASYNC)
def test_so_does_asynchronous_agent_code(name: str) -> None:
    expected = asyncio.run(_awaited(BODIES_ASYNC[name]))
    runs = run_async(lambda: outcome_async(BODIES_ASYNC[name]))
    assert runs.replayed == runs.live == expected


async def _awaited(body: Callable[[], Awaitable[Any]]) -> Any:
    return await outcome_async(body)


# --- odd places -----------------------------------------------------------------------------------

WAYS: dict[str, Callable[[Path], Any]] = {
    "run": lambda log: subprocess.run(noted(log), shell=True).returncode,
    "Popen": lambda log: communicated(noted(log), shell=True)[1],
    "os.system": lambda log: os.system(noted(log)),
}

each = pytest.mark.parametrize("way", WAYS)


def noted(log: Path) -> str:
    """A command that leaves a line where it can be seen how often it was run."""
    return f"echo ran >> {log}"


@each
def test_a_finaliser_that_a_count_of_references_runs_is_agent_code(
    way: str, tmp_path: Path
) -> None:
    log, codes = tmp_path / "log", list[Any]()

    class Leaver:
        def __del__(self) -> None:
            codes.append(WAYS[way](log))

    def body() -> Any:
        leaver = Leaver()
        del leaver
        return codes[-1]

    runs = run(body)
    assert runs.replayed == runs.live == 0
    assert len(codes) == 2
    assert log.read_text() == "ran\n"


@each
def test_the_body_of_a_class_is_agent_code(way: str, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def body() -> Any:
        class Settings:
            code = WAYS[way](log)

        return Settings.code

    runs = run(body)
    assert runs.replayed == runs.live == 0
    assert log.read_text() == "ran\n"


@each
def test_the_top_level_of_a_module_is_nobodys(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, log = f"runs_by_{way.replace('.', '_')}", tmp_path / "log"
    (tmp_path / f"{name}.py").write_text(
        "from pathlib import Path\n"
        "from intercept.test_intercept_bad_processes import WAYS\n"
        f"CODE = WAYS[{way!r}](Path({str(log)!r}))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        runs = run(lambda: importlib.import_module(name).CODE)
    finally:
        sys.modules.pop(name, None)
    assert runs.replayed == runs.live == 0
    assert runs.calls == []
