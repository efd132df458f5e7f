"""What agent code does with whole files and trees, one durable call each.

Covers: `shutil`, `glob`, ``Path.touch``, what `tarfile` streams to and from files, and ``filecmp.cmp``,
which remembers for the whole process what it has compared, so that replay would miss what it asked.

A call that has paths on both sides of the border of the agent's own directory is passed on: what it reads
outside is recorded, what it writes outside is a remote write, and the rest is done again in replay. So is a
call that is given functions of agent code (``onexc``, ``ignore``, ``copy_function``): replay calls them, too.

A crash may repeat the last change, which is then taken for done where it is, as in
`golem_sdk.intercept.file_system`; a tree that was half copied is copied again, over it.

Does not cover: ``shutil.make_archive`` and ``unpack_archive``, whose parts are recorded where agent code
makes them (`zipfile`, `tarfile`).
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from stat import S_ISLNK
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.file_system import (
    Change,
    beside,
    change,
    mixes,
    outside_paths,
    recorded,
)
from golem_sdk.intercept.patching import Patch
from golem_sdk.intercept.paths import FILE_SYSTEM, LEADS, asked_by_agent, calls_back, follows, kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import MethodType, ModuleType

__all__ = [
    "filecmp_patches",
    "glob_patches",
    "pathlib_patches",
    "shutil_patches",
    "tarfile_patches",
]

_TWO = ("src", "dst")


def _is_gone(error: OSError, paths: list[Any]) -> bool:
    return isinstance(error, FileNotFoundError) and not os.path.lexists(paths[0])


def _rmtree(original: Callable[..., None], args: tuple[Any, ...], options: dict[str, Any]) -> None:
    """As the original does it, but by paths: of what is done by descriptors nothing can be recorded."""
    given = inspect.signature(original).bind(*args, **options).arguments
    place = given["path"]
    if isinstance(place, bytes):
        place = os.fsdecode(place)

    def told(function: Any, path: Any, error: OSError) -> None:
        if given.get("ignore_errors"):
            return
        if given.get("onexc") is not None:
            given["onexc"](function, path, error)
        else:
            given["onerror"](function, path, (type(error), error, error.__traceback__))

    asked: Any = os.lstat
    try:
        if S_ISLNK(os.lstat(place).st_mode):
            asked = os.open
            os.stat(place)
            asked = os.path.islink
            raise OSError("Cannot call rmtree on a symbolic link")
    except OSError as error:
        told(asked, place, error)
    else:
        _remove(place, told)


def _remove(place: Any, told: Callable[[Any, Any, OSError], None]) -> None:
    entries = []
    try:
        with os.scandir(place) as listing:
            entries = list(listing)
    except OSError as error:
        told(os.scandir, place, error)
    for entry in entries:
        path = os.path.join(place, entry.name)
        if entry.is_dir(follow_symlinks=False):
            _remove(path, told)
            continue
        try:
            os.unlink(path)
        except FileNotFoundError:  # nothing is wrong, Python says since 3.13
            continue
        except OSError as error:
            told(os.unlink, path, error)
    try:
        os.rmdir(place)
    except OSError as error:
        told(os.rmdir, place, error)


_CHANGES = {
    "chown": Change(("path",)),
    "copymode": Change(_TWO, crosses=True),
    "copystat": Change(_TWO, crosses=True),
    "rmtree": Change(("path",), _is_gone, LEADS, by_parts=_rmtree),
}


def shutil_patches(module: ModuleType) -> list[Patch]:
    """The patches of `shutil`."""
    makers: dict[str, Callable[[Any], MethodType]] = {
        name: functools.partial(change, "shutil", what) for name, what in _CHANGES.items()
    }
    for name in ("copyfile", "copy", "copy2"):
        makers[name] = functools.partial(_copying, _as_ever)
    makers["copytree"] = functools.partial(_copying, _over)
    makers["move"] = functools.partial(_copying, _moved)
    return [Patch(module, name, make, spread=True) for name, make in makers.items()]


def filecmp_patches(module: ModuleType) -> list[Patch]:
    """The patch of `filecmp`; its other functions end in this one."""
    return [Patch(module, "cmp", _cmp, spread=True)]


def glob_patches(module: ModuleType) -> list[Patch]:
    """The patches of `glob`, and of what it does for `pathlib` since Python 3.13."""
    globber = getattr(module, "_StringGlobber", None)
    return [
        *(Patch(module, name, _glob, spread=True) for name in ("glob", "iglob")),
        *(Patch(globber, name, _of_os) for name in ("lstat", "scandir") if globber is not None),
    ]


def pathlib_patches(module: ModuleType) -> list[Patch]:
    """The patch of `pathlib`; its other methods end in `os` and ``open``."""
    return [Patch(module.Path, "touch", _touch)]


def tarfile_patches(module: ModuleType) -> list[Patch]:
    """The patch of `tarfile`, which opens what it streams (``"w|gz"``) as a descriptor."""
    return [Patch(module, "_LowLevelFile", _streamed)]


# --- copies ---------------------------------------------------------------------------------------


def _copying(
    repeated: Callable[..., Any],
    original: Callable[..., Any],
) -> MethodType:
    """A function that gives the place of the copy; ``repeated`` does it if it may have been done before."""
    name = f"shutil.{original.__name__}"

    def copy(frame: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        asked = outside_paths(frame, _TWO, args, options)
        if asked is None:
            return original(*args, **options)
        session, paths = asked
        if mixes(session, paths) or calls_back(session, args, options):
            return original(*args, **options)
        how = repeated if durability.may_have_been_made(session) else _as_ever

        def perform() -> Any:
            made = how(original, args, options, paths)
            return None if made is paths[1] else made

        made = recorded(session, name, FunctionType.WRITE_REMOTE, paths, args, options, perform)
        return paths[1] if made is None else made

    return beside(original, copy, "shutil")


def _as_ever(original: Callable[..., Any], args: Any, options: Any, paths: list[Any]) -> Any:
    return original(*args, **options)


def _over(original: Callable[..., Any], args: Any, options: Any, paths: list[Any]) -> Any:
    """The life that has crashed may have copied a part."""
    return original(*args, **{**options, "dirs_exist_ok": True})


def _moved(original: Callable[..., Any], args: Any, options: Any, paths: list[Any]) -> Any:
    try:
        return original(*args, **options)
    except OSError:  # shutil.Error is one
        source, target = paths
        below = os.path.join(target, os.path.basename(os.fspath(source).rstrip(os.sep)))
        for place in (below, target):
            if not os.path.lexists(source) and os.path.lexists(place):
                return place
        raise


def _streamed(original: Any) -> Callable[[Any, str], Any]:
    def make(name: Any, mode: str) -> Any:
        session = durability.current_since(FILE_SYSTEM)
        if session is None or not asked_by_agent(session, sys._getframe(1)):
            return original(name, mode)
        return open(name, f"{mode}b")  # `tarfile` closes it

    return make


# --- comparing ------------------------------------------------------------------------------------


def _cmp(original: Callable[..., bool]) -> MethodType:
    def compare(frame: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        asked = outside_paths(frame, ("f1", "f2"), args, options, follows=follows({}, LEADS))
        if asked is None:
            return original(*args, **options)
        session, paths = asked
        kind = FunctionType.READ_LOCAL
        return recorded(
            session, "filecmp.cmp", kind, paths, args, options, lambda: original(*args, **options)
        )

    return beside(original, compare, "filecmp")


# --- names and times ------------------------------------------------------------------------------


def _glob(original: Callable[..., Any]) -> MethodType:
    lazy = original.__name__ == "iglob"

    def find(frame: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        pathname = args[0] if args else options["pathname"]
        place = options.get("root_dir")
        named = pathname if place is None else _within(place, pathname)
        asked = outside_paths(frame, ("pathname",), (named,), {})
        if asked is None:
            own = original(*args, **options)
            return kept(frame, own, FILE_SYSTEM, LEADS) if lazy else own
        found: list[Any] = recorded(
            asked[0],
            "glob.glob",
            FunctionType.READ_LOCAL,
            [pathname],
            args,
            options,
            lambda: list(original(*args, **options)),
        )
        return _each(found) if lazy else found

    return beside(original, find, "glob")


def _of_os(original: Any) -> Any:
    """It has kept what `os` had when it was imported."""
    name = original.__func__.__name__
    return staticmethod(lambda path: getattr(os, name)(path))


def _within(place: Any, pathname: Any) -> Any:
    return os.path.join(os.fsdecode(place), os.fsdecode(pathname))


def _each(found: list[Any]) -> Iterator[Any]:
    yield from found


def _touch(original: Callable[..., None]) -> Callable[..., None]:
    nearby = durability.nearby

    @functools.wraps(original)
    def touch(self: Any, mode: int = 0o666, exist_ok: bool = True) -> None:
        if nearby() is None:
            original(self, mode, exist_ok)
        else:
            _touch_near(original, sys._getframe(1), self, mode, exist_ok)

    return touch


def _touch_near(
    original: Callable[..., None], frame: Any, path: Any, mode: int, exist_ok: bool
) -> None:
    asked = outside_paths(frame, ("path",), (path,), {}, follows=follows({}))
    if asked is None:
        original(path, mode, exist_ok)
        return
    session, paths = asked
    again = durability.may_have_been_made(session)
    recorded(
        session,
        "pathlib.Path.touch",
        FunctionType.WRITE_REMOTE,
        paths,
        (path, mode, exist_ok),
        {},
        lambda: original(path, mode, exist_ok or again),
    )
