"""What agent code prints and logs: shown once, not again on replay.

Covers: ``print`` to the standard streams, and records that pass a `logging.Logger` and its filters. Each
becomes a log entry of the agent; `golem_sdk.durability` says whether it was emitted before a crash.
Secrets in the query part of URLs are left out of the entries (HTTP clients log whole URLs).

Does not cover: ``sys.stdout.write``, files, ``print(file=...)`` to anything else, loggers that do not
build on `logging`, and secrets that agent code writes out itself.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.core.redaction import without_url_secrets
from golem_sdk.intercept.patching import Patch, replacement_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import MethodType, ModuleType

__all__ = ["logging_patches", "print_patches"]

_LEVELS = (
    (logging.CRITICAL, "critical"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warn"),
    (logging.INFO, "info"),
    (logging.DEBUG, "debug"),
)


def print_patches(module: ModuleType) -> list[Patch]:
    """The patch of `builtins`."""
    return [Patch(module, "print", _print, spread=True)]


def logging_patches(module: ModuleType) -> list[Patch]:
    """The patch of `logging`."""
    return [Patch(module.Logger, "callHandlers", _call_handlers)]


def _print(original: Callable[..., None]) -> MethodType:
    current = durability.current

    def function(_home: object, /, *values: object, **options: Any) -> None:
        session = current()
        if session is None or not _is_recorded(**options):
            original(*values, **options)
        else:
            _print_in_agent(session, original, *values, **options)

    return replacement_of(original, function, "builtins")


def _is_recorded(sep: Any = None, end: Any = None, file: Any = None, **others: Any) -> bool:
    """Whether it is text for a standard stream; anything else is left to the original."""
    return (
        (sep is None or isinstance(sep, str))
        and (end is None or isinstance(end, str))
        and (file is None or file is sys.stdout or file is sys.stderr)
        and others.keys() <= {"flush"}
    )


def _print_in_agent(
    session: Any,
    original: Callable[..., None],
    *values: object,
    sep: str | None = None,
    end: str | None = None,
    file: Any = None,
    flush: bool = False,
) -> None:
    # Agent code, if the values define __str__: it runs live and on replay, outside the suppression.
    text = (" " if sep is None else sep).join(map(str, values)) + ("\n" if end is None else end)
    level = "stderr" if file is not None and file is sys.stderr else "stdout"
    if durability.record_log(session, level, "print", without_url_secrets(text)):
        with durability.suppressed(session), contextlib.suppress(Exception):
            # A broken pipe is no news for an agent: on replay nothing is printed, and nothing breaks.
            original(text, end="", file=file, flush=flush)


def _call_handlers(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        session = durability.current()
        if session is None:
            original(self, record)
            return
        message = without_url_secrets(_message(record))
        if durability.record_log(session, _level(record.levelno), record.name, message):
            with durability.suppressed(session), contextlib.suppress(Exception):
                original(self, record)

    return call_handlers


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # a wrong format string; the handlers report it
        return str(record.msg)


def _level(number: int) -> str:
    return next((name for least, name in _LEVELS if number >= least), "trace")
