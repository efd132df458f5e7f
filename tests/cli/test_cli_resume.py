"""An operator says what became of a write, from the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from golem_sdk.cli.command_line import run_command_line

if TYPE_CHECKING:
    from pathlib import Path

PAYOUT = """
import os, sys
from golem_sdk import Runtime, agent, durable, idempotence_mode

@durable
def wire(cents: int) -> str:
    if sys.argv[1] == "die":
        os._exit(9)
    return f"sent {cents}"

@agent
def payout(cents: int) -> str:
    with idempotence_mode(False):
        return wire(cents)

with Runtime() as runtime:
    print(runtime.run(payout, 5))
"""


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    script = tmp_path / "payout.py"
    script.write_text(PAYOUT)
    monkeypatch.setenv("GOLEM_STORE", str(tmp_path / "store"))
    assert run(script, "die").returncode == 9
    parked = run(script, "live")
    assert parked.returncode == 1
    assert "UnknownOutcomeError" in parked.stderr
    return script


def run(script: Path, how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), how],
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )


@pytest.mark.parametrize(
    ("said", "result"),
    [(["--happened", '"by hand"'], "by hand\n"), (["--did-not-happen"], "sent 5\n")],
    ids=["happened", "did-not-happen"],
)
def test_a_parked_agent_goes_on(life: Path, said: list[str], result: str) -> None:
    assert run_command_line(["agent", "resume", "payout(5)", *said]) == 0
    assert run(life, "live").stdout == result


def test_bad_input_is_explained(life: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in [
        (["payout(6)", "--did-not-happen"], "no agent payout(6)"),
        (["payout(5)", "--happened", "{"], "as JSON"),
    ]:
        assert run_command_line(["agent", "resume", *arguments]) == 1
        assert said in capsys.readouterr().err
    assert run_command_line(["agent", "resume", "payout(5)", "--happened", "null"]) == 0
    assert run_command_line(["agent", "resume", "payout(5)", "--happened", "null"]) == 1
    assert "no write with an unknown outcome" in capsys.readouterr().err


def test_the_write_is_reverted_and_made_again(life: Path) -> None:
    assert run_command_line(["agent", "revert", "payout(5)", "--to-index", "2"]) == 0
    assert run(life, "live").stdout == "sent 5\n"


def test_what_cannot_be_reverted_is_explained(
    life: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, said in [
        (["payout(6)", "--to-index", "1"], "no agent payout(6)"),
        (["payout(5)", "--to-index", "0"], "must be one of 1 to"),
        (["payout(5)", "--invocations", "2"], "has begun 1"),
    ]:
        assert run_command_line(["agent", "revert", *arguments]) == 1
        assert said in capsys.readouterr().err
