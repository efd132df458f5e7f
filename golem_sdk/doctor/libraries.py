"""Which of the libraries that are intercepted are installed here, and at which version."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from attrs import frozen

from golem_sdk.intercept.interceptor import PYTHON
from golem_sdk.intercept.table import TABLE

__all__ = ["Library", "libraries"]


@frozen
class Library:
    """A library that is intercepted as soon as a program imports it.

    Attributes:
        name: of the distribution, or ``"python"``.
        installed: its version; ``None``: it is not installed.
        tested: the first and the last release series that golem_sdk was tested with.
        is_tested: whether ``installed`` is one of these. Another one is intercepted, too, with a warning.
        interceptors: by name, the version of what each records.
    """

    name: str
    installed: str | None
    tested: tuple[str, str]
    is_tested: bool
    interceptors: dict[str, int]


def libraries() -> tuple[Library, ...]:
    """All libraries of the table, in its order. Imports none of them."""
    names = dict.fromkeys(row.library for row in TABLE)
    return tuple(map(_library, names))


def _library(name: str) -> Library:
    rows = [row for row in TABLE if row.library == name]
    found = _installed(name)
    return Library(
        name,
        found,
        rows[0].tested,
        found is not None and all(row.is_tested_with(found) for row in rows),
        {row.name: row.version for row in rows},
    )


def _installed(name: str) -> str | None:
    if name == PYTHON:
        return platform.python_version()
    try:
        return version(name)
    except PackageNotFoundError:
        return None
