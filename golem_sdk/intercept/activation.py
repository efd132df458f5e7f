"""From an imported module to the patches of its interceptors. A failure is a warning, never an error."""

from __future__ import annotations

import platform
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from attrs import frozen

from golem_sdk.intercept.interceptor import PYTHON
from golem_sdk.intercept.patching import Patch, warn  # attrs classes are resolved at run time
from golem_sdk.intercept.table import ACTIVATIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from golem_sdk.intercept.interceptor import Interceptor

__all__ = ["Activated", "Activator", "version_of"]


@frozen
class Activated:
    """The patches for one module, and whose they are."""

    library: str
    version: str
    patches: list[Patch]


class Activator:
    """Calls adapters. It remembers what it has warned of."""

    def __init__(self) -> None:
        self._judged: set[str] = set()

    def activate(self, name: str) -> list[Activated]:
        """The patches that belong to the module with this name, if it is imported.

        Adapters are imported by this, and their functions called: not to be called from agent code.
        """
        module = sys.modules.get(name)
        if module is None:
            return []
        found = (self._of(row, place, module) for row, place in ACTIVATIONS.get(name, ()))
        return [activated for activated in found if activated is not None]

    def _of(self, row: Interceptor, place: str, module: ModuleType) -> Activated | None:
        version = version_of(row.library, module)
        try:
            patches = _adapter(place)(module)
            lacking = "" if row.library == PYTHON else _lacking(patches)
        except Exception as error:  # an import must not fail because of us
            lacking = repr(error)
        if lacking:
            warn(
                f"{module.__name__} of {row.library} {version} is not intercepted, so what agents do through "
                f"it is not durable: {lacking}. Install a version that golem_sdk was tested with: "
                f"{' to '.join(row.tested)}"
            )
            return None
        self._judge(row, version)
        return Activated(row.library, version, patches)

    def _judge(self, row: Interceptor, version: str) -> None:
        if row.library in self._judged:
            return
        self._judged.add(row.library)
        if not row.is_tested_with(version):
            warn(
                f"{row.library} {version} is not a version that this golem_sdk was tested with "
                f"({' to '.join(row.tested)}). Agents' calls are intercepted as in the versions it knows"
            )


def version_of(library: str, module: ModuleType) -> str:
    """The version of the library that a module belongs to; ``"unknown"`` if nobody says it."""
    if library == PYTHON:
        return platform.python_version()
    package = sys.modules.get(module.__name__.partition(".")[0])
    told = getattr(package, "__version__", None)
    if isinstance(told, str):
        return told
    from importlib.metadata import PackageNotFoundError, version  # slow, and seldom needed

    try:
        return version(library)
    except PackageNotFoundError:
        return "unknown"


def _adapter(place: str) -> Callable[[ModuleType], list[Patch]]:
    module, _, function = place.partition(":")
    adapter: Callable[[ModuleType], list[Patch]] = getattr(import_module(module), function)
    return adapter


def _lacking(patches: list[Patch]) -> str:
    missing = [patch.label for patch in patches if patch.attribute not in vars(patch.target)]
    return f"it lacks {', '.join(missing)}" if missing else ""
