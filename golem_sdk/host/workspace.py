"""The agent's own directory."""

from __future__ import annotations

from pathlib import Path

from golem_sdk.durability import own_directory
from golem_sdk.errors import UsageError

__all__ = ["workspace"]


def workspace() -> Path:
    r"""The running agent's own directory, for the files that it works with.

    It is made when it is first asked for, private to the user, below the store's directory, and is at the
    same place as long as the store is. It begins empty, in replay too, which fills it again: what agent code
    writes there is written again, and what it reads there is not recorded, so that it costs no more than
    anywhere else. What processes and functions decorated with `durable` change in it is recorded with their
    call, and restored in replay. Give others a copy: renaming or linking across its border raises the
    `OSError` of another file system, and `shutil.move` copies then. What is reached by a link in it that
    leads out is outside, and recorded.

    The times and inode numbers of its files are those of the present life. An agent of a runtime in memory
    has a temporary directory, which is removed when the runtime is closed.

    Returns:
        The directory, an absolute path.

    Raises:
        UsageError: not in an agent.

    Example:
        >>> from golem_sdk import Runtime, agent, workspace
        >>> @agent
        ... class Notebook:
        ...     def __init__(self, name: str) -> None:
        ...         self.path = workspace() / "notes.txt"
        ...
        ...     def write(self, line: str) -> None:
        ...         with self.path.open("a") as file:
        ...             file.write(line + "\n")
        ...
        ...     def lines(self) -> list[str]:
        ...         return self.path.read_text().splitlines()
        >>> with Runtime.memory() as runtime:
        ...     notebook = runtime.get(Notebook, "a")
        ...     notebook.write("one")
        ...     notebook.write("two")
        ...     notebook.lines()
        ['one', 'two']
    """
    directory = own_directory()
    if directory is None:
        raise UsageError("golem_sdk.workspace() works inside agents only: elsewhere use tempfile")
    return Path(directory)
