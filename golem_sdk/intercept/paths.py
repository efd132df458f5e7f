"""Whose paths are these: asked for by agent code or by a library, and of its own directory or outside.

What agent code does with files is recorded, also through the modules of Python that are made for it. What
libraries do for themselves (templates, certificates, caches) is not: it would happen in one run, and be
missing in the next. In the agent's own directory nothing is recorded, because replay does it again.

A link in the agent's own directory leads where the system says that it does (`is_own`). What is reached by
way of one that leads out is outside, and so is what a listing tells of its target
(`golem_sdk.intercept.listings.OwnLink`). Links outside are not followed: who asks for them has to record it.
"""

from __future__ import annotations

import os
from posixpath import join, normpath
from stat import S_ISLNK
from typing import TYPE_CHECKING, Any

from golem_sdk import durability, originals
from golem_sdk.intercept.temporary import without_temporary_names

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "FILES",
    "FILE_SYSTEM",
    "FOLLOWS",
    "GIVEN",
    "HELPERS",
    "LEADS",
    "PATHS",
    "asked_by_agent",
    "calls_back",
    "compared_path",
    "follows",
    "is_own",
    "kept",
    "knows",
    "shown_path",
]

PATHS = (str, bytes, os.PathLike)
"""What names a file, and is no descriptor."""

FILES = "files"
"""The name of the interceptor that reads and writes files."""

FILE_SYSTEM = "file-system"
"""The name of the interceptor of `os`, whose version also says where paths lead to, for all of them."""

FOLLOWS = 2
"""Its version since which what a link of the agent's own directory leads to may be outside, also for `os`."""

LEADS = 3
"""Its version since which such a link leads where the system says that it does, also for listings."""

GIVEN = {FILE_SYSTEM: 4, "surroundings": 3}
"""By interceptor: its version since which what agent code gives to a thread as it is asks for agent code."""

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

_CARRIERS = frozenset({"anyio", "threading"})
"""Packages that carry what agent code gives to a thread there."""

_ENTRANCES = frozenset(f"golem_sdk.runtime.{name}" for name in ("lanes", "loop", "threads"))
"""They call it."""

_OURS = frozenset(
    f"golem_sdk.intercept.{name}"
    for name in ("file_system", "file_trees", "files", "listings", "lookups", "temporary_files")
)
"""They call on, in agent code's place, what they replace."""


def for_agent_code(found: Iterator[Any]) -> Iterator[Any]:
    """The same, and what it asks, agent code asks: whoever takes it from there, a bar of progress, say."""
    yield from found


_FOR_AGENT_CODE = for_agent_code.__code__


def kept(frame: Any, found: Iterator[Any], interceptor: str, version: int = 1) -> Iterator[Any]:
    """The same for agent code, if it is that which calls in this frame, and has the interceptor's version."""
    session = durability.current()
    if session is None or durability.interceptor_version(session, interceptor) < version:
        return found
    return for_agent_code(found) if asked_by_agent(session, frame) else found


def asked_by_agent(
    session: durability.Session,
    frame: Any,
    helpers: frozenset[str] = HELPERS,
    interceptor: str = FILE_SYSTEM,
) -> bool:
    """Whether it is agent code that calls in this frame, itself or through a helper.

    Or has given what is called to a thread as it is: ``asyncio.to_thread(path.read_text)``. If a library has
    (`anyio.Path`), agent code counts as asking, too: who reads for himself calls a function of his own there.

    Args:
        session: the agent's.
        frame: the caller's.
        helpers: packages that do it for agent code.
        interceptor: whose version, a key of `GIVEN`, says whether the agent knows of threads.
    """
    while frame is not None:
        if frame.f_code is _FOR_AGENT_CODE:
            return True
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] not in helpers and name not in _OURS:
            return session.sites.is_user_code(frame.f_code) or (
                durability.interceptor_version(session, interceptor) >= GIVEN[interceptor]
                and _is_given(frame)
            )
        frame = frame.f_back
    return False


def _is_given(frame: Any) -> bool:
    """Whether nothing but what carries it to a thread is between a frame and the thread's beginning."""
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name in _ENTRANCES:
            return True
        if name.partition(".")[0] not in _CARRIERS:
            return False
        frame = frame.f_back
    return False


def calls_back(session: durability.Session, args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Whether a call is given functions of agent code: replay has to come by there, as the first run does."""
    given = [each for each in (*args, *options.values()) if callable(each)]
    modules = [str(getattr(each, "__module__", "")).partition(".")[0] for each in given]
    return not HELPERS.issuperset(modules) and knows(session, LEADS)


def knows(session: durability.Session, version: int) -> bool:
    """Whether the agent was made with this version of the file-system interceptor, or a later one."""
    return durability.interceptor_version(session, FILE_SYSTEM) >= version


def follows(options: dict[str, Any], since: int = FOLLOWS) -> bool:
    """Whether a call that may follow links does, and the agent knows of it: ``since`` this version."""
    session = durability.current()
    if session is None or not options.get("follow_symlinks", True):
        return False
    return knows(session, since)


def is_own(session: durability.Session, path: Any, *, follows: bool = False) -> bool:
    """Whether a path is in one of the agent's own directories, and no link on the way leads out of it.

    ``follows``: of a path that is a link, where that leads to.
    """
    own = session.workspace
    if not own:
        return False
    text = os.fsdecode(path)
    if not text.startswith("/"):
        try:
            text = join(originals.getcwd(), text)
        except FileNotFoundError:  # it is gone
            return False
    if own[own.rfind("/") :] not in text:  # most paths
        return False
    return _leads_into(own, text, follows, is_older=not knows(session, LEADS))


def _leads_into(own: str, text: str, follows: bool, *, is_older: bool) -> bool:
    """Whether a path is in a directory, as the system goes: a link is followed before the ``..`` behind it.

    Args:
        own: the agent's directory. Only links in it are followed; what is first below it is ours, and none.
        text: the path, absolute.
        follows: also the last name, if that is a link.
        is_older: whether each ``..`` takes the name before it away first: older agents had it so.
    """
    if is_older:
        text = normpath(text)
    below, links, lstat = f"{own}/", 0, originals.lstat
    at, names = (own, text[len(below) :]) if text.startswith(below) else ("", text)
    rest = names.split("/")[::-1]
    while rest:
        name = rest.pop()
        if name == "..":
            at = at.rpartition("/")[0]
        elif name and name != ".":
            before, at = at, f"{at}/{name}"
            if (rest or follows) and before.startswith(below):
                try:
                    if not S_ISLNK(lstat(at).st_mode):
                        continue
                    target = originals.readlink(at)
                except (OSError, ValueError):  # whoever uses it says so
                    return True
                links += 1
                if links > _MOST_LINKS:  # a circle: as above
                    return True
                rest += (normpath(target) if is_older else target).split("/")[::-1]
                at = "" if target.startswith("/") else before
    return at == own or at.startswith(below)


def shown_path(path: Any) -> str:
    """A path as it is stored."""
    return os.fsdecode(path)


def compared_path(path: Any) -> str:
    """What of a path must be equal on replay: its last name, because the directories above it may move."""
    return os.path.basename(without_temporary_names(os.fsdecode(path)))
