"""Where the peers are installed: environments of their own in a cache, made once and used again."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.processes import CannotRunError, output

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["default_cache", "node_program", "python_with"]


def default_cache() -> Path:
    """The user's cache directory, as the XDG specification names it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "golem_sdk", "peers")


def python_with(cache: Path, name: str, packages: Sequence[str]) -> str:
    """An interpreter that can import these packages from the Python package index.

    Raises:
        CannotRunError: they could not be installed.
    """
    place = (cache / f"{name}-{sys.version_info.major}.{sys.version_info.minor}").absolute()
    python = str(place / "bin" / "python")
    if not _is_made(place):
        output([sys.executable, "-m", "venv", "--clear", str(place)])
        output([python, "-m", "pip", "install", "--quiet", *packages])
        _say_made(place)
    return python


def node_program(cache: Path, name: str, package: str, program: str) -> str:
    """A program of this package of npm's registry.

    Raises:
        CannotRunError: there is no npm, or it could not install the package.
    """
    place = (cache / name).absolute()
    if not _is_made(place):
        if shutil.which("npm") is None:
            raise CannotRunError(f"{package} comes with npm, and there is none on PATH")
        place.mkdir(parents=True, exist_ok=True)
        # Without the scripts of packages: one of them only counts installations.
        output(["npm", "install", "--silent", "--ignore-scripts", "--prefix", str(place), package])
        _say_made(place)
    return str(place / "node_modules" / ".bin" / program)


def _is_made(place: Path) -> bool:
    return (place / "made").exists()


def _say_made(place: Path) -> None:
    (place / "made").touch()
