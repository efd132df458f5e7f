"""Notices what agent code does to the outside past every durable call: it is done again at every replay.

Python's audit events tell of files opened for writing, processes, new connections, datagrams, ctypes and
the like. What is sent over a connection that was made elsewhere raises no such event: for that, calls of
certain C functions are watched, which slows the agent down. Not noticed: what C code does by itself, and
calls of a C function that ctypes looked up before.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from golem_sdk.durability import current
from golem_sdk.runtime.sites import describe_site
from golem_sdk.testing.observations import Unjournaled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import FrameType

__all__ = ["Watch"]

_LONGEST = 120
_EVENTS = frozenset(
    {
        "ctypes.dlopen",
        "ctypes.dlsym",
        "ftplib.connect",
        "http.client.connect",
        "imaplib.open",
        "nntplib.connect",
        "os.chmod",
        "os.chown",
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.kill",
        "os.killpg",
        "os.link",
        "os.mkdir",
        "os.posix_spawn",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.spawn",
        "os.symlink",
        "os.system",
        "os.truncate",
        "poplib.connect",
        "pty.spawn",
        "shutil.move",
        "smtplib.connect",
        "socket.bind",
        "socket.connect",
        "socket.sendmsg",
        "socket.sendto",
        "sqlite3.connect",
        "subprocess.Popen",
        "syslog.syslog",
        "webbrowser.open",
    }
)
"""Source: the table of audit events in the library reference, what changes or asks something outside."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
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

    @contextmanager
    def on(self, *, thorough: bool) -> Iterator[None]:
        """Notice what happens in this block; ``thorough``: calls of C functions, too, in new threads."""
        _install()
        before = threading.getprofile()
        _watches.append(self)
        if thorough:
            threading.setprofile(self._profile)
        try:
            yield
        finally:
            _watches.remove(self)
            if thorough:
                threading.setprofile(before)

    def note(self, event: str, details: str) -> None:
        """Something happened here; it counts if this is agent code, and live or replayed."""
        session = current()
        if event in self._allowed or session is None or session.ended is not None:
            return
        with session.not_agent_code():  # looking for the place may read source files
            number = session.sites.here()
        site = describe_site(session.sites.sites.get(number))
        with self._mutex:
            self.seen.append(Unjournaled(event, details, site))

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "c_call" or self not in _watches:
            return
        name = getattr(argument, "__qualname__", "")
        if name not in _METHODS and (name != "write" or argument.__module__ != "posix"):
            return
        owner = getattr(argument, "__self__", None)
        if owner not in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            self.note(name, "")


_watches: list[Watch] = []
_installing = Lock()
_installed = False


def _install() -> None:
    """Audit hooks cannot be removed: there is one, and it does nothing while nobody watches."""
    global _installed  # once per process
    with _installing:
        if not _installed:
            sys.addaudithook(_audit)
            _installed = True


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watches:
        return
    if event == "open":
        path, _, flags = arguments
        if not isinstance(flags, int) or not flags & _WRITING or path == os.devnull:
            return
        told = repr(path)
    elif event in _EVENTS:
        told = ", ".join(map(_short, arguments))
    else:
        return
    for watch in _watches:
        watch.note(event, told[:_LONGEST])


def _short(value: object) -> str:
    """Plain values as they are, of others only the type: addresses would differ from run to run."""
    match value:
        case str() | bytes() | int() | float() | None:
            return repr(value)
        case tuple() | list():
            return f"({', '.join(map(_short, value))})"
    return type(value).__name__
