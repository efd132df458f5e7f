"""The directories that belong to agents: empty at the beginning of each life, and filled again by replay.

What a life that ended left behind is half written, so it is removed when the next one begins: agent code
writes it again. The directory of an agent is at the same place in every life, as long as the store is.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from functools import cache
from itertools import count
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, ClassVar

from golem_sdk import originals
from golem_sdk.errors import UsageError
from golem_sdk.runtime.context import current, current_or_performing
from golem_sdk.runtime.custom import session_of_body

if TYPE_CHECKING:
    from golem_sdk.runtime.session import Session

__all__ = ["Workspaces", "own_directory", "temporary_directory"]

_FILES = "files"
"""Below an agent's directory: what `golem_sdk.workspace` gives."""

_TEMPORARY = "temporary"
"""Beside it: what `tempfile` makes for the agent."""

_LONGEST_SHOWN = 40


class Workspaces:
    """The agents' directories of one runtime. Thread-safe.

    Args:
        place: where they are, made when it is needed; ``None``: in a temporary directory that `close`
            removes. The next runtime in memory has the same one: tests reopen them, and paths are compared.
    """

    def __init__(self, place: Path | None) -> None:
        self._place = place
        self._temporary: Path | None = None
        self._mutex = Lock()

    _taken: ClassVar[set[Path]] = set()
    _making: ClassVar[Lock] = Lock()

    def of(self, session: Session) -> str:
        """The directory of an agent, empty when it is asked for the first time in a life of the agent."""
        if not session.workspace:
            with session.not_agent_code():
                session.workspace = self._fresh(session.agent_id)
        return session.workspace

    def close(self) -> None:
        """Remove what is not to stay."""
        with self._mutex:
            if self._temporary is not None:
                _remove(self._temporary)
                with self._making:
                    self._taken.discard(self._temporary)
                self._temporary = None

    def _fresh(self, agent_id: str) -> str:
        place = self._root() / _name(agent_id)
        old = place.with_name(f"{place.name}.old")
        _remove(old)
        if place.is_dir():
            place.rename(old)  # what cannot be removed does not stay in it
            _remove(old)
        for directory in (place, place / _FILES, place / _TEMPORARY):
            _make_private(directory)
        return str(place)

    def _root(self) -> Path:
        with self._mutex:
            if self._place is not None:
                if not self._place.is_dir():
                    _make_private(self._place)
                return self._place
            if self._temporary is None:
                self._temporary = self._free_place()
                _make_private(self._temporary)
            return self._temporary

    def _free_place(self) -> Path:
        start = Path(tempfile.gettempdir()).resolve() / f"golem-{_process_name(originals.getpid())}"
        with self._making:
            places = (start.with_name(f"{start.name}-{number}") for number in count(1))
            place = next(each for each in places if each not in self._taken)
            self._taken.add(place)
        return place


@cache
def _process_name(number: int) -> str:
    """Nobody can know it beforehand, and make the directory first."""
    return f"{number}-{originals.urandom(8).hex()}"


def _name(agent_id: str) -> str:
    """A file name that no other agent has, and that people recognise."""
    shown = re.sub(r"[^A-Za-z0-9]+", "-", agent_id)[:_LONGEST_SHOWN].strip("-")
    digest = hashlib.sha256(agent_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{shown}-{digest[:32]}"


def _make_private(directory: Path) -> None:
    directory.mkdir(0o700)
    directory.chmod(0o700)  # mkdir obeys the umask, which may take away even our own rights


def _remove(directory: Path) -> None:
    """Remove a tree, also where it was made unreadable."""
    shutil.rmtree(directory, ignore_errors=True)
    if directory.is_dir():
        for place, _, _ in os.walk(directory):
            Path(place).chmod(0o700)
        shutil.rmtree(directory, ignore_errors=True)


def own_directory() -> str | None:
    """The running agent's own directory; ``None`` outside agents.

    Raises:
        UsageError: in a durable call that is being performed, before agent code has asked for it.
    """
    session = current()
    if session is not None:
        return f"{session.kernel.workspaces.of(session)}/{_FILES}"
    performing = current_or_performing() or session_of_body()
    if performing is None:
        return None
    if not performing.workspace:
        raise UsageError(
            "ask for golem_sdk.workspace() in the agent's code itself, and give it to what is durable:"
            " replay does not come by here"
        )
    return f"{performing.workspace}/{_FILES}"


def temporary_directory(session: Session) -> str:
    """Where the agent's temporary files are."""
    return f"{session.kernel.workspaces.of(session)}/{_TEMPORARY}"
