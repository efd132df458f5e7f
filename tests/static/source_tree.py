"""What the static tests share: where the project is, its files and its commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE_DIRECTORIES = ("golem_sdk", "tests", "examples", "benchmarks")


def python_files(*directories: str) -> list[Path]:
    """Every Python file below these directories of the project, sorted."""
    return sorted(path for name in directories for path in (ROOT / name).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def text_files() -> list[Path]:
    """Every file of the project that people read: code, pages, settings and scripts."""
    top = [path for path in ROOT.iterdir() if path.suffix in {".md", ".toml"}]
    below = [path for name in (*CODE_DIRECTORIES, "docs") for path in (ROOT / name).rglob("*")]
    scripts = [path for path in (ROOT / ".ci").rglob("*") if path.is_file()]
    return sorted({*top, *scripts, *(path for path in below if path.suffix in {".md", ".py"})})


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter in the project's root; gives its output, whatever its exit status."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
