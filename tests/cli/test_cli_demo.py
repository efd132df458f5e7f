"""The demo as users run it: a process with children, which it always takes along."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.shelf import golem
from golem_sdk.cli.command_line import run_command_line
from golem_sdk.cli.demo.verdict import ResultCheck, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_a_small_demo_passes_and_can_be_looked_at(tmp_path: Path) -> None:
    store = tmp_path / "store"
    arguments = ["--orders", "2", "--kills", "2", "--seed", "7", "--format", "json"]
    finished = golem("demo", *arguments, "--store", str(store))
    assert finished.returncode == 0, finished.stderr
    report = json.loads(finished.stdout)
    assert report["passed"] is True
    assert len(report["kills"]) == 2
    assert all(check["expected"] == check["happened"] for check in report["effects"])
    listed = golem("agent", "list", "--store", str(store)).stdout
    assert listed.count("fulfil_order(") == 2
    assert listed.count("research_topic(") == 2
    oplog = golem("agent", "oplog", 'fulfil_order("order-1")', "--store", str(store)).stdout
    assert "Fulfilment(order='order-1'" in oplog  # its class is not imported there
    assert "/payments/charge" in oplog
    again = golem("demo", *arguments, "--store", str(store))
    assert again.returncode == 2
    assert "exists already" in again.stderr


@pytest.mark.once
def test_plain_output_tells_the_story(tmp_path: Path) -> None:
    finished = golem("demo", "--orders", "1", "--kills", "1", "--seed", "1", TMPDIR=str(tmp_path))
    assert finished.returncode == 0, finished.stderr
    assert "kill -9" in finished.stdout
    assert "order-1: shipped as T-" in finished.stdout
    assert finished.stdout.rstrip().splitlines()[-1].startswith("PASSED: killed 1 times")
    assert "\x1b" not in finished.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_bad_end_is_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = Verdict((), ResultCheck(1, ("order-1",), ()), (), seed=3)
    monkeypatch.setattr("golem_sdk.cli.demo.command.direct", lambda *_: bad)
    assert run_command_line(["demo"]) == 1
    printed = capsys.readouterr().out
    assert "WRONG RESULT of order-1" in printed
    assert "FAILED" in printed


def test_without_httpx_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("golem_sdk.cli.demo.command.find_spec", lambda name: None)
    assert run_command_line(["demo"]) == 1
    assert "pip install 'golem_sdk[demo]'" in capsys.readouterr().err


def test_a_worker_that_cannot_start_is_told(tmp_path: Path) -> None:
    (tmp_path / "httpx.py").write_text("raise ImportError('a broken httpx')")
    finished = golem("demo", PYTHONPATH=str(tmp_path), TMPDIR=str(tmp_path))
    assert finished.returncode == 1
    assert "the demo broke off" in finished.stderr
    assert "a broken httpx" in finished.stderr
    assert [path.name for path in tmp_path.glob("golem-demo-*")] == []


STANDS_STILL = """
import sys
if "golem_sdk.cli.demo.service" in sys.orig_argv:
    from itertools import count
    from golem_sdk import originals
    sleep, waits = originals.sleep, count()
    originals.sleep = lambda seconds: sleep(seconds if next(waits) < 60 else 3600)
"""
"""Of some hundred answers the service gives the first ones: the demo does not come to its end."""


@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_no_process_outlives_the_demo(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    sent: signal.Signals,
    status: int,
) -> None:
    customized = tmp_path_factory.mktemp("customized")
    (customized / "sitecustomize.py").write_text(STANDS_STILL)
    path = os.pathsep.join(filter(None, [str(customized), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-u", "-m", "golem_sdk.cli", "demo", "--kills", "0"]
    with subprocess.Popen(
        command,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # A job in the background of a shell ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as demo:
        assert demo.stdout is not None
        while "reserved" not in demo.stdout.readline():
            assert demo.poll() is None
        children = list(_children(demo.pid))
        assert len(children) >= 2, "the service and the worker"
        demo.send_signal(sent)
        assert demo.wait() == status
    for child in children:
        _await_end(child)
        os.close(child)
    assert sent is signal.SIGKILL or list(tmp_path.iterdir()) == []


def _children(pid: int) -> Iterator[int]:
    """Descriptors of those that live; the run without crashes may just have ended."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            for child in (task / "children").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    yield os.pidfd_open(int(child))


def _await_end(pidfd: int) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(30_000), "a child process has outlived the demo"
