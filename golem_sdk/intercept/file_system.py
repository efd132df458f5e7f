"""What agent code does to the file system through `os`: one durable call each.

Covers: looking (``stat``, ``lstat``, ``listdir``, ``scandir``, ``access``, ``readlink``, ``statvfs``,
… and what asks them: ``os.path``, `pathlib`, `filecmp`), which is recorded; and changing
(``mkdir``, ``remove``, ``rename``, ``chmod``, …, with what is made of them), which is a remote write. Only
the last names of paths are compared on replay, because the directories above them may move.

In the agent's own directory everything is passed on, and done again in replay; listings are sorted there,
because a directory that is filled again may have another order. Across its border files are neither renamed
nor linked: that raises the error of another file system, upon which `shutil.move` copies.

A crash may repeat the last change. One that finds itself done already (a directory that is there, a file that
is gone) is taken for done then, and only then.

Does not cover: what is named by a descriptor or ``dir_fd``, and what libraries do for themselves: passed on.
``os.open`` for writing is refused; for reading it is passed on, and agent code is warned of it.
"""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable  # attrs classes are resolved at run time
from typing import TYPE_CHECKING, Any

from attrs import frozen

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.listings import Entry, Listing, described, sorted_entries
from golem_sdk.intercept.patching import Patch, put_in_os, replacement_of
from golem_sdk.intercept.paths import (
    FILE_SYSTEM,
    FOLLOWS,
    LEADS,
    PATHS,
    asked_by_agent,
    calls_back,
    compared_path,
    follows,
    is_own,
    knows,
    shown_path,
)

if TYPE_CHECKING:
    from types import MethodType, ModuleType

__all__ = [
    "Change",
    "beside",
    "change",
    "mixes",
    "os_patches",
    "outside_paths",
    "recorded",
]

_READ = FunctionType.READ_LOCAL
_WRITE = FunctionType.WRITE_REMOTE
_DESCRIPTORS = ("dir_fd", "src_dir_fd", "dst_dir_fd")
_PLAIN = (bool, int, float, str, type(None))


def outside_paths(
    frame: Any,
    names: tuple[str, ...],
    args: tuple[Any, ...],
    options: dict[str, Any],
    *,
    follows: bool = False,
) -> tuple[durability.Session, list[Any]] | None:
    """The session and the paths, if agent code names paths that are not all its own; else ``None``.

    Args:
        frame: the caller's.
        names: the parameters that are paths, which come first. What is missing is the working directory.
        args: what it was called with.
        options: the same, by name.
        follows: a link in its own directory is where that leads to.
    """
    session = durability.current_since(FILE_SYSTEM)
    if session is None or not asked_by_agent(session, frame):
        return None
    if options and any(options.get(name) is not None for name in _DESCRIPTORS):
        return None
    paths = [
        args[place] if place < len(args) else options.get(name, ".")
        for place, name in enumerate(names)
    ]
    paths = ["." if path is None else path for path in paths]
    are_own = True
    for path in paths:
        if not isinstance(path, PATHS):
            return None  # a descriptor; or the original says what is wrong
        are_own = are_own and is_own(session, path, follows=follows)
    return None if are_own else (session, paths)


def mixes(session: durability.Session, paths: list[Any]) -> bool:
    """Whether some of these paths are in the agent's own directory, of which not all are."""
    return any(is_own(session, path) for path in paths)


def _request_of(paths: list[Any], args: tuple[Any, ...], options: dict[str, Any]) -> list[Any]:
    """What is stored of a call."""
    rest = [_plain(arg) for arg in args[len(paths) :]]
    return [
        *map(shown_path, paths),
        *rest,
        {name: _plain(value) for name, value in options.items()},
    ]


def recorded(
    session: durability.Session,
    name: str,
    kind: FunctionType,
    paths: list[Any],
    args: tuple[Any, ...],
    options: dict[str, Any],
    perform: Callable[[], Any],
    *also: str,
) -> Any:
    """One durable call, known by the last names of its paths; ``also``: what else must be equal on replay."""
    return durability.durable_call(
        session,
        name,
        kind,
        _request_of(paths, args, options),
        perform,
        identity=[*map(compared_path, paths), *also],
    )


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike | bytes):
        return shown_path(value)
    if isinstance(value, tuple) and all(type(each) in _PLAIN for each in value):
        return list(value)
    return value if type(value) in _PLAIN else f"<{type(value).__name__}>"


def beside(original: Callable[..., Any], near: Callable[..., Any], module: str) -> MethodType:
    """A stand-in that does what the original does, or near agent code ``near(frame, args, options)``.

    ``frame`` is the caller's.
    """
    nearby, frame = durability.nearby, sys._getframe

    # No variable that a function in here closes over: it would cost every call, also outside agents.
    def function(_home: object, /, *args: Any, **options: Any) -> Any:
        if nearby() is None:
            return original(*args, **options) if options else original(*args)
        return near(frame(1), args, options)

    return replacement_of(original, function, module)


# --- looking --------------------------------------------------------------------------------------


def _same(found: Any) -> Any:
    return found


def _look(
    own: Callable[[Any], Any],
    pack: Callable[[Any], Any],
    unpack: Callable[[Any, list[Any]], Any],
    original: Callable[..., Any],
) -> MethodType:
    """``own``: what becomes of what is found in the agent's own directory."""
    name, at_links = f"os.{original.__name__}", original.__name__ in _AT_LINKS

    def look(frame: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        through = not at_links and follows(options)
        asked = outside_paths(frame, _ONE, args, options, follows=through)
        if asked is None:
            return own(original(*args, **options))
        session, paths = asked
        found = recorded(
            session, name, _READ, paths, args, options, lambda: pack(original(*args, **options))
        )
        return unpack(found, paths)

    return beside(original, look, "os")


def _parts(result: Any) -> list[Any]:
    """Of a record of numbers, like `os.stat_result`."""
    _, (numbers, others) = result.__reduce__()
    return [list(numbers), others]


def _whole(kind: Any, found: list[Any], paths: list[Any]) -> Any:
    return kind(found[0], found[1])


def _given(found: Any, paths: list[Any]) -> Any:
    return found


def _described_all(listing: Any) -> list[Any]:
    with listing:
        return [described(entry) for entry in listing]


def _listing(found: list[Any], paths: list[Any]) -> Listing:
    place = os.fspath(paths[0])
    return Listing([Entry(place, *each) for each in found])


def _sorted_names(found: Any) -> Any:
    return sorted(found) if durability.current_since(FILE_SYSTEM) else found


def _sorted_listing(found: Any) -> Any:
    session = durability.current_since(FILE_SYSTEM)
    return found if session is None else sorted_entries(found, asks=knows(session, LEADS))


# --- changing -------------------------------------------------------------------------------------


@frozen
class Change:
    """A function that changes the file system.

    Attributes:
        names: its parameters that are paths; they come first.
        done: whether a call that fails like this finds what it was to do done already.
        follows: since which version what a link leads to is what is meant; 0: it is the link.
        crosses: whether it can be given paths on both sides of the border of the agent's own directory;
            then it is passed on, and what it calls is recorded.
        by_parts: does it where it is given functions of agent code, so that what it calls is recorded; it
            takes the original, and what that was called with.
    """

    names: tuple[str, ...]
    done: Callable[[OSError, list[Any]], bool] | None = None
    follows: int = 0
    crosses: bool = False
    by_parts: Callable[..., Any] | None = None


def change(module: str, what: Change, original: Callable[..., Any]) -> MethodType:
    """A function that changes the file system, as one remote write."""
    name, names = f"{module}.{original.__name__}", what.names

    def make(frame: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        through = what.follows > 0 and follows(options, what.follows)
        asked = outside_paths(frame, names, args, options, follows=through)
        if asked is None:
            return original(*args, **options)
        session, paths = asked
        if len(paths) > 1 and mixes(session, paths):
            if what.crosses:
                return original(*args, **options)
            first, second = map(os.fspath, paths)
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), first, None, second)
        if what.by_parts is not None and calls_back(session, args, options):
            return what.by_parts(original, args, options)
        again = durability.may_have_been_made(session)

        def perform() -> Any:
            try:
                return original(*args, **options)
            except OSError as error:
                if not (again and what.done is not None and what.done(error, paths)):
                    raise
                return None

        return recorded(session, name, _WRITE, paths, args, options, perform)

    return beside(original, make, module)


def _is_directory(error: OSError, paths: list[Any]) -> bool:
    return isinstance(error, FileExistsError) and os.path.isdir(paths[0])


def _is_there(error: OSError, paths: list[Any]) -> bool:
    return isinstance(error, FileExistsError)


def _is_gone(error: OSError, paths: list[Any]) -> bool:
    return isinstance(error, FileNotFoundError)


def _is_renamed(error: OSError, paths: list[Any]) -> bool:
    source, target = paths
    gone = isinstance(error, FileNotFoundError) and not os.path.lexists(source)
    return gone and os.path.lexists(target)


def _is_linked(error: OSError, paths: list[Any]) -> bool:
    return isinstance(error, FileExistsError) and os.path.samefile(*paths)


_ONE = ("path",)
_TWO = ("src", "dst")
_LOOKS = ("access", "getxattr", "listxattr", "readlink")
_AT_LINKS = frozenset({"lstat", "readlink"})
"""They look at a link, not at what it leads to."""

_CHANGES = {
    "chmod": Change(_ONE, follows=FOLLOWS),
    "chown": Change(_ONE, follows=FOLLOWS),
    "lchown": Change(_ONE),
    "link": Change(_TWO, _is_linked),
    "makedirs": Change(("name",), _is_directory),
    "mkdir": Change(_ONE, _is_directory),
    "mkfifo": Change(_ONE, _is_there),
    "remove": Change(_ONE, _is_gone),
    "removedirs": Change(("name",), _is_gone),
    "removexattr": Change(_ONE, follows=FOLLOWS),
    "rename": Change(_TWO, _is_renamed),
    "renames": Change(("old", "new"), _is_renamed),
    "replace": Change(_TWO, _is_renamed),
    "rmdir": Change(_ONE, _is_gone),
    "setxattr": Change(_ONE, follows=FOLLOWS),
    "truncate": Change(_ONE, follows=FOLLOWS),
    "unlink": Change(_ONE, _is_gone),
    "utime": Change(_ONE, follows=FOLLOWS),
}


def _symlink(original: Callable[..., None]) -> MethodType:
    """Only the link is made anywhere; what it says is text."""

    def is_made(error: OSError, paths: list[Any]) -> bool:
        return isinstance(error, FileExistsError) and os.path.islink(paths[0])

    def symlink(dst: Any, src: Any) -> None:
        original(src, dst)

    made = change("os", Change(("dst",), is_made), symlink)

    def function(
        _home: object, src: Any, dst: Any, target_is_directory: bool = False, *, dir_fd: Any = None
    ) -> None:
        if durability.nearby() is None or dir_fd is not None:
            original(src, dst, target_is_directory, dir_fd=dir_fd)
        else:
            made(dst, src)

    return replacement_of(original, function, "os")


def _open(original: Callable[..., int]) -> MethodType:
    nearby = durability.nearby
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def function(
        _home: object, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        if nearby() is None:
            return original(path, flags, mode, dir_fd=dir_fd)
        if flags & writing:
            through, at = follows({}) and not flags & os.O_NOFOLLOW, {"dir_fd": dir_fd}
            asked = outside_paths(sys._getframe(1), _ONE, (path,), at, follows=through)
            if asked is not None:
                raise NotDurableError(
                    f"An agent tried to open {shown_path(path)!r} for writing with os.open. Nothing was"
                    " opened and nothing was recorded: what is written to a descriptor cannot be journaled."
                    " Use open(), or write in golem_sdk.workspace()."
                )
        return original(path, flags, mode, dir_fd=dir_fd)

    return replacement_of(original, function, "os")


# --- the patches ----------------------------------------------------------------------------------


def os_patches(module: ModuleType) -> list[Patch]:
    """The patches of `os`."""
    stat = functools.partial(_look, _same, _parts, functools.partial(_whole, module.stat_result))
    makers: dict[str, Callable[[Any], Any]] = {
        "stat": stat,
        "lstat": stat,
        "statvfs": functools.partial(
            _look, _same, _parts, functools.partial(_whole, module.statvfs_result)
        ),
        **dict.fromkeys(_LOOKS, functools.partial(_look, _same, _same, _given)),
        "listdir": functools.partial(_look, _sorted_names, _same, _given),
        "scandir": functools.partial(_look, _sorted_listing, _described_all, _listing),
        "symlink": _symlink,
        "open": _open,
    }
    for name, what in _CHANGES.items():
        makers[name] = functools.partial(change, "os", what)
    return [Patch(module, name, make, spread=True, put=put_in_os) for name, make in makers.items()]
