"""The curves of a result file become pictures; without matplotlib, a hint."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
POINTS = [[1, [0.001, 0.002]], [10, [0.01, 0.012]], [100, [0.1, 0.11]]]
WITHOUT = "import sys; sys.modules['matplotlib'] = None; "


def plotted(
    directory: Path, curves: list[str], before: str = ""
) -> subprocess.CompletedProcess[str]:
    file = directory / "figures.json"
    told = {
        "machine": "a machine",
        "curves": [{"name": name, "taken_s": POINTS} for name in curves],
    }
    file.write_text(json.dumps(told))
    code = (
        f"{before}from pathlib import Path; from benchmarks.plots import plot;"
        f"print(*plot(Path({str(file)!r}), Path({str(directory / 'pictures')!r})), sep='\\n')"
    )
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_each_curve_becomes_two_pictures(tmp_path: Path) -> None:
    done = plotted(tmp_path, ["in flight", "entries replayed", "payload", "agents made"])
    assert done.returncode == 0, done.stderr
    files = [Path(line) for line in done.stdout.splitlines()]
    names = [
        f"{name}.{kind}"
        for name in ("throughput", "recovery", "payload")
        for kind in ("png", "svg")
    ]
    assert [file.name for file in files] == names
    for file in files:
        start = b"\x89PNG" if file.suffix == ".png" else b"<?xml"
        assert file.read_bytes().startswith(start)


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path) -> None:
    done = plotted(tmp_path, ["payload"], WITHOUT)
    assert done.returncode == 1
    assert done.stderr == "plots need matplotlib: pip install 'golem_sdk[bench]'\n"
    assert not (tmp_path / "pictures").exists()


def test_a_file_without_curves_is_told(tmp_path: Path) -> None:
    done = plotted(tmp_path, [])
    assert done.returncode == 1
    assert "has no curves" in done.stderr
