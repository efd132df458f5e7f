"""The functions that interceptors replace, bound here before anything is patched.

The SDK itself takes clock, entropy and output only from this module, so its own calls are never
intercepted. Interceptors must leave this module's names alone when they swap imported names.
"""

from __future__ import annotations

import _thread
import builtins
import os
import random
import threading
import time
from contextvars import Context

__all__ = [
    "Lock",
    "RLock",
    "Random",
    "allocate_lock",
    "getcwd",
    "getpid",
    "lstat",
    "monotonic",
    "open",
    "perf_counter",
    "print",
    "readlink",
    "sleep",
    "start_thread",
    "time_ns",
    "urandom",
]

time_ns = time.time_ns
monotonic = time.monotonic
open = builtins.open  # noqa: A001  # the name of what it keeps
perf_counter = time.perf_counter
sleep = time.sleep
urandom = os.urandom
getcwd = os.getcwd
getpid = os.getpid
lstat = os.lstat
readlink = os.readlink
print = builtins.print  # noqa: A001  # the name of what it keeps
Random = random.Random
Lock = threading.Lock
RLock = threading.RLock
allocate_lock = _thread.allocate_lock
_start = threading.Thread.start


def start_thread(thread: threading.Thread) -> None:
    """Start a thread that is none of an agent's, even if agent code is what asks for it."""
    Context().run(_start, thread)
