"""What is outside an agent's own directory, and links that lead there."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from golem_sdk import workspace

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["exchange", "linked", "outside"]


def outside(place: Path) -> Path:
    """A directory with another one, of two files, and a file; ``gone`` is not there."""
    place = place / "out"
    (place / "tree" / "deep").mkdir(parents=True)
    for name in ("tree/leaf", "tree/deep/low", "file"):
        (place / name).write_text(name)
    return place


def exchange(out: Path) -> None:
    """Nothing there is what it was."""
    shutil.rmtree(out)
    (out / "file").mkdir(parents=True)
    (out / "file" / "inside").touch()
    (out / "tree").write_text("a file by now")
    (out / "gone").mkdir()


def linked(out: Path) -> Path:
    """The agent's own directory with links out of it, one that stays in it, and what is no link."""
    place = workspace()
    for name in ("tree", "file", "gone"):
        (place / name).symlink_to(out / name)
    (place / "own").mkdir()
    (place / "own" / "leaf").write_text("mine")
    (place / "inner").symlink_to("own")
    return place
