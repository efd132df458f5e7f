"""A store to look at: a class agent, a function agent, and one that speaks in control characters."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from golem_sdk import FunctionType, Runtime, agent, durable

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "\x1b[2J\u202eevil\n"


@durable
def ship(item: str) -> str:
    return f"T-{item}"


@durable(function_type=FunctionType.READ_REMOTE)
def look_up(item: str) -> str:
    raise LookupError(f"no {item}")


@agent
class Shelf:
    def __init__(self, name: str) -> None:
        self.name = name

    def take(self, item: str) -> str:
        try:
            look_up(item)
        except LookupError as error:
            print(f"no price: {error}")
        return ship(item)

    def fail(self) -> None:
        raise ValueError("broken shelf")


@agent
def repeat(text: str) -> str:
    print(text)
    return ship(text)


def fill(path: Path) -> None:
    """Make the store."""
    with Runtime(path) as runtime:
        shelf = runtime.get(Shelf, "a")
        shelf.take("book")
        try:
            shelf.fail()
        except ValueError:
            runtime.run(repeat, HOSTILE)


def golem(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the ``golem`` command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "golem_sdk.cli", *arguments],
        env={**os.environ, "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
