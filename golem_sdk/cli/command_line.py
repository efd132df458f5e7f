"""The ``golem`` command line: its commands, and what becomes of their errors."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, NoReturn

from golem_sdk.cli.agents import add_agent_commands
from golem_sdk.cli.demo.command import add_demo_command
from golem_sdk.cli.doctor import add_doctor_command
from golem_sdk.cli.fuzz import add_fuzz_command
from golem_sdk.cli.lint import add_lint_command
from golem_sdk.cli.output import CommandError, shorten, visible
from golem_sdk.errors import GolemError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["run_command_line"]

_INTERRUPTED = 130
_LONGEST_MESSAGE = 1000


def run_command_line(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status.

    Args:
        arguments: the command line without the program's name; by default that of this process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # never fail on what a terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except CommandError as error:
        return _complain(str(error), error.status)
    except GolemError as error:
        return _complain(" ".join(str(error).split()), 1)
    except KeyboardInterrupt:
        print("\ngolem: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _complain(message: str, status: int) -> int:
    for line in message.splitlines():
        print(f"golem: {shorten(visible(line), _LONGEST_MESSAGE)}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    """Repeats what it does not understand in inert text; so do the parsers of its commands."""

    def error(self, message: str) -> NoReturn:
        super().error(shorten(visible(message), _LONGEST_MESSAGE))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="golem", description="Durable agents in plain Python: they survive kill -9."
    )
    parser.add_argument("--version", action="version", version=f"golem_sdk {_version()}")
    commands: argparse._SubParsersAction[Any] = parser.add_subparsers(
        title="commands", required=True, metavar="COMMAND"
    )
    add_demo_command(commands)
    add_agent_commands(commands)
    add_fuzz_command(commands)
    add_doctor_command(commands)
    add_lint_command(commands)
    return parser


def _version() -> str:
    try:
        return version("golem_sdk")
    except PackageNotFoundError:
        return "(not installed)"
