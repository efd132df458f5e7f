"""Names that were bound to an original before it was replaced: ``from time import time``.

One pass over the garbage collector's referrers finds the holders: globals of modules and of generated
functions, class attributes, closure cells, defaults, `functools.partial` objects, and the factories of
dataclasses and attrs. The SDK's own modules keep the originals, and so do the modules for which
`golem_sdk.intercept.libraries` has a clock of its own.

Does not cover: lists, dicts and instances that hold an original, compiled holders (pydantic's
``default_factory=time.time``), bound ``datetime.now`` objects, and objects hidden by `gc.freeze`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import sys
from types import CellType, FunctionType
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["swap_names"]

_FACTORY: type = type(attrs.Factory(list))


def swap_names(pairs: Iterable[tuple[Any, Any]], keeps: Callable[[str], bool]) -> None:
    """Let everything that holds an old object hold the new one instead.

    Args:
        pairs: ``(old, new)``.
        keeps: whether the module with this name keeps what it has.
    """
    pairs = list(pairs)
    swap = _Swap({id(old): new for old, new in pairs}, keeps)
    olds = [old for old, _ in pairs]
    for holder in gc.get_referrers(*olds):
        swap.visit(holder)
    swap.visit_owners()


class _Swap:
    def __init__(self, new_of: dict[int, Any], keeps: Callable[[str], bool]) -> None:
        self._new_of = new_of
        self._keeps = keeps
        self._modules = {
            id(vars(module)): name
            for name, module in list(sys.modules.items())
            if hasattr(module, "__dict__")
        }
        # Holders that only their owner tells about; kept alive so that an id stays unique.
        self._owned: dict[int, Any] = {}

    def visit(self, holder: Any) -> None:
        kind = type(holder)
        if kind is dict:
            name = self._modules.get(id(holder))
            if name is None:
                self._owned[id(holder)] = holder
            elif not self._keeps(name):
                self._in_place(holder)
        elif kind is CellType or kind is tuple:
            self._owned[id(holder)] = holder
        elif issubclass(kind, functools.partial):
            state = (self._renewed(holder.func), holder.args, holder.keywords, vars(holder) or None)
            holder.__setstate__(state)
        elif kind is dataclasses.Field:
            holder.default = self._renewed(holder.default)
            holder.default_factory = self._renewed(holder.default_factory)
        elif kind is _FACTORY:
            object.__setattr__(holder, "factory", self._renewed(holder.factory))

    def visit_owners(self) -> None:
        """Functions and classes, because a tuple, cell or class dictionary does not know whose it is."""
        if not self._owned:
            return
        for candidate in gc.get_objects():
            if type(candidate) is FunctionType:
                self._function(candidate)
            elif issubclass(
                type(candidate), type
            ):  # isinstance would have lazy proxies load what they are for
                self._class(candidate)

    def _function(self, function: FunctionType) -> None:
        owned = self._owned
        names, defaults = function.__globals__, function.__defaults__
        keywords, cells = function.__kwdefaults__, function.__closure__
        touched = id(defaults) in owned or id(keywords) in owned or id(names) in owned
        if not touched and not (cells and any(id(cell) in owned for cell in cells)):
            return
        if self._keeps(str(names.get("__name__"))) or self._keeps(str(function.__module__)):
            return
        if defaults and id(defaults) in owned:
            function.__defaults__ = tuple(map(self._renewed, defaults))
        if keywords and id(keywords) in owned:
            self._in_place(keywords)
        if id(names) in owned:
            self._in_place(names)
        for cell in cells or ():
            if id(cell) in owned:
                cell.cell_contents = self._renewed(cell.cell_contents)

    def _class(self, owner: type) -> None:
        # Set through the class, so that the interpreter's attribute caches notice.
        held = [name for name, value in vars(owner).items() if id(value) in self._new_of]
        if not held or self._keeps(str(vars(owner).get("__module__"))):
            return
        for name in held:
            with contextlib.suppress(AttributeError, TypeError):  # immutable: keeps the original
                setattr(owner, name, self._renewed(vars(owner)[name]))

    def _in_place(self, names: dict[str, Any]) -> None:
        for name, value in list(names.items()):
            if id(value) in self._new_of:
                names[name] = self._renewed(value)

    def _renewed(self, value: Any) -> Any:
        return self._new_of.get(id(value), value)
