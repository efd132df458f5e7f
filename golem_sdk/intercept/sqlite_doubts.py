"""Writes of `sqlite3` that may have been made before a crash: what can be told from the database itself.

A statement that was under way in a crash is executed again (P3). Of two kinds it can be seen that they were
made, because they do not work twice, and then that is what is recorded:

* what defines something (``CREATE``, ``DROP``, ``ALTER``) outside a transaction, when the database says that
  it is there, or gone, already;
* ``COMMIT``, when the statements of its transaction, which have worked before, do not work any more.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

from golem_sdk.intercept.statements import keyword_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["COMMITS", "ENDS", "is_sign", "script_again", "was_made"]

COMMITS = frozenset({"COMMIT", "END", "RELEASE"})
ENDS = COMMITS | {"ROLLBACK"}

_BEGINS = frozenset({"BEGIN", "SAVEPOINT"})
_DEFINES = frozenset({"CREATE", "DROP", "ALTER"})
_DEFINED = ("already exists", "already another table", "duplicate column name", "no such ")
_SIGNS = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT})


def is_sign(error: Exception) -> bool:
    """Whether an error says that the database is another one; not that it is locked, full or unreadable."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _SIGNS


def was_made(statement: str, error: Exception) -> bool:
    """Whether the error of a statement says that what it defines is so already."""
    told = any(sign in str(error) for sign in _DEFINED)
    return told and keyword_of(statement) in _DEFINES


def script_again(real: sqlite3.Connection, script: str) -> None:
    """Execute what may have been executed before, or a part of it: each statement by itself."""
    for part in _parts(script):
        try:
            real.executescript(part)
        except sqlite3.Error as error:
            if keyword_of(part) in _BEGINS:
                if not is_sign(error):
                    raise
                with suppress(sqlite3.Error):
                    real.rollback()
            elif not was_made(part, error):
                raise


def _parts(script: str) -> Iterator[str]:
    """Its statements; those of a transaction together."""
    part, open_ = "", False
    for statement in _statements(script):
        part += statement
        keyword = keyword_of(statement)
        open_ = keyword in _BEGINS or (open_ and keyword not in ENDS)
        if not open_:
            yield part
            part = ""
    if part:
        yield part


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for piece in script.split(";"):
        statement += f"{piece};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip("; \n\t"):
        yield statement.removesuffix(";")
