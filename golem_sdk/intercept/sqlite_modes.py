"""How a connection of `sqlite3` inside agents begins its transactions: ``autocommit``, since Python 3.12."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["autocommit", "setting_of", "tried"]


def tried(setting: Callable[[Any], Any]) -> Any:
    """What it gives, or raises, on a connection of nobody's: the agent's own may not be open, in replay."""
    with closing(sqlite3.connect(":memory:")) as connection:
        return setting(connection)


def setting_of(name: str, value: Any) -> Callable[[Any], Any]:
    """What sets an attribute of a real connection, and gives what it is then."""

    def setting(real: Any) -> Any:
        setattr(real, name, value)
        return getattr(real, name)

    return setting


def _get(connection: Any) -> Any:
    return connection._mode


def _set(connection: Any, mode: Any) -> None:
    setting = setting_of("autocommit", mode)
    found = tried(setting)
    if mode is True:
        connection.commit()
    connection._mode = found
    connection._link.set("autocommit", setting)
    if mode in (True, False):
        connection._state = [not mode, connection._state[1]]


autocommit = property(_get, _set, doc="See `sqlite3.Connection.autocommit`.")
"""The attribute of recorded connections, which keep what it is in ``_mode``."""
