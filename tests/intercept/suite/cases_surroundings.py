"""What agents ask of the machine, the process and the user."""

from __future__ import annotations

import getpass
import os
import platform
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intercept.suite.case import Case

if TYPE_CHECKING:
    from typing import Self

__all__ = ["CASES"]


class Keyboard:
    """A user who always says yes, or nothing."""

    writes = ()

    def __init__(self) -> None:
        self.trace: list[object] = []
        self.is_silent = False
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before, sys.stdin = sys.stdin, self
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdin = self._before

    def readline(self) -> str:
        self.trace.append("asked")
        return "" if self.is_silent else "yes\n"


def asks_the_machine(_: object) -> list[Any]:
    machine = platform.uname()
    return [
        os.getpid(),
        Path.cwd().name,
        socket.gethostname(),
        platform.platform(terse=True),
        [*machine],
        getpass.getuser(),
    ]


def asks_too_much(_: object) -> None:
    platform.platform(terse=True, too="much")  # type: ignore[call-arg]  # the point


def asks_the_user(_: Keyboard) -> list[Any]:
    return [input(), input("Again? ")]


def asks_nobody(keyboard: Keyboard) -> None:
    keyboard.is_silent = True
    input()


CASES = [
    Case("machine", "surroundings", asks_the_machine, asks_too_much),
    Case("input", "surroundings", asks_the_user, asks_nobody, Keyboard),
]
