"""What runs while agent code runs, but is none of it: module imports and cyclic garbage collection.

Both happen in whatever agent comes first in this process, so a clock reading at a module's top level
or in a finaliser would be recorded in one run and missing in the next. Interception is off meanwhile.
The import hook also tells the room which module was just imported; it imports nothing itself.

Does not cover: the first collection after another tool has put a callback before the guard's own (the
guard steps back in front then), `importlib.reload` and loaders called directly (their code counts as the
agent's), and finalisers run by a reference count that drops to zero: those are deterministic and stay
visible.
"""

from __future__ import annotations

import functools
import gc
import importlib
from threading import get_ident
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from golem_sdk import durability
from golem_sdk.intercept.patching import Patch

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CollectionGuard", "import_patch"]

_BOOTSTRAP: Any = vars(importlib)["_bootstrap"]


def import_patch(imported: Callable[[str], None]) -> Patch:
    """Wraps the one function that every import of a module that is not loaded yet goes through.

    Args:
        imported: called with the module's name after its code ran, as part of the import; must not raise.
    """

    def make(original: Callable[[str, Any], ModuleType]) -> Callable[[str, Any], ModuleType]:
        current = durability.current

        def find_and_load(name: str, import_: Any) -> ModuleType:
            session = current()
            if session is None:
                module = original(name, import_)
                imported(name)
                return module
            session.depth += 1
            try:
                module = original(name, import_)
                imported(name)  # adapters are imported by this, and may do anything
            finally:
                session.depth -= 1
            return module

        return functools.wraps(original)(_as_import_machinery(find_and_load))

    return Patch(_BOOTSTRAP, "_find_and_load", make)


def _as_import_machinery(function: Callable[..., Any]) -> Callable[..., Any]:
    # Python leaves frames of its import machinery out of an ImportError's traceback, and knows them by
    # their file name.
    assert isinstance(function, FunctionType)
    code = function.__code__.replace(co_filename=_BOOTSTRAP._find_and_load.__code__.co_filename)
    twin = FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    twin.__kwdefaults__ = function.__kwdefaults__
    return twin


class CollectionGuard:
    """Switches interception off for the agent in whose thread a garbage collection starts."""

    def __init__(self) -> None:
        # One slot is enough: the interpreter never runs two collections at once.
        self._session: Any = None

    def install(self) -> None:
        """Start guarding."""
        if self._begins not in gc.callbacks:
            gc.callbacks.insert(0, self._begins)
            gc.callbacks.append(self._ends)

    def uninstall(self) -> None:
        """Stop guarding."""
        for callback in (self._begins, self._ends):
            if callback in gc.callbacks:
                gc.callbacks.remove(callback)

    def _begins(self, phase: str, info: object) -> None:
        """The first of all callbacks when a collection starts."""
        if phase != "start":
            return
        session = self._session = durability.current()
        if session is not None:
            # Not by a context variable: the collection may have begun while one was set.
            session.depth += 1
            session.collector = get_ident()
        # Others came later: what they do is not agent code either.
        if gc.callbacks[-1] != self._ends:
            gc.callbacks.remove(self._ends)
            gc.callbacks.append(self._ends)

    def _ends(self, phase: str, info: object) -> None:
        """The last of all callbacks when it stops."""
        if phase != "stop":
            return
        if self._session is not None:
            self._session.depth -= 1
            self._session.collector = 0
            self._session = None
        # Only now: the interpreter walks this list by index, and would call those that step back twice.
        if gc.callbacks[0] != self._begins:
            gc.callbacks.remove(self._begins)
            gc.callbacks.insert(0, self._begins)
