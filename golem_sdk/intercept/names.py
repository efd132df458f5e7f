"""Names that were bound to an original before it was replaced: ``from time import time``.

One look at every module and one at every object that the garbage collector knows find the holders: globals
of modules and of generated functions, class attributes, closure cells, defaults, `functools.partial` objects,
and the factories of dataclasses and attrs. The SDK's own modules keep the originals, and so do the modules
for which `golem_sdk.intercept.libraries` has a clock of its own.

It is made when a runtime is opened, over some hundred thousand objects, so the loops are as they are: what is
asked of most objects is asked by functions in C. `gc.get_referrers` would compare every reference with every
original, and a second search would have to tell whose a tuple, cell or dictionary is.

Does not cover: lists, dicts and instances that hold an original, compiled holders (pydantic's
``default_factory=time.time``), bound ``datetime.now`` objects, and objects hidden by `gc.freeze`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import sys
from types import FunctionType
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
    swap.modules()
    swap.objects()


class _Swap:
    def __init__(self, new_of: dict[int, Any], keeps: Callable[[str], bool]) -> None:
        self._new_of = new_of
        self._holds_none = frozenset(new_of).isdisjoint
        self._keeps = keeps
        self._globals: set[int] = set()

    def modules(self) -> None:
        """Their globals."""
        for name, module in list(sys.modules.items()):
            try:  # past what a lazy module does when it is asked: it would import what it stands for
                names = object.__getattribute__(module, "__dict__")
            except AttributeError:
                continue
            self._globals.add(id(names))
            if not self._holds_none(map(id, list(names.values()))) and not self._keeps(name):
                self._in_place(names)

    def objects(self) -> None:
        """Everything else that may hold one."""
        ways: dict[type, Callable[[Any], None] | None] = {}
        for candidate in gc.get_objects():
            kind = type(candidate)
            try:
                way = ways[kind]
            except KeyError:
                way = ways[kind] = self._way(kind)
            if way is not None:
                way(candidate)

    def _way(self, kind: type) -> Callable[[Any], None] | None:
        """How objects of a type are looked at, if they are."""
        if kind is FunctionType:
            return self._function
        if issubclass(kind, type):
            return self._class
        if issubclass(kind, functools.partial):
            return self._partial
        return {dataclasses.Field: self._field, _FACTORY: self._factory}.get(kind)

    def _function(self, function: FunctionType) -> None:
        names = function.__globals__
        if id(names) not in self._globals and self._is_held(names.values(), function):
            self._in_place(names)
        if (given := function.__defaults__) and self._is_held(given, function):
            function.__defaults__ = tuple(map(self._renewed, given))
        if (by_name := function.__kwdefaults__) and self._is_held(by_name.values(), function):
            self._in_place(by_name)
        for cell in function.__closure__ or ():
            try:
                held = cell.cell_contents
            except ValueError:  # it is empty
                continue
            if id(held) in self._new_of and not self._is_kept(function):
                cell.cell_contents = self._renewed(held)

    def _is_held(self, values: Iterable[Any], function: FunctionType) -> bool:
        return not self._holds_none(map(id, values)) and not self._is_kept(function)

    def _is_kept(self, function: FunctionType) -> bool:
        own = str(function.__globals__.get("__name__"))
        return self._keeps(own) or self._keeps(str(function.__module__))

    def _class(self, owner: type) -> None:
        names = vars(owner)
        if self._holds_none(map(id, names.values())) or self._keeps(str(names.get("__module__"))):
            return
        # Set through the class, so that the interpreter's attribute caches notice.
        for name in [name for name, value in names.items() if id(value) in self._new_of]:
            with contextlib.suppress(AttributeError, TypeError):  # immutable: keeps the original
                setattr(owner, name, self._renewed(names[name]))

    def _partial(self, partial: Any) -> None:
        if id(partial.func) in self._new_of:
            new = self._renewed(partial.func)
            partial.__setstate__((new, partial.args, partial.keywords, vars(partial) or None))

    def _field(self, field: Any) -> None:
        field.default = self._renewed(field.default)
        field.default_factory = self._renewed(field.default_factory)

    def _factory(self, factory: Any) -> None:
        object.__setattr__(factory, "factory", self._renewed(factory.factory))

    def _in_place(self, names: dict[str, Any]) -> None:
        for name, value in list(names.items()):
            if id(value) in self._new_of:
                names[name] = self._renewed(value)

    def _renewed(self, value: Any) -> Any:
        return self._new_of.get(id(value), value)
