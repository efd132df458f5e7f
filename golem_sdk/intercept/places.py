"""Where agent code does something, told from the stack, even if a library or an agent's thread does it."""

from __future__ import annotations

import sys
from types import CoroutineType, FrameType
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from golem_sdk import durability

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Place", "place_of"]

_FARTHEST = 100
_ENTRANCES = frozenset(
    f"golem_sdk.runtime.{name}" for name in ("execution", "lanes", "loop", "threads")
)
"""Modules of the SDK that call agent code, or what agent code has given to a thread or to the loop."""


@frozen
class Place:
    """A line.

    Attributes:
        file, line, function: of user code if any is known, else the innermost of a library.
        library: the package that the line has called, ``""``: none.
    """

    file: str
    line: int
    function: str
    library: str = ""


def place_of(session: durability.Session, frame: FrameType) -> Place | None:
    """The line at which agent code does what is done in a frame; ``None``: golem_sdk itself does it."""
    library, innermost, entrance = "", None, frame
    for at in _outwards(frame):
        name = at.f_globals.get("__name__", "")
        if session.sites.is_user_code(at.f_code):
            return _place(at, library)
        if name in _ENTRANCES:
            entrance = at
            break
        if name.startswith("golem_sdk.intercept."):  # which passes a call on
            continue
        if name.startswith("golem_sdk."):
            return None
        package = name.partition(".")[0]
        if innermost is None or innermost.library in sys.stdlib_module_names:
            innermost = _place(at, package)
        library = package
    awaited = _awaited(session)
    if awaited is not None:
        return evolve(awaited, library=library)
    return innermost or _place(entrance, "")


def _awaited(session: durability.Session) -> Place | None:
    """The line of user code that awaits the thread of the agent that runs."""
    lane, loop = durability.current_lane(), session.pump.loop
    if lane is None or loop is None:
        return None
    tasks = sorted(durability.all_tasks(loop), key=hash)  # the oldest first
    waiting = [task for task in tasks if getattr(task, "_fut_waiter", None) is lane.future]
    for task in waiting or tasks:  # who gathers several is not known to wait for this one
        found = [f for f in _suspended(task) if session.sites.is_user_code(f.f_code)]
        if found:
            return _place(found[-1], "")
        made = session.sites.site(getattr(task, "site", 0))
        if made is not None:
            return Place(made.file, made.line, made.function)
    return None


def _suspended(task: Any) -> Iterator[FrameType]:
    """The frames of a task that waits, from the outside in."""
    coroutine = task.get_coro()
    while isinstance(coroutine, CoroutineType):
        if coroutine.cr_frame is not None:
            yield coroutine.cr_frame
        coroutine = coroutine.cr_await


def _outwards(frame: FrameType) -> Iterator[FrameType]:
    at: FrameType | None = frame
    for _ in range(_FARTHEST):
        if at is None:
            return
        yield at
        at = at.f_back


def _place(frame: FrameType, library: str) -> Place:
    code = frame.f_code
    return Place(code.co_filename, frame.f_lineno, code.co_qualname, library)
