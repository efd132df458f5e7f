"""Processes that agents know by number: ``os.kill``, ``os.killpg`` and ``os.getpgid``.

A process of the agent (`golem_sdk.intercept.processes`) that is started again has another number then than
agent code knows. What is meant for it, or for the group that it leads, reaches it all the same; a signal is
sent again where it was sent before, as those of ``Popen.send_signal`` are. All other numbers are what they
are: in the next life, perhaps a stranger's.

Does not cover: ``os.getsid``, ``os.setpgid`` and ``signal.pidfd_send_signal``.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.intercept.patching import Patch, replacement_of
from golem_sdk.intercept.processes import PROCESSES, Process

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import MethodType, ModuleType

__all__ = ["know", "number_patches"]

_ASKED_FOR_GROUPS = 3
"""The version from which on ``os.getpgid`` is recorded."""


def number_patches(module: ModuleType) -> list[Patch]:
    """The patches of `os`."""
    return [
        Patch(module, "kill", functools.partial(_kill, "os.kill"), spread=True),
        Patch(module, "killpg", functools.partial(_kill, "os.killpg"), spread=True),
        Patch(module, "getpgid", _group, spread=True),
    ]


def know(session: durability.Session, number: int, process: Process) -> None:
    """Agent code knows this process by this number."""
    _known(session)[number] = process


def _known(session: durability.Session) -> WeakValueDictionary[int, Process]:
    return durability.life_memory(session, PROCESSES, WeakValueDictionary)


def _running(session: durability.Session, number: Any) -> Process | None:
    """The agent's process with this number, if it runs, as far as the agent knows."""
    process = _known(session).get(number)
    return None if process is None or process.ended else process


def _kill(name: str, original: Callable[[int, int], None]) -> MethodType:
    current = durability.current

    def kill(_home: object, number: int, signal: int, /) -> None:
        if current() is None or (session := durability.current_since(PROCESSES)) is None:
            original(number, signal)
            return

        def send(real: Any, signal: int) -> None:
            original(real.pid, signal)

        def perform() -> bool | None:
            if process is None:
                original(number, signal)
                return None
            had_ended = _has_ended(process.number())
            process.send_signal(signal, send)
            return had_ended or None

        process = _running(session, number)
        request = [number, int(signal)]
        came_too_late = durability.durable_call(
            session, name, FunctionType.WRITE_REMOTE, request, perform, identity=int(signal)
        )
        if process is not None and not came_too_late:
            process.note_signal(signal, send)

    return replacement_of(original, kill, "os")


def _has_ended(number: int) -> bool:
    """Whether the process has ended, without waiting for it: its return code is still to be asked for.

    Systems without ``waitid`` (macOS before Python 3.13) do not tell: ``False``.
    """
    if not hasattr(os, "waitid"):
        return False
    try:
        return os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # another thread has waited for it
        return True


def _group(original: Callable[[int], int]) -> MethodType:
    current = durability.current

    def getpgid(_home: object, pid: int) -> int:
        session = None if current() is None else durability.current_since(PROCESSES)
        if (
            session is None
            or durability.interceptor_version(session, PROCESSES) < _ASKED_FOR_GROUPS
        ):
            return original(pid)
        process = _running(session, pid)

        def ask() -> int:
            now = pid if process is None else process.number()
            group = original(now)
            return pid if group == now else group

        return durability.durable_call(
            session, "os.getpgid", FunctionType.READ_REMOTE, pid, ask, identity=None
        )

    return replacement_of(original, getpgid, "os")
