"""Which of the libraries that are intercepted are installed here, at which version, and what is replaced."""

from __future__ import annotations

import platform
import warnings
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from attrs import frozen

from golem_sdk.intercept.activation import Activator
from golem_sdk.intercept.interceptor import PYTHON
from golem_sdk.intercept.table import TABLE

__all__ = ["Library", "Patched", "libraries", "patched"]


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


@frozen
class Patched:
    """What is replaced of a library when a program imports it.

    Attributes:
        library: which.
        functions: the dotted names of what is replaced.
        problems: why something is not replaced, or may not work.
    """

    library: Library
    functions: tuple[str, ...]
    problems: tuple[str, ...]


def patched() -> tuple[Patched, ...]:
    """All libraries of the table, in its order. Imports those that are installed, and replaces nothing."""
    activator = Activator()
    return tuple(_patched(library, activator) for library in libraries())


def _patched(library: Library, activator: Activator) -> Patched:
    rows = [row for row in TABLE if row.library == library.name]
    functions = [name for row in rows if not row.adapters for name in row.functions]
    problems = []
    modules = dict.fromkeys(module for row in rows for module in row.adapters)
    for module in modules if library.installed else ():
        try:
            import_module(module)
        except Exception as error:  # whatever a broken library raises
            problems.append(f"{module} cannot be imported: {error!r}")
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = activator.activate(module)
        problems += [str(each.message) for each in caught]
        functions += [patch.label for each in found for patch in each.patches]
    return Patched(library, tuple(dict.fromkeys(functions)), tuple(problems))


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
