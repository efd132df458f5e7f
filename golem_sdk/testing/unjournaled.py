"""Notices what agent code does to the outside past every durable call: it is done again at every replay.

Python's audit events tell of files opened for writing, processes, new connections, datagrams, ctypes and
the like. What is sent over a connection that was made elsewhere raises no such event: for that, calls of
certain C functions are watched, which slows the agent down. Not noticed: what C code does by itself, and
calls of a C function that ctypes looked up before.
"""

from __future__ import annotations

import io
import sys
import threading
from asyncio.selector_events import BaseSelectorEventLoop
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from golem_sdk.durability import current
from golem_sdk.intercept import net
from golem_sdk.runtime.sites import describe_site
from golem_sdk.testing.observations import Unjournaled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import FrameType

    from golem_sdk.intercept.audited import Audited

__all__ = ["Watch"]

_METHODS = frozenset(
    {
        "BufferedRandom.write",
        "BufferedWriter.write",
        "Connection.commit",
        "Connection.execute",
        "Connection.executemany",
        "Connection.executescript",
        "Cursor.execute",
        "Cursor.executemany",
        "Cursor.executescript",
        "FileIO.write",
        "TextIOWrapper.write",
        "_SSLSocket.write",
        "pwrite",
        "sendfile",
        "socket.send",
        "socket.sendall",
        "writev",
    }
)
"""C functions that write to what is open already, by qualified name; ``write`` also by its module, posix."""

_WAKES_A_LOOP = BaseSelectorEventLoop._write_to_self.__code__  # type: ignore[attr-defined]  # no public name
"""Writes a byte to the other end of a pipe in this process: closing a client does so, on the host loop."""


class Watch:
    """What was noticed, while it is `on`.

    Args:
        allowed: events that are not to be noticed.

    Attributes:
        seen: what was noticed, in order.
    """

    def __init__(self, allowed: Collection[str] = ()) -> None:
        self.seen: list[Unjournaled] = []
        self._allowed = frozenset(allowed)
        self._mutex = Lock()
        self._is_on = False

    @contextmanager
    def on(self, *, thorough: bool) -> Iterator[None]:
        """Notice what happens in this block; ``thorough``: calls of C functions, too, in new threads."""
        before = threading.getprofile()
        self._is_on = True
        if thorough:
            threading.setprofile(self._profile)
        try:
            with net.listening(self._heard):
                yield
        finally:
            self._is_on = False
            if thorough:
                threading.setprofile(before)

    def note(self, event: str, details: str) -> None:
        """Something happened here; it counts if this is agent code, and live or replayed."""
        session = current()
        if event in self._allowed or session is None or session.ended is not None:
            return
        with session.not_agent_code():  # looking for the place may read source files
            number = session.sites.here()
        site = describe_site(session.sites.site(number))
        with self._mutex:
            self.seen.append(Unjournaled(event, details, site))

    def _heard(self, kind: Audited, event: str, details: str) -> None:
        if not kind.asks:
            self.note(event, details)

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "c_call" or not self._is_on or frame.f_code is _WAKES_A_LOOP:
            return
        name = getattr(argument, "__qualname__", "")
        if name not in _METHODS and (name != "write" or argument.__module__ != "posix"):
            return
        owner = getattr(argument, "__self__", None)
        if owner in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            return
        raw = getattr(getattr(owner, "buffer", owner), "raw", owner)
        # What is written to a file made in Python goes on from there: it is noticed there, if at all.
        is_passed_on = isinstance(raw, io.RawIOBase) and not isinstance(raw, io.FileIO)
        if not is_passed_on and not net.is_its_own(
            current(), "open", (getattr(raw, "name", None),)
        ):
            self.note(name, "")
