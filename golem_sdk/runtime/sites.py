"""Where in the agent's source a durable call was made."""

from __future__ import annotations

import linecache
import os
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType, FrameType

    from golem_sdk.core.entries import DescribeCallSite

__all__ = ["Site", "SiteTable", "describe_site", "user_line"]

_LONGEST_SOURCE = 200

_FARTHEST = 60

_LIBRARIES = tuple(
    str(Path(path).resolve())
    for path in {
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        str(Path(__file__).parent.parent),
    }
)

_INSTALLED = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
"""Where else libraries are: a user's own, those of the system, those that a ``.pth`` file adds."""

_is_library: dict[str, bool] = {}
"""By file. Code is no key: functions of two files are equal if their text, name and line are."""

_ROOMS = (
    "asyncio.",
    *(
        f"golem_sdk.{room}"
        for room in ("decorators", "durability", "guards", "host", "intercept", "runtime")
    ),
)
"""How the names of modules begin that hold no agents."""
_DRIVER = "golem_sdk.runtime.execution"
"""What runs agent code: above it is nothing more of that."""
_holds_none: dict[str, bool] = {}


class Site(NamedTuple):
    """A place in the agent's source."""

    file: str
    line: int
    function: str
    source: str


_Key = tuple[str, "CodeType", int]
"""Where in which code a call is made."""


class _Numbering:
    """Sites in the order in which an agent met them.

    Attributes:
        sites: by number, from 1.
        numbers: of sites, and of what was seen of the code that is there.
    """

    __slots__ = ("numbers", "sites")

    def __init__(self, sites: dict[int, Site]) -> None:
        self.sites = sites
        self.numbers: dict[_Key | Site, int] = {site: number for number, site in sites.items()}


_nothing = _Numbering({})
_numberings: dict[_Key, _Numbering] = {}
"""By the place of the first call, for all agents that meet their sites in the same order: most do."""

_MOST = 10_000
"""So many places are remembered; more are those of a program that makes code as it runs."""


class SiteTable:
    """An agent's call sites by number; a new one is described in the oplog when first recorded.

    Args:
        known: the sites that the oplog describes already.
        own_file: the file of the agent's definition, user code wherever it is installed.
    """

    __slots__ = ("_described", "_last", "_numbering", "_own_file")

    def __init__(self, known: Iterable[DescribeCallSite], own_file: str) -> None:
        self._own_file = own_file
        described = {
            each.site: Site(each.file, each.line, each.function, each.source) for each in known
        }
        self._last = max(described, default=0)
        self._described: set[int] | None = {*described} or None
        self._numbering = _Numbering(described) if described else _nothing

    def here(self, callers: int = 1) -> int:
        """The number of the innermost line of user code on the calling thread's stack, 0 without one.

        The nearest ``callers`` are known not to be it. A frame that is looked at becomes an object, which is
        kept as long as the frame is: that of a coroutine, while it waits.
        """
        found = _user_frame(sys._getframe(callers), self._own_file)
        if found is None:
            return 0
        frame, code = found
        key = (code.co_filename, code, frame.f_lasti)
        number = self._numbering.numbers.get(key, sys.maxsize)
        return number if number <= self._last else self._number(key, frame)

    def is_user_code(self, code: CodeType) -> bool:
        """Whether code is the agent's or another part of its program, and not of a library."""
        return code.co_filename == self._own_file or not _of_library(code)

    def site(self, number: int) -> Site | None:
        """The site with a number, ``None``: it has none."""
        return self._numbering.sites.get(number) if number <= self._last else None

    def undescribed(self, number: int) -> Site | None:
        """What to describe before the first entry that names the site; ``None`` if it was."""
        if self._described is None:
            self._described = set()
        if number in self._described:
            return None
        self._described.add(number)
        return self.site(number)

    def _number(self, key: _Key, frame: FrameType) -> int:
        if not self._last:
            self._numbering = _numbering_from(key)
        ours, last = self._numbering, self._last
        site = ours.sites.get(ours.numbers.get(key, 0)) or _site(frame)
        number = ours.numbers.get(site, 0)
        if not 0 < number <= last:  # it is new to the agent
            self._last = number = last + 1
        # Others may add to it at the same time: what is under a number stays there.
        if len(ours.numbers) >= _MOST or ours.sites.setdefault(number, site) != site:
            sites = {n: ours.sites[n] for n in range(1, last + 1) if n in ours.sites}
            ours = self._numbering = _Numbering({**sites, number: site})
        ours.numbers[site] = ours.numbers[key] = number
        return number


def _numbering_from(key: _Key) -> _Numbering:
    if len(_numberings) >= _MOST:
        _numberings.clear()
    return _numberings.setdefault(key, _Numbering({}))


def _site(frame: FrameType) -> Site:
    file, line, function = frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname
    # The text belongs to it: in code that was changed, another call may stand in the same line.
    return Site(file, line, function, linecache.getline(file, line).strip()[:_LONGEST_SOURCE])


def describe_site(site: Site | None) -> str:
    """A site as text: ``orders.py:88 in charge(): receipt = pay(card)``."""
    if site is None:
        return "an unknown line"
    source = f": {site.source}" if site.source else ""
    return f"{Path(site.file).name}:{site.line} in {site.function}(){source}"


def user_line(frame: FrameType) -> str:
    """File and line of the innermost user code on a stack; without any, of its top."""
    found = _user_frame(frame, "")
    at = frame if found is None else found[0]
    return f"{at.f_code.co_filename}:{at.f_lineno}"


def _of_library(code: CodeType) -> bool:
    file = code.co_filename
    library = _is_library.get(file)
    if library is None:
        library = file.startswith(("<frozen", *_LIBRARIES)) or any(at in file for at in _INSTALLED)
        _is_library[file] = library
    return library


def _user_frame(frame: FrameType, own_file: str) -> tuple[FrameType, CodeType] | None:
    at: FrameType | None = frame
    for _ in range(_FARTHEST):
        if at is None:
            break
        # Asking a frame for its code is an audit event, and so a call of every audit hook; asking for its
        # module is none. Those nearest are the SDK's own.
        module = at.f_globals.get("__name__")
        # Code that is run by exec() may call itself anything.
        if type(module) is not str or not (_holds_none.get(module) or _holds_no_agent(module)):
            code = at.f_code
            if not _of_library(code) or code.co_filename == own_file:
                return at, code
        elif module == _DRIVER:
            break
        at = at.f_back
    return None


def _holds_no_agent(module: str) -> bool:
    found = _holds_none.get(module)
    if found is None:
        found = _holds_none[module] = module.startswith(_ROOMS)
    return found
