"""Where in the agent's source a durable call was made."""

from __future__ import annotations

import linecache
import os
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from golem_sdk.core.entries import DescribeCallSite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType, FrameType

__all__ = ["SiteTable", "describe_site", "user_line"]

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

_ROOMS = tuple(
    f"golem_sdk.{room}"
    for room in ("decorators", "durability", "guards", "host", "intercept", "runtime")
)
_is_sdk: dict[str, bool] = {}


class SiteTable:
    """An agent's call sites by number; a new one is described in the oplog when first recorded.

    Args:
        known: the sites that the oplog describes already.
        own_file: the file of the agent's definition, user code wherever it is installed.
        now_ns: gives the timestamp of new descriptions.
    """

    def __init__(
        self, known: Iterable[DescribeCallSite], own_file: str, now_ns: Callable[[], int]
    ) -> None:
        self._own_file = own_file
        self._now_ns = now_ns
        known_sites = list(known)
        self.sites: dict[int, DescribeCallSite] = {site.site: site for site in known_sites}
        self._numbers = {(s.file, s.line, s.function, s.source): s.site for s in known_sites}
        self._fast: dict[tuple[str, CodeType, int], int] = {}
        self._described = set(self.sites)

    def here(self) -> int:
        """The number of the innermost line of user code on the calling thread's stack, 0 without one."""
        found = _user_frame(sys._getframe(1), self._own_file)
        if found is None:
            return 0
        frame, code = found
        key = (code.co_filename, code, frame.f_lasti)
        number = self._fast.get(key)
        if number is None:
            number = self._fast[key] = self._number(frame)
        return number

    def is_user_code(self, code: CodeType) -> bool:
        """Whether code is the agent's or another part of its program, and not of a library."""
        return code.co_filename == self._own_file or not _of_library(code)

    def undescribed(self, number: int) -> DescribeCallSite | None:
        """The description to append before the first entry that names the site; ``None`` if it was."""
        if number in self._described:
            return None
        self._described.add(number)
        return self.sites[number]

    def _number(self, frame: FrameType) -> int:
        file, line, function = frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname
        # The text belongs to it: in code that was changed, another call may stand in the same line.
        source = linecache.getline(file, line).strip()[:_LONGEST_SOURCE]
        place = (file, line, function, source)
        number = self._numbers.get(place)
        if number is None:
            number = self._numbers[place] = max(self.sites, default=0) + 1
            self.sites[number] = DescribeCallSite(
                self._now_ns(), number, file, line, function, source
            )
        return number


def describe_site(site: DescribeCallSite | None) -> str:
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
        if type(module) is not str or not (_is_sdk.get(module) or _of_sdk(module)):
            code = at.f_code
            if not _of_library(code) or code.co_filename == own_file:
                return at, code
        at = at.f_back
    return None


def _of_sdk(module: str) -> bool:
    """Whether a module is of a room of the SDK that holds no agents."""
    found = _is_sdk.get(module)
    if found is None:
        found = _is_sdk[module] = module.startswith(_ROOMS)
    return found
