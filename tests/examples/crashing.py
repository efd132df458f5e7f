"""Runs an example, kills it at random moments and starts it again, until it has finished."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def start(
    script: str, environment: Mapping[str, str], *arguments: str, stderr: int | None = None
) -> subprocess.Popen[bytes]:
    """An example as a process; its output comes through an unbuffered pipe."""
    return subprocess.Popen(
        [sys.executable, str(EXAMPLES / script), *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=stderr,
        bufsize=0,
    )


def run(script: str, environment: Mapping[str, str]) -> str:
    """The whole output of a run that nobody disturbs."""
    with start(script, environment) as process:
        output, _ = process.communicate()
    assert process.returncode == 0
    return output.decode()


def run_killed(
    script: str, environment: Mapping[str, str], kills: int, dice: random.Random, most_bytes: int
) -> list[str]:
    """The outputs of all lives of one run; each but the last is ended by SIGKILL.

    A life is killed after so many bytes of output as the dice say, so it always gets somewhere.
    """
    outputs = []
    for _ in range(kills):
        with start(script, environment) as process:
            wanted = dice.randint(1, most_bytes)
            outputs.append(_read(process, wanted))
            process.kill()
        if process.returncode == 0:  # it had finished before
            break
        assert process.returncode == -9
    return [*outputs, run(script, environment)]


def _read(process: subprocess.Popen[bytes], wanted: int) -> str:
    assert process.stdout is not None
    parts = []
    while wanted > 0 and (part := process.stdout.read(min(wanted, 64))):
        parts.append(part)
        wanted -= len(part)
    return b"".join(parts).decode(errors="replace")


def complete_lines(outputs: list[str]) -> list[str]:
    """All lines that came out whole, of all lives."""
    return [line for output in outputs for line in output.split("\n")[:-1]]
