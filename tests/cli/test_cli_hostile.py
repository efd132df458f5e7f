"""Whatever stands in a store or on the command line, the terminal is shown inert text and JSON stays JSON."""

from __future__ import annotations

import argparse
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from cli import evil
from golem_sdk.cli import command_line, output
from golem_sdk.cli.command_line import run_command_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IDS = evil.ids()
AGENTS = range(len(IDS))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("evil") / "store"
    evil.fill(path)
    return path


@pytest.fixture
def run(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command on a copy of the store; what it printed was looked at."""
    store = tmp_path / "store"
    shutil.copytree(made, store, ignore=shutil.ignore_patterns("lock.mdb"))
    monkeypatch.setenv("GOLEM_STORE", str(store))
    monkeypatch.setenv("COLUMNS", "120")

    def command(*arguments: str) -> tuple[int, str, str]:
        try:
            status = run_command_line(arguments)
        except SystemExit as left:
            status = int(left.code or 0)
        printed = capsys.readouterr()
        for text in (printed.out, printed.err):
            inert(text)
        return status, printed.out, printed.err

    return command


def inert(text: str) -> None:
    """Only lines of printable characters; the only line ends are newlines."""
    for line in text.split("\n"):
        assert line.isprintable(), f"{line!r:.300}"


def test_what_could_act_is_noticed() -> None:
    for text in evil.TEXTS[:7]:
        with pytest.raises(AssertionError):
            inert(text.replace("\n", "\x1b"))


def test_every_command_is_in_these_tests() -> None:
    """A new command has to be added below, or tested for itself."""
    tested = {"list", "oplog", "resume", "revert"}
    parser = command_line._parser()
    (commands,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    agent = commands.choices["agent"]
    (actions,) = [a for a in agent._actions if isinstance(a, argparse._SubParsersAction)]
    assert {*actions.choices} == tested
    assert {*commands.choices} - {"fuzz", "doctor", "lint"} == {"agent", "demo"}


def test_list(run: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _ = run("agent", "list")
    assert status == 0
    assert len(out.splitlines()) == 1 + len(IDS)
    status, out, _ = run("agent", "list", "--format", "json")
    assert out.isascii()
    assert {agent["agent_id"] for agent in json.loads(out)} == {*IDS}


@pytest.mark.parametrize("number", AGENTS)
def test_oplog(run: Callable[..., tuple[int, str, str]], number: int) -> None:
    status, out, _ = run("agent", "oplog", IDS[number])
    assert status == 0
    lines = out.splitlines()
    assert max(map(output.cell_width, lines[1:])) <= 120
    status, out, _ = run("agent", "oplog", IDS[number], "--format", "json")
    assert (status, out.isascii()) == (0, True)
    entries = json.loads(out)
    assert len(lines) == 2 + len(entries)
    assert entries[0]["agent_id"] == IDS[number]
    kinds = {entry["kind"] for entry in entries}
    assert len(kinds) > 12, kinds


@pytest.mark.parametrize("number", AGENTS)
def test_resume_and_revert(run: Callable[..., tuple[int, str, str]], number: int) -> None:
    assert run("agent", "revert", IDS[number], "--to-index", "10000")[0] == 1
    assert run("agent", "revert", IDS[number], "--invocations", "77")[0] == 1
    status, out, err = run("agent", "revert", IDS[number], "--to-index", "2")
    assert (status, len(out.splitlines())) == (0, 1), err
    assert run("agent", "resume", IDS[number], "--did-not-happen")[0] == 1


@pytest.mark.parametrize("number", AGENTS)
def test_agents_that_are_not_there(run: Callable[..., tuple[int, str, str]], number: int) -> None:
    name = f"x{evil.TEXTS[number]}"
    for arguments in (
        ["oplog", name],
        ["revert", name, "--to-index", "1"],
        ["resume", name, "--did-not-happen"],
        ["resume", name, "--happened", f'"{name}'],
        ["list", name],
        ["oplog", "x", name],
        [name],
        ["list", "--format", name],
        ["list", f"--store={name}"],
        ["oplog", "x", f"--store={name}"],
        ["resume", "x", f"--store={name}", "--did-not-happen"],
        ["revert", "x", "--invocations", name],
    ):
        status, out, err = run("agent", *arguments)
        assert status in (1, 2), arguments
        assert out == ""
        assert err


HOSTILE = [
    *(["revert", "x", "--to-index", number] for number in ("0", "-1", "9" * 30, "1e3", "٣")),
    *(["revert", IDS[0], "--to-index", number] for number in ("0", "-1", "9" * 30, str(2**64))),
    *(["revert", IDS[0], "--invocations", number] for number in ("0", "-1", "9" * 30)),
    *(["resume", "x", "--happened", text] for text in ("", "{", "[" * 100_000, "NaN", "1" * 5000)),
    ["resume", "x", "--happened", '{"a": 1, "a": 2'],
    ["resume", "x", "--happened", "1", "--did-not-happen"],
    *(
        [command, "", "--to-index", "1"][: 4 if command == "revert" else 2]
        for command in ("oplog", "revert")
    ),
    *([command, "a\0b"] for command in ("oplog",)),
    ["revert", "a\0b", "--to-index", "1"],
    ["resume", "a\0b", "--did-not-happen"],
    ["list", "--store", "a\0b"],
    ["list", "--store", "x" * 10_000],
    ["list", "--store", "/proc/self/mem"],
    ["list", "--store", "/dev/null/x"],
    ["resume", "x", "--did-not-happen", "--store", "x" * 10_000],
    ["resume", "x", "--did-not-happen", "--store", "a\0b"],
    ["resume", "x", "--did-not-happen", "--store", "/dev/null/x"],
]


@pytest.mark.parametrize("arguments", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_arguments_are_refused_in_words(
    run: Callable[..., tuple[int, str, str]], arguments: list[str]
) -> None:
    status, out, err = run("agent", *arguments)
    assert status in (1, 2)
    assert out == ""
    assert "golem" in err
    assert len(err) < 2000


@pytest.mark.parametrize(
    "broken", [lambda text: text, lambda text: text.replace("\x1b", "")], ids=["raw", "half"]
)
def test_a_command_that_prints_raw_text_is_noticed(
    run: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[[str], str],
) -> None:
    for module in ("agents", "command_line", "mending"):
        monkeypatch.setattr(f"golem_sdk.cli.{module}.visible", broken)
    for arguments in (["list"], ["oplog", IDS[2]], ["revert", IDS[2], "--to-index", "2"]):
        with pytest.raises(AssertionError):
            run("agent", *arguments)
