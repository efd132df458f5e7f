"""``golem lint``: what it prints, and its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from golem_sdk.cli.command_line import run_command_line
from golem_sdk.lint.rules import RULES

ROOT = Path(__file__).parents[2]
AGENT = "import os\nfrom golem_sdk import agent\n@agent\ndef listed(name):\n"
BAD = f"{AGENT}    os.write(name)\n    return os.read(name)\n"
GOOD = f"{AGENT}    return os.getcwd()\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text(BAD)
    (tmp_path / "good.py").write_text(GOOD)
    return tmp_path


@pytest.mark.usefixtures("place")
def test_findings(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["lint", "."]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" in ")[0] for line in lines] == [
        "bad.py:5:5: GLM003 os.write()",
        "    fix: write with open(), pathlib, os or shutil by the file's path, which is intercepted",
        "bad.py:6:12: GLM004 os.read()",
        "    fix: ask with open(), pathlib or os by the file's path, which is intercepted, or put it into a "
        "function decorated with @durable",
        "2 findings",
    ]
    assert lines[-1] == "2 findings in 2 files"


@pytest.mark.usefixtures("place")
def test_nothing_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["lint", "good.py"]) == 0
    assert capsys.readouterr().out == "nothing found in 1 file\n"


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--select", "GLM004"], ["GLM004"]),
        (["--select", "glm003, GLM004"], ["GLM003", "GLM004"]),
        (["--ignore", "GLM004"], ["GLM003"]),
        (["--select", "GLM003", "--ignore", "GLM003"], []),
    ],
)
def test_chosen_rules_as_json(
    options: list[str], left: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["lint", "bad.py", "--format", "json", *options]) == bool(left)
    printed = json.loads(capsys.readouterr().out)
    assert [each["code"] for each in printed["findings"]] == left
    assert {each["path"] for each in printed["findings"]} <= {"bad.py"}
    assert all(
        each.keys() == {"path", "line", "column", "code", "message", "fix"}
        for each in printed["findings"]
    )
    assert (printed["files"], printed["unreadable"]) == (1, [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"def (:\n", "broken.py: it is no Python of this version, line 1: invalid syntax"),
        (b"x = '\xff'\n", "broken.py: it is no Python of this version: "),
        (b"# coding: nonsense\n", "broken.py: it is no Python of this version: unknown encoding"),
        (b"x = 1\x00\n", "broken.py: it is no Python of this version: "),
    ],
)
def test_a_file_that_is_no_python(
    content: bytes, said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "broken.py").write_bytes(content)
    assert run_command_line(["lint", "."]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"golem: {said}")
    assert printed.out.splitlines()[-1] == "2 findings in 3 files"  # of the others


def test_a_file_that_cannot_be_read(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "broken.py").symlink_to("broken.py")
    (place / "gone.py").symlink_to("nowhere")
    assert run_command_line(["lint", "."]) == 2
    assert "golem: gone.py: it cannot be read: " in capsys.readouterr().err


def test_what_is_below_a_directory(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("package", ".hidden", "__pycache__", "environment", "node_modules"):
        (place / name).mkdir()
        (place / name / "one.py").write_text(BAD)
    (place / "environment" / "pyvenv.cfg").touch()
    (place / "loop").symlink_to(place)
    (place / "notes.txt").write_text(BAD)
    assert run_command_line(["lint", ".", "bad.py", "--format", "json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert {each["path"] for each in printed["findings"]} == {"bad.py", "package/one.py"}
    assert printed["files"] == 3


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "golem: say which files or directories: golem lint PATH..."),
        (["nowhere"], "golem: there is no nowhere"),
        (["--select", "GLM999,E1", "."], "golem: there is no rule E1, GLM999; golem lint --rules"),
        (["--ignore", "x", "."], "golem: there is no rule X;"),
    ],
)
def test_bad_input(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["lint", *arguments]) == 2
    assert capsys.readouterr().err.startswith(said)


def test_file_names_are_inert(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "evil\x1b[2J.py").write_text(BAD)
    assert run_command_line(["lint", "."]) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_the_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["lint", "--rules"]) == 0
    text = capsys.readouterr().out
    assert all(f"{rule.code}  {rule.finds}" in text and rule.fix in text for rule in RULES)
    assert run_command_line(["lint", "--rules", "--format", "json", "--select", "GLM001"]) == 0
    [rule] = json.loads(capsys.readouterr().out)
    assert rule["code"] == "GLM001"
    assert rule.keys() == {"code", "finds", "why", "fix", "bad", "good"}


def test_nothing_is_run(tmp_path: Path) -> None:
    (tmp_path / "writes.py").write_text("open('ran', 'w')\n")
    finished = subprocess.run(
        [sys.executable, "-m", "golem_sdk.cli", "lint", "writes.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (0, "nothing found in 1 file\n")
    assert not (tmp_path / "ran").exists()


def test_the_agents_of_this_project_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    places = [str(ROOT / name) for name in ("golem_sdk", "examples")]
    assert run_command_line(["lint", *places]) == 0, capsys.readouterr().out
