"""Files in the agent's own directory that agent code has open while a process writes there."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest

from golem_sdk import workspace
from golem_sdk.durability import is_live
from intercept.replaying import Crash, run, same


@pytest.mark.parametrize("mode", ["w", "a"])
def test_agent_code_writes_on_where_a_process_has_left_a_file(mode: str) -> None:
    def body() -> list[Any]:
        with open(workspace() / "log", mode) as log, open(workspace() / "other", "a") as other:
            log.write("before ")
            log.flush()
            subprocess.run("printf 'run '", shell=True, stdout=log, check=True)
            log.write("between ")
            log.flush()
            command = "printf 'popen '; printf 'told ' >>other; printf new >new; mv new moved"
            (workspace() / "moved").write_text("old")
            moved = (workspace() / "moved").open()
            subprocess.Popen(command, shell=True, cwd=workspace(), stdout=log.fileno()).wait()
            log.write("after")
            other.write("after")
        with moved:
            return [moved.read(), *(path.read_text() for path in sorted(workspace().iterdir()))]

    assert same(run(body)) == ["old", "before run between popen after", "new", "told after"]


def test_a_process_that_is_started_again_writes_a_file_again() -> None:
    crash = Crash()

    def body() -> str:
        with (workspace() / "log").open("w") as log:
            process = subprocess.Popen(["/bin/cat"], stdin=-1, stdout=log, bufsize=0)
            assert process.stdin is not None
            process.stdin.write(b"one ")
            while not os.fstat(log.fileno()).st_size and is_live():
                pass
            process.poll()
            crash.here()
            process.stdin.write(b"two ")
            process.stdin.close()
            process.wait()
            log.write("after")
        return (workspace() / "log").read_text()

    assert crash.outcome(body) == "one two after"
