"""What asks the file system several questions for one answer: one recorded read each.

Covers: ``Path.iterdir``, ``glob``, ``rglob``, ``resolve`` and ``is_mount`` of `pathlib`, and ``realpath`` and
``ismount`` of ``os.path``. Which questions these ask, and in which order, differs from one version of Python
to the next: recorded one by one, an agent could not go on with a newer one. They ask when they are called;
of ``glob`` and ``rglob``, who looks at more than one path makes more such reads, each of more paths. For the
same reason ``os.walk`` takes from the listing of a directory what is a link in it, and looks only at names
that agent code has added. It asks while it is iterated over, like ``Path.walk``: for agent code that has
called it, also where a library does that.

In the agent's own directory they are passed on; where that is, is not recorded: it may move. Does not cover
``os.fwalk``, which goes by descriptors.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.file_system import beside, outside_paths, recorded
from golem_sdk.intercept.listings import is_directory
from golem_sdk.intercept.patching import Patch
from golem_sdk.intercept.paths import FILE_SYSTEM, LEADS, is_own, kept, shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import MethodType, ModuleType

__all__ = ["os_patches", "pathlib_patches", "posixpath_patches"]

_LOOKUPS = "file-lookups"
"""The name of the interceptor."""

_MORE = 16
_MOST = 4_096
"""A search finds one path first, and then so many times as many at once, up to so many."""


def posixpath_patches(module: ModuleType) -> list[Patch]:
    """The patches of ``os.path``."""
    return [
        Patch(module, name, functools.partial(_answer, parameter), spread=True)
        for name, parameter in (("realpath", "filename"), ("ismount", "path"))
    ]


def pathlib_patches(module: ModuleType) -> list[Patch]:
    """The patches of `pathlib`."""
    makers: dict[str, Callable[[Any], Any]] = {
        "iterdir": functools.partial(_search, _MOST),
        **dict.fromkeys(("glob", "rglob"), functools.partial(_search, 1)),
        "resolve": functools.partial(_method, str, _like),
        "is_mount": functools.partial(_method, bool, _given),
    }
    if sys.version_info >= (3, 12):
        makers["walk"] = _walk_of_path
    return [Patch(module.Path, name, make) for name, make in makers.items()]


def os_patches(module: ModuleType) -> list[Patch]:
    """The patch of `os`."""
    return [Patch(module, "walk", _walk, spread=True)]


def _asked(
    frame: Any, name: str, args: tuple[Any, ...], options: dict[str, Any]
) -> tuple[durability.Session, list[Any]] | None:
    if durability.current_since(_LOOKUPS) is None:
        return None
    return outside_paths(frame, (name,), args, options, follows=True)


def _in_place(path: Any, ask: Callable[[], Any]) -> Any:
    """Ask; of the agent's own directory without a record of what is above it."""
    session = durability.current_since(_LOOKUPS)
    is_path = isinstance(path, str | bytes | os.PathLike)
    if session is None or not is_path or not is_own(session, path, follows=True):
        return ask()
    with durability.suppressed(session):
        return ask()


# --- answers --------------------------------------------------------------------------------------


def _answer(parameter: str, original: Callable[..., Any]) -> MethodType:
    name = f"os.path.{original.__name__}"

    def near(frame: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        asked = _asked(frame, parameter, args, options)
        if asked is None:
            path = args[0] if args else options.get(parameter)
            return _in_place(path, lambda: original(*args, **options))
        session, (path,) = asked
        return recorded(
            session,
            name,
            FunctionType.READ_LOCAL,
            [path],
            args,
            options,
            lambda: original(*args, **options),
        )

    return beside(original, near, "posixpath")


def _like(path: Any, text: str) -> Any:
    """A path of the same class, made as `pathlib` does it: maybe without its constructor."""
    return path.with_segments(text) if sys.version_info >= (3, 12) else path._from_parts((text,))


def _given(path: Any, found: bool) -> bool:
    return found


def _method(
    pack: Callable[[Any], Any], unpack: Callable[[Any, Any], Any], original: Callable[..., Any]
) -> Callable[..., Any]:
    """``pack``: what is recorded of a result; ``unpack``: what a path gives for that."""
    name = f"pathlib.Path.{original.__name__}"

    def near(frame: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        asked = _asked(frame, "self", args[:1], {})
        if asked is None:
            return _in_place(args[0] if args else None, lambda: original(*args, **options))
        session, (path,) = asked
        found = recorded(
            session,
            name,
            FunctionType.READ_LOCAL,
            [path],
            args,
            options,
            lambda: pack(original(*args, **options)),
        )
        return unpack(path, found)

    return _beside_method(original, near)


def _beside_method(
    original: Callable[..., Any], near: Callable[[Any, Any, Any], Any]
) -> Callable[..., Any]:
    """As `golem_sdk.intercept.file_system.beside`, for a method of a class."""
    nearby, frame = durability.nearby, sys._getframe

    @functools.wraps(original)
    def method(*args: Any, **options: Any) -> Any:
        if nearby() is None:
            return original(*args, **options) if options else original(*args)
        return near(frame(1), args, options)

    return method


# --- searches -------------------------------------------------------------------------------------


def _search(first: int, original: Callable[..., Any]) -> Callable[..., Any]:
    """``first``: how many paths are looked for before agent code has taken one."""
    name = f"pathlib.Path.{original.__name__}"

    def near(frame: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        asked = _asked(frame, "self", args[:1], {})
        if asked is None:
            return kept(frame, original(*args, **options), FILE_SYSTEM, LEADS)
        (path,) = asked[1]
        pattern = args[1] if len(args) > 1 else options.get("pattern", "")
        pages = _Pages(lambda: map(str, original(*args, **options)), first)

        def page() -> tuple[list[str], bool]:
            session = durability.current_since(_LOOKUPS)
            if session is None:  # a durable function goes on with it
                return pages.next()
            found, is_more = recorded(
                session,
                name,
                FunctionType.READ_LOCAL,
                [path],
                args,
                options,
                pages.next,
                _compared(pattern),
            )
            pages.given(found)
            return found, is_more

        return _paths(path, page(), page)

    return _beside_method(original, near)


def _paths(
    path: Any, page: tuple[list[str], bool], more: Callable[[], tuple[list[str], bool]]
) -> Iterator[Any]:
    found, is_more = page
    while True:
        for text in found:
            yield _like(path, text)
        if not is_more:
            return
        found, is_more = more()


class _Pages:
    """What a search finds, a page at a time: one that is looked at in part costs not much more than that.

    In a life that has the first pages from the oplog, it searches again and leaves out what was in them.
    """

    def __init__(self, search: Callable[[], Iterator[str]], size: int) -> None:
        self._search = search
        self._size = size
        self._found: Iterator[str] | None = None
        self._before: set[str] = set()
        self._error: OSError | None = None

    def given(self, found: list[str]) -> None:
        """Agent code has got these, and wants more if it asks again."""
        self._size = min(self._size * _MORE, _MOST)
        if self._found is None:
            self._before.update(found)

    def next(self) -> tuple[list[str], bool]:
        """At least one more, if there is one, and whether there may be more."""
        if self._error is not None:
            raise self._error
        if self._found is None:
            before = self._before
            self._found = (text for text in self._search() if text not in before)
        page: list[str] = []
        try:
            for text in self._found:
                page.append(text)
                if len(page) == self._size:
                    return page, True
        except OSError as error:
            if not page:
                raise
            self._error = error  # after what was found before it
            return page, True
        return page, False


def _compared(pattern: Any) -> str:
    return shown_path(pattern) if isinstance(pattern, str | os.PathLike) else ""


# --- walks ----------------------------------------------------------------------------------------


def _walk(original: Callable[..., Any]) -> MethodType:
    def walk(
        top: Any, topdown: bool = True, onerror: Any = None, followlinks: bool = False
    ) -> Iterator[tuple[Any, list[Any], list[Any]]]:
        if followlinks or not topdown or durability.current_since(_LOOKUPS) is None:
            found: Iterator[Any] = original(top, topdown, onerror, followlinks)
            return found
        return _walk_down(os.fspath(top), onerror)

    def near(frame: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        return kept(frame, walk(*args, **options), _LOOKUPS)

    return beside(original, near, "os")


def _walk_of_path(original: Callable[..., Any]) -> Callable[..., Any]:
    def near(frame: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        return kept(frame, original(*args, **options), _LOOKUPS)

    return _beside_method(original, near)


def _walk_down(top: Any, onerror: Any) -> Iterator[tuple[Any, list[Any], list[Any]]]:
    """As ``os.walk``, but that the listing says what is a link."""
    sys.audit("os.walk", top, True, onerror, False)
    waiting = [top]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as listing:
                entries = list(listing)
        except OSError as error:
            if onerror is not None:
                onerror(error)
            continue
        links = {entry.name: entry.is_symlink() for entry in entries}
        below: list[Any] = []
        others: list[Any] = []
        for entry in entries:
            (below if is_directory(entry) else others).append(entry.name)
        yield place, below, others
        for name in reversed(below):  # agent code may have changed it
            path = os.path.join(place, name)
            if not (links[name] if name in links else os.path.islink(path)):
                waiting.append(path)
