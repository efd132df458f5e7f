"""Which of Python's audit events tell of something that agent code does to the outside, or asks of it.

Data only. Source: the table of audit events in Python's library reference.

Raise no event, and so are not in it: what is sent, received or written over something that is open already,
``os.stat`` and the like, clocks, entropy, and whatever compiled libraries do by themselves.
"""

from __future__ import annotations

import os
from typing import Any

from attrs import field, frozen

__all__ = [
    "AUDITED",
    "FOLLOWED",
    "PATHS",
    "READ_BY_DESCRIPTOR",
    "Audited",
    "details",
    "opened_to_read",
]

_DURABLE = "Put it into a function decorated with @durable, which is recorded and not done again"
_AGAIN = "It is not recorded, and done again at every replay"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@frozen
class Audited:
    """Events of one kind of effect.

    Attributes:
        name: of the kind.
        events: their names.
        does: what agent code did, after "An agent".
        so: what comes of it.
        instead: what to write instead.
        asks: whether it only asks: it changes nothing outside.
    """

    name: str
    events: tuple[str, ...] = field(converter=_words)
    does: str
    so: str = _AGAIN
    instead: str = _DURABLE
    asks: bool = False


_NETWORK = (
    "Use a client that is intercepted (golem doctor lists them), or put the call into a function decorated"
    " with @durable"
)

_KINDS = (
    Audited(
        "network",
        "ftplib.connect http.client.connect imaplib.open nntplib.connect poplib.connect smtplib.connect"
        " socket.bind socket.connect socket.sendmsg socket.sendto telnetlib.Telnet.open",
        "talks over the network past every durable call",
        instead=_NETWORK,
    ),
    Audited(
        "names",
        "socket.getaddrinfo socket.gethostbyaddr socket.gethostbyname socket.getnameinfo",
        "looks up a name of the network past every durable call",
        so="The answer is not recorded, and may be another one in replay",
        instead=_NETWORK,
        asks=True,
    ),
    Audited("files", "open", "opens a file for writing"),
    Audited(
        "directories",
        "os.chmod os.chown os.link os.mkdir os.remove os.rename os.rmdir os.setxattr os.symlink"
        " os.truncate os.utime shutil.move",
        "changes files or directories",
    ),
    Audited(
        "processes",
        "os.exec os.fork os.forkpty os.kill os.killpg os.posix_spawn os.spawn os.startfile os.system"
        " pty.spawn signal.pthread_kill subprocess.Popen",
        "starts a process, or sends it a signal, past every durable call",
    ),
    Audited(
        "databases",
        "sqlite3.connect",
        "opens a database past every durable call",
        instead="Use sqlite3.connect, which is intercepted, or a function decorated with @durable",
    ),
    Audited(
        "environment",
        "os.putenv os.unsetenv",
        "changes the environment",
        so="All agents of this process see it, it is lost when the process ends, and it is done again in"
        " replay",
        instead="Give a subprocess its env=, and other code arguments",
    ),
    Audited(
        "compiled code",
        "ctypes.dlopen ctypes.dlsym",
        "calls compiled code through ctypes",
        so="What that does is neither recorded nor noticed",
        instead="Load the library at the top of a module, and put calls that touch the outside into functions"
        " decorated with @durable",
    ),
    Audited("desktop", "syslog.syslog webbrowser.open", "tells the system or its user something"),
)

READ_BY_DESCRIPTOR = Audited(
    "descriptors",
    "open",
    "opens a file that it reads by its descriptor",
    so="What is read is not recorded, and may be something else in replay",
    instead="Use open(), whose files are recorded, or put it into a function decorated with @durable",
    asks=True,
)
"""Of ``os.open``, which agent code itself has called."""

AUDITED: dict[str, Audited] = {event: kind for kind in _KINDS for event in kind.events}
"""By event."""

PATHS: dict[str, tuple[tuple[int, int], ...]] = {
    "open": ((0, -1),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.link": ((0, 2), (1, 3)),
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.rmdir": ((0, 1),),
    "os.setxattr": ((0, -1),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, -1),),
    "os.utime": ((0, 3),),
    "shutil.move": ((1, -1),),
    "sqlite3.connect": ((0, -1),),
}
"""By event: where in its arguments paths are, and the descriptors (-1: none) that they begin at."""

FOLLOWED = frozenset({"open", "os.truncate", "sqlite3.connect"})
"""Events of what is done where a link leads to, always."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NO_FILE = os.O_DIRECTORY | getattr(os, "O_PATH", 0)
_IN_MEMORY = frozenset({":memory:", "", b":memory:", b""})


def details(event: str, arguments: tuple[Any, ...]) -> str | None:
    """What an event tells, as text without addresses; ``None``: it is harmless."""
    match event, arguments:
        case "open", (path, _, flags):
            if not isinstance(flags, int) or not flags & _WRITING or path == os.devnull:
                return None
            return None if isinstance(path, int) else repr(path)
        case "sqlite3.connect", (str() | bytes() as database, *_) if database in _IN_MEMORY:
            return None
        case (("os.putenv" | "os.unsetenv"), (name, *_)):  # the value may be a secret
            return repr(os.fsdecode(name))
    return ", ".join(map(_short, arguments))


def opened_to_read(event: str, arguments: tuple[Any, ...]) -> str | None:
    """The path, if it is ``os.open`` for reading, and of no directory; else ``None``."""
    match event, arguments:
        case "open", (str() | bytes() | os.PathLike() as path, None, int() as flags):
            if flags & (_WRITING | _NO_FILE) or path == os.devnull:
                return None
            return None if os.path.isdir(path) else repr(path)
    return None


def _short(value: object) -> str:
    """Plain values as they are, of others only the type: addresses would differ from run to run."""
    match value:
        case str() | bytes() | int() | float() | None:
            return repr(value)
        case tuple() | list():
            return f"({', '.join(map(_short, value))})"
    return type(value).__name__
