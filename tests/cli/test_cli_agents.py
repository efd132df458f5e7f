from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from cli.shelf import HOSTILE, Shelf, fill, golem
from golem_sdk import Runtime
from golem_sdk.cli.command_line import run_command_line

if TYPE_CHECKING:
    from pathlib import Path

SHELF = 'Shelf("a")'


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shelf") / "store"
    fill(path)
    return path


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("GOLEM_STORE", raising=False)


def text_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run_command_line(arguments) == 0
    return capsys.readouterr().out


def test_agents_are_listed(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header, *lines = text_of(capsys, "agent", "list", "--store", str(store)).splitlines()
    assert header.split() == ["AGENT", "STATUS", "DONE", "WAITING", "UPDATED", "ERROR"]
    assert lines[0].startswith(f"{SHELF} ")
    assert lines[0].split()[1:4] == ["idle", "3", "0"]  # its construction, take and fail
    assert lines[1].startswith("repeat(")


def test_agents_are_listed_as_json(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = text_of(capsys, "agent", "list", "--store", str(store), "--format", "json")
    shelf = json.loads(output)[0]
    assert (shelf["agent_id"], shelf["agent_type"], shelf["status"]) == (SHELF, "Shelf", "idle")
    assert (shelf["completed"], shelf["pending"], shelf["error"]) == (3, 0, "")


def test_the_store_may_come_from_the_environment(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLEM_STORE", str(store))
    assert SHELF in text_of(capsys, "agent", "list")


def test_an_oplog_is_shown_a_line_per_entry(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = text_of(capsys, "agent", "oplog", SHELF, "--store", str(store)).splitlines()
    assert lines[0].startswith(f"{SHELF}, begun ")
    assert lines[1].split() == ["#", "TIME", "ENTRY", "CALL", "WHAT", "SOURCE"]
    numbers = [int(line.split()[0]) for line in lines[2:]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("Create", [SHELF]),
        ("Invoked", ["take('book')"]),
        ("read-remote", ["look_up", "'book'", "→ raised LookupError('no book')", "shelf.py:"]),
        ("write-remote", ["ship", "'book'", "→ 'T-book'", "shelf.py:"]),
        ("Log", ["stdout: no price: no book"]),
        ("CallSite", ["shelf.py:"]),
        ("Completed", ["→ 'T-book'"]),
        ("Completed", ["→ raised ValueError('broken shelf')"]),
    ],
)
def test_an_entry_tells_what_happened(
    store: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    parts: list[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    lines = text_of(capsys, "agent", "oplog", SHELF, "--store", str(store)).splitlines()
    found = [line for line in lines if kind in line and all(part in line for part in parts)]
    assert found, "\n".join(lines)


def test_an_oplog_is_shown_as_json(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = text_of(capsys, "agent", "oplog", SHELF, "--store", str(store), "--format", "json")
    entries: list[dict[str, Any]] = json.loads(output)
    assert [entry["index"] for entry in entries] == list(range(1, len(entries) + 1))
    (call,) = [entry for entry in entries if entry.get("function_type") == "write-remote"]
    assert call["kind"] == "ImportedFunctionInvoked"
    assert call["function_name"].endswith("ship")
    assert (call["outcome"], call["failed"]) == ("T-book", False)


def test_stored_text_is_inert(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listing = text_of(capsys, "agent", "list", "--store", str(store))
    listed = text_of(capsys, "agent", "list", "--store", str(store), "--format", "json")
    agent_id = json.loads(listed)[1]["agent_id"]
    oplog = text_of(capsys, "agent", "oplog", agent_id, "--store", str(store))
    assert "evil" in oplog
    for text in (listing, listed, oplog):
        assert not {"\x1b", "\u202e"} & set(text)
    assert HOSTILE.isprintable() is False


def test_an_owned_store_can_be_looked_at(store: Path) -> None:
    with Runtime(store) as runtime:
        runtime.get(Shelf, "a").take("pen")
        finished = golem("agent", "oplog", SHELF, "--store", str(store))
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "T-pen" in finished.stdout


# --- what goes wrong ------------------------------------------------------------------------------


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run_command_line(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("golem: ")
    return line


def test_a_store_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "nowhere"
    assert f"there is no store at {path}" in complaint(
        capsys, "agent", "list", "--store", str(path)
    )
    assert not path.exists()


def test_a_directory_that_is_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert str(tmp_path) in complaint(capsys, "agent", "list", "--store", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_an_agent_that_is_not_there(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = complaint(capsys, "agent", "oplog", "Shelf(\x1b)", "--store", str(store))
    assert "has no agent Shelf(\\x1b)" in line


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["agent"],
        ["agent", "oplog"],
        ["agent", "list", "--format", "xml"],
        ["nonsense"],
        ["demo", "--kills", "-1"],
        ["demo", "--orders", "0"],
        ["demo", "--orders", "many"],
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run_command_line(arguments)
    assert left.value.code == 2
    assert "usage: golem" in capsys.readouterr().err


def test_help_and_version_are_fine() -> None:
    for arguments in (["--help"], ["demo", "--help"], ["agent", "oplog", "--help"], ["--version"]):
        finished = golem(*arguments)
        assert (finished.returncode, finished.stderr) == (0, "")
        assert "golem" in finished.stdout


def test_an_empty_store_has_no_agents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Runtime(tmp_path / "store"):
        pass
    output = text_of(capsys, "agent", "list", "--store", str(tmp_path / "store"))
    assert output == "the store has no agents\n"


def test_a_reader_that_has_seen_enough_gets_no_traceback(store: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "golem_sdk.cli", "agent", "list", "--store", str(store)]
    with os.fdopen(write_end, "wb") as pipe:
        finished = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert (finished.returncode, finished.stderr) == (1, b"")


def test_an_ascii_terminal_gets_escapes(store: Path) -> None:
    finished = golem("agent", "oplog", SHELF, "--store", str(store), PYTHONIOENCODING="ascii")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "\\u2192" in finished.stdout
