"""The entries of a directory: recorded ones, links of the agent's own, and an order that every life has."""

from __future__ import annotations

import os
from operator import attrgetter
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Entry", "Listing", "OwnLink", "described", "is_directory", "sorted_entries"]


def described(entry: os.DirEntry[Any]) -> list[Any]:
    """What is recorded of an entry: the arguments of `Entry`, but for the directory."""
    kinds = [
        entry.is_symlink(),
        entry.is_dir(follow_symlinks=False),
        entry.is_file(follow_symlinks=False),
    ]
    return [entry.name, *kinds, is_directory(entry), _or_no(entry.is_file), entry.inode()]


def is_directory(entry: Any) -> bool:
    """Whether an entry is a directory, or a link to one."""
    return _or_no(entry.is_dir)


def _or_no(ask: Any) -> bool:
    try:
        return bool(ask())
    except OSError:  # a link in a circle: asked for, it says so
        return False


class Entry:
    """What `os.scandir` gives in agent code: like `os.DirEntry`, with what was found when it was listed."""

    __slots__ = ("_followed", "_inode", "_itself", "name", "path")

    def __init__(
        self,
        place: Any,
        name: Any,
        link: bool,
        directory: bool,
        file: bool,
        to_directory: bool,
        to_file: bool,
        inode: int,
    ) -> None:
        self.name = name
        self.path = os.path.join(place, name)
        self._itself = (link, directory, file)
        self._followed = (to_directory, to_file)
        self._inode = inode

    def __fspath__(self) -> Any:
        return self.path

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def inode(self) -> int:
        """Its inode number."""
        return self._inode

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a directory, or a link to one."""
        return self._followed[0] if follow_symlinks else self._itself[1]

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a regular file, or a link to one."""
        return self._followed[1] if follow_symlinks else self._itself[2]

    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return self._itself[0]

    def is_junction(self) -> bool:
        """Whether it is a junction: there are none here."""
        return False

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Its state, asked for now."""
        return os.stat(self.path, follow_symlinks=follow_symlinks)


class OwnLink(Entry):
    """A link in the agent's own directory: what it leads to is asked for with `os.stat`, once, as ever.

    So it is recorded if that is outside.

    Args:
        entry: as it was listed.
    """

    __slots__ = ("_target",)

    def __init__(self, entry: os.DirEntry[Any]) -> None:
        place = entry.path[: -len(entry.name)]
        super().__init__(place, entry.name, True, False, False, False, False, entry.inode())
        self._target: os.stat_result | None = None

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it leads to a directory."""
        return follow_symlinks and self._is(S_ISDIR)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it leads to a regular file."""
        return follow_symlinks and self._is(S_ISREG)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """What it leads to, or its own state."""
        if not follow_symlinks:
            return super().stat(follow_symlinks=False)
        if self._target is None:
            self._target = os.stat(self.path)
        return self._target

    def _is(self, kind: Callable[[int], bool]) -> bool:
        try:
            return kind(self.stat().st_mode)
        except FileNotFoundError:
            return False


class Listing:
    """What `os.scandir` gives in agent code: an iterator, and a context manager."""

    def __init__(self, entries: Iterable[Any]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """It lists no more."""
        self._entries = iter(())


def sorted_entries(listing: Any, *, asks: bool) -> Listing:
    """The same entries, in the order of their names.

    ``asks``: what links lead to is asked for with `os.stat`. Not in what is listed by a descriptor, whose
    entries have no paths to ask with.
    """
    with listing:
        entries = sorted(listing, key=attrgetter("name"))
    if asks and entries and entries[0].path != entries[0].name:
        entries = [OwnLink(entry) if entry.is_symlink() else entry for entry in entries]
    return Listing(entries)
