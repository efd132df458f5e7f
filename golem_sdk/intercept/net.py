"""The net below all interceptors: what agent code does past every durable call is named, once per line (D2).

An audit hook hears of it before it happens. It warns, with the line of the agent's code, the library that the
line has called, and what to write instead; under ``Runtime(strict=True)`` it raises at the call, always.

Not reported: what runs inside a durable call, an import or a garbage collection; what golem_sdk itself does;
what happens in the agent's own directory, which replay fills again; what is in a ``PERSIST_NOTHING`` block,
whose code says by `is_live` what it does again. Not heard of: see `golem_sdk.intercept.audited`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.durability import SCOPE, SESSION
from golem_sdk.errors import NotDurableError, NotDurableWarning
from golem_sdk.intercept.audited import (
    AUDITED,
    FOLLOWED,
    PATHS,
    READ_BY_DESCRIPTOR,
    Audited,
    details,
    opened_to_read,
)
from golem_sdk.intercept.paths import LEADS, is_own, knows
from golem_sdk.intercept.places import Place, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["forget", "hear", "is_its_own", "listening"]

_LONGEST = 120

_mutex = threading.Lock()
_hearing = False
_told: set[tuple[str, int]] = set()
_listeners: list[Callable[[Audited, str, str], None]] = []


def hear() -> None:
    """Hear of what happens from now on. Idempotent; audit hooks cannot be removed."""
    global _hearing  # once per process
    with _mutex:
        if not _hearing:
            _hearing = True
            sys.addaudithook(_hook())


def forget() -> None:
    """Warn anew of what was warned about."""
    _told.clear()


@contextmanager
def listening(listener: Callable[[Audited, str, str], None]) -> Iterator[None]:
    """In this block the listener is told of everything, and nobody is warned.

    Args:
        listener: takes the kind of effect, the event and its details; called in agent code.
    """
    hear()
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def _hook() -> Callable[[str, tuple[Any, ...]], None]:
    # Bound here: that is fastest, and modules are empty when the interpreter ends.
    session_of, audited = SESSION.get, AUDITED

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        """Called for every audit event of the process."""
        session = session_of()
        if session is not None and not session.depth and event in audited:
            _heard(session, event, arguments)

    return heard


def _heard(session: durability.Session, event: str, arguments: tuple[Any, ...]) -> None:
    kind, found = AUDITED[event], details(event, arguments)
    reads = found is None and event == "open" and arguments[1] is None
    if reads:
        with durability.suppressed(session):
            kind, found = READ_BY_DESCRIPTOR, opened_to_read(event, arguments)
    if found is None or session.ended is not None or is_its_own(session, event, arguments):
        return
    place = place_of(session, sys._getframe(2))
    if place is None or (reads and place.library):  # libraries read much for themselves
        return
    if _listeners:
        for listener in tuple(_listeners):
            listener(kind, event, found[:_LONGEST])
    elif not SCOPE.get().zone:
        _report(session, kind, f"{event}({found[:_LONGEST]})", place)


def is_its_own(session: durability.Session | None, event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether it happens in the agent's own directory, where replay is to do it again."""
    places = PATHS.get(event)
    if places is None or session is None or not session.workspace:
        return False
    follows = event in FOLLOWED and knows(session, LEADS)
    return all(_is_in_own(session, arguments, path, at, follows) for path, at in places)


def _is_in_own(
    session: durability.Session,
    arguments: tuple[Any, ...],
    path: int,
    descriptor: int,
    follows: bool,
) -> bool:
    place, at = arguments[path], arguments[descriptor] if descriptor >= 0 else -1
    if isinstance(place, int):
        place, at = "", place
    if not isinstance(place, str | bytes | os.PathLike):
        return False
    if at >= 0:
        try:
            place = os.path.join(os.readlink(f"/proc/self/fd/{at}"), os.fsdecode(place))
        except OSError:  # without a /proc
            return False
    return is_own(session, place, follows=follows)


def _report(session: durability.Session, kind: Audited, what: str, place: Place) -> None:
    strict = session.kernel.settings.strict
    file, line = place.file, place.line
    if not strict and (file, line) in _told:
        return
    through = f" through {place.library}" if place.library else ""
    message = f"An agent {kind.does}: {what}{through}, in {place.function}() ({file}:{line})."
    if strict:
        raise NotDurableError(f"{message} This runtime is strict: it was not done. {kind.instead}")
    _told.add((file, line))
    with durability.suppressed(session):  # sources are read for it, and logging is intercepted
        _warn(f"{message} {kind.so}. {kind.instead}", file, line)


def _warn(message: str, file: str, line: int) -> None:
    """Warn, but never raise: a replay, which is not warned a second time, would go another way."""
    try:
        warnings.warn_explicit(message, NotDurableWarning, file, line)
    except NotDurableWarning:
        logging.getLogger("golem_sdk").warning(message)
