"""The ``golem`` command.

Exit status: 0 fine, 1 it failed, 2 it was called wrongly, 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> int:
    """Run the command that this process was started with; gives the exit status."""
    # Not before: the demo's child processes import this package, too, and have their start measured.
    from golem_sdk.cli.command_line import run_command_line

    return run_command_line()
