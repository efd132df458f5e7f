"""Linter, formatter, type checker and import contract, so that one command runs every check."""

from __future__ import annotations

import pytest

from static.source_tree import CODE_DIRECTORIES, python_files, run_python

CODE = [name for name in CODE_DIRECTORIES if python_files(name)]
LINT_IMPORTS = (
    "from importlinter.cli import lint_imports_command as run; run(prog_name='lint-imports')"
)


@pytest.mark.static
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["-m", "ruff", "check", "--no-cache", "."], id="ruff-check"),
        pytest.param(
            ["-m", "ruff", "format", "--no-cache", "--check", "--diff", "."], id="ruff-format"
        ),
        pytest.param(["-m", "mypy", "--strict", *CODE], id="mypy"),
        pytest.param(["-c", LINT_IMPORTS, "--no-cache", "--no-logo"], id="import-contract"),
    ],
)
def test_tool_finds_nothing(command: list[str]) -> None:
    finished = run_python(*command)
    assert finished.returncode == 0, finished.stdout + finished.stderr
