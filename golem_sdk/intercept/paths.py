"""Whose paths are these: asked for by agent code or by a library, and of its own directory or outside.

What agent code does with files is recorded, also through the modules of Python that are made for it. What
libraries do for themselves (templates, certificates, caches) is not: it would happen in one run, and be
missing in the next. In the agent's own directory nothing is recorded, because replay does it again.
"""

from __future__ import annotations

import os
from posixpath import dirname, join, normpath
from stat import S_ISLNK
from typing import TYPE_CHECKING, Any

from golem_sdk import durability, originals
from golem_sdk.intercept.temporary import without_temporary_names

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "FILES",
    "HELPERS",
    "asked_by_agent",
    "compared_path",
    "for_agent_code",
    "is_own",
    "shown_path",
]

FILES = "files"
"""The name of the interceptor that reads and writes files."""

HELPERS = frozenset(
    {
        "bz2",
        "codecs",
        "configparser",
        "contextlib",
        "filecmp",
        "fileinput",
        "fnmatch",
        "genericpath",
        "glob",
        "gzip",
        "lzma",
        "netrc",
        "os",
        "pathlib",
        "posixpath",
        "shutil",
        "tarfile",
        "tempfile",
        "wave",
        "xml",
        "zipfile",
    }
)
"""Packages that work on files for agent code."""

_MOST_LINKS = 40
"""As many as Linux follows."""

_OURS = frozenset(
    f"golem_sdk.intercept.{name}"
    for name in ("file_system", "file_trees", "files", "listings", "lookups", "temporary_files")
)
"""They call on, in agent code's place, what they replace."""


def for_agent_code(found: Iterator[Any]) -> Iterator[Any]:
    """The same, and what it asks, agent code asks: whoever takes it from there, a bar of progress, say."""
    yield from found


_FOR_AGENT_CODE = for_agent_code.__code__


def asked_by_agent(
    session: durability.Session, frame: Any, helpers: frozenset[str] = HELPERS
) -> bool:
    """Whether it is agent code that calls in this frame, itself or through a helper."""
    while frame is not None:
        if frame.f_code is _FOR_AGENT_CODE:
            return True
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] not in helpers and name not in _OURS:
            return session.sites.is_user_code(frame.f_code)
        frame = frame.f_back
    return False


def is_own(session: durability.Session, path: Any, *, follows: bool = False) -> bool:
    """Whether a path is in one of the agent's own directories, and no link on the way leads out of it.

    ``follows``: of a path that is a link, where that leads to.
    """
    if not session.workspace:
        return False
    text = os.fsdecode(path)
    if not text.startswith("/"):
        text = join(originals.getcwd(), text)
    text = normpath(text)
    for _ in range(_MOST_LINKS):
        if not durability.is_own(session, text):
            return False
        linked = _followed(text, len(session.workspace), follows)
        if linked is None:
            return True
        text = linked
    return True  # a circle: whoever opens it says so


def _followed(text: str, start: int, follows: bool) -> str | None:
    """Where the first link on this way leads to, below the agent's directory; ``None``: there is none."""
    below = text.find("/", start + 1)  # what is first below it is ours
    end = text.find("/", below + 1)
    while below >= 0 and (end >= 0 or follows):
        place = text if end < 0 else text[:end]
        try:
            if S_ISLNK(originals.lstat(place).st_mode):
                target = originals.readlink(place)
                return normpath(join(dirname(place), target, text[len(place) + 1 :]))
        except (OSError, ValueError):  # whoever uses it says so
            return None
        if end < 0:
            return None
        end = text.find("/", end + 1)
    return None


def shown_path(path: Any) -> str:
    """A path as it is stored."""
    return os.fsdecode(path)


def compared_path(path: Any) -> str:
    """What of a path must be equal on replay: its last name, because the directories above it may move."""
    return os.path.basename(without_temporary_names(os.fsdecode(path)))
