"""What agent code asks of the machine, the process and the user around it.

Covers: process numbers, host and user names, the platform, the working directory and the load, which may be
others in the agent's next life: recorded when agent code asks itself, or through ``os.path`` and `pathlib`.
What libraries ask for their own ends (connection pools compare process numbers, SDKs send the platform in a
header) is passed on: they keep it per process, so it would be recorded in one life and missing in the next.
``input``: asked once, the answer is recorded. ``getpass.getpass`` is refused, because its answer must not be
in an oplog, and replay could not go on without it.

The environment is passed on, too: its values are often keys, which do not belong into an oplog and are
rotated while agents sleep. Writing to it is heard of by `golem_sdk.intercept.net`.

Does not cover: ``sys.stdin``, and what seldom changes while an agent sleeps: user and group
numbers, ``sys.platform``, Python's version.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.function_type import FunctionType
from golem_sdk.errors import NotDurableError
from golem_sdk.intercept.patching import Patch, replacement_of
from golem_sdk.intercept.paths import asked_by_agent

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import MethodType, ModuleType

__all__ = [
    "builtins_patches",
    "getpass_patches",
    "os_patches",
    "platform_patches",
    "socket_patches",
]

_NAME = "surroundings"
_HELPERS = frozenset({"genericpath", "pathlib", "platform", "posixpath"})
"""Packages that ask for agent code."""

_OS = ("getpid", "getppid", "getpgrp", "getlogin", "getcwd", "getcwdb", "getloadavg", "cpu_count")


def os_patches(module: ModuleType) -> list[Patch]:
    """The patches of `os`."""
    return [Patch(module, name, functools.partial(_plain, "os"), spread=True) for name in _OS]


def platform_patches(module: ModuleType) -> list[Patch]:
    """The patches of `platform`; ``node()``, ``system()`` and the like ask ``uname()``."""
    return [
        Patch(module, "platform", functools.partial(_with_arguments, "platform"), spread=True),
        Patch(module, "uname", functools.partial(_uname, module), spread=True),
    ]


def socket_patches(module: ModuleType) -> list[Patch]:
    """The patches of `socket`."""
    return [
        Patch(module, "gethostname", functools.partial(_plain, "socket"), spread=True),
        Patch(module, "getfqdn", functools.partial(_with_arguments, "socket"), spread=True),
    ]


def getpass_patches(module: ModuleType) -> list[Patch]:
    """The patches of `getpass`."""
    return [
        Patch(module, "getuser", functools.partial(_plain, "getpass"), spread=True),
        Patch(module, "getpass", _password, spread=True),
    ]


def builtins_patches(module: ModuleType) -> list[Patch]:
    """The patch of `builtins`."""
    return [Patch(module, "input", functools.partial(_answer, "builtins"), spread=True)]


def _asked_by_agent(frame: Any) -> durability.Session | None:
    """The session, if it is its agent's code that asks in this frame, and not a library."""
    session = durability.current_since(_NAME)
    if session is None or not asked_by_agent(session, frame, _HELPERS, _NAME):
        return None
    return session


def _passed_on(perform: Callable[[], Any]) -> Any:
    """What a library is given: `platform` may start a program for it, once per process."""
    session = durability.current_since(_NAME)
    if session is None:
        return perform()
    with durability.suppressed(session):
        return perform()


def _plain(module: str, original: Callable[[], Any]) -> MethodType:
    """A reading that takes no arguments."""
    nearby, name = durability.nearby, f"{module}.{original.__name__}"

    def reading(_home: object) -> Any:
        if nearby() is None:
            return original()
        if (session := _asked_by_agent(sys._getframe(1))) is None:
            return _passed_on(original)
        return durability.durable_call(session, name, FunctionType.READ_LOCAL, None, original)

    return replacement_of(original, reading, module)


def _with_arguments(module: str, original: Callable[..., Any]) -> MethodType:
    """A reading that takes texts and flags."""
    nearby, name = durability.nearby, f"{module}.{original.__name__}"

    def reading(_home: object, /, *args: Any, **options: Any) -> Any:
        if nearby() is None:  # to pass on no options costs less
            return original(*args, **options) if options else original(*args)
        perform = functools.partial(original, *args, **options)
        if (session := _asked_by_agent(sys._getframe(1))) is None:
            return _passed_on(perform)
        request = [list(args), options]
        return durability.durable_call(session, name, FunctionType.READ_LOCAL, request, perform)

    return replacement_of(original, reading, module)


def _uname(module: Any, original: Callable[[], Any]) -> MethodType:
    nearby = durability.nearby

    def uname(_home: object) -> Any:
        if nearby() is None:
            return original()

        # The processor is found out when it is asked for: now, because that may start a program.
        def perform() -> list[str]:
            return list(original())

        if (session := _asked_by_agent(sys._getframe(1))) is None:
            _passed_on(perform)
            return original()
        *fields, processor = durability.durable_call(
            session, "platform.uname", FunctionType.READ_LOCAL, None, perform
        )
        result = module.uname_result(*fields)
        vars(result)["processor"] = processor
        return result

    return replacement_of(original, uname, "platform")


def _answer(module: str, original: Callable[..., str]) -> MethodType:
    """A question to the user."""
    name = f"{module}.{original.__name__}"

    def ask(_home: object, /, *args: Any, **options: Any) -> str:
        session = durability.current_since(_NAME)
        if session is None:
            return original(*args, **options)
        prompt = [str(each) for each in args[:1]]  # agent code, if it defines __str__
        perform = functools.partial(original, *prompt, *args[1:], **options)
        return durability.durable_call(session, name, FunctionType.READ_REMOTE, prompt, perform)

    return replacement_of(original, ask, module)


def _password(original: Callable[..., str]) -> MethodType:
    recorded = _answer("getpass", original)  # by agents that are older than version 2

    def ask(_home: object, /, *args: Any, **options: Any) -> str:
        session = durability.current_since(_NAME)
        if session is None:
            return original(*args, **options)
        if durability.interceptor_version(session, _NAME) < 2:
            answer: str = recorded(*args, **options)
            return answer
        raise NotDurableError(
            "An agent called getpass.getpass. Nobody was asked and nothing was recorded: its answer is needed"
            " again in every replay, and would be in the oplog for all to read. Ask in a function decorated"
            " with @durable, which uses the answer and does not return it; or ask before the runtime is"
            " opened, and keep it where agents read it when they need it: in an environment variable, or a"
            " keyring."
        )

    return replacement_of(original, ask, "getpass")
