"""Every example that a user may copy runs: the README's blocks and the docstrings'."""

from __future__ import annotations

import doctest
import importlib
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from static.source_tree import ROOT, module_name, python_files

if TYPE_CHECKING:
    from pathlib import Path

MODULES = [name for name in map(module_name, python_files("golem_sdk")) if "__main__" not in name]


def python_blocks(page: str) -> str:
    """The page with everything blanked but its Python blocks: line numbers stay the page's own."""
    kept, inside = [], False
    for line in page.splitlines():
        if line.startswith("```"):
            inside = line.strip() == "```python"
            kept.append("")
        else:
            kept.append(line if inside else "")
    return "\n".join(kept) + "\n"


def test_only_python_blocks_are_kept_and_lines_stay() -> None:
    page = "text\n```python\nx = 1\n```\n```bash\nls\n```\n```python\ny = x\n```\n"
    assert python_blocks(page) == "\n\nx = 1\n\n\n\n\n\ny = x\n\n"


def test_readme_blocks_run_in_order_as_one_program(tmp_path: Path) -> None:
    program = tmp_path / "readme.py"
    program.write_text(python_blocks((ROOT / "README.md").read_text()))
    assert program.read_text().strip(), "README.md has no Python block"
    finished = subprocess.run(
        [sys.executable, "-W", "error", program.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


@pytest.mark.static
def test_readme_and_ci_run_the_same_tests() -> None:
    readme, ci = ((ROOT / name).read_text() for name in ("README.md", ".ci/run"))
    (command,) = set(re.findall(r"bin/(pytest [^`\n]*)", readme))
    assert f'"$venv"/bin/{command}' in ci
